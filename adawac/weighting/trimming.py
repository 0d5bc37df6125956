"""Methods that drop samples of a batch: by their labels, or by their losses."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.types import SampleLosses, Weights
from adawac.weighting.weighting import Weighting, at_least_float32, consistency_alone


class Trimming(Weighting):
    """Base of the methods that drop samples: a subclass says which samples are kept.

    Each of the kept samples has a weight of B / kept, so that the mean over the batch is the mean over what is kept;
    where nothing is kept all weights are 0. With `uses_consistency` the kept samples' two losses share that weight.
    Samples without a supervised loss have none to drop, and are none of the B that its mean is over.

    The official code divides its Dice term, a single number for the whole batch, by the share of kept samples as well,
    which inflates it. Weights never touch Dice here, so there is no switch that brings this back.
    """

    uses_consistency: ClassVar[bool] = False

    @abstractmethod
    def kept(self, losses: SampleLosses) -> Tensor:
        """(B,) bool, False for the samples of a batch that are dropped."""

    @torch.no_grad()
    def step(self, losses: SampleLosses) -> Weights:
        """Return B / kept for the kept samples, 0 for the others; half of it for each loss with consistency.

        Raises:
            ConfigError: if a consistency loss is used but there is none.
        """
        labelled = ~losses.supervised.isnan()
        kept = (self.kept(losses) & labelled).to(at_least_float32(losses.supervised).dtype)
        number = kept.sum().clamp(min=1)
        weights = kept * labelled.sum() / number
        if not self.uses_consistency:
            return Weights(weights, None)
        self.required_consistency(losses)
        return consistency_alone(Weights(weights / 2, kept * len(kept) / number / 2), losses)


class TrimTrain(Trimming):
    """Learn from the label-dense samples only.

    References:
        Dong, Xie, Ward, ICML 2023, the ablation "trim-train"; see `Trimming` for the official code's scale.

    Example:
        >>> losses = SampleLosses(torch.tensor([0, 1]), torch.tensor([0.3, 0.1]), None, torch.tensor([True, False]))
        >>> TrimTrain().step(losses).supervised
        tensor([2., 0.])
    """

    def kept(self, losses: SampleLosses) -> Tensor:
        """The label-dense samples."""
        return losses.dense


class TrimTrainACR(TrimTrain):
    """`TrimTrain` on the mean of both losses: what is kept is regularised, what is dropped teaches nothing."""

    uses_consistency: ClassVar[bool] = True


class TrimRatio(Trimming):
    """Learn only from the samples of a batch whose cross-entropy lies strictly above a quantile.

    Samples with a non-finite loss are dropped, and left out of the quantile.

    Args:
        ratio: r of the quantile, roughly the share that is dropped, 0 to below 1. None: the share of label-sparse
            samples in the training set, known once `allocate` was called.

    Raises:
        ConfigError: if `ratio` is not in [0, 1).

    References:
        Dong, Xie, Ward, ICML 2023, the ablation "trim-ratio"; see `Trimming` for the official code's scale. Its
        default is 1 - 1280 / 2211, the share of label-sparse slices in Synapse.

    Example:
        >>> supervised = torch.tensor([0.1, 0.4, 0.2, 0.3])
        >>> losses = SampleLosses(torch.arange(4), supervised, None, torch.ones(4, dtype=torch.bool))
        >>> TrimRatio(ratio=0.5).step(losses).supervised
        tensor([0., 2., 0., 2.])
    """

    def __init__(self, ratio: float | None = None) -> None:
        super().__init__()
        if ratio is not None and not 0 <= ratio < 1:
            raise ConfigError(
                f"{type(self).__name__}: ratio is {ratio}; give a share from 0 to below 1, or null for the share of "
                "label-sparse samples"
            )
        self.ratio = self._given = ratio

    def allocate(self, units: UnitTable) -> None:
        """Take the share of label-sparse samples, unless a ratio was given."""
        if self._given is None:
            self.ratio = float(units.sparse.sum() / max(1, units.labelled.sum()))

    def kept(self, losses: SampleLosses) -> Tensor:
        """The samples above the batch's quantile.

        Raises:
            ConfigError: if no ratio was given and `allocate` was not called.
        """
        if self.ratio is None:
            raise ConfigError(
                f"{type(self).__name__}: ratio is not known before allocate(units); call it or give ratio"
            )
        supervised = at_least_float32(losses.supervised)
        finite = supervised.isfinite()
        # NaN compares as False: where no loss is finite, nothing is kept.
        threshold = torch.where(finite, supervised, torch.nan).nanquantile(self.ratio)
        return finite & (supervised > threshold)


class TrimRatioACR(TrimRatio):
    """`TrimRatio` on the mean of both losses; which samples are kept still depends on their cross-entropy alone."""

    uses_consistency: ClassVar[bool] = True
