"""`adawac evaluate` over another tool's predictions, number by number against medpy, MONAI and plain loops."""

import csv
import itertools
import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from medpy.metric import binary
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import gaussian_filter, shift
from scipy.spatial.transform import Rotation

from adawac.cli import evaluate

ORGANS = ("liver", "spleen")
IGNORE = 9
SHAPE = (15, 17, 11)
SPACING = np.array([0.9, 1.1, 3.1])  # no distance of theirs is the tolerance, 2 mm
RIGHT_ANGLED = ("straight", "flipped", "swapped", "oblique", "missed", "absent", "false_alarm")
STEPS = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])


def affine_of(columns):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, (-31.0, 17.0, 120.0)
    return affine


def grids():
    straight, tilt = np.diag(SPACING), np.eye(3)
    tilt[1, 2] = np.tan(np.radians(17))
    turned = Rotation.from_euler("xyz", [25, -10, 40], degrees=True).as_matrix()
    either = np.array([[1, 0.1, -0.2], [0, 1, 0.3], [0.1, 0, 1]])
    return {
        "straight": straight,
        "flipped": straight @ np.diag([-1, 1, -1]),
        "swapped": straight[:, [2, 0, 1]],
        "oblique": turned @ straight,
        "tilted": tilt @ straight,
        "tilted_oblique": turned @ tilt @ straight @ np.diag([1, -1, 1]),
        "sheared": either @ straight,
        "ignored": straight,
        "ignored_tilted": tilt @ straight,
        "missed": straight,
        "missed_tilted": tilt @ straight,
        "absent": straight,
        "false_alarm": straight,
        "hidden": tilt @ straight,
        "unlabelled": straight,
    }


def volumes(name, number):
    """Prediction and label in the order of a file: two organs, and one like them that lies a little off."""
    rng = np.random.default_rng(7 if name in ("straight", "flipped", "oblique") else number)
    fields = gaussian_filter(rng.normal(size=(3, *SHAPE)), (0, 2.5, 2.5, 1.2))
    fields /= fields.std()
    label = np.where(fields[0] > 1, 1, np.where(fields[1] > 1, 2, 0)).astype(np.uint8)
    preds = shift(np.where(fields[0] + 0.3 * fields[2] > 1, 1, np.where(fields[1] > 0.8, 2, 0)), (1, -1, 0), order=0)
    if name.startswith("ignored"):
        label[:, :, 4] = IGNORE
        label[6:10, 3:12, 6:] = IGNORE
    if name == "unlabelled":
        label[:] = IGNORE
    if name == "hidden":
        label[label == 2] = 0
        label[8:13, 8:13, 5:9] = IGNORE
        label[9:12, 9:12, 6:8] = preds[10, 10, 6] = 2
    if name.startswith("missed"):
        preds[preds == 2] = 0
    if name in ("absent", "false_alarm"):
        label[label == 2] = 0
    if name == "absent":
        preds[preds == 2] = 0
    return preds.astype(np.uint8), label


@pytest.fixture(scope="module")
def cases():
    return {name: (*volumes(name, i), affine_of(grid)) for i, (name, grid) in enumerate(grids().items())}


@pytest.fixture(scope="module")
def table(cases, tmp_path_factory):
    """What the command says of every case: (case, organ, metric) in all slices -> value."""
    root = tmp_path_factory.mktemp("evaluate")
    for folder in ("labels", "preds"):
        (root / folder).mkdir()
    names = {"background": 0, **{organ: k for k, organ in enumerate(ORGANS, start=1)}, "ignore": IGNORE}
    (root / "labels" / "dataset.json").write_text(json.dumps({"labels": names}))
    for name, (preds, label, affine) in cases.items():
        nib.save(nib.Nifti1Image(label, affine), root / "labels" / f"{name}.nii.gz")
        path = root / "preds" / f"{name}.nii.gz"
        if name in RIGHT_ANGLED:  # all that ITK can write as NIfTI
            columns = np.diag([-1, -1, 1]) @ affine[:3]
            image = sitk.GetImageFromArray(preds.T)
            image.SetSpacing(np.linalg.norm(columns[:, :3], axis=0).tolist())
            image.SetDirection((columns[:, :3] / np.linalg.norm(columns[:, :3], axis=0)).ravel().tolist())
            image.SetOrigin(columns[:, 3].tolist())
            sitk.WriteImage(image, path)
        else:  # its axes in another order than the label's
            nib.save(nib.Nifti1Image(preds, affine).as_reoriented([[2, 1], [0, -1], [1, 1]]), path)
    preds, labels = str(root / "preds"), str(root / "labels")
    assert evaluate.main([f"other={preds}", "--labels", labels, "-o", str(root / "out"), "--pictures", "0"]) == 0
    with (root / "out" / "cases.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] in ("all", "dense", "sparse", "ignored")]
    return {
        (
            row["case"],
            row["class"],
            row["metric"] if row["group"] == "all" else f"{row['group']} {row['metric']}",
        ): float(row["value"] or "nan")
        for row in rows
    }


def brute_force(preds, label, affine, k):
    """Metrics by their definitions: surface voxels one by one, distances between all pairs of them in mm."""
    ignored, surfaces = label == IGNORE, []
    for mask in ((preds == k) & ~ignored, (label == k) & ~ignored):
        solid = np.pad(mask | ignored, 1)  # beyond the volume is outside
        surface = [v for v in np.argwhere(mask) if not all(solid[tuple(v + 1 + step)] for step in STEPS)]
        surfaces.append(nib.affines.apply_affine(affine, np.array(surface)))
    between = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=2)
    one, other = between.min(1), between.min(0)
    both = np.concatenate([one, other])
    return {
        "hd95_mm": np.percentile(both, 95),
        "hd95_max_mm": max(np.percentile(one, 95), np.percentile(other, 95)),
        "hd_mm": both.max(),
        "assd_mm": both.mean(),
        "nsd_2mm": (both <= 2).mean(),
    }


def overlap(preds, label, k):
    counted = label != IGNORE
    return binary.dc((preds == k) & counted, (label == k) & counted)


def both_hold(preds, label, k):
    return ((preds == k) & (label != IGNORE)).any() and (label == k).any()


COMPARED = {"missed": 1, "missed_tilted": 1, "absent": 1, "false_alarm": 1, "hidden": 1, "unlabelled": 0}
"""Organs with a surface in both volumes, where they are not two."""


@pytest.mark.parametrize("name", list(grids()))
def test_every_grid_measures_as_the_definitions_say(table, cases, name):
    preds, label, affine = cases[name]
    assert table[name, "<any>", "voxel_mm3"] == pytest.approx(abs(np.linalg.det(affine[:3, :3])), rel=1e-6)
    compared = 0
    for k, organ in enumerate(ORGANS, start=1):
        if both_hold(preds, label, k) and (name, organ) != ("hidden", "spleen"):
            assert table[name, organ, "dice"] == pytest.approx(overlap(preds, label, k), abs=1e-9)
            for metric, value in brute_force(preds, label, affine, k).items():
                assert table[name, organ, metric] == pytest.approx(value, rel=1e-6), (organ, metric)
            compared += 1
    assert compared == COMPARED.get(name, 2)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("name", RIGHT_ANGLED)
def test_right_angled_grids_measure_as_medpy_and_monai_say(table, cases, name):
    preds, label, affine = cases[name]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for k, organ in enumerate(ORGANS, start=1):
        ours = {metric: value for (case, found, metric), value in table.items() if (case, found) == (name, organ)}
        masks = preds == k, label == k
        if both_hold(preds, label, k):
            pair = [torch.as_tensor(mask)[None, None] for mask in masks]
            monai = {"include_background": True, "spacing": spacing.tolist()}
            assert ours["hd95_mm"] == pytest.approx(binary.hd95(*masks, spacing), rel=1e-6)
            assert ours["assd_mm"] == pytest.approx(binary.assd(*masks, spacing), rel=1e-6)
            assert ours["hd95_max_mm"] == pytest.approx(
                compute_hausdorff_distance(*pair, percentile=95, **monai).item(), rel=1e-6
            )
            found = compute_surface_dice(*pair, [2.0], use_subvoxels=False, **monai).item()
            assert ours["nsd_2mm"] == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "dice", "in_diagonals"),
    [("missed", 0, 1), ("missed_tilted", 0, 1), ("false_alarm", 0, 1), ("absent", 1, 0)],
)
def test_a_missed_and_an_absent_organ_are_worth_what_the_policy_says(table, cases, name, dice, in_diagonals):
    affine = cases[name][2]
    corners = np.array(list(itertools.product(*[(-0.5, n - 0.5) for n in SHAPE])))
    corners = nib.affines.apply_affine(affine, corners)
    diagonal = np.linalg.norm(corners[:, None] - corners[None], axis=2).max()
    assert (table[name, "spleen", "dice"], table[name, "spleen", "nsd_2mm"]) == (dice, dice)
    for metric in ("hd95_mm", "hd95_max_mm", "hd_mm", "assd_mm"):
        assert table[name, "spleen", metric] == pytest.approx(in_diagonals * diagonal, rel=1e-6)


def test_a_flipped_or_turned_grid_measures_as_the_straight_one(table):
    straight = {(organ, metric): value for (case, organ, metric), value in table.items() if case == "straight"}
    assert {("liver", "hd95_mm"), ("spleen", "nsd_2mm"), ("<any>", "voxel_mm3")} <= straight.keys()
    for name in ("flipped", "oblique"):
        for (organ, metric), value in straight.items():
            if "dense" not in metric and "sparse" not in metric:  # which axis of the file is the axial one may differ
                assert table[name, organ, metric] == pytest.approx(value, rel=1e-6), (name, organ, metric)


@pytest.mark.parametrize("name", ["straight", "ignored", "ignored_tilted"])
def test_slices_are_dense_or_sparse_or_wholly_ignored(table, cases, name):
    _, label, _ = cases[name]
    ignored = int((label == IGNORE).all(axis=(0, 1)).sum())
    dense = int(((label > 0) & (label != IGNORE)).any(axis=(0, 1)).sum())
    assert ignored == (0 if name == "straight" else 1)
    found = [table[name, "<any>", metric] for metric in ("slices", "dense slices", "sparse slices", "ignored slices")]
    assert found == [SHAPE[2], dense, SHAPE[2] - dense - ignored, ignored]


def test_where_nothing_is_known_nothing_is_measured(table, cases):
    distances = ("hd95_mm", "hd95_max_mm", "hd_mm", "assd_mm", "nsd_2mm")
    preds, label, _ = cases["hidden"]
    assert table["hidden", "spleen", "dice"] == pytest.approx(overlap(preds, label, 2), abs=1e-9)
    assert np.isnan([table["hidden", "spleen", metric] for metric in distances]).all()
    for organ in ORGANS:
        for metric in (*distances, "dice", "iou", "recall", "precision", "volume_error", "missed", "false_alarm"):
            assert np.isnan(table["unlabelled", organ, metric]), metric
    assert table["unlabelled", "<any>", "ignored slices"] == table["unlabelled", "<any>", "slices"] == SHAPE[2]
    assert table["unlabelled", "<any>", "dense slices"] == table["unlabelled", "<any>", "sparse slices"] == 0
