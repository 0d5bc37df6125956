"""Methods whose weights are the same for every sample: the baselines."""

from typing import ClassVar

import torch

from adawac.structures import Terms, Weights
from adawac.weighting.base import Weighting


class ERM(Weighting):
    """Empirical risk minimisation: plain training on one augmented view.

    Example:
        >>> terms = Terms(torch.tensor([0, 1]), torch.tensor([0.3, 0.1]), None, torch.tensor([True, False]))
        >>> ERM().step(terms).ce
        tensor([1., 1.])
    """

    views: ClassVar[int] = 1
    uses_consistency: ClassVar[bool] = False

    def step(self, terms: Terms) -> Weights:
        """Return a weight of 1 for every sample."""
        return Weights(torch.ones_like(terms.ce), None)


class Pair(ERM):
    """ERM on both views of a sample: AdaWAC's compute and data without its weights."""

    views: ClassVar[int] = 2
