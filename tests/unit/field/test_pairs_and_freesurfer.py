"""NIfTI in two files, as SPM and FSL write it, and volumes of FreeSurfer: read by the rules of NIfTI, or refused."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from field_data import check, folders, msd, nnunet

from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.evaluation.references import References
from adawac.io.image_cases import find_images
from adawac.io.images import files_of, read_image

AFFINE = np.array([[0.48, 0.72, 0, 12], [-0.64, 0.54, 0, -7], [0, 0, 3, 100], [0, 0, 0, 1.0]])
VOXELS = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
GOOD_RAS, TYPE, VOXELS_AT = 28, 20, 284
"""Where these stand in a header of FreeSurfer."""


def convert(root: Path, ending: str) -> Path:
    """Write all files of a data set anew, by nibabel."""
    kind = nib.MGHImage if ending.startswith(".mg") else nib.Nifti1Pair
    for path in [*root.rglob("*.nii.gz")]:
        image = nib.load(path)
        nib.save(kind(np.asarray(image.dataobj), image.affine), str(path).replace(".nii.gz", ending))
        path.unlink()
    return root


@pytest.mark.parametrize("ending", [".hdr", ".img.gz", ".mgz", ".mgh"])
def test_a_data_set_is_that_of_nifti(tmp_path, ending):
    due = folders(tmp_path / "nifti")
    root = convert(folders(tmp_path / "data"), ending)
    assert check(root).problems == ()
    layout = Folders()
    cases = layout.scan(root).cases
    assert [case.id for case in cases] == [case.id for case in layout.scan(due).cases]
    for mine, its in zip(cases, layout.scan(due).cases, strict=True):
        image, expected = layout.read_image(mine), layout.read_image(its)
        np.testing.assert_array_equal(image.array, expected.array)
        np.testing.assert_array_equal(layout.read_label(mine).array, layout.read_label(its).array)
        assert image.geometry.difference(expected.geometry) is None
    assert check(root).notes == ()
    assert [*find_images(root / "images")] == [*References.of_folder(root / "labels").cases]


def test_freesurfer_in_the_layout_of_nnunet(tmp_path):
    root = convert(nnunet(tmp_path / "data", channels=("T1", "T2"), file_ending=".mgz"), ".mgz")
    assert check(root).problems == ()


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ending", [".hdr", ".HDR", ".hdr.gz"])
def test_pairs_are_read_as_itk_reads_them(tmp_path, kind, order, ending):
    sitk = pytest.importorskip("SimpleITK")
    image = kind(VOXELS.astype(f"{order}i2"), AFFINE, kind.header_class(endianness=order))
    image.header.set_data_dtype(f"{order}i2")
    nib.save(image, tmp_path / f"a{ending.lower()}")
    for path in list(tmp_path.iterdir()) * ending.isupper():
        path.rename(tmp_path / path.name.upper())
    path = next(tmp_path.glob("[aA].[hH]*"))
    volume = read_image([path])
    assert [each.name.lower() for each in files_of(path)] == ["a.hdr", "a.img"] or ending == ".hdr.gz"
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "due.nii")
    due = read_image([tmp_path / "due.nii"])
    np.testing.assert_array_equal(volume.array, due.array)
    np.testing.assert_allclose(volume.geometry.affine, AFFINE, atol=1e-5)
    if kind is nib.Nifti1Pair and ending == ".hdr":
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), VOXELS.T)


def test_the_factor_and_the_place_of_voxels_are_those_of_the_header(tmp_path):
    image = nib.Nifti1Pair(VOXELS, AFFINE)
    nib.save(image, tmp_path / "a.hdr")
    header = bytearray((tmp_path / "a.hdr").read_bytes())
    header[108:120] = struct.pack("<fff", 16, 0.5, -3)  # vox_offset, scl_slope, scl_inter
    (tmp_path / "a.hdr").write_bytes(header)
    (tmp_path / "a.img").write_bytes(bytes(16) + (tmp_path / "a.img").read_bytes())
    read = read_image([tmp_path / "a.hdr"])
    nib.save(nib.Nifti1Image(0.5 * VOXELS.astype(np.float32) - 3, AFFINE), tmp_path / "due.nii")
    np.testing.assert_array_equal(read.array, read_image([tmp_path / "due.nii"]).array)


@pytest.mark.parametrize("kind", [nib.AnalyzeImage, nib.Spm99AnalyzeImage])
def test_analyze_is_refused_with_the_reason(tmp_path, kind):
    root = convert(folders(tmp_path / "data"), ".hdr")
    nib.save(kind(np.ones((16, 16, 6), np.int16), np.diag([-0.8, 0.9, 3, 1])), root / "images/case_01.hdr")
    (problem,) = check(root).problems
    assert "case case_01: " in problem
    assert "Analyze 7.5, which does not say which side is left; convert it to NIfTI" in problem


class TestOddPairs:
    @pytest.fixture
    def path(self, tmp_path):
        nib.save(nib.Nifti1Pair(VOXELS, AFFINE), tmp_path / "a.hdr")
        return tmp_path / "a.hdr"

    def refused(self, path, what):
        with pytest.raises(DataError, match=what):
            read_image([path])

    def test_without_voxels(self, path):
        path.with_suffix(".img").unlink()
        assert files_of(path) == (path,)
        self.refused(path, r"a header without its voxels, a\.img; put that file beside it")

    def test_with_two_files_of_voxels(self, path):
        path.with_name("a.img.gz").write_bytes(gzip.compress(path.with_suffix(".img").read_bytes()))
        self.refused(path, r"a\.img and a\.img\.gz may be its voxels; keep one of them")

    def test_with_voxels_that_are_packed_alone(self, path):
        voxels = path.with_suffix(".img")
        due = read_image([path]).array
        path.with_name("a.img.gz").write_bytes(gzip.compress(voxels.read_bytes()))
        voxels.unlink()
        np.testing.assert_array_equal(read_image([path]).array, due)

    def test_cut_short(self, path):
        voxels = path.with_suffix(".img")
        voxels.write_bytes(voxels.read_bytes()[:-2])
        self.refused(path, "cut short or corrupt .*; copy it again")

    def test_a_header_of_something_else(self, path):
        path.write_text("ENVI\nsamples = 512\nlines = 512\n" * 20)
        self.refused(path, "this is no header of NIfTI; convert the image to .nii.gz")

    def test_a_single_file_that_is_called_so(self, path):
        nib.save(nib.Nifti1Image(VOXELS, AFFINE), path.with_suffix(".nii"))
        path.with_suffix(".nii").rename(path)
        self.refused(path, "it holds its voxels itself: rename it to a.nii")

    def test_a_header_that_is_called_a_single_file(self, path):
        path.rename(path.with_suffix(".nii"))
        self.refused(path.with_suffix(".nii"), r"a file beside it \(.img\): rename both to .hdr, .img")


def test_voxels_that_are_named_in_the_place_of_their_header(tmp_path):
    """In a list, where they were taken for slices of DICOM, and to predict; what nothing reads is said to be that."""
    names = [(f"./imagesTr/case_{i:02d}.img", f"./labelsTr/case_{i:02d}.hdr") for i in range(4)]
    listed = [{"image": image, "label": label} for image, label in names]
    root = convert(msd(tmp_path / "data", training=listed), ".hdr")
    problems = [each for each in check(root).problems if each.startswith("case ")]
    assert len(problems) == 4
    assert problems[0].endswith("case_00.img: nothing reads files that end so: give its header, case_00.hdr")
    with pytest.raises(DataError, match=r"no image there.*\(not read: give its header, case_01\.hdr\)"):
        find_images(root / "imagesTr/case_01.img")
    (root / "imagesTr/case_02.hdr").unlink()
    with pytest.raises(DataError, match=r"case_02\.img: nothing reads .*: add their headers"):
        read_image([root / "imagesTr/case_02.img"])


def test_a_single_file_that_calls_itself_a_pair(tmp_path):
    """As some converters write it, and nibabel reads it."""
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "a.nii")
    due = read_image([tmp_path / "a.nii"]).array
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[344:347] = b"ni1"
    (tmp_path / "a.nii").write_bytes(raw)
    np.testing.assert_array_equal(read_image([tmp_path / "a.nii"]).array, due)


class TestFreeSurfer:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "a.mgh"

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
    @pytest.mark.parametrize("frames", [1, 3])
    def test_voxels_and_grid_are_those_of_nibabel(self, path, dtype, frames):
        stored = np.stack([VOXELS * k for k in range(1, frames + 1)], -1).astype(dtype)[
            ..., 0 if frames == 1 else slice(None)
        ]
        nib.save(nib.MGHImage(stored, AFFINE), path)
        volume, due = read_image([path]), nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(due.dataobj), due.affine), path.with_suffix(".nii"))
        expected = read_image([path.with_suffix(".nii")])
        np.testing.assert_array_equal(volume.array, expected.array)
        assert (volume.array.dtype, volume.notes) == (dtype, ())
        np.testing.assert_allclose(volume.geometry.affine, due.affine, atol=1e-6)

    def test_packed_or_not_whatever_its_name_says(self, path):
        nib.save(nib.MGHImage(VOXELS, AFFINE), path)
        other = path.with_suffix(".mgz")
        other.write_bytes(path.read_bytes())
        np.testing.assert_array_equal(read_image([other]).array, read_image([path]).array)

    def change(self, path, place, content):
        nib.save(nib.MGHImage(VOXELS, AFFINE), path)
        raw = bytearray(path.read_bytes())
        raw[place : place + len(content)] = content
        path.write_bytes(raw)

    def test_without_an_orientation(self, path):
        """As FreeSurfer takes it: coronal slices."""
        self.change(path, GOOD_RAS, struct.pack(">h", 0))
        volume = read_image([path])
        assert "its header has no orientation: which side is left is a guess" in volume.notes[0]
        assert nib.aff2axcodes(volume.geometry.affine) == ("L", "I", "A")

    @pytest.mark.parametrize(
        ("place", "content", "what"),
        [
            (0, struct.pack(">i", 2), "no volume of FreeSurfer; convert it to .nii.gz"),
            (TYPE, struct.pack(">i", 9), r"FreeSurfer's type 9, .*\(mri_convert -odt float\)"),
            (4, struct.pack(">i", -5), "no axis may have a negative size"),
            (4, struct.pack(">i", 0), "no axis may be empty"),
            (4, struct.pack(">3i", 30000, 30000, 30000), r"claims 2\.7e\+13 voxels"),
            (4, struct.pack(">i", 6), "cut short or corrupt .*; copy it again"),
            (GOOD_RAS + 2, struct.pack(">3f", 800, 900, 3000), "voxels are 8.* mm .*; correct the header"),
            (GOOD_RAS + 2, struct.pack(">3f", 0, 1, 1), "must be finite and invertible"),
        ],
    )
    def test_what_makes_no_sense(self, path, place, content, what):
        self.change(path, place, content)
        with pytest.raises(DataError, match=what):
            read_image([path])

    def test_a_bit_that_flipped(self, path):
        nib.save(nib.MGHImage(VOXELS, AFFINE), packed := path.with_suffix(".mgz"))
        raw = bytearray(packed.read_bytes())
        raw[len(raw) // 2] ^= 1
        packed.write_bytes(raw)
        with pytest.raises(DataError, match="copy it again"):
            read_image([packed])

    def test_nifti_that_is_called_so(self, path):
        nib.save(nib.Nifti1Image(VOXELS, AFFINE), path.with_suffix(".nii.gz"))
        path.with_suffix(".nii.gz").rename(path)
        with pytest.raises(DataError, match=r"the file is gzipped NIfTI.*; rename it to a\.nii\.gz"):
            read_image([path])

    def test_frames_that_are_times(self, path):
        image = nib.MGHImage(np.stack([VOXELS] * 3, -1), AFFINE)
        image.header["tr"] = 2000
        nib.save(image, path)
        assert "it holds 3 volumes, 2000 ms apart, which are read as channels" in read_image([path]).notes[0]


def test_the_subjects_of_freesurfer_are_read_as_it_is_proposed(tmp_path):
    root = tmp_path / "subjects"
    made = convert(folders(tmp_path / "data"), ".mgz")
    for i in range(4):
        (root / f"sub{i}/mri").mkdir(parents=True)
        (made / f"images/case_{i:02d}.mgz").rename(root / f"sub{i}/mri/T1.mgz")
        (made / f"labels/case_{i:02d}.mgz").rename(root / f"sub{i}/mri/aseg.mgz")
    with pytest.raises(DataError, match=r"--layout\.images 'sub\*/mri/T1\.mgz' --layout\.labels 'sub\*/mri/aseg\.mgz'"):
        check(root)
    found = check(root, layout=Folders("sub*/mri/T1.mgz", "sub*/mri/aseg.mgz"))
    assert (sorted(found.measured), found.problems) == ([str(i) for i in range(4)], ())
