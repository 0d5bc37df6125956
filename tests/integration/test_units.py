"""Slices with neighbours, and patches, go the way of single slices: fit, resume, test, predict, export."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_data import make_case, save_nifti, write_msd
from tiny_run import ADAMW, keep_checkpoints, tiny_settings, write_config

from adawac.cli import main
from adawac.inference.export import load_network
from adawac.io.volumes import read_nifti
from adawac.runs.checkpoint import Recipe, read_checkpoint

UNITS = {"25d": {"neighbours": 3}, "3d": {"patch": [4, 8, 16]}}
OTHER = {
    "25d": ("--data.neighbours=5", "unit.neighbours: 3 then, 5 now"),
    "3d": ("--data.patch=[4, 8, 32]", "unit.patch: [4, 8, 16] then, [4, 8, 32] now"),
}

FLIPS = {"25d": {"mirror_up_down": 0.1}, "3d": {"mirror_slices": 0.5}}
"""Left and right stay, and no norm is of an instance: these organs are told apart by density alone."""


def config(folder: Path, unit: str) -> Path:
    """A run of AdaWAC in a folder of its own, on data that all share; a checkpoint every seven steps."""
    settings = tiny_settings(folder, folder.parent / "data", val=0.2, test=0.2)
    settings["trainer"] |= {"max_epochs": 3, "check_val_every_n_epoch": 3, "callbacks": [keep_checkpoints(7)]}
    settings["data"] |= {"mirror_pairs": {"left_kidney": "right_kidney"}, "batch_size": 6, **UNITS[unit]}
    settings["model"]["network"]["arguments"]["norm"] = "BATCH"
    settings["model"] |= {
        "weighting": "AdaWAC",
        "augmentation": {"class_path": "RandomAugmentation", "init_args": FLIPS[unit]},
        "optimizer": ADAMW,
    }
    return write_config(folder, settings)


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


def torchscript(path: Path):
    """The network of an export, and its recipe in JSON."""
    files = {"adawac_recipe.json": ""}
    return torch.jit.load(path, _extra_files=files), files["adawac_recipe.json"]


def onnx(path: Path):
    """The same of an ONNX file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    recipe = session.get_modelmeta().custom_metadata_map["adawac_recipe"]
    return lambda image: torch.from_numpy(session.run(["logits"], {"image": image.numpy()})[0]), recipe


@pytest.mark.parametrize("kind", [torchscript, onnx], ids=lambda kind: kind.__name__)
def test_an_export_segments_a_volume_as_torch_does(run, unit, place, kind, tmp_path):
    assert main(["export", str(run), "--format", kind.__name__, "-o", str(tmp_path / "a")]) == 0
    exported, said = kind(tmp_path / "a")
    trained = load_network(run)
    assert Recipe.from_json(said) == trained.recipe
    assert trained.example(2).shape[1:] == {"25d": (3, 32, 32), "3d": (1, 4, 8, 16)}[unit]
    volume = read_nifti(place / "in/pt_9.nii.gz")
    image = torch.from_numpy(trained.recipe.data.preprocessing.apply(volume, "a").image)
    with torch.no_grad():
        ours, theirs = (
            torch.cat(list(trained.recipe.data.unit.probabilities(network, image, batch_size=20))).argmax(1)
            for network in (trained.network, exported)
        )
    assert set(ours.unique().tolist()) == {0, 1, 2}
    assert (ours == theirs).double().mean() >= 0.9999


def test_the_run_says_what_its_units_are(run, unit):
    record = json.loads((run / "run.json").read_text())
    assert record["unit"] == {"25d": "slice", "3d": "patch"}[unit]
    assert record["training_units"] == len((run / "weights.csv").read_text().splitlines()) - 1
