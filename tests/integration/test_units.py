"""Slices with neighbours, and patches, go the way of single slices: fit, resume, test, predict, export."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_data import make_case, save_nifti, write_msd

from adawac.checkpoint import read_checkpoint
from adawac.cli import main
from adawac.data.volumes import read_nifti
from adawac.export import load_network
from adawac.segmenter import load

UNITS = {"25d": {"neighbours": 3}, "3d": {"patch": [4, 8, 16]}}
OTHER = {
    "25d": ("--data.neighbours=5", "unit.neighbours: 3 then, 5 now"),
    "3d": ("--data.patch=[4, 8, 32]", "unit.patch: [4, 8, 16] then, [4, 8, 32] now"),
}

FLIPS = {"25d": {"mirror_up_down": 0.1}, "3d": {"mirror_slices": 0.5}}
"""Left and right stay, and no norm is of an instance: these organs are told apart by density alone."""


def config(folder: Path, unit: str, epochs: int = 3) -> Path:
    """A run of AdaWAC in a folder of its own, on data that all share; a checkpoint every seven steps."""
    every_seven_steps = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {
            "filename": "step{step}",
            "auto_insert_metric_name": False,
            "every_n_train_steps": 7,
            "save_top_k": -1,
            "save_on_train_epoch_end": False,
        },
    }
    settings = {
        "name": "tiny",
        "runs": str(folder / "runs"),
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": epochs,
            "check_val_every_n_epoch": epochs,
            "enable_progress_bar": False,
            "callbacks": [every_seven_steps],
        },
        "data": {
            "root": str(folder.parent / "data"),
            "store": str(folder.parent / "store"),
            "split": {"class_path": "FractionSplit", "init_args": {"val": 0.2, "test": 0.2}},
            "mirror_pairs": {"left_kidney": "right_kidney"},
            "size": [32, 32],
            "batch_size": 6,
            **UNITS[unit],
        },
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "norm": "BATCH"},
            },
            "weighting": "AdaWAC",
            "augmentation": {"class_path": "RandomAugmentation", "init_args": FLIPS[unit]},
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.02}},
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Five patients of nine slices, and the image of a sixth with another number of slices."""
    folder = tmp_path_factory.mktemp("units")
    write_msd(folder / "data", cases=5, shape=(9, 32, 32))
    save_nifti(folder / "in/pt_9.nii.gz", make_case(np.random.default_rng(9), (11, 40, 36))[0][0])
    return folder


@pytest.fixture(scope="module", params=list(UNITS))
def unit(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(place, unit) -> Path:
    assert main(["fit", "--config", str(config(place / unit, unit))]) == 0
    return place / unit / "runs/tiny/version_0"


def test_weights_of_every_unit_are_learnt_and_written(run):
    log_odds = read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"]["weighting.log_odds"]
    with (run / "weights.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(log_odds) == log_odds.count_nonzero()
    assert {row["label_dense"] for row in rows} == {"0", "1"}
    assert all(0 < float(row["position"]) < 1 for row in rows)


def test_it_is_tested_on_whole_volumes(run):
    assert main(["test", str(run)]) == 0
    (table,) = run.parent.glob("version_*/cases.csv")
    with table.open() as file:
        dice = [float(row["value"]) for row in csv.DictReader(file) if (row["metric"], row["group"]) == ("dice", "all")]
    assert len(dice) == 2  # organs
    assert min(dice) > 0.2  # a third of the voxels at random would be 0.12


def test_a_checkpoint_alone_predicts_on_the_native_grid(run, place, tmp_path):
    command = ["predict", str(run), "-i", str(place / "in"), "-o", str(tmp_path), "--device", "cpu", "--flip"]
    assert main(command) == 0
    label, image = read_nifti(tmp_path / "pt_9.nii.gz"), read_nifti(place / "in/pt_9.nii.gz")
    assert label.geometry.difference(image.geometry) is None
    assert set(np.unique(label.array)) - {0}


def test_resume_is_exact_and_only_with_the_same_unit(run, unit, place, tmp_path, capsys):
    command = ["fit", "--config", str(place / unit / "config.yaml"), "--runs", str(tmp_path)]
    command += ["--ckpt_path", str(run / "checkpoints/step7.ckpt")]
    option, named = OTHER[unit]
    assert main([*command, option]) == 2
    assert named in capsys.readouterr().err
    assert main(command) == 0
    (last,) = tmp_path.glob("tiny/version_*/checkpoints/last.ckpt")
    resumed, unbroken = (read_checkpoint(path) for path in (last, run / "checkpoints/last.ckpt"))
    assert resumed["global_step"] == unbroken["global_step"] > 7
    for name, value in unbroken["state_dict"].items():
        assert torch.equal(value.nan_to_num(-1), resumed["state_dict"][name].nan_to_num(-1)), name


def test_torchscript_takes_what_the_network_is_shown(run, unit, tmp_path):
    assert main(["export", str(run), "--format", "torchscript", "-o", str(tmp_path / "a.ts")]) == 0
    files = {"adawac_recipe.json": ""}
    network = torch.jit.load(tmp_path / "a.ts", _extra_files=files)
    trained = load_network(run)
    image = trained.example(2)
    assert image.shape == {"25d": (2, 3, 32, 32), "3d": (2, 1, 4, 8, 16)}[unit]
    torch.testing.assert_close(network(image), trained.network(image))
    assert json.loads(files["adawac_recipe.json"])["unit"] == load(run).recipe.unit.to_json()
