"""Predictions of other tools with the faults of the field: turned arrays, lost headers, regions, 255 for `unknown`."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric

from adawac.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")

AFFINE = np.diag([-0.8, -0.9, 3.0, 1.0])
SHAPE = (20, 18, 6)


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8), affine), path)


def label(seed):
    """Two organs on one side of the body."""
    rng = np.random.default_rng(seed)
    array = np.zeros(SHAPE, np.uint8)
    array[2:8, 3:9, 1:4] = 1
    array[3:7, 10:15, 2:5] = 2
    array[tuple(rng.integers(0, SHAPE, (40, 3)).T)] = 0
    return array


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(4):
        save(tmp_path / f"labels/c{seed}.nii.gz", label(seed))
        save(tmp_path / f"preds/c{seed}.nii.gz", label(seed + 9))
    return tmp_path


def evaluate(*options):
    return main(["evaluate", "preds", "--labels", "labels", "-o", "out", "--pictures", "0", *options])


def mean_dice(place, turned=lambda array: array):
    """MONAI's, over classes and cases."""
    metric = DiceMetric(include_background=False)
    for path in sorted((place / "labels").iterdir()):
        pair = (nib.load(place / f"preds/{path.name}"), nib.load(path))
        arrays = [turned(np.asarray(pair[0].dataobj)), np.asarray(pair[1].dataobj)]
        metric(
            *(torch.nn.functional.one_hot(torch.tensor(each.astype(int)), 3).movedim(-1, 0)[None] for each in arrays)
        )
    return metric.aggregate().item()


def test_arrays_that_were_written_turned_are_told_with_the_way_back(place, caplog):
    """The affine is the image's, the voxels are mirrored: as where a reader reorients and the writer does not."""
    for seed in range(4):
        save(place / f"preds/c{seed}.nii.gz", label(seed + 9)[::-1])
    assert evaluate() == 0
    assert "preds: predictions fit their references far better mirrored left to right" in caplog.text
    assert mean_dice(place) < 0.1 < 0.9 < mean_dice(place, lambda array: array[::-1])
    caplog.clear()
    for seed in range(4):
        save(place / f"preds/c{seed}.nii.gz", label(seed + 9)[::-1], AFFINE @ _mirror())  # said by the header, too
    assert evaluate() == 0
    assert "mirrored" not in caplog.text
    with (place / "out/cases.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["metric"], row["group"]) == ("dice", "all")]
    found = np.mean([float(row["value"]) for row in rows])
    assert found == pytest.approx(mean_dice(place, lambda array: array[::-1]))


def _mirror():
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = SHAPE[0] - 1
    return mirror


def test_poor_predictions_are_not_said_to_be_turned(place, caplog):
    for seed in range(4):
        save(place / f"preds/c{seed}.nii.gz", np.random.default_rng(seed).integers(0, 3, SHAPE))
    assert evaluate() == 0
    assert "mirrored" not in caplog.text


def test_a_lost_header_is_answered_by_the_references_header(place, capsys):
    for seed in range(4):
        save(place / f"preds/c{seed}.nii.gz", label(seed), np.eye(4))
    assert evaluate() == 2
    said = capsys.readouterr().err
    assert "(spacing (3.0, 0.9, 0.8) mm, its own is (1.0, 1.0, 1.0) mm)" in said
    assert "copy the reference's header into it if its voxels are the reference's, else resample it to" in said
    for seed in range(4):
        save(place / f"preds/c{seed}.nii.gz", label(seed), nib.load(place / f"labels/c{seed}.nii.gz").affine)
    assert evaluate() == 0
    assert "mean Dice 1.000" in capsys.readouterr().out


def test_predictions_of_regions_are_measured_by_their_values(place, capsys):
    """As nnU-Net leaves dataset.json beside predictions of a region-based training."""
    regions = {"labels": {"background": 0, "whole tumour": [1, 2], "core": [2]}, "regions_class_order": [1, 2]}
    (place / "preds/dataset.json").write_text(json.dumps(regions))
    assert evaluate("--classes", "oedema,core") == 0
    assert f"mean Dice {mean_dice(place):.3f}" in capsys.readouterr().out
    assert evaluate("--classes", "core,oedema") == 2  # 2 is the core, they say
    assert "preds/dataset.json calls label values {2: 'core'}" in capsys.readouterr().err
    (place / "labels/dataset.json").write_text(json.dumps(regions))
    assert evaluate() == 2
    assert "whole tumour are regions of several values" in (said := capsys.readouterr().err)
    assert "say what the values mean by --classes, as names of 1, 2, ..." in said
    assert evaluate("--classes", "oedema,core") == 0


def test_voxels_of_255_are_told_and_left_out_once_they_are_named(place, capsys, caplog):
    unknown = label(0)
    unknown[:4] = 255
    save(place / "labels/c0.nii.gz", unknown)
    assert evaluate() == 0
    assert "value 255 beside smaller ones counts as a class" in caplog.text
    assert evaluate("--classes", "a,b") == 2
    assert '"ignore": 255' in capsys.readouterr().err
    (place / "ignoring.json").write_text(json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "ignore": 255}}))
    assert evaluate("--classes", "ignoring.json") == 0
    for path in ("preds/c0.nii.gz", "labels/c0.nii.gz"):
        array = np.asarray(nib.load(place / path).dataobj).copy()
        array[:4] = 0
        save(place / path, array)
    assert f"mean Dice {mean_dice(place):.3f}" in capsys.readouterr().out


def test_references_in_the_place_of_predictions_are_told(place, caplog):
    assert main(["evaluate", "labels", "--labels", "labels", "-o", "out"]) == 0
    assert "labels: every prediction is its reference, voxel for voxel" in caplog.text
    caplog.clear()
    assert evaluate() == 0
    assert "voxel for voxel" not in caplog.text


def test_a_report_among_the_predictions_does_not_stand_for_them(place, capsys):
    """Written there once, it was read ever after, whatever became of the predictions."""
    assert main(["evaluate", "preds", "--labels", "labels", "-o", "preds", "--pictures", "0"]) == 0
    before = mean_dice(place)
    assert f"mean Dice {before:.3f}" in capsys.readouterr().out
    for seed in range(2):
        save(place / f"preds/c{seed}.nii.gz", label(seed))
    assert evaluate() == 0
    assert before < mean_dice(place)
    assert f"mean Dice {mean_dice(place):.3f}" in capsys.readouterr().out
