"""Files and folders that the user may not read or write, also where root runs the tests, whom nothing is closed to."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VERSION_3 = 0x20080522
PASSES_MODES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of Linux."""


@contextmanager
def closed(*places: Path, mode: int = 0) -> Iterator[None]:
    """Within, the places have a mode, which binds root, too: the thread does without what lets root pass."""
    before = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(mode)
    try:
        with _bound_by_modes():
            yield
    finally:
        for place, its in before.items():
            place.chmod(its)


@contextmanager
def _bound_by_modes() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "capset"):
        pytest.skip("root may read everything, and this system has no capset to do without")
    header, held = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    library.capget(header, held)
    fewer = (ctypes.c_uint32 * 6)(*held)
    fewer[0] &= ~PASSES_MODES  # of what takes effect; what is permitted stays, to be taken up again
    if library.capset(header, fewer):
        pytest.skip("root may read everything, and may not do without it here")
    try:
        yield
    finally:
        library.capset(header, held)
