"""Every class equally often, however few units hold it."""

import numpy as np
from numpy.typing import NDArray

from adawac.data.sampling.block_sums import Blocks
from adawac.data.sampling.sampling import Losses, Sampling, check_size
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError


class ClassBalanced(Sampling):
    """Draws a class, each as often as the others, then a unit that holds it; the rest of a batch from all units.

    A unit with several classes comes for each of them. Over many batches unit i comes with probability

        p_i = (1 - share) / n + share * mean over the classes k that it holds of [1 / n_k],

    n_k the units that hold class k, and each batch has the label-dense units that this means, to within one.

    Args:
        share: of a batch that is drawn by class, 0 to 1; the rest is drawn from all units alike.
        cap: how many times as often as in plain shuffling a unit may come on account of one class, at least 1. Where
            a class has so few units that it would be more, the class comes less often, and the rest more.

    Raises:
        ConfigError: if `share` is not between 0 and 1, or `cap` below 1.

    Example:
        >>> voxels = [np.array([[9, 0, 0]] * 88 + [[7, 2, 0]] * 8 + [[7, 0, 2]] * 4)]
        >>> units = UnitTable.of_slices(["a"], voxels, (3, 3), ("background", "liver", "gallbladder"))
        >>> (100 * ClassBalanced().probabilities(units)[[0, 90, 99]]).round(1).tolist()  # in percent; 1 when shuffled
        [0.3, 4.5, 8.7]
    """

    def __init__(self, share: float = 2 / 3, cap: float = 10.0) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"ClassBalanced: share is {share}; give a share of a batch from 0 to 1")
        if not cap >= 1:
            raise ConfigError(f"ClassBalanced: cap is {cap}; give a factor of at least 1 (10 is usual)")
        self.share = share
        self.cap = cap
        self._laid_out: tuple[UnitTable, NDArray[np.float64], Blocks, NDArray[np.float64]] | None = None

    def probabilities(self, units: UnitTable) -> NDArray[np.float64]:
        """(n,) how often each unit comes, of sum 1."""
        members = [rows for rows in units.rows_of_class[1:] if len(rows)]
        n = len(units)
        by_class = np.zeros(n)
        for rows in members:
            by_class[rows] += min(self.share / len(members) / len(rows), self.cap / n)
        p: NDArray[np.float64] = by_class + (1 - by_class.sum()) / n
        return p

    def draw(self, units: UnitTable, losses: Losses | None, size: int, rng: np.random.Generator) -> Rows:
        """Rows drawn by class and rows drawn from all."""
        check_size(size, len(units))
        laid_out = self._laid_out
        if laid_out is None or laid_out[0] is not units:  # once a training: of millions of units it takes long
            p, blocks = self.probabilities(units), Blocks(units.dense)
            sums = np.bincount(blocks.of_row, p).astype(np.float64)
            self._laid_out = laid_out = units, p, blocks, sums
        _, p, blocks, sums = laid_out
        return blocks.draw(sums, p.__getitem__, size, rng)[0]
