"""What is shown and tabled: text of others as text, neither steering a terminal nor calculated by a spreadsheet."""

import logging
from collections.abc import Iterable
from typing import Any

from rich import console
from rich.segment import Segment

from adawac.errors import printable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Console(console.Console):
    """Rich's, whatever names are in what it shows."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Segments with nothing in their text that steers."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class Formatter(logging.Formatter):
    """Messages of logs alike."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, printable."""
        return printable(super().format(record))


def as_cell(value: Any) -> Any:
    """A cell of a CSV table that no spreadsheet takes for a formula; `of_cell` gives it back.

    Example:
        >>> as_cell("=1+1"), as_cell("liver"), as_cell("-0.5"), as_cell(-0.5)
        ("'=1+1", 'liver', '-0.5', -0.5)
        >>> of_cell(as_cell("=1+1")), of_cell(as_cell("'=1+1"))
        ('=1+1', "'=1+1")
    """
    if not isinstance(value, str) or not value.lstrip("' ").startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def of_cell(text: str) -> str:
    """Inverse of `as_cell`."""
    return text[1:] if text.startswith("'") and text.lstrip("' ").startswith(_FORMULA) else text
