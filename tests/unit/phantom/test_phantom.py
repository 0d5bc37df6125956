import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from adawac.cli.phantom import main
from adawac.errors import ConfigError
from adawac.phantom import ORGANS, generate, render

SIZE = (24, 64, 64)
AORTA, GALLBLADDER, LEFT_KIDNEY, RIGHT_KIDNEY, LIVER, PANCREAS, SPLEEN, STOMACH = range(1, 9)


@pytest.fixture(scope="module")
def patients():
    return [render(seed=0, patient=patient, size=SIZE) for patient in range(8)]


@pytest.fixture(scope="module")
def patient():
    return render(seed=1, patient=0, size=(48, 128, 128))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("phantom") / "ct", patients=4, size=SIZE, seed=3)


def test_generate_writes_msd_structure(folder: Path):
    description = json.loads((folder / "dataset.json").read_text())
    assert description["modality"] == {"0": "CT"}
    assert description["labels"] == {str(i): name for i, name in enumerate(("background", *ORGANS))}
    assert description["numTraining"] == len(description["training"]) == 4
    for pair in description["training"]:
        image, label = nib.load(folder / pair["image"]), nib.load(folder / pair["label"])
        assert image.shape == label.shape == SIZE[::-1]
        assert image.get_data_dtype() == np.int16
        assert label.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(image.affine, label.affine)


@pytest.mark.parametrize(("count", "sizes"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (5, (3, 1, 1))])
def test_splits_are_disjoint_and_filled(tmp_path: Path, count: int, sizes: tuple[int, int, int]):
    generate(tmp_path, patients=count, size=(8, 32, 32))
    splits = json.loads((tmp_path / "splits.json").read_text())
    assert tuple(len(splits[name]) for name in ("train", "val", "test")) == sizes
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (tmp_path / "imagesTr").iterdir())
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == cases


def test_files_hold_what_render_returns(folder: Path):
    image, label, affine = render(seed=3, patient=2, size=SIZE)
    on_disk = nib.load(folder / "imagesTr" / "phantom_002.nii.gz")
    np.testing.assert_array_equal(np.asarray(on_disk.dataobj).T, image)
    np.testing.assert_array_equal(np.asarray(nib.load(folder / "labelsTr" / "phantom_002.nii.gz").dataobj).T, label)
    np.testing.assert_allclose(on_disk.affine, affine, rtol=1e-6)


def test_affine_puts_left_on_the_left(folder: Path):
    label = nib.as_closest_canonical(nib.load(folder / "labelsTr" / "phantom_000.nii.gz"))
    assert nib.aff2axcodes(label.affine) == ("R", "A", "S")
    voxels = np.asarray(label.dataobj)
    mean = {value: np.argwhere(voxels == value).mean(axis=0) for value in range(1, 9)}
    # RAS: the first axis grows towards the patient's right.
    assert mean[LIVER][0] > mean[SPLEEN][0]
    assert mean[RIGHT_KIDNEY][0] > mean[LEFT_KIDNEY][0]
    assert mean[STOMACH][1] > mean[LEFT_KIDNEY][1]  # anterior of it
    assert mean[LIVER][2] > mean[RIGHT_KIDNEY][2]  # superior of it


def test_spacing_fits_a_field_of_view_of_a_body(patients):
    for image, _, affine in patients:
        z, y, x = np.abs(np.diag(affine))[2::-1] * image.shape
        assert 340 <= x == y <= 400
        assert 225 <= z <= 255


def test_spacing_can_be_given():
    _, _, affine = render(0, 0, (8, 32, 32), spacing_mm=(5.0, 3.0, 2.0))
    np.testing.assert_allclose(np.diag(affine), [-2, -3, 5, 1])


def test_same_arguments_same_patient():
    first, again = render(5, 1, (8, 32, 32)), render(5, 1, (8, 32, 32))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("seed", "number"), [(5, 2), (6, 1)])
def test_other_seed_or_number_is_another_patient(seed: int, number: int):
    _, label, _ = render(5, 1, (8, 32, 32))
    assert (render(seed, number, (8, 32, 32))[1] != label).any()


def test_size_changes_sampling_not_anatomy():
    _, coarse, _ = render(0, 0, (12, 36, 36))
    _, fine, _ = render(0, 0, (36, 108, 108))
    centres = fine[1::3, 1::3, 1::3]
    overlap = 2 * ((coarse > 0) & (coarse == centres)).sum() / ((coarse > 0).sum() + (centres > 0).sum())
    assert overlap > 0.99


def test_every_patient_has_every_organ(patients):
    for number, (_, label, _) in enumerate(patients):
        counts = np.bincount(label.ravel(), minlength=9)
        assert (counts > 0).all(), f"patient {number} lacks {[ORGANS[i - 1] for i in np.flatnonzero(counts == 0)]}"
        assert counts[LIVER] == counts[1:].max()


def test_ends_are_free_of_organs(patients):
    dense = np.array([(label > 0).any(axis=(1, 2)) for _, label, _ in patients])
    assert not dense[:, [0, 1, -2, -1]].any()
    assert 0.5 < dense.mean() < 0.65
    # One block without holes: from the first dense slice to the last.
    assert (np.abs(np.diff(dense.astype(int), axis=1)).sum(axis=1) == 2).all()


@pytest.mark.parametrize(
    ("organ", "low", "high"),
    [
        (AORTA, 138, 172),
        (GALLBLADDER, 2, 25),
        (LEFT_KIDNEY, 125, 182),
        (RIGHT_KIDNEY, 125, 182),
        (LIVER, 97, 126),
        (PANCREAS, 84, 116),
        (SPLEEN, 106, 134),
    ],
)
def test_organs_have_the_hounsfield_units_of_portal_venous_ct(patient, organ: int, low: float, high: float):
    image, label, _ = patient
    inside = binary_erosion(label == organ, np.ones((1, 3, 3)))
    assert low < np.median(image[inside]) < high


def test_body_holds_air_lung_fat_muscle_and_bone(patient):
    image, label, _ = patient
    assert image.dtype == np.int16
    assert image.min() >= -1024
    assert image.max() <= 1500
    unlabelled = image[label == 0]
    shares = {
        "air": ((unlabelled < -930).mean(), 0.3),
        "lung": (((unlabelled > -900) & (unlabelled < -780)).mean(), 0.03),
        "fat": (((unlabelled > -130) & (unlabelled < -70)).mean(), 0.05),
        "muscle": (((unlabelled > 30) & (unlabelled < 90)).mean(), 0.05),
        "bone": ((unlabelled > 250).mean(), 0.005),
    }
    assert {name for name, (share, least) in shares.items() if share < least} == set()


def test_organs_cannot_be_told_by_thresholds(patient):
    image, label, _ = patient
    low, high = np.percentile(image[label == LIVER], [5, 95])
    like_liver = (image > low) & (image < high)
    assert (label[like_liver] == LIVER).mean() < 0.6


def test_contrast_differs_between_patients(patients):
    assert np.std([np.median(image[label == LIVER]) for image, label, _ in patients]) > 2


@pytest.mark.parametrize("size", [(8, 32, 32), (10, 33, 70), (30, 90, 40)])
def test_odd_sizes(size: tuple[int, int, int]):
    image, label, _ = render(0, 0, size)
    assert image.shape == label.shape == size
    assert label.max() == STOMACH


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"patients": 0}, "patients must be at least 1, not 0; three or more"),
        ({"size": (8, 16, 32)}, r"size .* not \(8, 16, 32\); try 48 128 128"),
        ({"spacing_mm": (5.0, 0.0, 3.0)}, r"spacing_mm .* not \(5.0, 0.0, 3.0\); try 5 3 3"),
        ({"seed": -1}, "seed must not be negative, but is -1; choose 0 or more"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, wrong: dict[str, object], remedy: str):
    arguments = {"patients": 1, "size": (8, 32, 32), **wrong}
    with pytest.raises(ConfigError, match=remedy):
        generate(tmp_path / "ct", **arguments)
    assert not (tmp_path / "ct").exists()


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match=r"is not empty, .*; empty it or choose another folder"):
        generate(tmp_path, patients=1)
    with pytest.raises(ConfigError, match=r"mine.txt is a file, .*; choose another name"):
        generate(tmp_path / "mine.txt", patients=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_command_writes_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "ct"
    assert main([str(out), "--patients", "2", "--size", "8", "32", "40", "--seed", "7"]) == 0
    assert f"adawac init {out}" in capsys.readouterr().out
    image = np.asarray(nib.load(out / "imagesTr" / "phantom_001.nii.gz").dataobj)
    np.testing.assert_array_equal(image.T, render(7, 1, (8, 32, 40))[0])


def test_command_refuses_what_is_not_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "ct"), "--patients", "many"])
    assert "--patients: invalid int value: 'many'" in capsys.readouterr().err
