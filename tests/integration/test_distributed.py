"""Two processes (gloo) train like one: the same batches, views, weights, losses and metrics."""

import json
from pathlib import Path

import pytest
import torch
from forked import adawac_in
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.evaluation import read_csv

RUNS = {
    "AdaWAC": [],
    "TrimRatioACR": ["--model.weighting=TrimRatioACR"],
    "GroupDRO": ["--model.weighting=GroupDRO"],
    "neighbours": ["--data.neighbours=3"],
    "patches": ["--data.patch=[4, 16, 16]", "--data.batch_size=5"],
    "drawn": ["--data.sampling=AdaptiveSampling", "--data.sampling.balance=classes"],
    "compiled": ["--model.compile=true"],
}
"""What is run, and what is set for it: the first always, the others where there is time."""


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """A run of 20 steps or more with an InstanceNorm network and batches that two processes cannot share evenly."""
    folder = tmp_path_factory.mktemp("distributed")
    root = write_msd(folder / "msd", cases=6, shape=(7, 32, 32))
    settings = tiny_settings(folder / "run", root, val=0.34, test=0.17) | {"seed_everything": 5}
    settings["trainer"] |= {"max_epochs": 5, "check_val_every_n_epoch": 5, "log_every_n_steps": 1}
    settings["data"]["batch_size"] = 6
    # Adam would blow up what rounding leaves of the zero gradients of biases before a normalisation.
    settings["model"]["optimizer"] = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05, "momentum": 0.9}}
    return write_config(folder / "run", settings)


def run(devices: str, *arguments: str) -> None:
    if devices == "1":
        assert main(list(arguments)) == 0
    else:
        adawac_in(2, arguments)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "AdaWAC")) for name in RUNS]
)
def runs(request, config) -> tuple[Path, Path]:
    """Folders of the run in one process and of the run in two."""
    folders = []
    for devices in ("1", "2"):
        name = f"{request.param}_{devices}"
        several = ["--trainer.devices", devices, "--trainer.strategy", "ddp" if devices == "2" else "auto"]
        run(devices, "fit", "--config", str(config), "--name", name, *RUNS[request.param], *several)
        folders.append(config.parent / "runs" / name / "version_0")
    return folders[0], folders[1]


def test_the_final_state_is_the_same(runs):
    one, two = (torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in runs)
    assert one["global_step"] == two["global_step"] >= 20
    for name, value in one["state_dict"].items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(two["state_dict"][name], value, rtol=0, atol=1e-5, equal_nan=True)


def test_as_many_images_were_seen(runs):
    one, two = (json.loads((folder / "run.json").read_text()) for folder in runs)
    assert two["images_seen"] == one["images_seen"] == one["training_units"] * 5


def test_what_was_logged_is_the_same(runs):
    logs = [EventAccumulator(str(folder)).Reload() for folder in runs]
    tags = [
        {tag for tag in log.Tags()["scalars"] if tag.startswith(("val/", "weights/", "ce/", "train/dice_loss"))}
        for log in logs
    ]
    assert tags[0] == tags[1]
    assert "val/dice" in tags[0]
    for tag in sorted(tags[0]):
        one, two = ([event.value for event in log.Scalars(tag)] for log in logs)
        assert two == pytest.approx(one, abs=1e-5), tag


@pytest.mark.slow
def test_the_case_table_is_the_same(runs):
    for devices, folder in zip(("1", "2"), runs, strict=True):
        strategy = "ddp" if devices == "2" else "auto"
        run(devices, "test", str(folder), f"--trainer.devices={devices}", f"--trainer.strategy={strategy}")
    one, two = (read_csv(folder / "cases.csv") for folder in runs)
    assert [row[2:7] for row in one] == [row[2:7] for row in two]
    assert [row.value for row in two] == pytest.approx([row.value for row in one], abs=1e-5, nan_ok=True)
