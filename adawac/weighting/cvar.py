"""Learning from the worst share of a batch."""

from typing import ClassVar

import torch

from adawac.errors import ConfigError
from adawac.types import SampleLosses, Weights
from adawac.weighting.weighting import Weighting, at_least_float32


class CVaRDRO(Weighting):
    """Conditional value at risk: the mean over the alpha B largest losses of the batch.

    Each of them has a weight of 1 / alpha. Where alpha B is no whole number, or losses at the boundary tie, those at
    the boundary share what is left, so that the weights' mean is 1 whatever alpha. Alpha = 1 is ERM.

    Non-finite losses rank last. B counts the samples that have a supervised loss.

    Args:
        alpha: share of the batch that is learnt from, above 0, at most 1. Below 1 / B only the largest loss is left.

    Raises:
        ConfigError: if `alpha` is not in (0, 1].

    References:
        Levy, Carmon, Duchi, Sidford, "Large-Scale Methods for Distributionally Robust Optimization", NeurIPS 2020:
        the CVaR of a minibatch.

    Example:
        >>> supervised = torch.tensor([0.1, 0.4, 0.2, 0.3])
        >>> losses = SampleLosses(torch.arange(4), supervised, None, torch.ones(4, dtype=torch.bool))
        >>> CVaRDRO(alpha=0.375).step(losses).supervised  # one and a half of four
        tensor([0.0000, 2.6667, 0.0000, 1.3333])
    """

    uses_consistency: ClassVar[bool] = False

    def __init__(self, alpha: float = 0.1) -> None:
        super().__init__()
        if not 0 < alpha <= 1:
            raise ConfigError(f"CVaRDRO: alpha is {alpha}; give a share above 0 and at most 1 (1 is ERM)")
        self.alpha = alpha

    @torch.no_grad()
    def step(self, losses: SampleLosses) -> Weights:
        """Return 1 / alpha for the largest losses, 0 for the others."""
        supervised = at_least_float32(losses.supervised)
        labelled = (~supervised.isnan()).sum().to(supervised.dtype)
        supervised = torch.where(supervised.isfinite(), supervised, -torch.inf)
        larger = (supervised[None] > supervised[:, None]).sum(1)
        equal = (supervised[None] == supervised[:, None]).sum(1)
        # Of its group of equals, alpha B - larger samples still belong to the worst share.
        taken = (self.alpha * labelled - larger.to(supervised.dtype)).clamp(min=0).minimum(equal)
        return Weights(taken / equal / self.alpha, None)
