"""A long training: does memory stay flat, do the weights stay finite?"""

import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import torch
from tiny_data import write_msd

from adawac.cli import main as main_of_adawac
from adawac.training import train as training
from injection.place import Place, Row
from injection.processes import ended


def long_run(place: Place, steps: int) -> Callable[[], Row]:
    """Begin a training of many steps, which goes on beside all else and watches itself, through a callback below.

    Returns:
        What waits for its end: memory and weights then.
    """
    log = tempfile.TemporaryFile()  # noqa: SIM115  # open until the run has ended
    if not (process := os.fork()):
        os.dup2(log.fileno(), 1)
        watch(place.home, steps)
        sys.stdout.flush()
        os._exit(0)

    def end() -> Row:
        with log:
            done = ended(process, log)
        assert done.status == 0, done.said
        return Row("none", 1, f"{steps:,} steps: {done.said.strip().splitlines()[-1]}", "nothing")

    return end


def watch(home: Path, steps: int) -> None:
    """Train in this process and measure its memory at a tenth, and at the end."""
    resident: dict[int, float] = {}
    finite = [True]

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule, *args: object) -> None:
            if trainer.global_step % max(1, steps // 10) == 0:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                resident[trainer.global_step] = pages * resource.getpagesize() / 2**20
                finite[0] &= all(bool(torch.isfinite(p).all()) for p in task.parameters())

    standard: Callable[..., list[pl.Callback]] = training.default_callbacks
    training.default_callbacks = lambda *arguments: [*standard(*arguments), Watch()]
    root = write_msd(home / "many", cases=60, shape=(40, 32, 32))  # epochs of hundreds of steps, as they are in earnest
    options = [f"--data.root={root}", f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1"]
    options += ["--trainer.check_val_every_n_epoch=100", "--data.store", str(home / "store_of_many")]
    assert main_of_adawac([*Place(home, {}, 0.0).config("long"), *options, "--trainer.log_every_n_steps=500"]) == 0
    first, *_, last = resident.values()
    print(f"resident memory {first:.0f} MiB after a tenth, {last:.0f} MiB at the end; weights finite: {finite[0]}")
