"""Fixtures of many tests."""

import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest


def pytest_collection_finish() -> None:
    """Garbage is not looked for among the modules, which stay: that took a tenth of the tests' time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def unflushed() -> Iterator[None]:
    """No power is lost while tests run, and to wait for the disk took a tenth of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Plots of a report are made but not drawn, which takes two thirds of its time: for tests of its words."""
    from matplotlib.figure import Figure

    draw: Callable[..., None] = Figure.savefig

    def savefig(figure: Figure, file: Any, *, format: str, **options: Any) -> None:
        if format == "svg":
            file.write(b'<svg xmlns="http://www.w3.org/2000/svg"/>')
        else:
            draw(figure, file, format=format, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
