"""The settings of a tiny run, of which a test changes what it is about, and their file."""

from pathlib import Path
from typing import Any

import yaml

ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.02}}
"""Learns the blobs of `tiny_data` in a few epochs."""


def tiny_settings(folder: Path, root: Path, val: float = 0.25, test: float = 0.25) -> dict[str, Any]:
    """A UNet of two scales on the CPU.

    Args:
        folder: where the run lies, as runs/tiny/version_0; the store is beside it.
        root: a data set of `tiny_data`.
        val: fraction of the cases.
        test: fraction of the cases.

    Returns:
        Settings for `write_config`.
    """
    return {
        "name": "tiny",
        "runs": str(folder / "runs"),
        "pictures": False,  # they take longer than all else
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
        "data": {
            "root": str(root),
            "store": str(folder.parent / "store"),
            "split": {"class_path": "FractionSplit", "init_args": {"val": val, "test": test}},
            "size": [32, 32],
        },
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"},
            },
        },
    }


def keep_checkpoints(every: int) -> dict[str, Any]:
    """A callback that keeps the checkpoint of every so many steps, as step7.ckpt."""
    return {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {
            "filename": "step{step}",
            "auto_insert_metric_name": False,
            "every_n_train_steps": every,
            "save_top_k": -1,
            "save_on_train_epoch_end": False,
        },
    }


def write_config(folder: Path, settings: dict[str, Any]) -> Path:
    """Write the config.yaml of a run into its folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def one_epoch(folder: Path, root: Path) -> Path:
    """The file of a run of one epoch of 4 steps, whose store lies beside the data."""
    settings = tiny_settings(folder, root)
    settings["trainer"] |= {"max_epochs": 1}
    settings["data"] |= {"batch_size": 4, "store": str(root.parent / "store")}
    settings["model"] |= {"optimizer": ADAMW}
    return write_config(folder, settings)
