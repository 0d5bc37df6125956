"""The contract of a sampling, and how batches are drawn without replacement."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError

Losses = NDArray[np.float32]


class Sampling(ABC):
    """Draws the units of a batch.

    A batch is a function of the generator it is given, of the table of units and of the losses at the start of the
    epoch, so that a resumed run draws what an unbroken one would. No unit comes twice in a batch; over an epoch, which
    keeps its usual length, units may come several times or not at all.

    Attributes:
        needs_steps: whether the draw follows the losses of every step, see `AdaptiveSampling`.
    """

    needs_steps: ClassVar[bool] = False

    def in_an_epoch(self, units: UnitTable) -> int:
        """How many units make an epoch."""
        return len(units)

    @abstractmethod
    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Rows of one batch.

        Args:
            units: the n training units.
            losses: (n,) last supervised loss of each unit at the start of the epoch, NaN for those not seen yet,
                infinite where it was not finite.
            size: units of the batch, at most n.
            rng: of this batch alone.

        Returns:
            (size,) different rows of the table.
        """


def check_size(size: int, units: int) -> None:
    """Refuse a batch of more different rows than there are: a loop of somebody's own may ask for it.

    Raises:
        ConfigError: naming both, or that nothing is known of the units yet.
    """
    if not 1 <= size <= units:
        remedy = f"give 1 to {units}" if units else "say which there are first, by `allocate(units)`"
        raise ConfigError(f"a batch of {size} is drawn from {units} units, of which none comes twice; {remedy}")


def drawn_rows(sampling: Sampling, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> list[int]:
    """The rows that a sampling draws, which may be somebody's own.

    Raises:
        ConfigError: it draws something else than a batch.
    """
    rows = np.asarray(sampling.draw(units, losses, size, rng))
    whole = rows.dtype.kind in "iu" and rows.shape == (size,)
    if not (whole and rows.min() >= 0 and rows.max() < len(units) and len(np.unique(rows)) == size):
        said = f"rows {rows.min()} to {rows.max()}" if whole else f"an array {rows.shape} of {rows.dtype}"
        raise ConfigError(
            f"data.sampling: {type(sampling).__name__}.draw gives {said} for a batch of {size}; give {size} different "
            f"whole numbers from 0 to {len(units) - 1}"
        )
    found: list[int] = rows.tolist()
    return found


def until_different(draw: Callable[[], int], size: int, drawn: Iterable[int] = ()) -> Rows:
    """Different rows by draws of one row at a time, of which those that came already are dropped.

    So each is drawn with probabilities proportional to those of the rows left, whatever the size of the table.

    Args:
        draw: a row.
        size: rows in all; at least so many must be able to come.
        drawn: different rows that came before.

    Example:
        >>> until_different(iter([4, 4, 1, 4, 7]).__next__, 4, [1, 2]).tolist()
        [1, 2, 4, 7]
    """
    rows = dict.fromkeys(drawn)
    while len(rows) < size:
        rows[draw()] = None
    return np.array(list(rows), dtype=np.int64)


def without_replacement(log_weights: NDArray[np.floating], size: int, rng: np.random.Generator) -> Rows:
    """Different rows, drawn one after the other with probabilities proportional to the weights of those left.

    The largest of log-weights plus Gumbel noise are such a draw (Kool, van Hoof, Welling, ICML 2019). Among rows of
    infinite weight, which come first or last, the noise alone decides; so infinity is a number that noise still moves.
    """
    check_size(size, len(log_weights))
    keys = np.clip(log_weights, -1e9, 1e9) + rng.gumbel(size=len(log_weights))
    largest = np.argpartition(keys, -size)[-size:]
    return largest[np.argsort(-keys[largest])]
