"""Factors in headers that turn values upside down or make labels fractional; classes along an axis of their own."""

import gzip
import re
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from dicom_files import change, write_series
from field_data import LPS, check, folders, header, volumes
from pydicom import dcmread
from pydicom.pixels import apply_rescale
from tiny_data import make_case, save_nifti

from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.io.images import read_image
from adawac.io.volumes import as_label, read_nifti


def scale(path: Path, slope: float, intercept: float = 0.0) -> None:
    """Write a factor into the header, which nibabel would take into the voxels."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = struct.pack("<ff", slope, intercept)
    path.write_bytes(gzip.compress(bytes(content)))


def test_a_factor_below_0_is_said(tmp_path):
    root = folders(tmp_path / "data", 6)
    scale(path := root / "images/case_01.nii.gz", -2.0, 5.0)
    volume = read_nifti(path)
    assert "its scl_slope is -2, which turns values upside down" in volume.notes[0]
    np.testing.assert_array_equal(volume.array[0], SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    assert any("case_01" in note and "scl_slope is -2" in note for note in check(root).notes)
    scale(path, 2.0)
    assert read_nifti(path).notes == ()


def test_of_dicom_too(tmp_path):
    array = volumes(1)["case_00"][0][0].T
    files = write_series(tmp_path / "ct", array, LPS)
    for path in files:
        change(path, RescaleSlope="-1", RescaleIntercept="300")
    volume = read_image([tmp_path / "ct"])
    assert "its RescaleSlope is below 0" in volume.notes[0]
    first = dcmread(files[0])
    np.testing.assert_array_equal(volume.array[0, 0], apply_rescale(first.pixel_array, first))


def test_labels_that_are_all_below_0_are_the_reason(tmp_path):
    root = folders(tmp_path / "data")
    for path in (root / "labels").iterdir():
        scale(path, -1.0)
    problems = check_problems(root)
    assert len(problems) == 4
    assert re.search(
        r"case case_00: label values \[-2, -1\] lie below 0.*scl_slope is -1.*; write a value above 0", problems[0]
    )


def check_problems(root: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as refused:
        check(root)
    return refused.value.problems


@pytest.mark.parametrize("factor", [0.5, 0.9882])
def test_labels_of_a_factor(tmp_path, factor):
    root = folders(tmp_path / "data")
    for path in (root / "labels").iterdir():
        scale(path, factor)
    (problem, *_) = check_problems(root)
    assert f"as all are multiples of {factor}, set the header's factor (scl_slope) to 1 if it is that" in problem


def test_probabilities_keep_their_remedy(tmp_path):
    values = np.random.default_rng(0).uniform(0, 1, (8, 8, 9)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, LPS), tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="if they are probabilities"):
        as_label(read_nifti(tmp_path / "a.nii.gz"), "a")


@pytest.mark.parametrize("axis", [0, -1])
def test_the_remedy_for_an_axis_of_classes_makes_the_label(tmp_path, axis):
    """In one step, whichever axis it is: what the message says is done, and the label is the one before."""
    image, label = make_case(np.random.default_rng(0), (10, 48, 48))
    save_nifti(tmp_path / "images/a.nii.gz", image[0])
    classes = np.stack([k == label.T for k in range(3)], axis).astype(np.uint8)
    (tmp_path / "labels").mkdir()
    nib.save(nib.Nifti1Image(classes, LPS), tmp_path / "labels/a.nii.gz")
    (problem,) = check_problems(tmp_path)
    said = re.search(r"classes write array\.argmax\((-?\d)\), where the first class is the background", problem)
    mended = classes.argmax(int(said[1])).astype(np.uint8)
    nib.save(nib.Nifti1Image(mended, LPS), tmp_path / "labels/a.nii.gz")
    layout = Folders()
    (case,) = layout.scan(tmp_path).cases
    np.testing.assert_array_equal(layout.read_label(case).array[0], label)


def test_channels_that_are_no_classes_are_not_taken_for_them(tmp_path):
    """Nor are layers of a segmentation: without one of the background the first would be taken for it."""
    layers = np.stack([volumes(1)["case_00"][1] == k for k in (1, 2)]).astype(np.uint8)
    save_nifti(tmp_path / "a.nii.gz", layers)
    with pytest.raises(DataError, match=r"export one label map a case$"):
        as_label(read_nifti(tmp_path / "a.nii.gz"), "a")


def test_a_factor_of_0_is_none(tmp_path):
    """As the standard has it: values are as stored."""
    save_nifti(path := tmp_path / "a.nii.gz", np.arange(6 * 16 * 16, dtype=np.int16).reshape(6, 16, 16))
    header(path, lambda head: None)
    scale(path, 0.0, 7.0)
    np.testing.assert_array_equal(read_nifti(path).array[0], np.arange(6 * 16 * 16).reshape(6, 16, 16))
    assert read_nifti(path).notes == ()


@pytest.mark.parametrize(("low", "share"), [(-1024, 0.5), (-40, 0.02)])
def test_numbers_below_0_that_were_stored_without_a_sign(tmp_path, low, share):
    """As numpy casts them: CT is then taken for MR, and MR a little below 0 is normalised by its wrong end."""
    root = folders(tmp_path / "data", 4)
    rng = np.random.default_rng(0)
    for path in (root / "images").iterdir():
        values = np.where(
            rng.random((16, 16, 6)) < share, rng.integers(low, 0, (16, 16, 6)), rng.integers(0, 900, (16, 16, 6))
        )
        nib.save(nib.Nifti1Image(values.astype(np.int16).astype(np.uint16), LPS), path)
    said = [note for note in check(root).notes if "stored without a sign: if they are, subtract 65536 there" in note]
    assert [note.partition(":")[0] + ":" for note in said] == [f"case case_0{i}:" for i in range(4)]
    for path in (root / "images").iterdir():
        stored = np.asarray(nib.load(path).dataobj).astype(np.int32)
        nib.save(nib.Nifti1Image(np.where(stored > 49152, stored - 65536, stored).astype(np.int16), LPS), path)
    assert not any("without a sign" in note for note in check(root).notes)


@pytest.mark.parametrize("make", [lambda v: v * 65, lambda v: np.where(v > 800, 65535, v), lambda v: v // 30 + 64000])
def test_large_numbers_that_are_meant_so(tmp_path, make):
    """A full range, padding of one value, and all voxels bright."""
    root = folders(tmp_path / "data", 4)
    for number, path in enumerate((root / "images").iterdir()):
        values = np.random.default_rng(number).integers(0, 1000, (16, 16, 6))
        nib.save(nib.Nifti1Image(make(values).astype(np.uint16), LPS), path)
    assert not any("without a sign" in note for note in check(root).notes)
