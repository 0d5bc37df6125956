"""A study of four cells that take seconds, for the tests of studies."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml
from tiny_data import write_msd

from adawac.cli import main

BASE = {
    "trainer": {"accelerator": "cpu", "max_epochs": 1, "log_every_n_steps": 1, "enable_progress_bar": False},
    "data": {
        "root": "msd",
        "store": "store",
        "split": {"class_path": "FractionSplit", "init_args": {"val": 0.25, "test": 0.25}},
        "size": [16, 16],
        "batch_size": 4,
    },
    "model": {
        "network": {"architecture": "monai.networks.nets.UNet", "arguments": {"channels": [4, 8], "strides": [2]}},
        "weighting": {"class_path": "AdaWAC", "init_args": {"step_size": 0.3}},
    },
}
LISTED = {"class_path": "FileSplit", "init_args": {"path": "split.json"}}
STUDY = {
    "name": "tiny",
    "config": "base.yaml",
    "grid": {
        "method": {"erm": {"model.weighting": "ERM", "times": 2, "data.split": LISTED}, "adawac": {}},
        "seed": [0, 1],
    },
}
CELLS = ["erm-seed0", "adawac-seed0", "erm-seed1", "adawac-seed1"]


def prepare(home: Path, study: dict = STUDY, base: dict = BASE) -> Path:
    write_msd(home / "msd", cases=4, shape=(6, 16, 16))
    (home / "base.yaml").write_text(yaml.safe_dump(base))
    (home / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return home


def study(home: Path, *options: str, code: int = 0) -> str:
    """Run the command as a user in this folder would, and return what it says."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.chdir(home)
        assert main(["study", "study.yaml", *options]) == code, out.getvalue()
    return out.getvalue()
