"""Training as `adawac fit` does it (store, loader, augmentation, trainer, logging) between steps of the ceiling."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import torch

from adawac.data.datamodule import SegmentationData
from adawac.phantom import generate
from adawac.training.callbacks import FiniteGuard
from adawac.training.task import SegmentationTask
from adawac.weighting import AdaWAC
from benchmarks import training
from benchmarks.measure import CLOCKS, Seconds, device_name, relative, show, synchronised

PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
WARM_UP = 2


class Interleaved(pl.Callback):
    """Runs the ceilings' steps after every step of the training, and keeps the seconds of all.

    A step lasts from the end of the ceilings' before it: fetching, moving, hooks and logging belong to it.
    """

    def __init__(self, ceilings: dict[str, Callable[[], None]], device: str, clock: str) -> None:
        self.ceilings = ceilings
        self.now = CLOCKS[clock]
        self.wait = synchronised(lambda: None, device)
        self.seconds: Seconds = {"training": [], **{name: [] for name in ceilings}}
        self._start: float | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """The training's step is over: the ceilings' turn."""
        self.wait()
        end = self.now()
        if self._start is not None:
            self.seconds["training"].append(end - self._start)
            for name, ceiling in self.ceilings.items():
                start = self.now()
                ceiling()
                self.seconds[name].append(self.now() - start)
        self._start = self.now()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains, and where the batches come from."""
    training.add_arguments(parser)
    parser.add_argument("--workers", type=int, default=0, help="data.num_workers")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Generate, prepare, train."""
    with TemporaryDirectory(prefix="adawac-benchmark-") as folder:
        size = options.size
        slices = -(-options.batch_size * 2 // 8) * 8
        root = generate(Path(folder, "ct"), patients=4, size=(slices, size, size))
        data = SegmentationData(
            str(root),
            size=(size, size),
            batch_size=options.batch_size,
            num_workers=options.workers,
            store=str(Path(folder, "store")),
        )
        task = SegmentationTask(
            training.NETWORKS[options.network],
            AdaWAC(),
            optimizer=partial(torch.optim.AdamW, fused=options.fused or None),
            compile=options.compile,
            cuda_graphs=options.cuda_graphs,
            channels_last=options.channels_last,
            predict_batch_size=options.batch_size,
        )
        watch = Interleaved(training.ceiling_steps(options), options.device, options.clock)
        pl.Trainer(
            accelerator="gpu" if options.device.startswith("cuda") else "cpu",
            devices=1,
            precision=PRECISION[options.precision],
            max_epochs=-1,
            max_steps=WARM_UP + options.rounds + 1,
            limit_val_batches=0,
            log_every_n_steps=10,
            callbacks=[FiniteGuard(), watch],  # the guard looks at every step of every run
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        ).fit(task, data)
    seconds = {name: spent[WARM_UP:] for name, spent in watch.seconds.items()}
    shares = relative(seconds, "training")
    show(f"adawac fit, {device_name(options.device)}", seconds, shares, "its time as a share of training's")
    speed = options.batch_size / median(seconds["training"])
    print(f"{speed:.1f} slices a second of the {options.clock} clock")
    ratios = {f"{name} / training": share for name, share in shares.items() if name != "training"}
    record: dict[str, Any] = {"seconds": seconds, "ratios": ratios, "slices_per_second": speed}
    if options.device.startswith("cuda"):
        record["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    return record
