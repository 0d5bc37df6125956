"""What is shown and tabled: text of others as text, neither steering a terminal nor calculated by a spreadsheet."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

from rich import console, progress
from rich.segment import Segment

from adawac.errors import printable

Item = TypeVar("Item")
Track = Callable[[Iterable[Item], int], Iterable[Item]]
"""Wraps an iterable of a given length, to show progress."""

EVERY = 30.0
"""Seconds between two lines on how far the work is."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Console(console.Console):
    """Rich's, whatever names are in what it shows."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Segments with nothing in their text that steers."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """As after `print`; Rich's would leave with the status of a fault."""
        raise BrokenPipeError


class Lines:
    """How far the work is where no terminal shows a bar: a line now and then, and none where it is soon done.

    Args:
        description: what is done, such as "Reading volumes".
        total: of how many items.
    """

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total, self._done = description, total, 0
        self._began = self._said = monotonic()

    def advance(self) -> None:
        """Count an item that is done; a line if the last is `EVERY` seconds ago."""
        self._done, now = self._done + 1, monotonic()
        if now - self._said < EVERY or self._done >= self._total:
            return
        self._said = now
        left = timedelta(seconds=round((now - self._began) / self._done * (self._total - self._done)))
        print(f"{self._description}: {self._done} of {self._total}, {left} left", file=sys.stderr)

    def of(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each counted once it is done."""
        for item in items:
            yield item
            self.advance()


def bar(description: str) -> Track[Any]:
    """A bar with the time left, in a terminal or a notebook, gone once the work is done; elsewhere a line now and then.

    Args:
        description: what is done with the items, such as "Reading volumes".

    Example:
        >>> list(bar("Counting")(iter("abc"), 3))
        ['a', 'b', 'c']
    """

    def track(items: Iterable[Item], total: int) -> Iterable[Item]:
        shown = Console()
        if not (shown.is_terminal or shown.is_jupyter):
            return Lines(description, total).of(items)
        return progress.track(items, description, total, transient=True, console=shown)

    return track


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
