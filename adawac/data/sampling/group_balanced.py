"""Every group equally often."""

import numpy as np
from numpy.typing import NDArray

from adawac.data.groups import Density, Grouping
from adawac.data.sampling.sampling import Losses, Sampling, check_size, until_different
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable


class GroupBalanced(Sampling):
    """Draws every group equally often, as far as a batch of different units allows.

    A group with fewer units than its share of a batch comes less often, and one with not many more does, too: of ten
    units among a thousand, for which half of a batch of 24 is due, a third is.

    Units that are wholly ignored are in no group: they come last, where a batch has room for them.

    Tested: that it draws so, for groups of slices and of cases. What it does for the Dice of a network has been
    measured neither for sites and patients nor for any other groups.

    Args:
        groups: how the units fall into groups; None: label-dense and label-sparse.

    Example:
        >>> voxels = [np.array([[9, 0]] * 900 + [[7, 2]] * 100)]
        >>> units = UnitTable.of_slices(["a"], voxels, (3, 3), ("background", "liver"))
        >>> rng, sampling = np.random.default_rng(0), GroupBalanced()
        >>> rows = np.concatenate([sampling.draw(units, np.zeros(1000), 8, rng) for _ in range(200)])
        >>> round(float(units.dense[rows].mean()), 1)
        0.5
    """

    def __init__(self, groups: Grouping | None = None) -> None:
        self.groups = groups or Density()
        self._laid_out: tuple[UnitTable, list[NDArray[np.int64]], NDArray[np.int64]] | None = None

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Rows drawn one after the other: a group, then a row of it; units in no group fill what is left."""
        check_size(size, len(units))
        laid_out = self._laid_out
        if laid_out is None or laid_out[0] is not units:  # once a training: to group millions of units takes seconds
            member, names = self.groups(units)
            parts = np.split(
                np.argsort(member, kind="stable"), np.bincount(1 + member, minlength=1 + len(names)).cumsum()[:-1]
            )
            self._laid_out = laid_out = units, parts[1:], parts[0]
        _, groups, others = laid_out

        def one() -> int:
            rows = groups[rng.integers(len(groups))]
            return int(rows[rng.integers(len(rows))])

        drawn = until_different(one, min(size, len(units) - len(others)))
        return np.concatenate([drawn, rng.choice(others, size - len(drawn), replace=False)])
