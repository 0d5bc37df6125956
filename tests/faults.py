"""Faults that are injected into a real run: callbacks that its configuration names, and code in its files."""

import os
import signal

from lightning.pytorch.callbacks import Callback


class SignalAt(Callback):
    """Sends a process a signal in a training step, or in the first validation after it."""

    def __init__(
        self, step: int, signum: int = int(signal.SIGTERM), validating: bool = False, rank: int | None = None
    ) -> None:
        self.step, self.signum, self.validating, self.rank = step, signum, validating, rank

    def on_train_batch_start(self, trainer, *args):
        if not self.validating and trainer.global_step == self.step - 1 and self.rank in (None, trainer.global_rank):
            os.kill(os.getpid(), self.signum)

    def on_validation_batch_start(self, trainer, *args, **kwargs):
        if self.validating and trainer.global_step == self.step:
            os.kill(os.getpid(), self.signum)


class StopAt(Callback):
    """Asks for the end after a training step, as Lightning's timer does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.step


class Poison(Callback):
    """Makes a number of the network NaN, as a bit that flips in memory would."""

    def __init__(self, step: int, rank: int | None = None) -> None:
        self.step, self.rank = step, rank

    def on_train_batch_start(self, trainer, pl_module, *args):
        if trainer.global_step == self.step and self.rank in (None, trainer.global_rank):
            next(pl_module.network.parameters()).data.view(-1)[0] = float("nan")


class FailAt(Callback):
    """Fails in one process, as a worker that runs out of memory would."""

    def __init__(self, step: int, rank: int) -> None:
        self.step, self.rank = step, rank

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            raise RuntimeError("injected")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
