"""Says before a training what would only show at its end: settings, and data, that make no sense together."""

import logging
import math
from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from adawac.data.sampling import WithUnlabelled
from adawac.errors import ConfigError, did_you_mean, percent
from adawac.training.callbacks.checkpoints import RunCheckpoint
from adawac.training.task import SegmentationTask
from adawac.weighting import PseudoAdaWAC, SemiSupervised, TrimTrain, TrimTrainACR

log = logging.getLogger(__name__)

OF_MONITORS = ("weights/", "draws/", "ce/", "consistency/", "ratio/")
"""Names that begin so depend on the method, and are not foretold."""

STILL_START = 0.1
"""Share that the start may have in a moving average at the end of training."""


class Foresight(Callback):
    """Refuses names that nothing logs, and warns of what nobody can have meant.

    Raises:
        ConfigError: a callback watches a name that is not logged.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: SegmentationTask) -> None:  # type: ignore[override]
        """Look at names, and at the labels of the validation."""
        units, weighting = pl_module.data.units, pl_module.weighting
        unlabelled = {
            "model.teacher": pl_module.teacher is not None,
            "model.weighting SemiSupervised": isinstance(weighting, SemiSupervised),
            "data.sampling WithUnlabelled": isinstance(pl_module.data.sampling, WithUnlabelled),
        }
        if units.labelled.all() and (idle := [part for part, given in unlabelled.items() if given]):
            log.warning(
                f"{' and '.join(idle)}: for what has no label, but all {units.kind.noun[1]} have; give "
                "data.unlabelled, or data.subset Annotated, or leave it out"
            )
        if isinstance(weighting, TrimTrain | TrimTrainACR | PseudoAdaWAC) and (units.dense.all() or units.sparse.all()):
            kind = "label-dense" if units.dense.all() else "label-sparse"
            log.warning(
                f"model.weighting {type(weighting).__name__} tells label-dense from label-sparse {units.kind.noun[1]}, "
                f"but all of these are {kind}"
            )
        held = pl_module.data.validation_voxels()[1:] > 0
        if len(pl_module.data.split.val) and not held.any():
            log.warning(
                f"none of {len(pl_module.data.split.val)} validation cases holds any class, so val/dice tells nothing "
                "and no epoch is the best; move labelled cases into val"
            )
        classes = pl_module.data.facts.classes.names[1:]
        learned = pl_module.units_of_class or {}
        there = [c for c, holds in zip(classes, held, strict=False) if holds and learned.get(c) != 0]
        check_monitors(trainer, pl_module, there, bool(pl_module.data.split.val))

    def on_train_start(self, trainer: pl.Trainer, pl_module: SegmentationTask) -> None:  # type: ignore[override]
        """Look at how long is trained."""
        every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs or -1
        if every is not None and 0 < epochs < every and trainer.enable_validation:
            log.warning(
                f"trainer.check_val_every_n_epoch is {every}, but trainer.max_epochs is {epochs}: it is validated "
                "once, at the end"
            )
        batches = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        limits = [limit for limit in (epochs * batches, trainer.max_steps) if limit > 0]
        average = _arguments(pl_module, "EMAWeightAveraging")
        if average is None or not limits:
            return
        updates = max(
            1, (min(limits) - (average.get("update_starting_at_step") or 0)) // average["update_every_n_steps"]
        )
        if (left := average["decay"] ** updates) > STILL_START:
            log.warning(
                f"EMAWeightAveraging: decay is {average['decay']:g}, but the average is of {updates} steps: "
                f"{percent(left)} % of it are the weights before training; train longer, or give decay "
                f"{0.01 ** (1 / updates):.3g}"
            )


def check_monitors(trainer: pl.Trainer, task: SegmentationTask, organs: Iterable[str], validates: bool) -> None:
    """Refuse callbacks that watch what is not logged.

    Args:
        trainer: with its callbacks.
        task: that logs.
        organs: classes of which a Dice may be logged.
        validates: whether there are validation cases.
    """
    names = {*logged(task, organs)}
    if not validates or not trainer.limit_val_batches:
        names = {name for name in names if not name.startswith("val/")}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        _check_monitor(callback, names, foretold=_all_known(trainer, task))


def logged(task: SegmentationTask, organs: Iterable[str]) -> Iterator[str]:
    """Names that a training logs: what callbacks can watch."""
    yield from ("train/loss", "train/dice_loss", "train/ce", "train/feature_std", "train/learning_rate")
    if task.weighting.uses_consistency:
        yield "train/consistency"
    yield from ("val/dice", "val/dice_dense", "val/false_positive_slices_sparse")
    yield from (f"val/dice/{name}" for name in organs)


def _check_monitor(callback: Any, names: set[str], foretold: bool) -> None:
    monitor, kind = getattr(callback, "monitor", None), type(callback).__name__
    if not isinstance(monitor, str) or isinstance(callback, RunCheckpoint):
        return
    known = names | ({"epoch", "step"} if isinstance(callback, ModelCheckpoint) else set())
    if monitor not in known and not monitor.startswith(OF_MONITORS) and getattr(callback, "strict", True):
        said = (
            f"trainer.callbacks: {kind} watches {monitor}, which this training does not log"
            f"{did_you_mean(monitor, known)} it can be {', '.join(sorted(known))}"
        )
        if foretold:
            raise ConfigError(said)
        log.warning("%s, or what a class of yours logs", said)
    if "dice" in monitor and "loss" not in monitor and getattr(callback, "mode", "max") == "min":
        log.warning("trainer.callbacks: %s takes the lowest %s for the best; give it mode: max", kind, monitor)


def _all_known(trainer: pl.Trainer, task: pl.LightningModule) -> bool:
    """Whether nothing of the user's own takes part, which may log what it likes."""
    parts = [task, *trainer.callbacks]  # type: ignore[attr-defined]
    return all(type(each).__module__.startswith(("adawac.", "lightning.")) for each in parts)


def _arguments(task: SegmentationTask, callback: str) -> dict[str, Any] | None:
    """Arguments of a callback of the configuration; None where it has none of this class."""
    callbacks = (task.settings or {}).get("trainer", {}).get("callbacks", {})
    arguments: dict[str, Any] | None = callbacks.get(callback, {}).get("init_args")
    return arguments
