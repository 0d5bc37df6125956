import json
import math
import re

import nibabel as nib
import numpy as np
import pytest
from tiny_data import (
    make_case,
    save_nifti,
    write_acdc_slices,
    write_acdc_volumes,
    write_folders,
    write_msd,
    write_nnunet,
    write_synapse,
)

from adawac.cli.shown_data import show
from adawac.data.fingerprint import Fingerprint, measure, suggest_window
from adawac.data.layouts import detect
from adawac.data.naming import side_pairs
from adawac.errors import DataError


def fingerprint(root):
    layout = detect(root)
    collection = layout.scan(root)
    measured, problems = measure(layout, collection, collection.cases)
    assert not problems
    return Fingerprint.of_measured(collection, list(measured.values()))


def rewrite(path, edit):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(edit(np.asarray(image.dataobj).copy()), image.affine), path)


def test_counts_and_shares_are_those_of_the_labels(tmp_path):
    found = fingerprint(write_msd(tmp_path, cases=3, shape=(9, 16, 16)))
    rng = np.random.default_rng(0)
    labels = [make_case(rng, (9, 16, 16))[1] for _ in range(3)]

    assert (found.num_cases, found.num_slices) == (3, 27)
    for value, facts in enumerate(found.classes, start=1):
        masks = [label == value for label in labels]
        assert facts.cases == 3
        assert facts.voxels == sum(mask.sum() for mask in masks)
        assert facts.slices == sum(mask.any(axis=(1, 2)).sum() for mask in masks)
    dense = np.stack([label.any(axis=(1, 2)) for label in labels])
    assert found.dense == pytest.approx(dense.mean())
    assert found.dense_thirds == pytest.approx([dense[:, i : i + 3].mean() for i in (0, 3, 6)])
    assert found.dense_thirds[1] == 1 > found.dense_thirds[0]


def test_a_volume_that_is_turned_round_has_its_thirds_turned_round(tmp_path):
    """Of 20 slices, which three parts do not divide: the lowest ten are labelled in one, the highest in the other."""
    thirds = []
    for name, held in (("low", slice(0, 10)), ("high", slice(10, 20))):
        write_msd(tmp_path / name, cases=2, shape=(20, 16, 16))
        for path in sorted((tmp_path / name / "labelsTr").iterdir()):

            def halved(label, held=held):
                kept = np.zeros_like(label)
                kept[:, :, held] = 1
                return kept

            rewrite(path, halved)
        thirds.append(fingerprint(tmp_path / name).dense_thirds)
    assert thirds[0] == pytest.approx((1, 0.5, 0))
    assert thirds[1] == pytest.approx(thirds[0][::-1])


def test_wholly_ignored_slices_are_counted_apart(tmp_path, capsys):
    write_msd(tmp_path, cases=3, shape=(9, 16, 16))
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    dataset["labels"]["9"] = "ignore"
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))

    def ignore(label):
        label[:, :, :4] = 9  # the first third, and a slice of the second
        label[:, :9, 6] = 9  # half of a slice
        return label

    for path in sorted((tmp_path / "labelsTr").iterdir()):
        rewrite(path, ignore)
    found = fingerprint(tmp_path)
    assert (found.num_slices, found.ignored) == (27, 12)
    labels = np.stack([nib.load(path).get_fdata() for path in sorted((tmp_path / "labelsTr").iterdir())])
    dense = ((labels > 0) & (labels != 9)).any(axis=(1, 2))
    assert found.dense == pytest.approx(dense[:, 4:].mean())
    thirds = [math.nan, dense[:, 4:6].mean(), dense[:, 6:].mean()]  # of the first nothing is known
    assert found.dense_thirds == pytest.approx(thirds, nan_ok=True)
    show(found, "tiny")
    said = capsys.readouterr().out
    assert re.search(r"wholly ignored +12 of 27 slices", said)
    assert re.search(rf"label-dense +{100 * found.dense:.0f} % of the others", said)


def test_grid_and_names(tmp_path):
    write_msd(tmp_path, cases=2)
    image, label = make_case(np.random.default_rng(5), (10, 16, 24))
    save_nifti(tmp_path / "imagesTr/pt_2.nii.gz", image[0], spacing=(5.0, 0.9, 0.6))
    save_nifti(tmp_path / "labelsTr/pt_2.nii.gz", label, spacing=(5.0, 0.9, 0.6))
    found = fingerprint(tmp_path)
    assert found.shape.median == (8, 16, 20)
    assert (found.shape.low, found.shape.high) == ((6, 16, 16), (10, 16, 24))
    assert found.spacing.median == pytest.approx((4.0, 0.9, 0.7))
    assert found.channels == ("CT",)
    assert found.side_pairs == {"left_kidney": "right_kidney"}


def test_intensities_of_small_volumes_and_classes_are_exact_percentiles(tmp_path):
    """Voxels that are few are taken as they are: drawn with replacement, a third of them would be missing."""
    found = fingerprint(write_msd(tmp_path, cases=2, shape=(8, 32, 32)))
    rng = np.random.default_rng(0)
    images, labels = (np.stack(arrays) for arrays in zip(*(make_case(rng, (8, 32, 32)) for _ in range(2)), strict=True))
    (percentiles,) = found.intensities
    got = [percentiles.low, percentiles.median, percentiles.high]
    assert got == pytest.approx(np.percentile(images, [0.5, 50, 99.5]))
    for k, facts in enumerate(found.classes, start=1):
        assert facts.intensities == pytest.approx(np.percentile(images[:, 0][labels == k], [5, 95]))


def test_the_same_data_have_the_same_fingerprint(tmp_path):
    root = write_msd(tmp_path, cases=4, shape=(8, 48, 48))
    assert fingerprint(root) == fingerprint(root)


def test_every_channel_has_percentiles(tmp_path):
    found = fingerprint(write_nnunet(tmp_path, cases=2, channels=2))
    first, second = found.intensities
    assert second.median - first.median == pytest.approx(50, abs=15)


@pytest.mark.parametrize("write", [write_synapse, write_acdc_slices, write_acdc_volumes])
def test_layouts_without_a_grid_have_no_spacing_and_no_window(tmp_path, write):
    found = fingerprint(write(tmp_path))
    assert (found.spacing, found.window, found.modality) == (None, None, "prescaled")
    assert found.intensities[0].low >= 0
    assert found.intensities[0].high <= 1


def test_only_intensities_that_show_air_are_taken_for_hounsfield_units(tmp_path):
    root = write_folders(tmp_path, cases=2)
    assert fingerprint(root).modality == "ct"
    for path in (root / "images").iterdir():
        rewrite(path, lambda array: (array + 1000).astype(np.int16))
    found = fingerprint(root)
    assert (found.modality, found.window) == ("mr", None)
    for path in (root / "images").iterdir():
        rewrite(path, lambda array: np.clip(array / 2000, 0, 1).astype(np.float32))
    assert fingerprint(root).modality == "prescaled"


def test_channels_called_ct_are_believed(tmp_path):
    root = write_msd(tmp_path, cases=2)
    for path in (root / "imagesTr").iterdir():
        rewrite(path, lambda array: array.clip(-100))
    assert fingerprint(root).modality == "ct"


def test_a_window_holds_the_typical_class_and_is_not_stretched_by_one_bone():
    soft = [(0, 40), (-90, 60), (10, 80), (-20, 50)]
    low, high = suggest_window(soft)
    assert low < -100
    assert high > 140
    assert low % 5 == high % 5 == 0
    with_bone = suggest_window([*soft, (50, 1400)])
    assert with_bone[1] - with_bone[0] < 1.2 * (high - low)


def test_bad_cases_are_told_from_sound_ones(tmp_path):
    root = write_msd(tmp_path, cases=4)
    (root / "imagesTr/pt_2.nii.gz").write_bytes(b"no image")
    rewrite(root / "labelsTr/pt_4.nii.gz", lambda array: array + 7)
    layout = detect(root)
    collection = layout.scan(root)
    measured, problems = measure(layout, collection, collection.cases)
    assert list(measured) == ["pt_1", "pt_3"]
    assert "copy it again" in problems["pt_2"]
    assert "name them in" in problems["pt_4"]


def test_labels_that_are_all_background_are_refused(tmp_path):
    root = write_msd(tmp_path, cases=2)
    for path in (root / "labelsTr").iterdir():
        rewrite(path, np.zeros_like)
    with pytest.raises(DataError, match=r"none of 2 labels holds a voxel .* right ones"):
        fingerprint(root)


def test_data_without_labels_are_refused(tmp_path):
    layout = detect(write_msd(tmp_path, cases=2))
    with pytest.raises(DataError, match=r"no case has a label.*add label files"):
        Fingerprint.of_measured(layout.scan(tmp_path), [])


def test_a_class_that_no_case_holds_is_counted_as_such(tmp_path):
    root = write_msd(tmp_path, cases=2)
    for path in (root / "labelsTr").iterdir():
        rewrite(path, lambda array: array * (array != 2))
    facts = fingerprint(root).classes[1]
    assert (facts.cases, facts.slices, facts.voxels, facts.intensities) == (0, 0, 0, None)


def test_progress_is_shown_by_the_caller(tmp_path):
    totals = []

    def track(cases, total):
        totals.append(total)
        return cases

    layout = detect(write_msd(tmp_path, cases=3))
    collection = layout.scan(tmp_path)
    measure(layout, collection, collection.cases, track)
    assert totals == [3]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("left_kidney", "right_kidney"),
        ("RightParotid", "LeftParotid"),
        ("Kidney Left", "Kidney Right"),
        ("parotid_l", "parotid_r"),
        ("OpticNerve_R", "OpticNerve_L"),
        ("LParotid", "RParotid"),
        ("Glnd_Submand_Lt", "Glnd_Submand_Rt"),
        ("leftlung", "rightlung"),
        ("ctx-lh-cuneus", "ctx-rh-cuneus"),
        ("Left-Lateral-Ventricle", "Right-Lateral-Ventricle"),
    ],
)
def test_pairs_of_sides(one, other):
    assert side_pairs(["aorta", one, "spleen", other]) == {one: other}


@pytest.mark.parametrize(
    "names",
    [
        ["LV", "RV"],
        ["left ventricle", "right ventricle"],
        ["heart_atrium_left", "heart_atrium_right"],
        ["liver_left", "liver_right"],
        ["left_kidney", "kidney"],
        ["left_kidney", "right_adrenal"],
        ["color", "collar"],
        ["tumour", "Tumour"],
        ["upright", "upleft1"],
    ],
)
def test_names_that_are_no_pairs(names):
    assert side_pairs(names) == {}
