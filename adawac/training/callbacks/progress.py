"""Shows how far a run is: a bar in a terminal; where there is none a line a validation, and now and then in a test."""

import logging
from datetime import timedelta
from time import monotonic
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar

from adawac.errors import rounded
from adawac.io.terminal import Console, Lines
from adawac.training.schedules import progress

log = logging.getLogger(__name__)


class RunProgress(RichProgressBar):
    """Lightning's bar without `v_num`, which shows `version_0` as 0.000, and as on_0 where a run goes on.

    The loss is called what it is: that of the last batch which was logged.
    """

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands behind the bar: losses and metrics."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        if (loss := metrics.pop("train/loss", None)) is not None:
            metrics["loss of a batch"] = loss
        return metrics


class ProgressLines(ProgressBar):
    """Lines for logs: one a validation of `fit` with epoch, Dice, last loss and the time left; how far others are."""

    def disable(self) -> None:
        """Other processes are silent: they log no more than warnings."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to measure the time."""
        self._began, self._first = monotonic(), progress(trainer, stepping=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how far it is."""
        if trainer.sanity_checking or not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        said = [
            f"epoch {trainer.current_epoch + 1}" + (f" of {trainer.max_epochs}" if trainer.max_epochs != -1 else "")
        ]
        if trainer.max_steps > 0:
            said.append(f"step {trainer.global_step} of {trainer.max_steps}")
        for title, name in (("Dice {} in validation", "val/dice"), ("loss {} of the last batch", "train/loss")):
            if (value := trainer.callback_metrics.get(name)) is not None:
                said.append(title.format(rounded(float(value))))
        now = progress(trainer, stepping=True)
        if now > self._first:
            left = (monotonic() - self._began) / (now - self._first) * (1 - now)
            said.append(f"{timedelta(seconds=round(left))} left")
        log.info(", ".join(said))

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count the volumes."""
        total = int(sum(trainer.num_test_batches or trainer.num_val_batches))
        self._lines = Lines("test" if trainer.testing else "validate", total)

    on_validation_start = on_test_start

    def on_test_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """A volume is done."""
        if trainer.is_global_zero and trainer.state.fn != "fit":
            self._lines.advance()

    on_validation_batch_end = on_test_batch_end  # type: ignore[assignment]


def run_progress() -> ProgressBar:
    """What suits where the run is watched."""
    console = Console()
    return RunProgress() if console.is_terminal or console.is_jupyter else ProgressLines()
