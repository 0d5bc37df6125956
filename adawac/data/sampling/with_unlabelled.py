"""Batches of a part that somebody annotated and a part that nobody did, each with its own draw."""

import numpy as np

from adawac.data.sampling.sampling import Losses, Sampling, check_size
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError


class WithUnlabelled(Sampling):
    """Gives a share of every batch to units without any label, drawn uniformly; another sampling draws the rest.

    Where there are too few units of one kind, the other fills the batch. An epoch has as many steps as the labelled
    units alone would make.

    Args:
        share: of a batch that is unlabelled, 0 to 1. A half taught less than a quarter in our trials (docs/results).
        labelled: draws the labelled part, such as `ClassBalanced`. None: all labelled units alike.

    Raises:
        ConfigError: if `share` is not between 0 and 1, or `labelled` follows the losses of whole batches, as
            `AdaptiveSampling` does.

    Example:
        >>> voxels = [np.array([[9, 0]] * 4 + [[7, 2]] * 4 + [[0, 0]] * 92)]
        >>> units = UnitTable.of_slices(["a"], voxels, (3, 3), ("background", "liver"))
        >>> rows = WithUnlabelled(0.5).draw(units, np.zeros(100), 8, np.random.default_rng(0))
        >>> int((rows >= 8).sum())
        4
    """

    def __init__(self, share: float = 0.25, labelled: Sampling | None = None) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"WithUnlabelled: share is {share}; give a share of a batch from 0 to 1")
        if labelled is not None and labelled.needs_steps:
            raise ConfigError(
                f"WithUnlabelled: {type(labelled).__name__} cannot draw the labelled part; ClassBalanced can"
            )
        self.share = share
        self.labelled = labelled

    def in_an_epoch(self, units: UnitTable) -> int:
        """As many as are labelled: what is unlabelled makes no training longer."""
        return int(units.labelled.sum())

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Rows of both parts; the labelled ones first."""
        check_size(size, len(units))
        labelled, table, without = units.parted
        number = min(round(self.share * size), len(without))
        number = max(number, size - len(labelled))
        rows = rng.choice(without, number, replace=False, shuffle=False)
        if number == size:
            return rows
        if self.labelled is None:
            drawn = rng.choice(len(labelled), size - number, replace=False)
        else:
            drawn = self.labelled.draw(table, losses[labelled], size - number, rng)
        return np.concatenate([labelled[drawn], rows])
