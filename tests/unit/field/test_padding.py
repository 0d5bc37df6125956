"""Values of voxels that were not scanned: one or two of them, below all air or above all metal, in CT and in MR."""

import re

import nibabel as nib
import numpy as np
import pytest
from field_data import LPS, check, edit, folders, model, nnunet
from tiny_data import save_nifti

from adawac.data.image_rules import checked, said_of_empty_slices
from adawac.data.recognition import kind_of_values
from adawac.errors import DataError
from adawac.io.volumes import read_nifti
from adawac.types import IGNORE_INDEX

PLANE = np.hypot(*np.meshgrid(np.arange(32) - 15.5, np.arange(32) - 15.5)) > 15
OUTSIDE = np.broadcast_to(PLANE, (1, 12, 32, 32))
"""Of a round field of view: 31 % of the voxels."""


def scan(*padding: float) -> np.ndarray:
    """Air and soft tissue with noise, what lies outside padded; a second value stands in the upper half."""
    rng = np.random.default_rng(0)
    image = np.where(rng.random((1, 12, 32, 32)) < 0.5, -1000.0, 40.0) + rng.normal(0, 20, (1, 12, 32, 32))
    for number, value in enumerate(padding):
        image[OUTSIDE & (np.arange(12).reshape(1, 12, 1, 1) >= 6 * number)] = value
    return image.astype(np.float32)


@pytest.mark.parametrize(
    ("padding", "air"),
    [
        ((-2000, -1024), ()),
        ((-3024, -2000), ()),
        ((-2000, -3024), ()),
        ((-32768, -2000), (-32768,)),
        ((-32768, -1024), (-32768,)),
        ((32767,), (32767,)),
        ((65535,), (65535,)),
        ((-32768, 32767), (-32768, 32767)),
    ],
)
def test_of_ct_by_one_value_or_two(padding, air):
    image = scan(*padding)
    found, notes = checked(image, ["ct"])
    np.testing.assert_array_equal(found, np.where(np.isin(image, air), -1024, image))
    said = " and ".join(map(str, air))
    assert notes == (f"voxels of {said} are taken for padding, as air of -1024 HU",) * bool(air)
    assert kind_of_values(image) == "ct"


def test_of_which_edges_were_interpolated():
    image = scan(-32768)
    image[0, :, 0, :] = np.linspace(-32768, -1000, 32)  # 3 % of the voxels
    found, _ = checked(image, ["ct"])
    np.testing.assert_array_equal(found, np.where(image < -10000, -1024, image))


def test_metal_up_to_the_largest_number_is_none():
    image = scan()
    image[0, 3, 4, :8] = [3000, 9000, 16000, 21000, 30000, 32767, 32767, 32767]
    found, notes = checked(image, ["ct"])
    np.testing.assert_array_equal(found, image)
    assert notes == ()


def test_a_few_damaged_voxels_are_none():
    image = scan()
    image[0, 3, 4, :2] = 1e6
    with pytest.raises(DataError, match="which no Hounsfield units do"):
        checked(image, ["ct"])


@pytest.mark.parametrize("value", [3071, 4095, 20000])
def test_that_may_be_metal_is_said(value):
    found, notes = checked(scan(value), ["ct"])
    np.testing.assert_array_equal(found, scan(value))
    (note,) = notes
    assert re.fullmatch(rf"\d+ % of voxels are {value}, the highest: if that is padding, write -1024 there", note)
    windowed = np.clip(scan(), -160, 240)
    assert checked(windowed, ["ct"])[1] == ()


@pytest.mark.parametrize("padding", [(-2000, -1500.5, -1700), (-5000, -4000, -3000)])
def test_three_values_are_no_padding(padding):
    image = scan(padding[0])
    for number, value in enumerate(padding):
        image[:, 4 * number : 4 * number + 4][OUTSIDE[:, :4]] = value
    with pytest.raises(DataError, match="which no Hounsfield units do"):
        checked(image, ["ct"])


def test_the_same_on_every_way(tmp_path):
    """Training, prediction, and what says which kind it is."""
    root = nnunet(tmp_path / "data")
    path = root / "imagesTr/case_01_0000.nii.gz"
    edit(path, lambda image: np.where(image < -900, 32767, image))
    edit(path, lambda image: np.where(np.arange(6) < 2, np.where(image == 32767, -32768, image), image))
    found = check(root)
    said = "voxels of -32768 and 32767 are taken for padding, as air of -1024 HU"
    assert (found.problems, found.notes) == ((), (f"case case_01: {said}",))
    assert model().classify(read_nifti(path)).notes == (said,)


def test_of_mr_is_said_and_makes_no_ct_of_it(tmp_path):
    root = folders(tmp_path / "data")
    for path in sorted((root / "images").iterdir()):
        edit(path, lambda image: np.abs(image) % 900)
    assert check(root).notes == ()
    edit(path, lambda image: np.where(np.arange(16)[:, None, None] < 2, -1024, image))
    found = check(root)
    assert found.fingerprint.modality == "mr"
    (note,) = found.notes
    assert note.startswith("case case_03: 12 % of voxels are -1024, far from all others (")
    assert "write the least of these there, for intensities are normalised by all voxels" in note
    edit(path, lambda image: np.where(image == -1024, 32767, image))
    assert "12 % of voxels are 32767, far from all others" in check(root).notes[0]
    assert kind_of_values(np.clip(scan(), -1024, 1000)) == "ct"


def test_of_channels_the_one_is_named(tmp_path):
    image = np.concatenate([scan(), scan(-1000)])
    image[1] = np.where(image[1] == -1000, -1000, np.abs(image[1]))
    save_nifti(tmp_path / "a.nii.gz", image)
    _, notes = checked(image, ["ct", "mr"])
    assert re.match(r"3\d % of voxels of channel 1 are -1000, far from all others", notes[0])


def test_an_offset_that_was_left_out():
    """Raw numbers of a scanner, filtered, so that a few of them are below 0."""
    image = scan() + 1024
    image[image < 100] -= 30
    _, notes = checked(image, ["ct"])
    assert "none is air, and 50 %" in notes[0]
    assert (
        "of voxels lie between 850 and 1250 HU, as soft tissue does where the offset of -1024 was left out" in notes[0]
    )
    assert checked(image - 1024, ["ct"])[1] == ()


class TestEmptySlices:
    """Slices that a copy or an export lost, and in whose place one value stands, while their label is there."""

    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("offset", [0, 1200])
    def test_they_are_said(self, tmp_path, axis, offset):
        root = folders(tmp_path / "data", 3)
        rng = np.random.default_rng(0)
        for path in (root / "images").iterdir():
            noise = rng.normal(offset, 300, (32, 32, 32)) - 1000 * (not offset)
            nib.save(nib.Nifti1Image(noise.astype(np.int16), LPS), path)
            label = np.zeros((32, 32, 32), np.uint8)
            label[8:24, 8:24, 8:24] = 1
            label[24:28, 8:24, 8:24] = 2
            nib.save(nib.Nifti1Image(label, LPS), root / f"labels/{path.name}")
        assert check(root).notes == ()

        def lose(image):
            np.moveaxis(image, axis, 0)[20:] = 0
            return image

        edit(root / "images/case_01.nii.gz", lose)
        (note,) = check(root).notes
        held = np.moveaxis(label, axis, 0).any(axis=(1, 2))
        lost = f"{held[20:].sum()} of {held.sum()} slices that hold classes show nothing, as all of their voxels are 0"
        assert note == f"case case_01: {lost}: is a part of the scan missing?"

        edit(root / "labels/case_01.nii.gz", lose, np.uint8)  # nothing is said of padding
        assert check(root).notes == ()

    def test_of_the_channel_that_lost_them(self, tmp_path):
        rng = np.random.default_rng(0)
        image = rng.normal(size=(2, 6, 16, 16)).astype(np.float32)
        image[1, :2] = 5
        label = np.ones((6, 16, 16), np.uint8)
        (said,) = said_of_empty_slices(image, label)
        assert said.startswith(
            "2 of 6 slices that hold classes show nothing, as all of their voxels of channel 1 are 5"
        )
        label[:2] = IGNORE_INDEX
        assert said_of_empty_slices(image, label) == []
        image[1] = 5  # a sequence that was not scanned
        assert said_of_empty_slices(image, np.ones_like(label)) == []
