"""Hard units more often."""

import numpy as np

from adawac.data.sampling.sampling import Losses, Sampling, without_replacement
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError


class HardnessWeighted(Sampling):
    """Draws units by their last loss, p = softmax(sharpness * loss); units not seen yet come first.

    Those whose loss was not finite come last: with `--non_finite skip` each batch that holds one is left out. So do
    those that are wholly ignored, which have no loss.

    Args:
        sharpness: at least 0, in units of one over the loss; 0 draws evenly.

    Raises:
        ConfigError: if `sharpness` is below 0 or infinite.

    References:
        Fidon et al., "Distributionally robust segmentation of abnormal fetal brain 3D MRI", UNSURE 2021, algorithm 1,
        with the losses as they are at the start of an epoch.

    Example:
        >>> units = UnitTable.of_slices(["a"], [np.full((4, 2), 2)], (2, 2), ("background", "liver"))
        >>> losses = np.array([0.1, np.nan, 0.5, 0.2])
        >>> HardnessWeighted(1000.0).draw(units, losses, 2, np.random.default_rng(0)).tolist()
        [1, 2]
    """

    def __init__(self, sharpness: float = 100.0) -> None:
        if not 0 <= sharpness < np.inf:
            raise ConfigError(f"HardnessWeighted: sharpness is {sharpness}; give a finite one from 0 (100 is usual)")
        self.sharpness = sharpness

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Unseen rows, then hard ones."""
        finite = np.isfinite(losses)
        others = np.where(np.isnan(losses) & units.labelled, np.inf, -np.inf)
        return without_replacement(np.where(finite, self.sharpness * np.where(finite, losses, 0), others), size, rng)
