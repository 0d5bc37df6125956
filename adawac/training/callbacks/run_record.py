"""Writes beside a run what it was made from: split, training units, versions."""

import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer

from adawac.data.sampling import DrawSummary
from adawac.data.subsets import absent_classes, describe
from adawac.errors import counted, rounded
from adawac.runs.checkpoint import epoch_of
from adawac.runs.folder import RunFolder
from adawac.runs.provenance import git_state, versions
from adawac.training.callbacks.checkpoints import validated_dice
from adawac.types import Batch

log = logging.getLogger(__name__)

OF_A_PART = ("command", "versions", "code", "device")
"""What may be another when a run goes on: kept of every part, under "earlier"."""


class RunRecord(Callback):
    """Writes split and record into the run's folder once a step was made, and what it took when it ends.

    Not where a checkpoint is refused or nothing is left to train: that is no part of the run.
    """

    def __init__(self) -> None:
        self.images_seen = 0  # training units drawn, repetitions counted, by all processes
        self._began = False

    def _begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write both files."""
        self._began = True
        if (run := RunFolder.of_trainer(trainer)) is None:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        run.write_split(data.split)
        for told in (run.weights_file, run.suspects_file):  # of the end of what was trained before
            told.unlink(missing_ok=True)
        units, rows = data.units, np.arange(len(data.units))
        described = data.describe()
        record = {
            "command": sys.argv,
            "versions": versions(),
            "code": {"adawac": git_state(Path(__file__).parents[2]), "working_folder": git_state(Path.cwd())},
            "device": str(pl_module.device),
            "data": {case: digest for part in ("train", "val") for case, digest in described[part].items()},
            "skipped": data.skipped,
            "subset": type(data.subset).__name__,
            "unit": units.kind.noun[0],
            "training_units": len(units),
            "label_dense": int(units.dense.sum()),
            "label_sparse": int(units.sparse.sum()),
            "wholly_ignored": int((~units.labelled).sum()),
            "units_of_class": dict(describe(units, rows)),
            "absent_classes": list(absent_classes(units, rows)),
        }
        if trainer.ckpt_path and (before := run.record):
            record["earlier"] = [*before.get("earlier", []), {key: before.get(key) for key in OF_A_PART}]
        run.write_record(record)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch of all processes, whose shares may differ by one; the first one begins the record."""
        if not self._began:
            self._begin(trainer, pl_module)
        first, end = trainer.train_dataloader.order.bounds(batch_idx)  # type: ignore[union-attr]
        self.images_seen += end - first

    def state_dict(self) -> dict[str, Any]:
        """A resumed run counts on."""
        return {"images_seen": self.images_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on."""
        self.images_seen = state_dict["images_seen"]

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how well the best checkpoint does and what to type next."""
        if (run := RunFolder.of_trainer(trainer)) is None:
            return
        dice = validated_dice(trainer)
        # Also where all that was left was the last validation.
        if self._began or (trainer.ckpt_path and (record := run.record) and "epochs" not in record):
            draws = pl_module.last_losses.draws.cpu().numpy()  # type: ignore[operator, union-attr]
            drawn = DrawSummary.of(trainer.datamodule.units, draws)  # type: ignore[attr-defined]
            took = {
                "steps": trainer.global_step,
                "epochs": trainer.current_epoch,
                "images_seen": self.images_seen,
                "draws": None if drawn is None else drawn.to_json(),
                "network_passes": self.images_seen * pl_module.weighting.views,  # type: ignore[union-attr, operator]
            }
            if dice is not None:
                took["val_dice"] = dice
            run.write_record(run.record | took)
        if (why := _why_it_ended(trainer, self._began)) is not None:
            log.info(why)
        if dice is not None:
            chosen = f"of epoch {epoch}, which was chosen by it, " if (epoch := epoch_of(run.best)) else ""
            cases = counted(len(trainer.datamodule.split.val), "case")  # type: ignore[attr-defined]
            all_of_them = isinstance(trainer.limit_val_batches, float) and trainer.limit_val_batches == 1  # 1: one
            part = "" if all_of_them else "some of "
            log.info("best val/dice: %s (%son %s%s)", rounded(dice), chosen, part, cases)
        if run.checkpoints and trainer.datamodule.split.test:  # type: ignore[attr-defined]
            log.info("next: adawac test %s", shlex.quote(os.path.relpath(run.path)))


def _why_it_ended(trainer: pl.Trainer, began: bool) -> str | None:
    """Which limit left nothing to train, or stopped a training before its last epoch; None where it came to its end."""
    epochs, steps = _done(trainer.current_epoch, "epoch"), _done(trainer.global_step, "step")
    if began and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
        epochs = f"in epoch {trainer.current_epoch}"
    timer = next((each for each in trainer.callbacks if isinstance(each, Timer)), None)  # type: ignore[attr-defined]
    left = None if timer is None else timer.time_remaining()
    all_epochs = trainer.max_epochs != -1 and trainer.current_epoch >= (trainer.max_epochs or 0)
    all_steps = 0 <= trainer.max_steps <= trainer.global_step
    if began:
        if all_epochs or all_steps:
            return None
        if left is not None and left <= 0:
            return f"trainer.max_time is over, {epochs}; the same with --resume auto goes on"
        return f"a callback asked for the end, {epochs}, trainer.max_epochs is {trainer.max_epochs}"
    if trainer.limit_train_batches == 0:
        return "nothing was trained: trainer.limit_train_batches is 0, so an epoch has no batch; raise it"
    if all_steps:
        return f"nothing was left to train: {steps}, trainer.max_steps is {trainer.max_steps}; raise it to go on"
    if all_epochs:
        return f"nothing was left to train: {epochs}, trainer.max_epochs is {trainer.max_epochs}; raise it to go on"
    if left is not None and left <= 0:
        return "nothing was trained: trainer.max_time was over before the first step; raise it"
    stopped = any(isinstance(each, EarlyStopping) for each in trainer.callbacks)  # type: ignore[attr-defined]
    remedy = "; to go on, raise the patience of EarlyStopping" if stopped else ""
    return f"nothing was trained: a callback asked for the end, {epochs}{remedy}"


def _done(number: int, noun: str) -> str:
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'} done"
