"""Which units make a batch, other than by plain shuffling: samplers that any weighting can be combined with."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from adawac.data.groups import Density, Grouping
from adawac.data.units import UnitTable
from adawac.errors import ConfigError

Rows = NDArray[np.int64]
Losses = NDArray[np.float32]


class Sampling(ABC):
    """Draws the units of a batch.

    A batch is a function of the generator it is given, of the table of units and of the losses at the start of the
    epoch, so that a resumed run draws what an unbroken one would. No unit comes twice in a batch; over an epoch, which
    keeps its usual length, units may come several times or not at all.
    """

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
        dense = np.flatnonzero(units.dense)
        reserved = rng.permutation(dense)[: int(np.ceil(self.share * size))]
        others = np.setdiff1d(np.arange(len(units)), reserved, assume_unique=True)
        return np.concatenate([reserved, rng.permutation(others)[: size - len(reserved)]])


class GroupBalanced(Sampling):
    """Draws every group equally often, however few units it has.

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

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Rows drawn with probability 1 / (groups * units of the row's group)."""
        member, names = self.groups(units)
        grouped = member >= 0
        weights = np.full(len(units), -np.inf)
        weights[grouped] = -np.log(np.bincount(member[grouped], minlength=len(names)))[member[grouped]]
        return _without_replacement(weights, size, rng)


class HardnessWeighted(Sampling):
    """Draws units by their last loss, p = softmax(sharpness * loss); units not seen yet come first.

    Those whose loss was not finite come last: with `--non_finite skip` each batch that holds one is left out. So do
    those that are wholly ignored, which have no loss.

    Args:
        sharpness: at least 0, in units of one over the loss; 0 draws evenly.

    Raises:
        ConfigError: if `sharpness` is below 0.

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
        if not sharpness >= 0:
            raise ConfigError(f"HardnessWeighted: sharpness is {sharpness}; it must be at least 0 (100 is usual)")
        self.sharpness = sharpness

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Unseen rows, then hard ones."""
        finite = np.isfinite(losses)
        others = np.where(np.isnan(losses) & units.labelled, np.inf, -np.inf)
        return _without_replacement(np.where(finite, self.sharpness * np.where(finite, losses, 0), others), size, rng)


def _without_replacement(log_weights: NDArray[np.floating], size: int, rng: np.random.Generator) -> Rows:
    """Different rows, drawn one after the other with probabilities proportional to the weights of those left.

    The largest of log-weights plus Gumbel noise are such a draw (Kool, van Hoof, Welling, ICML 2019). Among rows of
    infinite weight, which come first or last, the noise alone decides; so infinity is a number that noise still moves.
    """
    keys = np.clip(log_weights, -1e9, 1e9) + rng.gumbel(size=len(log_weights))
    largest = np.argpartition(keys, -size)[-size:]
    return largest[np.argsort(-keys[largest])]
