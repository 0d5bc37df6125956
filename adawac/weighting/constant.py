"""Methods whose weights never change: plain training and fixed mixes with the consistency loss."""

from typing import ClassVar

import torch

from adawac.types import SampleLosses, Weights
from adawac.weighting.weighting import Weighting, at_least_float32, consistency_alone


class ERM(Weighting):
    """Empirical risk minimisation: plain training on one augmented view.

    Example:
        >>> losses = SampleLosses(torch.tensor([0, 1]), torch.tensor([0.3, 0.1]), None, torch.tensor([True, False]))
        >>> ERM().step(losses).supervised
        tensor([1., 1.])
    """

    views: ClassVar[int] = 1
    uses_consistency: ClassVar[bool] = False

    def step(self, losses: SampleLosses) -> Weights:
        """Return a weight of 1 for every sample."""
        return Weights(torch.ones_like(at_least_float32(losses.supervised)), None)


class Pair(ERM):
    """ERM on both views of a sample: AdaWAC's compute and data without its weights."""

    views: ClassVar[int] = 2


class ACROnly(Weighting):
    """Augmentation consistency regularisation only: every sample's losses count one half each.

    AdaWAC as it starts, and would stay with a step size of 0.

    References:
        Dong, Xie, Ward, ICML 2023, the ablation "ACR-only".

    Example:
        >>> losses = SampleLosses(
        ...     index=torch.tensor([0, 1]),
        ...     supervised=torch.tensor([0.3, 0.1]),
        ...     consistency=torch.tensor([0.2, 0.2]),
        ...     dense=torch.tensor([True, False]),
        ... )
        >>> ACROnly().step(losses)
        Weights(supervised=tensor([0.5000, 0.5000]), consistency=tensor([0.5000, 0.5000]))
    """

    def step(self, losses: SampleLosses) -> Weights:
        """Return one half for both losses of every sample.

        Raises:
            ConfigError: if there is no consistency loss.
        """
        self.required_consistency(losses)
        half = torch.full_like(at_least_float32(losses.supervised), 0.5)
        return consistency_alone(Weights(half, half.clone()), losses)


class PseudoAdaWAC(Weighting):
    """AdaWAC's saddle point dictated: label-dense samples learn from their labels, label-sparse ones from consistency.

    It is told which sample is which; AdaWAC has to find out.

    References:
        Dong, Xie, Ward, ICML 2023, the ablation "pseudo-AdaWAC".

    Example:
        >>> losses = SampleLosses(
        ...     index=torch.tensor([0, 1]),
        ...     supervised=torch.tensor([0.3, 0.1]),
        ...     consistency=torch.tensor([0.2, 0.2]),
        ...     dense=torch.tensor([True, False]),
        ... )
        >>> PseudoAdaWAC().step(losses)
        Weights(supervised=tensor([1., 0.]), consistency=tensor([0., 1.]))
    """

    def step(self, losses: SampleLosses) -> Weights:
        """Return (1, 0) for the label-dense and (0, 1) for the label-sparse samples.

        Raises:
            ConfigError: if there is no consistency loss.
        """
        self.required_consistency(losses)
        dense = losses.dense.to(at_least_float32(losses.supervised).dtype)
        return consistency_alone(Weights(dense, 1 - dense), losses)


class SemiSupervised(Weighting):
    """Labels where there are any, consistency of two views where nobody annotated.

    Example:
        >>> supervised = torch.tensor([0.3, torch.nan])
        >>> losses = SampleLosses(torch.tensor([0, 1]), supervised, torch.tensor([0.2, 0.2]), torch.ones(2) > 0)
        >>> SemiSupervised().step(losses)
        Weights(supervised=tensor([1., 0.]), consistency=tensor([0., 1.]))
    """

    def step(self, losses: SampleLosses) -> Weights:
        """Return (1, 0) for the labelled and (0, 1) for the other samples.

        Raises:
            ConfigError: if there is no consistency loss.
        """
        self.required_consistency(losses)
        one = torch.ones_like(at_least_float32(losses.supervised))
        return consistency_alone(Weights(one, 0 * one), losses)
