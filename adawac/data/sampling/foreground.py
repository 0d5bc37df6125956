"""A share of every batch is label-dense."""

import numpy as np

from adawac.data.sampling.sampling import Losses, Sampling, check_size, until_different
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError


class ForegroundOversampling(Sampling):
    """Reserves a share of every batch for label-dense units; the others are drawn from all.

    Where more than this share of the units is label-dense already it changes little.

    Args:
        share: of a batch, 0 to 1; rounded up to whole units.

    Raises:
        ConfigError: if `share` is not between 0 and 1.

    References:
        Isensee et al., "nnU-Net", Nature Methods 2021: a third of the patches are guaranteed to hold foreground.

    Example:
        >>> voxels = [np.array([[9, 0]] * 8 + [[7, 2]] * 2)]
        >>> units = UnitTable.of_slices(["a"], voxels, (3, 3), ("background", "liver"))
        >>> rows = ForegroundOversampling(0.5).draw(units, np.zeros(10), 4, np.random.default_rng(0))
        >>> int(units.dense[rows].sum())
        2
    """

    def __init__(self, share: float = 0.33) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"ForegroundOversampling: share is {share}; give a share of a batch from 0 to 1")
        self.share = share

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Label-dense rows for the reserved share, then any of the others."""
        check_size(size, len(units))
        dense = np.flatnonzero(units.dense)
        reserved = min(int(np.ceil(self.share * size)), len(dense))
        rows = rng.choice(dense, reserved, replace=False, shuffle=False)
        return until_different(lambda: int(rng.integers(len(units))), size, rows.tolist())
