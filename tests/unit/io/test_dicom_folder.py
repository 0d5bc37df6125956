"""Which files of a folder are slices of a series, found by what they are; what else lies there is named."""

import nibabel as nib
import numpy as np
import pytest
from dicom_files import change, write_series
from pydicom.uid import UID

from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.io.dicom import read_series
from adawac.io.dicom_folder import is_dicom, series_files
from adawac.io.images import files_of, read_image

GRID = np.diag([-0.7, -0.9, 3.0, 1.0])


@pytest.fixture
def voxels():
    return np.random.default_rng(5).integers(-1000, 1500, (7, 6, 5)).astype(np.float32)


def structure_set(file) -> bytes:
    """A slice that says it is a structure set."""
    copied = file.with_name("copied")
    copied.write_bytes(file.read_bytes())
    change(copied, SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.481.3"))
    raw = copied.read_bytes()
    copied.unlink()
    return raw.replace(b"1.2.840.10008.5.1.4.1.1.2\x00", b"1.2.840.10008.5.1.4.1.1.481.3\x00", 1)


def test_files_are_found_by_what_they_are(voxels, tmp_path):
    files = write_series(tmp_path, voxels, GRID)
    (tmp_path / "notes.txt").write_text("x" * 200)
    (tmp_path / "short").write_text("DICM")
    (tmp_path / ".hidden.dcm").write_bytes(files[0].read_bytes())
    (tmp_path / "folder.dcm").mkdir()
    structures = tmp_path / "RS.dcm"
    structures.write_bytes(structure_set(files[0]))
    assert is_dicom(structures)
    assert files_of(tmp_path) == tuple(sorted(files))
    assert len(read_image(files_of(tmp_path)).array[0]) == 5


@pytest.mark.parametrize("place", ["labels/ct_1.dcm", "labels/ct_1/structures.dcm"])
def test_labels_in_dicom_are_named_with_what_to_do(place, voxels, tmp_path):
    (slice_file, *_) = write_series(tmp_path / "images/ct_1", voxels, GRID)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes(slice_file.read_bytes())
    assert Folders().matches(tmp_path)
    with pytest.raises(
        DataError, match=r"^case ct_1: \S+ is DICOM, which labels are not read from; convert it to NIfTI"
    ):
        Folders().scan(tmp_path)


def test_a_series_without_slices_is_named(voxels, tmp_path):
    (tmp_path / "images/ct_1").mkdir(parents=True)
    (tmp_path / "images/ct_1/RS.dcm").write_bytes(structure_set(write_series(tmp_path / "ct", voxels, GRID)[0]))
    (tmp_path / "labels").mkdir()
    nib.save(nib.Nifti1Image(np.uint8(voxels > 0), GRID), tmp_path / "labels/ct_1.nii.gz")
    with pytest.raises(DataError, match="ct_1 holds DICOM files but no slice; copy the series there"):
        Folders().scan(tmp_path)


def test_slices_a_folder_deeper_are_named(tmp_path):
    folder = tmp_path / "series"
    files = write_series(folder, np.zeros((4, 4, 5)) + np.arange(5), GRID)
    assert read_series(series_files(folder), folder).notes == ()
    (folder / "more").mkdir()
    (folder / "notes").mkdir()
    files[-1].rename(folder / "more" / files[-1].name)
    volume = read_series(series_files(folder), folder)
    assert volume.array.shape == (1, 4, 4, 4)
    assert volume.notes == (f"{folder}: not read: more, in which further DICOM files lie",)
