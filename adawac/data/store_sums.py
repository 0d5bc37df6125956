"""Check sums of prepared arrays, by which it is known that a file of the right size still holds what was written.

They are written as a case is prepared, and compared when its arrays are opened for the first time from where the data
lie, as after a store was copied, and by `adawac prepare --verify`; not with each training, which maps the arrays and
reads a slice at a time: a store may be larger than the memory.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zlib_ng import zlib_ng

NAMES = ("image.npy", "label.npy", "native_label.npy")
"""The files of a prepared case."""


def sums_of(folder: Path) -> dict[str, int]:
    """CRC-32 of each file of a prepared case; they have just been written, and are read from memory."""
    return {name: _sum(folder / name) for name in NAMES}


def changed(folder: Path, facts: Mapping[str, Any]) -> list[str]:
    """Files that do not hold what was written; of what was prepared before there were check sums nothing is known.

    Args:
        folder: of a prepared case.
        facts: its `case.json`.

    Raises:
        OSError: if a file cannot be read.
    """
    known = facts.get("sums") or {}
    return [name for name in NAMES if name in known and _sum(folder / name) != known[name]]


def is_damaged(folder: Path) -> bool:
    """Whether a prepared case cannot be used as it lies there."""
    try:
        return bool(changed(folder, json.loads((folder / "case.json").read_text())))
    except (OSError, ValueError):
        return True


def _sum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found = zlib_ng.crc32(block, found)
    return found
