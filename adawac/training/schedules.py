"""Learning-rate schedules as functions of training progress."""

import math
from abc import ABC, abstractmethod

from adawac.errors import ConfigError


class Schedule(ABC):
    """Factor on the learning rate. Depends on progress alone, so that a longer run simply stretches it."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Factor at a progress from 0 (first step) to 1 (end of training)."""


class Constant(Schedule):
    """The same learning rate throughout (the official recipe)."""

    def __call__(self, progress: float) -> float:
        """Return 1."""
        return 1.0


class Poly(Schedule):
    """Polynomial decay (1 - progress) ** power, nnU-Net's schedule.

    Args:
        power: exponent above 0.

    Example:
        >>> Poly(power=1.0)(0.25)
        0.75
    """

    def __init__(self, power: float = 0.9) -> None:
        if power <= 0:
            raise ConfigError(f"Poly: power is {power}; it must be above 0 (use Constant for no decay)")
        self.power = power

    def __call__(self, progress: float) -> float:
        """Return (1 - progress) ** power."""
        return float((1.0 - min(progress, 1.0)) ** self.power)


class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to `final`.

    Args:
        warmup: share of training, 0 to below 1, over which the rate rises from 0.
        final: factor at the end, 0 to 1.

    Example:
        >>> schedule = Cosine(warmup=0.5)
        >>> schedule(0.25), schedule(0.5), schedule(1.0)
        (0.5, 1.0, 0.0)
    """

    def __init__(self, warmup: float = 0.0, final: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ConfigError(f"Cosine: warmup is {warmup}; give a share of training from 0 to below 1")
        if not 0 <= final <= 1:
            raise ConfigError(f"Cosine: final is {final}; give a factor from 0 to 1")
        self.warmup = warmup
        self.final = final

    def __call__(self, progress: float) -> float:
        """Return the factor."""
        if progress < self.warmup:
            return progress / self.warmup
        phase = (min(progress, 1.0) - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * phase))
