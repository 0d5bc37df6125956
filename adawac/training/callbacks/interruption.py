"""Ends a training in good order when a signal asks for it, and makes up for a validation that a stop cut off."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping

from adawac.errors import Interrupted
from adawac.runs.folder import RunFolder
from adawac.training.callbacks.checkpoints import run_checkpoint

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, the end of a job, a terminal that is closed; under `nohup` the last is ignored, and stays so."""

EVERY = 10
"""Steps between two looks at whether another process was told to stop; a process alone looks after each."""

DUE = "adawac_validation_due"
"""Key in a checkpoint."""


@contextmanager
def interruptible(saved: str = "nothing had to be saved") -> Iterator[None]:
    """Within, `SIGNALS` raise `Interrupted` in the main thread, until training takes them over.

    Args:
        saved: what it says has been saved, and how to go on.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum, saved)

    before = {signum: signal.signal(signum, stop) for signum in _asking()}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _asking() -> list[int]:
    """Signals that ask for the end in this process; none in threads but the main one, which alone hears them."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [each for each in SIGNALS if each in SIGNALS[:2] or signal.getsignal(each) is not signal.SIG_IGN]


class StopOnSignal(Callback):
    """Lets the step under way end, saves the last checkpoint and raises `Interrupted`; a second signal does not wait.

    With several processes a signal to one of them stops all.
    """

    def __init__(self) -> None:
        self._signum = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over."""
        for signum in _asking():
            signal.signal(signum, self._remember)

    on_sanity_check_start = on_train_start

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop between two steps."""
        if trainer.world_size > 1:
            if batch_idx % EVERY:
                return
            asked = trainer.strategy.reduce_boolean_decision(self._signum > 0, all=False)
            self._signum = self._signum or (signal.SIGTERM if asked else 0)
        self._stop_if_asked(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Stop between two volumes; other processes may have more of them, so only a process alone does."""
        if trainer.world_size == 1:
            self._stop_if_asked(trainer)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self._signum:
            raise Interrupted(signum, "asked twice, so nothing more was saved; --resume auto goes on")
        self._signum = signum

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        if not self._signum:
            return
        callback = run_checkpoint(trainer)
        folder = None if callback is None else callback.dirpath
        if folder is None or trainer.sanity_checking:
            raise Interrupted(self._signum, "nothing had to be saved")
        path = RunFolder(Path(folder).parent).last
        trainer.save_checkpoint(path)
        raise Interrupted(self._signum, f"saved {path}; the same with --resume auto goes on from there")


class DueValidation(Callback):
    """Validates where Lightning would leave it out, so that the best epoch is not missed in silence.

    After the last step, whatever the interval between validations; and first when a run goes on from a checkpoint
    between an epoch's last step and its validation's end. Nor is an epoch taken for ended that a limit cut off, or for
    one to go on with that has ended.
    """

    def __init__(self) -> None:
        self._due = False
        self._loops: dict[str, Any] = {}  # as they stood before validation

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Where `max_steps` is set, Lightning would go through an epoch once more that has ended."""
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """See whether validation comes next."""
        loop = trainer.fit_loop
        ended = trainer.max_epochs == trainer.current_epoch + 1 and loop.epoch_loop._num_ready_batches_reached()
        if ended or 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # before which Lightning validates, if the epoch is one to validate
            trainer.check_val_every_n_epoch = trainer.check_val_every_n_epoch and 1
        self._due = loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]
        self._loops = loop.state_dict() if self._due else {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """It has come, unless it is the one that Lightning tries out before it goes on."""
        self._due = self._due and trainer.sanity_checking

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note it; what is saved in the middle of a validation is the state before it."""
        checkpoint[DUE] = self._due
        if self._due and trainer.validating:
            checkpoint["loops"]["fit_loop"] = self._loops

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Read the note; an epoch that `max_steps`, `max_time` or a callback cut off goes on with its next batch."""
        self._due = checkpoint.get(DUE, False)
        loop = checkpoint.get("loops", {}).get("fit_loop")  # none where weights alone were saved, to be tested
        self._loops = deepcopy(loop or {})
        if loop and not loop["epoch_loop.batch_progress"]["is_last_batch"]:
            for progress in loop["epoch_progress"].values():
                progress["processed"] = progress["ready"] - 1

    def make_up(self, trainer: pl.Trainer) -> None:
        """Validate, where that is due from before."""
        if not self._due:
            return
        loop, epochs = trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_progress.current
        done = epochs.completed
        epochs.completed -= loop.batch_progress.is_last_batch  # it is of the epoch that has ended, and is called so
        loop.val_loop.restarting = False  # from its first volume
        trainer.validating = True
        loop.val_loop.run()
        trainer.training = True
        for stopping in _early_stoppings(trainer) if epochs.completed < done else ():  # they count the epochs' ends
            stopping.on_train_epoch_end(trainer, trainer.lightning_module)
        epochs.completed = done


class GoingOn(Callback):
    """Does what a resumed training needs once every other callback has begun: it stands behind them.

    Args:
        due: the validation that may be due.
    """

    def __init__(self, due: DueValidation) -> None:
        self._validation = due

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the loader its state, which Lightning keeps from it where an epoch has ended, and validate if due."""
        loop = trainer.fit_loop
        if (states := loop._combined_loader_states_to_load) and loop._combined_loader is not None:
            loop._combined_loader._load_state_dicts(states)
            loop._combined_loader_states_to_load = []
        epochs = loop.epoch_progress.current
        if loop.restarted_mid_epoch and epochs.completed == epochs.ready:  # else the next one would not be counted
            loop.reset_restart_stage()
        self._validation.make_up(trainer)
        # Lightning would train an epoch more each time.
        if any(0 < each.wait_count >= each.patience for each in _early_stoppings(trainer)):
            trainer.should_stop = True


def _early_stoppings(trainer: pl.Trainer) -> list[EarlyStopping]:
    return [each for each in trainer.callbacks if isinstance(each, EarlyStopping)]  # type: ignore[attr-defined]
