"""Learning-rate schedules as functions of training progress, and how a trainer follows one."""

import copy
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from contextlib import suppress
from typing import Any

import lightning.pytorch as pl
import torch
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
        if not power > 0:
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
    """What Lightning is told of a schedule: a factor on the learning rate a step, of the share of training done.

    A checkpoint brings the optimiser's running means along; its settings, such as the learning rate, are the
    configuration's, also where that says something else than when the checkpoint was written.
    """

    def factor(step: int) -> float:
        due: Any = schedule(progress(trainer, stepping=True) if step else 0.0)
        try:
            share = float(due)
        except (TypeError, ValueError):
            share = math.nan
        if not 0 <= share < math.inf:
            raise ConfigError(
                f"model.schedule: {type(schedule).__name__} gives {due!r}, which is no factor on a learning rate; give "
                "a number from 0"
            )
        return share

    optimizer.register_load_state_dict_pre_hook(_with_settings_of_now)
    return {
        "scheduler": LambdaLR(optimizer, factor),
        "interval": "step",
    }


def progress(trainer: pl.Trainer, stepping: bool) -> float:
    """Share of the training that is done, from 0 to 1.

    By epochs, or by steps where `max_steps` comes first: what a step is may change when a training goes on, with the
    batch size, accumulation or the number of processes, so steps of before are never counted in epochs of now.

    Args:
        trainer: that fits.
        stepping: whether an epoch is under way; else it is looked up whether the checkpoint was written in one.
    """
    loop = trainer.fit_loop
    epochs, batches = trainer.current_epoch, loop.epoch_loop.batch_progress
    per_epoch, done = int(trainer.num_training_batches), 0
    if stepping or loop.epoch_progress.current.ready > epochs:
        done = per_epoch if batches.is_last_batch else min(batches.current.ready, per_epoch)
    shares = [0.0]
    if (trainer.max_epochs or -1) > 0:
        shares.append((epochs * per_epoch + done) / (trainer.max_epochs * max(1, per_epoch)))  # type: ignore[operator]
    if trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    return min(1.0, max(shares))


def check_end(schedule: Schedule, trainer: pl.Trainer) -> None:
    """Refuse a training without an end that the schedule could run to.

    Raises:
        ConfigError: naming both.
    """
    if trainer.max_epochs == -1 and trainer.max_steps == -1 and not isinstance(schedule, Constant):
        raise ConfigError(
            f"model.schedule is {type(schedule).__name__}, which runs to the end of training, but trainer.max_epochs "
            "-1 sets none; give trainer.max_epochs or trainer.max_steps (trainer.max_time may stop it earlier), or the "
            "schedule Constant"
        )


def begin(schedule: Schedule, trainer: pl.Trainer) -> None:
    """Set the learning rate from progress alone, so that a longer `max_epochs` stretches the schedule."""
    check_end(schedule, trainer)
    for config in trainer.lr_scheduler_configs:
        if isinstance(scheduler := config.scheduler, LambdaLR):
            scheduler.base_lrs = [group["initial_lr"] for group in scheduler.optimizer.param_groups]
            factor = schedule(progress(trainer, stepping=False))
            for group in scheduler.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor


def _with_settings_of_now(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A saved state of the optimiser with the settings that it was made with just now.

    Raises:
        ConfigError: the step needs running means that the checkpoint lacks.
    """
    needed, saved = _kept_by(optimizer), {name for kept in state["state"].values() for name in kept}
    if state["state"] and not needed <= saved:
        raise ConfigError(
            f"model.optimizer: {type(optimizer).__name__} as it is set now keeps {', '.join(sorted(needed - saved))}, "
            "which this checkpoint does not hold; undo the change, or start anew from the checkpoint's weights alone "
            "with --model.init_from"
        )
    now = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return {**state, "param_groups": [old | new for old, new in zip(state["param_groups"], now, strict=False)]}


def _kept_by(optimizer: Optimizer) -> set[str]:
    """Names of what an optimiser keeps of a parameter, found by a step on another one; none where that cannot be."""
    probe = copy.copy(optimizer)  # without its hooks
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    probe.state = defaultdict(dict)
    probe.param_groups = [{**optimizer.param_groups[0], "params": [parameter]}]
    with suppress(Exception):  # such as one that needs a closure, or a GPU
        type(optimizer).step(probe)
    return set(probe.state[parameter])
