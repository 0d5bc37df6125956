"""Methods with one distribution over all training samples, shifted towards those with large losses."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.types import SampleLosses, Weights
from adawac.weighting.weighting import PerSampleState, Weighting


class ReweightOnly(PerSampleState, Weighting):
    r"""Mirror ascent on the simplex of all n training samples, without a consistency loss.

    When sample i is seen, log w_i += eta ce_i; its weight is n softmax(log w)_i, at most `max_weight`. As long as all
    are alike, every weight is 1: plain ERM. Samples that are wholly ignored are none of the n: log w_i is -infinity.

    Beware of large steps: the samples compete for one unit of mass, and nothing bounds the log-weights. With eta = 2
    and 200 samples, three quarters of the mass lie on a single one after 50 steps. Start from
    eta = 1 / sqrt(steps per sample), which is 1 / sqrt(epochs).

    Args:
        step_size: eta > 0. The default suits a hundred epochs.
        max_weight: no weight is larger, at least 1. What is cut off is not given to others.
        official_scaling: the rule of the official code. Every weight starts at 1/2; those of a batch are multiplied by
            exp(eta ce_i), divided by their sum, and so they are stored and returned, without `max_weight`. They sum to
            1 over a batch, of which the loss is the mean of w_i ce_i: about B times smaller than in plain training,
            beside a Dice term that stays. Computed in log-weights: where the official code's weights overflow, or
            sink to 0 and stay there, these do not.
        num_samples: rows of the state when used outside of `adawac fit`, which calls `allocate` itself.

    Raises:
        ConfigError: if `step_size` is not above 0 or `max_weight` below 1.

    References:
        Dong, Xie, Ward, ICML 2023, the ablation "reweight-only"; its official code differs as `official_scaling` says.

    Example:
        >>> weighting = ReweightOnly(step_size=1.0, num_samples=3)
        >>> index, supervised = torch.tensor([0, 1]), torch.tensor([2.0, 0.0]).log1p()
        >>> weighting.step(SampleLosses(index, supervised, None, torch.ones(2, dtype=torch.bool))).supervised
        tensor([1.8000, 0.6000])
        >>> weighting.weights
        tensor([1.8000, 0.6000, 0.6000])
    """

    views: ClassVar[int] = 1
    uses_consistency: ClassVar[bool] = False

    log_weights: Tensor

    def __init__(
        self,
        step_size: float = 0.1,
        max_weight: float = 10.0,
        official_scaling: bool = False,
        num_samples: int = 0,
    ) -> None:
        super().__init__()
        if not step_size > 0:
            raise ConfigError(
                f"{type(self).__name__}: step_size is {step_size}; it must be above 0, such as 1 / sqrt(epochs) "
                "(for no update use ERM)"
            )
        if not max_weight >= 1:
            raise ConfigError(
                f"{type(self).__name__}: max_weight is {max_weight}; it must be at least 1, where all start"
            )
        self.step_size = step_size
        self.max_weight = max_weight
        self.official_scaling = official_scaling
        self.retention = 1.0
        self.register_buffer("log_weights", self._start(self.number_of(num_samples)))

    @property
    def weights(self) -> Tensor:
        """(n,) weight of every training sample; 1 before the first step, by `official_scaling` 1/2."""
        return self.log_weights.exp() if self.official_scaling else self._relative(self.log_weights)

    def allocate(self, units: UnitTable) -> None:
        """Start all samples alike, the wholly ignored ones at a weight of 0, where they stay."""
        log_weights = self._start(len(units)).to(self.log_weights)
        self.log_weights = log_weights.masked_fill(torch.from_numpy(~units.labelled).to(log_weights.device), -torch.inf)

    def _start(self, n: int) -> Tensor:
        return torch.full((n,), math.log(0.5) if self.official_scaling else 0.0)

    @torch.no_grad()
    def step(self, losses: SampleLosses) -> Weights:
        """Add to the log-weights of the batch's samples and return their weights.

        A non-finite loss adds nothing.

        Raises:
            ConfigError: if there is no such row.
        """
        rows = self.rows_of(losses.index, self.log_weights)
        supervised = losses.supervised.to(self.log_weights.dtype)
        before = self.log_weights[rows]
        after = torch.where(supervised.isfinite(), self.retention * before + self.step_size * supervised, before)
        if self.official_scaling:
            unlabelled = supervised.isnan()  # has no share in the batch's sum of 1
            after = torch.where(unlabelled, before, after.masked_fill(unlabelled, -torch.inf).log_softmax(0))
        self.log_weights[rows] = after
        return Weights(after.exp() if self.official_scaling else self._relative(after), None)

    def _relative(self, log_weights: Tensor) -> Tensor:
        """Weights relative to the mean over all n samples, capped."""
        n = (self.log_weights > -torch.inf).sum().clamp(min=1).to(self.log_weights.dtype)
        return (log_weights - self.log_weights.logsumexp(0) + n.log()).exp().clamp(max=self.max_weight)


class PMDRO(ReweightOnly):
    """`ReweightOnly` with an entropy term that pulls the weights of the samples seen back towards 1.

    When sample i is seen, log w_i = (1 - eta tau) log w_i + eta ce_i: it forgets, so that log w_i settles near
    ce_i / tau instead of growing for ever.

    Args:
        step_size: eta > 0; see `ReweightOnly` for what large steps do.
        temperature: tau, at least 0, with eta tau < 1; 0 is `ReweightOnly`.
        max_weight: no weight is larger, at least 1.
        official_scaling: the rule of the official code, see `ReweightOnly`: a batch's weights w_i become
            w_i^(1 - eta tau) exp(eta ce_i), divided by their sum.
        num_samples: rows of the state when used outside of `adawac fit`.

    Raises:
        ConfigError: if `step_size` is not above 0, `max_weight` below 1, or eta tau not in [0, 1).

    References:
        Fidon et al., "Distributionally Robust Segmentation of Abnormal Fetal Brain 3D MRI", PIPPI 2021, as the
        official code of Dong, Xie, Ward, ICML 2023 reads it.

    Example:
        >>> weighting = PMDRO(step_size=0.5, temperature=1.0, num_samples=2)
        >>> for _ in range(50):
        ...     _ = weighting.step(SampleLosses(torch.tensor([0]), torch.tensor([1.0]), None, torch.tensor([True])))
        >>> weighting.log_weights
        tensor([1., 0.])
    """

    def __init__(
        self,
        step_size: float = 0.1,
        temperature: float = 0.01,
        max_weight: float = 10.0,
        official_scaling: bool = False,
        num_samples: int = 0,
    ) -> None:
        super().__init__(step_size, max_weight, official_scaling, num_samples)
        if not 0 <= step_size * temperature < 1:
            raise ConfigError(
                f"PMDRO: step_size * temperature is {step_size * temperature}; it must be at least 0 and below 1, "
                "lower one of them"
            )
        self.retention = 1 - step_size * temperature
