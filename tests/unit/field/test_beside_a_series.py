"""DICOM files that say little of themselves, and what lies beside the slices of a series."""

from pathlib import Path

import numpy as np
import pytest
from dicom_files import SERIES, change, write_series
from field_data import LPS, check, volumes
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.pixels import apply_rescale
from tiny_data import save_nifti

from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.io.dicom_folder import is_dicom, series_files
from adawac.io.image_cases import find_images
from adawac.io.images import read_image

SCREEN = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "ct", volumes(1)["case_00"][0][0].T, LPS)


def headless(path: Path, implicit: bool) -> None:
    """Write a file anew without ending and preamble; implicit: without the part about the file as well."""
    content = path.read_bytes()[132:]
    if implicit:
        stream = DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, True
        write_dataset(stream, Dataset(dcmread(path)))
        content = stream.getvalue()
    path.unlink()
    path.with_name(f"S{path.stem}").write_bytes(content)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("number", [1, 6])
def test_without_ending_and_preamble(series, implicit, number):
    """One that was left out would have been missing between the others."""
    folder = series[0].parent
    expected = np.stack([apply_rescale(dcmread(path).pixel_array, dcmread(path)) for path in series])
    for path in series[:number]:
        headless(path, implicit)
    assert all(map(is_dicom, folder.iterdir()))
    np.testing.assert_array_equal(read_image([folder]).array[0], expected)
    assert list(find_images(folder)) == ["ct"]


@pytest.mark.parametrize(
    "content",
    [
        np.array([8, 22, 9, 0, 1, 2, 3, 0], "<i2").tobytes(),  # voxels of an .img or .raw file
        np.array([2, 1, 0, 0, 2, 16], "<i2").tobytes(),
        b"{}",
        b"\x00\x00\x00\x01Bud1",
        b"",
    ],
)
def test_what_only_begins_so_is_none(tmp_path, content):
    (tmp_path / "a.raw").write_bytes(content)
    assert not is_dicom(tmp_path / "a.raw")


def beside(series: list[Path], name: str, **values) -> None:
    """A further file, of the first slice, with other elements."""
    data = dcmread(series[0])
    data.SOPInstanceUID = f"{SERIES}.99.{len(name)}"
    for key, value in values.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.save_as(series[0].with_name(name))


def test_scouts_and_screens_are_passed_over_and_named(series):
    folder = series[0].parent
    expected = read_image([folder]).array
    sideways = [1, 0, 0, 0, 0, -1]
    beside(series, "scout.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=sideways)
    beside(series, "screen.dcm", SOPClassUID=SCREEN, SeriesInstanceUID=f"{SERIES}.2", ImagePositionPatient=None)
    for number, private in enumerate(("1.3.12.2.1107.5.9.1", "1.2.840.10008.5.1.4.1.1.4.2"), start=3):
        beside(series, f"{number}.dcm", SOPClassUID=private, SeriesInstanceUID=f"{SERIES}.{number}", PixelData=None)
    volume = read_image([folder])
    np.testing.assert_array_equal(volume.array, expected)
    assert "ct: not read: scout.dcm, screen.dcm, which are scouts or pictures of a screen" in volume.notes[0]
    assert set(series_files(folder)) == set(series)


def test_a_series_of_screens_alone_is_read(series):
    """Some converters call every slice one."""
    expected = read_image([series[0].parent]).array
    for path in series:
        change(path, SOPClassUID=SCREEN)
    volume = read_image([series[0].parent])
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.notes == ()


def test_another_series_is_not_guessed_away(series):
    beside(series, "mpr.dcm", ImageType=["DERIVED", "SECONDARY", "MPR"], SeriesInstanceUID=f"{SERIES}.2")
    with pytest.raises(DataError, match="a folder holds one series but this has 2"):
        read_image([series[0].parent])


class TestFolders:
    def test_series_further_down_are_found_by_what_is_told(self, tmp_path):
        """As TCIA hands them out: patient, study, series."""
        for number, (name, (image, label)) in enumerate(volumes(4).items()):
            write_series(
                tmp_path / f"images/{name}/01-2008-NA/3.0-NA-{number}", image[0].T, LPS, series=f"{SERIES}.{number}"
            )
            save_nifti(tmp_path / f"labels/{name}.nii.gz", label)
        with pytest.raises(DataError, match=r"name those within folders by a pattern, such as (\S+)$") as told:
            check(tmp_path)
        pattern = str(told.value).rpartition(" ")[2]
        assert not check(tmp_path, layout=Folders(pattern)).problems

    def test_labels_that_are_pictures(self, tmp_path):
        """As CHAOS hands them out."""
        for number, (image, _) in enumerate(volumes(2).values()):
            write_series(tmp_path / f"{number}/DICOM_anon", image[0].T, LPS, series=f"{SERIES}.{number}")
            (tmp_path / f"{number}/Ground").mkdir()
            (tmp_path / f"{number}/Ground/liver_GT_000.png").write_bytes(b"\x89PNG")
        with pytest.raises(DataError, match=r"Ground: no image lies there; .* write all slices of a scan as one NIfTI"):
            check(tmp_path, layout=Folders("*/DICOM_anon", "*/Ground"))

    def test_structure_sets_in_place_of_labels(self, tmp_path):
        for number, (name, (image, _)) in enumerate(volumes(3).items()):
            files = write_series(tmp_path / f"images/{name}", image[0].T, LPS, series=f"{SERIES}.{number}")
            beside(files, "rs.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", PixelData=None)
            (tmp_path / "labels").mkdir(exist_ok=True)
            (tmp_path / f"images/{name}/rs.dcm").rename(tmp_path / f"labels/{name}.dcm")
        with pytest.raises(DataError, match=r"is DICOM, which labels are not read from; convert it to NIfTI"):
            check(tmp_path)
