"""Learning-rate schedules as functions of training progress, and how a trainer follows one."""

import math
from abc import ABC, abstractmethod
from typing import Any

import lightning.pytorch as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

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


def by_progress(schedule: Schedule, optimizer: Optimizer, trainer: pl.Trainer) -> dict[str, Any]:
    """What Lightning is told of a schedule: a factor on the learning rate a step, of the share of training done."""

    def factor(step: int) -> float:
        # Lightning's estimate makes the training loader; asked for before training starts, in configure_optimizers,
        # it would keep a resumed loader from taking up its saved position.
        return schedule(step / max(1, trainer.estimated_stepping_batches) if step else 0.0)

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}


def begin(schedule: Schedule, trainer: pl.Trainer) -> None:
    """Set the learning rate from progress alone, so that a longer `max_epochs` stretches the schedule.

    Raises:
        ConfigError: if training has no end that the schedule could run to.
    """
    if math.isinf(trainer.estimated_stepping_batches) and not isinstance(schedule, Constant):
        raise ConfigError(
            f"model.schedule is {type(schedule).__name__}, which runs to the end of training, but trainer.max_epochs "
            "-1 sets none; give trainer.max_epochs or trainer.max_steps (trainer.max_time may stop it earlier), or the "
            "schedule Constant"
        )
    for config in trainer.lr_scheduler_configs:
        if isinstance(scheduler := config.scheduler, LambdaLR):
            factors = [factor(scheduler.last_epoch) for factor in scheduler.lr_lambdas]
            for group, base, factor in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, factors, strict=True):
                group["lr"] = base * factor
