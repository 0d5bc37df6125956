"""AdaWAC: every sample chooses between its supervised and its consistency loss by online mirror descent."""

import torch
from torch import Tensor

from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.structures import Terms, Weights
from adawac.weighting.base import PerSampleState, Weighting

MEAN_DECAY = 0.99
"""Decay a step of the running means that calibrate: they look back over about a hundred steps."""


class AdaWAC(PerSampleState, Weighting):
    r"""Adaptively weighted data augmentation consistency regularisation.

    Every sample i carries a weight beta_i in [0, 1] between its cross-entropy ce_i and its consistency loss ac_i, and
    climbs towards the larger of the two:

        [beta_i, 1 - beta_i]  <-  normalise([beta_i exp(eta ce_i), (1 - beta_i) exp(eta ac_i)])

    The state is the log-odds z_i = log(beta_i / (1 - beta_i)), in which the same update reads
    z_i += eta (ce_i - ac_i): exact, without overflow, and no weight can get stuck at 0 or 1.

    With `calibrate`, the consistency losses are brought to `consistency_ratio` times the running mean of the
    cross-entropies, in the comparison as in the weighted sum, and the step is taken in units of that mean, so that
    `step_size` has no unit and carries over between networks and optimisers. Without it this is the paper's rule to
    the letter. The ratio is where slices part: those whose cross-entropy lies above this share of the mean go to the
    cross-entropy, those below to the consistency loss.

    Args:
        step_size: eta > 0. The paper uses 2 (TransUNet) and 8 (UNet) without calibration.
        calibrate: compare the losses relative to their running means. Not in the paper.
        consistency_ratio: mean consistency loss over mean cross-entropy that calibration brings about, above 0.
        max_log_odds: bound on \|z_i\|, a numerical guard; None for none.
        num_samples: rows of the state when used outside of `adawac fit`, which calls `allocate` itself.

    Raises:
        ConfigError: if `step_size`, `consistency_ratio` or `max_log_odds` is not above 0.

    References:
        Dong, Xie, Ward, "Adaptively Weighted Data Augmentation Consistency Regularization for Robust Optimization
        under Concept Shift", ICML 2023, Algorithm 1. The official code keeps beta itself in float32, which overflows.

    Example:
        >>> weighting = AdaWAC(step_size=1.0, calibrate=False, num_samples=2)
        >>> terms = Terms(
        ...     index=torch.tensor([0, 1]),
        ...     ce=torch.tensor([3.0, 0.0]),
        ...     consistency=torch.tensor([0.0, 3.0]),
        ...     dense=torch.tensor([True, False]),
        ... )
        >>> weighting.step(terms).ce
        tensor([0.9526, 0.0474])
        >>> weighting.weights
        tensor([0.9526, 0.0474])
    """

    log_odds: Tensor
    mean_ce: Tensor
    mean_consistency: Tensor
    mean_weight: Tensor

    def __init__(
        self,
        step_size: float = 0.3,
        calibrate: bool = True,
        consistency_ratio: float = 0.4,
        max_log_odds: float | None = 50.0,
        num_samples: int = 0,
    ) -> None:
        super().__init__()
        if step_size <= 0:
            raise ConfigError(f"AdaWAC: step_size is {step_size}; it must be above 0 (for no update use Pair)")
        if consistency_ratio <= 0:
            raise ConfigError(
                f"AdaWAC: consistency_ratio is {consistency_ratio}; it must be above 0 (for none use Pair)"
            )
        if max_log_odds is not None and max_log_odds <= 0:
            raise ConfigError(f"AdaWAC: max_log_odds is {max_log_odds}; it must be above 0, or null for no bound")
        self.step_size = step_size
        self.calibrate = calibrate
        self.consistency_ratio = consistency_ratio
        self.max_log_odds = max_log_odds
        self.register_buffer("log_odds", torch.zeros(num_samples))
        self.register_buffer("mean_ce", torch.zeros(()))
        self.register_buffer("mean_consistency", torch.zeros(()))
        self.register_buffer("mean_weight", torch.zeros(()))

    @property
    def weights(self) -> Tensor:
        """(n,) weight beta of the supervised loss of every training sample; 1/2 before its first step."""
        return self.log_odds.sigmoid()

    def allocate(self, units: UnitTable) -> None:
        """Start all n = len(units) samples at beta = 1/2; what else the table says is never looked at."""
        self.log_odds = self.log_odds.new_zeros(len(units))

    @torch.no_grad()
    def step(self, terms: Terms) -> Weights:
        """Move the log-odds of the batch's samples and return (beta, 1 - beta), the latter calibrated.

        A sample with a non-finite term keeps its state.

        Raises:
            ConfigError: if the terms hold no consistency loss.
        """
        ce = terms.ce.to(self.log_odds.dtype)
        consistency = self.required_consistency(terms).to(self.log_odds.dtype)
        finite = ce.isfinite() & consistency.isfinite()
        ratio = torch.ones_like(self.mean_ce)
        difference = ce - consistency
        if self.calibrate:
            mean_ce, mean_consistency = self._running_means(ce, consistency, finite)
            ratio = self.consistency_ratio * mean_ce / mean_consistency
            difference = (ce - ratio * consistency) / mean_ce
        before = self.log_odds[terms.index]
        after = before + self.step_size * difference
        if self.max_log_odds is not None:
            after = after.clamp(-self.max_log_odds, self.max_log_odds)
        after = torch.where(finite, after, before)
        self.log_odds[terms.index] = after
        beta = after.sigmoid()
        return Weights(ce=beta, consistency=(1 - beta) * ratio)

    def _running_means(self, ce: Tensor, consistency: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
        """Bias-corrected running means of both losses, never 0."""
        share = finite.to(ce.dtype).mean() * (1 - MEAN_DECAY)
        count = finite.sum().clamp(min=1)
        self.mean_ce.lerp_(torch.where(finite, ce, 0).sum() / count, share)
        self.mean_consistency.lerp_(torch.where(finite, consistency, 0).sum() / count, share)
        self.mean_weight.lerp_(torch.ones_like(share), share)
        tiny = torch.finfo(ce.dtype).tiny
        weight = self.mean_weight.clamp(min=tiny)
        return (self.mean_ce / weight).clamp(min=tiny), (self.mean_consistency / weight).clamp(min=tiny)
