"""Fixtures of many tests."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots of a report are made but not drawn, which takes two thirds of its time: for tests of its words."""
    from matplotlib.figure import Figure

    draw: Callable[..., None] = Figure.savefig

    def savefig(figure: Figure, file: Any, *, format: str, **options: Any) -> None:
        if format == "svg":
            file.write(b'<svg xmlns="http://www.w3.org/2000/svg"/>')
        else:
            draw(figure, file, format=format, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
