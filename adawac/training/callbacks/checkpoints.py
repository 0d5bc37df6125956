"""The two checkpoints that every run keeps, and what they know of each other when a run goes on."""

import inspect
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from torch import Tensor

from adawac.runs.atomic_checkpoint import moved


class RunCheckpoint(ModelCheckpoint):
    """Lightning's, for `best.ckpt` and `last.ckpt` in the run's folder: a run may have more of Lightning's beside it.

    Of epochs that are equally good the last is kept. Where a run goes on, what a checkpoint says of the run's files
    holds wherever the folder lies now, and settings of callbacks are those of the configuration.
    """

    @property
    def _legacy_state_key(self) -> str:  # type: ignore[override]
        """Under which the checkpoints of before hold it."""
        return self.state_key.replace(type(self).__name__, ModelCheckpoint.__name__, 1)

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Whether an epoch is at least as good as the best so far."""
        if super().check_monitor_top_k(trainer, current) or current is None or self.best_model_score is None:
            return current is not None
        value = torch.where(current.isnan(), -torch.inf, current)  # as which Lightning keeps it
        return trainer.strategy.reduce_boolean_decision(bool(value == self.best_model_score))

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Before any callback takes up its state: say where its files lie now, and leave it its settings."""
        if trainer.state.fn != "fit":
            return
        states: dict[str, Any] = checkpoint.get("callbacks", {})
        mine = states.get(self.state_key, states.get(self._legacy_state_key, {}))
        then, now = mine.get("dirpath"), self.dirpath
        here = Path(trainer.ckpt_path or "").parent
        if then and now and then != str(now) and here.is_dir() and Path(now).is_dir() and here.samefile(now):
            checkpoint["callbacks"] = states = moved(states, str(then), str(now))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            _keep_settings(callback, states.get(callback.state_key, {}))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up which checkpoint is the best, if it is there."""
        best = Path(state_dict.get("best_model_path") or "")
        if best.parent == Path(self.dirpath or "") and best.is_file():
            super().load_state_dict(state_dict)


def run_checkpoint(trainer: pl.Trainer) -> RunCheckpoint | None:
    """What keeps the best checkpoint of the run; None where none is kept."""
    return next((each for each in trainer.checkpoint_callbacks if isinstance(each, RunCheckpoint)), None)


def validated_dice(trainer: pl.Trainer) -> float | None:
    """Validation Dice of the best checkpoint; None where none is kept, or no epoch had any (-inf there)."""
    score = getattr(run_checkpoint(trainer), "best_model_score", None)
    return float(score) if score is not None and math.isfinite(score) else None


def _keep_settings(callback: Callback, state: dict[str, Any]) -> None:
    """Replace, in what a callback will take up, numbers that the configuration sets; such as EarlyStopping's patience.

    Time that an earlier job took is no part of what `max_time` gives to this one.
    """
    if isinstance(callback, Timer):
        state.clear()
    for name in inspect.signature(type(callback)).parameters:
        now = getattr(callback, name, None)
        if isinstance(state.get(name), int | float) and isinstance(now, int | float):
            state[name] = now
