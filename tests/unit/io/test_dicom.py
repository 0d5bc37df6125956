"""DICOM series, against NIfTI files of the same voxels and affine: written by pydicom, read by SimpleITK."""

import re

import nibabel as nib
import numpy as np
import pytest
from dicom_files import SERIES, change, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from adawac.errors import DataError
from adawac.io.dicom import read_series
from adawac.io.dicom_folder import series_files
from adawac.io.images import read_image
from adawac.io.steps import largest_cosine
from adawac.io.volumes import read_nifti, write_label_nifti


def affine_of(degrees: float = 0.0, step=(0.0, 0.0, 3.0), order=(0, 1, 2), flip=(-1, -1, 1)) -> np.ndarray:
    """Spacing 0.7 x 0.9 mm, slices a step apart, axes permuted, flipped and turned about two axes."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    columns = np.stack([[0.7, 0, 0], [0, 0.9, 0], step], axis=1)
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ (np.diag(flip) @ columns)[list(order)]
    affine[:3, 3] = (12.5, -70.25, 133.0)
    return affine


@pytest.fixture
def voxels():
    return np.random.default_rng(5).integers(-1000, 1500, (7, 6, 5)).astype(np.float32)


@pytest.mark.parametrize(
    "affine",
    [
        affine_of(),
        affine_of(degrees=19),
        affine_of(flip=(1, -1, -1)),
        affine_of(degrees=-33, order=(0, 2, 1)),  # coronal slices
        affine_of(degrees=8, order=(2, 0, 1), flip=(-1, 1, 1)),  # sagittal ones
        affine_of(step=(0.0, 1.1, 3.0)),  # the gantry is tilted
    ],
    ids=["plain", "oblique", "upside-down", "coronal", "sagittal", "tilted"],
)
def test_voxels_and_grid_are_those_of_the_nifti(voxels, affine, tmp_path):
    write_series(tmp_path / "series", voxels, affine)
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "same.nii.gz")
    found, due = read_image([tmp_path / "series"]), read_nifti(tmp_path / "same.nii.gz")
    assert found.array.dtype == np.float32
    assert np.array_equal(found.array, due.array)
    assert np.allclose(found.geometry.canonical_affine, due.geometry.canonical_affine, atol=1e-4)
    assert np.allclose(found.geometry.spacing, due.geometry.spacing, atol=1e-5)
    assert found.geometry.difference(due.geometry) is None

    label = (found.array[0] > 0).astype(np.uint8)
    write_label_nifti(tmp_path / "label.nii.gz", label, found.geometry)
    written = nib.load(tmp_path / "label.nii.gz")
    assert np.allclose(written.affine, found.geometry.affine, atol=1e-4)
    if written.header["qform_code"]:
        assert np.allclose(written.get_qform(), written.get_sform(), atol=1e-4)
    assert np.array_equal(read_nifti(tmp_path / "label.nii.gz").array[0], label)
    assert bool(written.header["qform_code"]) == (affine[1, 2] != affine_of(step=(0.0, 1.1, 3.0))[1, 2])


def signed(data, shift=-1024):
    """Of 12 bits, below 0 as well."""
    data.PixelData = ((data.pixel_array.astype(int) + shift).clip(-2048, 2047) & 0xFFF).astype("<u2").tobytes()
    data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 1


def overlaid(data):
    """Of 12 bits without a sign; in the others lies an overlay, as scanners of the nineties wrote it."""
    data.PixelData = (data.pixel_array.astype(int) | 0x8000).astype("<u2").tobytes()
    data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0


def inverse(data):
    """Its slope is below 0."""
    data.RescaleSlope, data.RescaleIntercept = "-1", "500"


def padded(data):
    """Its first row lies outside of the scan."""
    array = data.pixel_array.copy()
    array[0] = -2000
    data.add_new(0x00280120, "SS", -2000)
    data.PixelData = array.astype("<i2").tobytes()


@pytest.mark.parametrize("make", [signed, overlaid, inverse, padded])
@pytest.mark.parametrize("every", [1, 2])
def test_intensities_are_those_of_pydicom(voxels, tmp_path, make, every):
    """Of slices that are all stored so, or every second one."""
    files = write_series(tmp_path, voxels, affine_of())
    for path in files[::every]:
        data = dcmread(path)
        make(data)
        data.save_as(path)
    due = [apply_modality_lut(data.pixel_array, data) for data in map(dcmread, files)]
    found = read_image([tmp_path])
    np.testing.assert_array_equal(found.array[0], due)


def test_every_slice_has_its_own_slope(voxels, tmp_path):
    write_series(tmp_path, voxels, affine_of(), slope=0.37, intercept=-1000.5)
    nib.save(nib.Nifti1Image(voxels, affine_of()), tmp_path / "same.nii.gz")
    due = read_nifti(tmp_path / "same.nii.gz").array
    assert np.abs(read_series(series_files(tmp_path), tmp_path).array - due).max() <= 0.37 * 1.4 / 2 + 1e-3


def test_one_slice_is_a_volume(voxels, tmp_path):
    write_series(tmp_path, voxels[..., :1], affine_of())
    assert read_image([tmp_path]).array.shape == (1, 1, 6, 7)
    assert read_image([tmp_path]).geometry.spacing == (2.25, 0.9, 0.7)  # as thick as the file says


def test_of_one_slice_its_thickness_counts(voxels, tmp_path):
    (file,) = write_series(tmp_path, voxels[..., :1], affine_of())
    change(file, SliceThickness="4.5")
    assert read_image([tmp_path]).geometry.spacing == (4.5, 0.9, 0.7)
    change(file, SliceThickness=None)
    found = read_image([tmp_path])
    assert found.geometry.spacing == (1.0, 0.9, 0.7)
    assert "nothing says how thick it is" in found.notes[0]


@pytest.mark.parametrize(("thick", "step", "asked"), [(3, None, False), (1.5, None, True), (1.5, 3.0, False)])
def test_slices_further_apart_than_they_are_thick_are_asked_about(voxels, tmp_path, thick, step, asked):
    """Every second slice may be missing: steps are even all the same."""
    for path in write_series(tmp_path, voxels, affine_of()):
        change(path, SliceThickness=thick, **({} if step is None else {"SpacingBetweenSlices": step}))
    notes = " ".join(read_image([tmp_path]).notes)
    assert ("slices lie 3 mm apart but each is 1.5 mm thick: were slices left out?" in notes) == asked


def test_what_was_compressed_with_loss_is_said(voxels, tmp_path):
    files = write_series(tmp_path, voxels, affine_of())
    change(files[1], LossyImageCompression="01")
    assert "once compressed with loss" in " ".join(read_image([tmp_path]).notes)
    change(files[1], LossyImageCompression="00")
    assert read_image([tmp_path]).notes == ()


def test_a_rounded_orientation_is_taken_at_right_angles(voxels, tmp_path):
    files = write_series(tmp_path, voxels, affine_of(degrees=33))
    whole = read_image([tmp_path]).geometry
    for path in files:
        change(path, ImageOrientationPatient=[round(float(each), 2) for each in dcmread(path).ImageOrientationPatient])
    rounded = read_image([tmp_path]).geometry
    np.testing.assert_allclose(rounded.canonical_affine[:3, :3], whole.canonical_affine[:3, :3], atol=0.01)
    assert largest_cosine(rounded.canonical_affine[:3, 1:3]) < 1e-9


class TestRefusal:
    @pytest.fixture
    def files(self, voxels, tmp_path):
        return write_series(tmp_path, voxels, affine_of(degrees=10))

    def refused(self, folder) -> str:
        with pytest.raises(DataError) as error:
            read_image([folder])
        return str(error.value)

    def test_two_series(self, files, voxels, tmp_path):
        write_series(tmp_path / "b", voxels[..., :2], affine_of(), series=f"{SERIES}.77", description="scout")
        for path in (tmp_path / "b").iterdir():
            path.rename(tmp_path / f"other_{path.name}")
        said = self.refused(tmp_path)
        assert "one series but this has 2" in said
        assert f"{SERIES} (abdomen, 5 slices)" in said
        assert f"{SERIES}.77 (scout, 2 slices)" in said
        assert "move each into a folder of its own" in said

    def test_missing_slice(self, files, tmp_path):
        files[2].unlink()
        said = self.refused(tmp_path)
        assert f"slices are 1 missing between {files[1].name} and {files[3].name}: they lie 6 mm apart" in said

    def test_uneven_slices(self, files, tmp_path):
        moved = affine_of(degrees=10) @ [0, 0, 4.3, 1]
        change(files[4], ImagePositionPatient=[float(-moved[0]), float(-moved[1]), float(moved[2])])
        assert "slices are uneven between" in self.refused(tmp_path)
        moved = affine_of(degrees=10) @ [0, 0, 3.7, 1]
        change(files[4], ImagePositionPatient=[float(-moved[0]), float(-moved[1]), float(moved[2])])
        assert "must lie in even steps but these go from 2.1 to 3 mm" in self.refused(tmp_path)

    def test_slices_off_the_line(self, files, tmp_path):
        moved = affine_of(degrees=10) @ [1, 0, 2, 1]  # a pixel to the side
        change(files[2], ImagePositionPatient=[float(-moved[0]), float(-moved[1]), float(moved[2])])
        assert "straight line but are up to 0.7 mm off" in self.refused(tmp_path)

    def test_two_slices_at_one_place(self, files, tmp_path):
        (tmp_path / "again.dcm").write_bytes(files[1].read_bytes())
        said = self.refused(tmp_path)
        assert "lie at one place" in said
        assert "again.dcm" in said

    def test_scout_of_another_orientation(self, files, tmp_path):
        change(files[3], ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
        assert "share one orientation and pixel spacing" in self.refused(tmp_path)

    def test_slice_of_another_size(self, files, tmp_path):
        change(files[3], Columns=6, PixelData=b"\0\0" * 36)
        assert re.search(r"share one size but this has \(\d, 6\)", self.refused(tmp_path))

    def test_no_position(self, files, tmp_path):
        change(files[0], ImagePositionPatient=None)
        assert "its ImagePositionPatient is missing, so that its place" in self.refused(tmp_path)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PixelSpacing", None),
            ("PixelSpacing", [0, 0]),
            ("PixelSpacing", [0.7]),
            ("ImageOrientationPatient", [1, 0, 0]),
            ("ImageOrientationPatient", [0] * 6),
            ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.866, 0]),
        ],
    )
    def test_what_gdcm_would_make_something_up_for(self, files, tmp_path, name, value):
        """1 mm, or an axial slice."""
        for path in files:
            change(path, **{name: value})
        said = "missing" if value is None else str(value[0])
        assert re.search(rf"its {name} is {said}.*size in space is not known; export", self.refused(tmp_path))

    def test_decimal_commas(self, files, tmp_path):
        """Of which GDCM reads the parts: 0,9 is 0 or 9."""
        for path in files:
            path.write_bytes(path.read_bytes().replace(b"0.9\\0.7", b"0,9\\0,7"))
        assert "its PixelSpacing is 0,9\\0,7, so that" in self.refused(tmp_path)

    def test_decimal_commas_in_what_makes_intensities(self, voxels, tmp_path):
        for path in write_series(tmp_path, voxels, affine_of(), slope=1.0, intercept=-1000.5):
            path.write_bytes(path.read_bytes().replace(b"-1000.5", b"-1000,5"))
        assert "its RescaleIntercept is -1000,5, which makes no intensities" in self.refused(tmp_path)

    def test_a_slope_of_0(self, files, tmp_path):
        """GDCM takes 1 for it."""
        for path in files:
            change(path, RescaleSlope="0")
        assert "its RescaleSlope is 0, which makes no intensities" in self.refused(tmp_path)

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    def test_tables_that_make_intensities(self, files, tmp_path, syntax):
        """GDCM gives the stored values in their place."""
        for path in files:
            data, table = dcmread(path), Dataset()
            table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "HU"
            table["LUTDescriptor"].VR = "US"
            table.add_new(0x00283006, "OW", np.arange(4096, dtype="<u2").tobytes())
            data.ModalityLUTSequence = [table]
            data.file_meta.TransferSyntaxUID = syntax
            data.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        assert "a Modality LUT Sequence makes intensities of its values" in self.refused(tmp_path)

    def test_slices_of_two_patients_under_one_series(self, files, tmp_path):
        change(files[1], PatientID="another")
        said = self.refused(tmp_path)
        assert "its slices are of several patients" in said
        assert "another" not in said

    def test_slices_of_two_frames_of_reference(self, files, tmp_path):
        """The patient was laid anew in between: positions of the two parts do not fit together."""
        for path in files:
            change(path, FrameOfReferenceUID=f"{SERIES}.5")
        assert read_image([tmp_path]).array.shape == (1, 5, 6, 7)
        change(files[3], FrameOfReferenceUID=None)  # says nothing else
        assert read_image([tmp_path]).array.shape == (1, 5, 6, 7)
        change(files[4], FrameOfReferenceUID=f"{SERIES}.6")
        said = self.refused(tmp_path)
        assert re.search(r"its slices lie in 2 frames of reference \(.*3 such as IM", said)
        assert "move each into a folder of its own" in said

    def test_a_slice_that_alone_says_nothing_of_its_units(self, files, tmp_path):
        change(files[3], RescaleSlope=None, RescaleIntercept=None)
        assert re.search("has (a|no) rescale slope, unlike IM.*; export it again", self.refused(tmp_path))
        for path in (*files[:3], files[4]):
            change(path, RescaleSlope=None, RescaleIntercept=None)
        assert read_image([tmp_path]).array.shape == (1, 5, 6, 7)

    def test_several_frames(self, files, tmp_path):
        change(files[0], NumberOfFrames=2, PixelData=b"\0\0" * 84)
        assert "one slice a file is read" in self.refused(tmp_path)

    def test_colour(self, files, tmp_path):
        colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
        eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
        change(files[0], **colour, **eight, PixelData=b"\0" * 126)
        assert "in colour" in self.refused(tmp_path)

    def test_cut_short(self, files, tmp_path):
        files[1].write_bytes(files[1].read_bytes()[:-40])
        said = self.refused(tmp_path)
        assert f"{files[1].name}: not readable as a DICOM image" in said
        assert "copy it again" in said

    def test_empty_file(self, files, tmp_path):
        (tmp_path / "empty.dcm").write_bytes(b"")
        assert "empty.dcm: the file is empty" in self.refused(tmp_path)

    def test_corrupt_voxels(self, files, tmp_path):
        data = dcmread(files[2])
        data.file_meta.TransferSyntaxUID = JPEG2000Lossless
        data.PixelData = encapsulate([b"these are no voxels!"])
        data["PixelData"].VR = "OB"
        data.save_as(files[2])
        assert "its compressed pixels have no end" in self.refused(tmp_path)

    def test_no_image(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no image")
        assert "no DICOM image there; give the folder of a series" in self.refused(tmp_path)

    def test_too_large(self, files, tmp_path, monkeypatch):
        monkeypatch.setenv("ADAWAC_MAX_VOXELS", "100")
        assert "at most 1e+02 are read" in self.refused(tmp_path)
