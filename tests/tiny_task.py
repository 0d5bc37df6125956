"""A tiny task on tiny data, set up outside of a fit, or ready for one."""

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from tiny_data import write_msd

from adawac.augment import RandomAugmentation
from adawac.data.datamodule import SegmentationData
from adawac.data.splits import FractionSplit
from adawac.networks import NetworkSpec
from adawac.training.task import SegmentationTask
from adawac.types import Batch
from adawac.weighting import AdaWAC

SPEC = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"})
NUM_CLASSES = 3
SEED = 5


def make_data(folder: Path, batch_size: int = 8) -> SegmentationData:
    """Three volumes to train and two to validate, written if they are not there, ready for a fit."""
    if not (folder / "data").exists():
        write_msd(folder / "data", cases=5, shape=(8, 32, 32), num_classes=NUM_CLASSES)
    data = SegmentationData(
        str(folder / "data"),
        split=FractionSplit(val=0.4, test=0.0),
        mirror_pairs={"left_kidney": "right_kidney"},
        size=(32, 32),
        batch_size=batch_size,
        store=str(folder / "store"),
    )
    data.prepare_data()
    data.setup("fit")
    return data


def make_trainer(**options) -> pl.Trainer:
    defaults = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(**(defaults | options))


def make_task(data, weighting=None, **options) -> SegmentationTask:
    """A task that is set up on the data, outside of a fit."""
    options.setdefault("augmentation", RandomAugmentation(mirror_left_right=0.5))
    task = SegmentationTask(SPEC, weighting or AdaWAC(calibrate=False, step_size=3.0), seed=SEED, **options)
    task.trainer = make_trainer()
    task.trainer.datamodule = data
    task.setup("fit")
    task.log = task.log_dict = lambda *args, **kwargs: None  # logging belongs to a running fit
    return task


def first_batch(data) -> Batch:
    """Four dense and four sparse slices."""
    dense = data.units.dense
    rows = [*np.flatnonzero(dense)[:4], *np.flatnonzero(~dense)[:4]]
    return data.train_dataloader().dataset[[int(row) for row in rows]]
