"""Labels that are turned, swapped or shifted beside a right header: told by the other cases, and never falsely."""

import nibabel as nib
import numpy as np
import pytest
from field_data import check, edit, folders, msd, volumes
from tiny_data import save_nifti

from adawac.data.arrangement import places


def told(root) -> dict[str, str]:
    return {found.topic: found.found for found in check(root).recognised}


@pytest.fixture
def root(tmp_path):
    return msd(tmp_path / "data", 9)


@pytest.mark.parametrize("axis", [0, 2])
def test_mirrored(root, axis):
    """Along x, where the two classes lie side by side; along z they lie at one height, so that nothing is known."""
    assert "arrangement" not in told(root)
    edit(root / "labelsTr/case_03.nii.gz", lambda label: np.flip(label, axis), np.uint8)
    assert ("arrangement" in told(root)) == (axis == 0)
    if axis == 0:
        assert "others: case_03 (a and b, right and left): is the label mirrored" in told(root)["arrangement"]


def test_values_swapped(tmp_path):
    root = msd(tmp_path / "data", 9, labels={"0": "background", "1": "kidney_left", "2": "kidney_right"})
    edit(root / "labelsTr/case_05.nii.gz", lambda label: np.array([0, 2, 1])[label], np.uint8)
    assert "case_05 (kidney_left and kidney_right, right and left)" in told(root)["arrangement"]


def test_a_header_that_turns_image_and_label(root):
    for folder in ("imagesTr", "labelsTr"):
        path = root / folder / "case_02.nii.gz"
        image = nib.load(path)
        affine = image.affine @ np.diag([-1, 1, 1, 1])
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    assert "case_02 (a and b, right and left)" in told(root)["arrangement"]


def test_few_cases_tell_nothing(tmp_path):
    root = msd(tmp_path / "data", 7)
    edit(root / "labelsTr/case_03.nii.gz", np.flipud, np.uint8)
    assert "arrangement" not in told(root)


def test_another_orientation_on_disk_is_none(root):
    """Array and affine turned alike, as other tools store them."""
    for folder in ("imagesTr", "labelsTr"):
        path = root / folder / "case_02.nii.gz"
        nib.save(nib.as_closest_canonical(nib.load(path)), path)
    assert not {"arrangement", "air"} & told(root).keys()


def test_shifted_into_air(tmp_path):
    root = folders(tmp_path / "data", 4)
    assert "air" not in told(root)
    image, label = volumes(4)["case_01"]
    save_nifti(
        root / "images/case_01.nii.gz", np.where(np.roll(label, 8, axis=2) > 0, -1000, image[0]).astype(np.int16)
    )
    edit(root / "labels/case_01.nii.gz", lambda label: np.roll(label, 8, axis=0), np.uint8)
    assert told(root)["air"].startswith("where classes lie in case_01, unlike in others: is the label shifted")


def test_places_are_those_of_scipy():
    from scipy.ndimage import center_of_mass

    label = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    found = places(np.nonzero(label), label[label > 0].astype(np.uint8), 5)
    due = center_of_mass(np.ones_like(label), label, [1, 2, 3])
    np.testing.assert_allclose(found[0, 1:4], due, rtol=1e-5)
    assert np.isnan(found[:, [0, 4]]).all()
    np.testing.assert_allclose(found[1, 2], np.std(np.nonzero(label == 2), axis=1) + 0.5, rtol=1e-5)
