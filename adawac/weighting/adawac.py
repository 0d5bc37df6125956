"""AdaWAC: every sample chooses between its supervised and its consistency loss by online mirror descent."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.types import SampleLosses, Weights
from adawac.weighting.weighting import PerSampleState, Weighting


class AdaWAC(PerSampleState, Weighting):
    r"""Adaptively weighted data augmentation consistency regularisation.

    Every sample i carries a weight beta_i in [0, 1] between its cross-entropy ce_i and its consistency loss ac_i, and
    climbs towards the larger of the two:

        [beta_i, 1 - beta_i]  <-  normalise([beta_i exp(eta ce_i), (1 - beta_i) exp(eta ac_i)])

    The state is the log-odds z_i = log(beta_i / (1 - beta_i)), in which the same update reads
    z_i += eta (ce_i - ac_i): without overflow, and no weight can get stuck at 0 or 1.

    With `calibrate`, the consistency losses are brought to `consistency_ratio` times the running mean of the
    cross-entropies, in the comparison as in the weighted sum, and the step is taken in units of that mean, so that
    `step_size` has no unit and carries over between networks and optimisers. A constant moves the place where slices
    part to `threshold`: those whose cross-entropy lies above this share of the mean go to the cross-entropy, those
    below to the consistency loss. No gradient sees it. While the means stand still the minimax problem stays one:
    each consistency loss is lambda ac_i + constant. Without calibration and with `max_log_odds=None` this is the
    paper's rule to the letter.

    Args:
        step_size: eta > 0. The paper uses 2 (TransUNet) and 8 (UNet) without calibration.
        calibrate: compare the losses relative to their running means. Not in the paper.
        consistency_ratio: mean consistency loss over mean cross-entropy that calibration brings about, above 0. A
            small one keeps the noise of the consistency losses out of the weights.
        threshold: share of the mean cross-entropy at which a sample of average consistency turns from one loss to the
            other. 1, the mean itself, parts the groups from the first epochs on; below 1 more samples keep their
            cross-entropy. With `consistency_ratio` here too, nothing is added.
        mean_decay: decay a step of the running means that calibrate; 0.9 looks back over about ten steps. A longer
            memory lags behind a cross-entropy that falls fast, and then all samples seem easy.
        max_log_odds: bound on \|z_i\|, a numerical guard; None for none.
        prior: weight that every sample starts with, between 0 and 1; the paper's is 1/2.
        warm_up: epochs before the weights begin to move, while the running means settle.
        decay: the step shrinks as (1 + epochs)^-decay, from 0; 1/2 is what the guarantee for convex losses asks for.
        num_samples: rows of the state when used outside of `adawac fit`, which calls `allocate` itself.

    Raises:
        ConfigError: if `step_size`, `consistency_ratio` or `max_log_odds` is not above 0, `prior` or `mean_decay`
            not between 0 and 1, or `warm_up` or `decay` below 0.

    References:
        Dong, Xie, Ward, "Adaptively Weighted Data Augmentation Consistency Regularization for Robust Optimization
        under Concept Shift", ICML 2023, Algorithm 1. The official code keeps beta itself in float32, which overflows.

    Example:
        >>> weighting = AdaWAC(step_size=1.0, calibrate=False, num_samples=2)
        >>> losses = SampleLosses(
        ...     index=torch.tensor([0, 1]),
        ...     supervised=torch.tensor([3.0, 0.0]),
        ...     consistency=torch.tensor([0.0, 3.0]),
        ...     dense=torch.tensor([True, False]),
        ... )
        >>> weighting.step(losses).supervised
        tensor([0.9526, 0.0474])
        >>> weighting.weights
        tensor([0.9526, 0.0474])
    """

    renamed_buffers: ClassVar[dict[str, str]] = {"mean_ce": "mean_supervised"}

    log_odds: Tensor
    mean_supervised: Tensor
    mean_consistency: Tensor
    mean_weight: Tensor
    samples_seen: Tensor

    def __init__(
        self,
        step_size: float = 0.3,
        calibrate: bool = True,
        consistency_ratio: float = 0.2,
        threshold: float = 1.0,
        mean_decay: float = 0.9,
        max_log_odds: float | None = 50.0,
        prior: float = 0.5,
        warm_up: float = 0.0,
        decay: float = 0.0,
        num_samples: int = 0,
    ) -> None:
        super().__init__()
        if not step_size > 0:
            raise ConfigError(f"AdaWAC: step_size is {step_size}; it must be above 0 (for no update use Pair)")
        if not consistency_ratio > 0:
            raise ConfigError(
                f"AdaWAC: consistency_ratio is {consistency_ratio}; it must be above 0 (for none use Pair)"
            )
        if max_log_odds is not None and not max_log_odds > 0:
            raise ConfigError(f"AdaWAC: max_log_odds is {max_log_odds}; it must be above 0, or null for no bound")
        if not 0 < mean_decay < 1:
            raise ConfigError(f"AdaWAC: mean_decay is {mean_decay}; it must lie between 0 and 1 (0.9 is usual)")
        if not 0 < prior < 1:
            raise ConfigError(f"AdaWAC: prior is {prior}; it must lie between 0 and 1 (the paper's is 0.5)")
        if not (warm_up >= 0 and decay >= 0):
            raise ConfigError(f"AdaWAC: warm_up is {warm_up} and decay {decay}; both must be at least 0")
        self.step_size = step_size
        self.calibrate = calibrate
        self.consistency_ratio = consistency_ratio
        self.threshold = threshold
        self.mean_decay = mean_decay
        self.max_log_odds = max_log_odds
        self.prior_log_odds = math.log(prior) - math.log1p(-prior)
        self.warm_up = warm_up
        self.decay = decay
        self.register_buffer("log_odds", torch.full((self.number_of(num_samples),), self.prior_log_odds))
        self.register_buffer("samples_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean_supervised", torch.zeros(()))
        self.register_buffer("mean_consistency", torch.zeros(()))
        self.register_buffer("mean_weight", torch.zeros(()))

    @property
    def weights(self) -> Tensor:
        """(n,) weight beta of the supervised loss of every training sample; `prior` before its first step."""
        return self.log_odds.sigmoid()

    def allocate(self, units: UnitTable) -> None:
        """Start all n = len(units) samples at the prior; what else the table says is never looked at."""
        self.log_odds = self.log_odds.new_full((len(units),), self.prior_log_odds)

    @torch.no_grad()
    def step(self, losses: SampleLosses) -> Weights:
        """Move the log-odds of the batch's samples and return (beta, 1 - beta), the latter calibrated.

        A sample with a non-finite loss keeps its state; so does one without a supervised loss, which has nothing to
        choose between: one that nobody annotated keeps its prior, and has its consistency loss alone, (0, 1).

        Raises:
            ConfigError: if there is no consistency loss, or no such row.
        """
        rows = self.rows_of(losses.index, self.log_odds)
        supervised = losses.supervised.to(self.log_odds.dtype)
        consistency = self.required_consistency(losses).to(self.log_odds.dtype)
        finite = supervised.isfinite() & consistency.isfinite()
        ratio = torch.ones_like(self.mean_supervised)
        difference = supervised - consistency
        if self.calibrate:
            mean_supervised, mean_consistency = self._running_means(supervised, consistency, finite)
            ratio = self.consistency_ratio * mean_supervised / mean_consistency
            difference = (supervised - ratio * consistency) / mean_supervised
            difference = difference - (self.threshold - self.consistency_ratio)
        before = self.log_odds[rows]
        seen = finite | (supervised.isnan() & consistency.isfinite())
        after = before + self._step_size_now(seen) * difference
        if self.max_log_odds is not None:
            after = after.clamp(-self.max_log_odds, self.max_log_odds)
        after = torch.where(finite, after, before)
        self.log_odds[rows] = after
        beta = after.sigmoid().masked_fill(supervised.isnan(), 0)
        return Weights(supervised=beta, consistency=(1 - beta) * ratio)

    def _step_size_now(self, seen: Tensor) -> Tensor:
        """Step size after the epochs so far, to which the samples of a batch are then added that count as seen."""
        epochs = self.samples_seen.to(self.log_odds.dtype) / max(1, len(self.log_odds))
        self.samples_seen += seen.sum()
        return self.step_size * (1 + epochs) ** -self.decay * (epochs >= self.warm_up)

    def _running_means(self, supervised: Tensor, consistency: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
        """Bias-corrected running means of both losses, over the samples that have a supervised one; never 0."""
        labelled = (~supervised.isnan()).sum().clamp(min=1)
        share = finite.sum().to(supervised.dtype) / labelled * (1 - self.mean_decay)
        count = finite.sum().clamp(min=1)
        self.mean_supervised.lerp_(torch.where(finite, supervised, 0).sum() / count, share)
        self.mean_consistency.lerp_(torch.where(finite, consistency, 0).sum() / count, share)
        self.mean_weight.lerp_(torch.ones_like(share), share)
        tiny = torch.finfo(supervised.dtype).tiny
        weight = self.mean_weight.clamp(min=tiny)
        return (self.mean_supervised / weight).clamp(min=tiny), (self.mean_consistency / weight).clamp(min=tiny)
