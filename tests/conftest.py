"""Fixtures of many tests."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
COLLECTING = FileLock(HERE / "__pycache__/collecting.lock")
gc.disable()  # nor while they are imported, which took a quarter longer


def pytest_collection() -> None:
    """Where nothing has been compiled yet one process does so, and the others wait: each would compile all of it."""
    if not (sys.dont_write_bytecode or (HERE / "unit/__pycache__").exists()):
        COLLECTING.acquire()


def pytest_collection_finish() -> None:
    """Garbage is not looked for among the modules, which stay: that took a tenth of the tests' time."""
    COLLECTING.release()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def unflushed() -> Iterator[None]:
    """No power is lost while tests run, and to wait for the disk took a tenth of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Plots are made but not drawn, which takes two thirds of a report's time; as SVG they have the size they would."""
    from matplotlib.figure import Figure
    from PIL import Image

    def savefig(figure: Figure, file: Any, *, format: str, **options: Any) -> None:
        if format == "svg":
            width, height = 72 * figure.get_size_inches()
            file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt"/>'.encode())
        else:
            Image.new("L", (1, 1)).save(file, format)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
