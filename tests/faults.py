"""Faults that strike a real run at a chosen moment, as callbacks that its configuration names."""

import os
import signal

from lightning.pytorch.callbacks import Callback


class SignalAt(Callback):
    """Sends this process a signal in a training step, or in the first validation after it."""

    def __init__(self, step: int, signum: int = int(signal.SIGTERM), validating: bool = False) -> None:
        self.step, self.signum, self.validating = step, signum, validating

    def on_train_batch_start(self, trainer, *args):
        if not self.validating and trainer.global_step == self.step - 1:
            os.kill(os.getpid(), self.signum)

    def on_validation_batch_start(self, trainer, *args, **kwargs):
        if self.validating and trainer.global_step == self.step:
            os.kill(os.getpid(), self.signum)


class Poison(Callback):
    """Makes a number of the network NaN, as a bit that flips in memory would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, *args):
        if trainer.global_step == self.step:
            next(pl_module.network.parameters()).data.view(-1)[0] = float("nan")
