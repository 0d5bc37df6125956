"""Headers that converters write: what they say of the grid is believed, or refused; never made up."""

import gzip
import re
import struct

import nibabel as nib
import numpy as np
import pytest
from field_data import check, folders

from adawac.errors import DataError
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti

PIXDIM, OFFSET, CODES, QUATERNION = 80, 108, 252, 256
"""Where these stand in a NIfTI-1 header."""


def patch(path, place: int, content: bytes) -> None:
    """Change bytes of a header, which nibabel would repair as it writes."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[place : place + len(content)] = content
    path.write_bytes(gzip.compress(bytes(raw)))


class TestHeaders:
    @pytest.fixture
    def scan(self, tmp_path):
        return folders(tmp_path / "data", 1) / "images/case_00.nii.gz"

    def test_a_size_of_voxels_that_is_not_there_is_not_1_mm(self, scan):
        patch(scan, CODES, struct.pack("<2h", 0, 0))
        patch(scan, PIXDIM, struct.pack("<3f", 0, 0, 0))
        with pytest.raises(
            DataError, match=r"does not say how large voxels are: pixdim is 0 x 0 x 0; write the spacing"
        ):
            read_nifti(scan)

    def test_neither_qform_nor_sform_is_noted(self, scan):
        patch(scan, CODES, struct.pack("<2h", 0, 0))
        volume = read_nifti(scan)
        assert volume.geometry.spacing == (3.0, 0.9, 0.8)
        assert "neither qform nor sform: which side is left is a guess" in volume.notes[0]

    def test_sizes_below_0_are_read_without_a_word(self, scan, capfd):
        before = read_nifti(scan)
        patch(scan, PIXDIM, struct.pack("<f", -0.8))
        after = read_nifti(scan)
        np.testing.assert_array_equal(after.array, before.array)
        assert (after.geometry.spacing, after.notes) == (before.geometry.spacing, ())
        assert "".join(capfd.readouterr()) == ""

    def test_a_quaternion_that_is_none(self, scan):
        patch(scan, CODES, struct.pack("<2h", 1, 0))
        patch(scan, QUATERNION, struct.pack("<f", 5))
        with pytest.raises(DataError, match="the quaternion of its qform is no rotation"):
            read_nifti(scan)

    def test_voxels_that_begin_within_the_header(self, scan):
        """Programs differ by where they then begin to read."""
        patch(scan, OFFSET, struct.pack("<f", 0))
        with pytest.raises(DataError, match="voxels begin at byte 0, but headers end between 352 and"):
            read_nifti(scan)

    def test_cut_within_the_header(self, scan):
        scan.write_bytes(gzip.compress(gzip.decompress(scan.read_bytes())[:200]))
        with pytest.raises(DataError, match=r"cut short .*; copy it again"):
            read_nifti(scan)


GRID = "space directions: (1,0.1,0) (0.2,2,0) (0,0,3)\nspace origin: (10,20,30)"


class TestHeadersOfItk:
    """Of what is wrong with one file no other case hears."""

    @pytest.fixture
    def root(self, tmp_path):
        sitk = pytest.importorskip("SimpleITK")
        root = folders(tmp_path / "data")
        path = root / "images/case_01.nii.gz"
        image = sitk.GetImageFromArray(np.asarray(nib.load(path).dataobj).T)
        image.SetSpacing((0.8, 0.9, 3.0))
        path.unlink()
        sitk.WriteImage(image, str(path).replace(".nii.gz", ".mhd"))
        sitk.WriteImage(image, str(root / "case_01.nrrd"))
        return root

    @pytest.mark.parametrize(
        ("ending", "old", "new", "what"),
        [
            (".mhd", "case_01.raw", "other.raw", "the header names 'other.raw'; restore that file"),
            (".mhd", "NDims = 3", "NDims = 4", "it must have NDims = 3"),
            (".mhd", "ElementSpacing", "Comment", "three numbers above 0, but says nothing; write the spacing"),
            (".mhd", "CompressedData", "ElementToIntensityFunctionSlope = 2\nCompressedData", "by a slope of 2 and"),
            (".mhd", "ElementSpacing = 0.", "ElementSpacing = -0.", "three numbers above 0, but says '-0.8"),
            (".mhd", "ElementSpacing = 0.", "ElementSpacing = 0,", "three numbers above 0, but says '0,8"),
            (
                ".nrrd",
                "encoding: raw",
                "encoding: bzip2",
                "stored as bzip2, but raw and gzip are read; export it anew",
            ),
            (".nrrd", "space directions", "#", "three numbers above 0, but says nothing; write the spacing"),
        ],
    )
    def test_all_cases_are_looked_at(self, root, ending, old, new, what):
        path = root / f"images/case_01{ending}"
        if ending == ".nrrd":
            (root / "case_01.nrrd").rename(path)
            (root / "images/case_01.mhd").unlink()
            (root / "images/case_01.raw").unlink()
        content = path.read_bytes()
        assert old.encode() in content
        path.write_bytes(content.replace(old.encode(), new.encode()))
        found = check(root)
        assert sorted(found.measured) == ["case_00", "case_02", "case_03"]
        assert len(found.problems) == 1
        assert found.problems[0].startswith("case case_01: ")
        assert what in found.problems[0]

    @pytest.mark.parametrize("space", ["space dimension: 3", "space: scanner-xyz", "space: 3D-right-handed"])
    def test_a_space_that_knows_no_left(self, root, space):
        """ITK takes it for that of DICOM."""
        content = (root / "case_01.nrrd").read_bytes()
        for name, said in (("case_04", b"space: left-posterior-superior"), ("case_05", space.encode())):
            assert b"space: left-posterior-superior" in content
            made = content.replace(b"space: left-posterior-superior", said)
            (root / f"images/{name}.nrrd").write_bytes(made)
        assert read_image([root / "images/case_04.nrrd"]).notes == ()
        assert "which side is left is a guess" in read_image([root / "images/case_05.nrrd"]).notes[0]

    @pytest.mark.parametrize(
        "lines",
        [
            *(f"space: {space}\n{GRID}" for space in ("RAS", "las", "left-posterior-superior", "3D-left-handed")),
            f"space dimension: 3\n{GRID}".replace("(10,20,30)", "(nan,nan,nan)"),
            "spacings: 1 2 3",
            *(f"spacings: 1 2 3\naxis mins: 10 20 30\ncenters: {each} cell ???" for each in ("node", "cell")),
        ],
    )
    def test_the_grid_of_nrrd_is_that_of_itk(self, tmp_path, lines):
        path = tmp_path / "a.nrrd"
        head = f"NRRD0005\ntype: uint8\ndimension: 3\n{lines}\nsizes: 2 3 4\nencoding: raw\n\n"
        path.write_bytes(head.encode() + bytes(range(24)))
        self.compare(path)

    @pytest.mark.parametrize("size", ["ElementSpacing = 1 2 3\nElementSize = 1 2 3", "ElementSize = 1 2 3"])
    @pytest.mark.parametrize("matrix", ["", "TransformMatrix = 0 1 0 -1 0 0 0.1 0 1", "Rotation = 0 0 -1 0 1 0 1 0 0"])
    @pytest.mark.parametrize("origin", ["", "Offset = 4 5 6", "Position = -4 5 6.5"])
    def test_the_grid_of_metaimage_is_that_of_itk(self, tmp_path, size, matrix, origin):
        path = tmp_path / "a.mha"
        grid = "\n".join(filter(None, (size, matrix, origin)))
        path.write_bytes(
            f"ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 2 3 4\n{grid}\n"
            "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode()
            + bytes(range(24))
        )
        self.compare(path)

    @pytest.mark.parametrize("offset", ["a b c", "1 2", "nan 0 0", "0,5 1 2"])
    def test_no_place_is_guessed(self, root, offset):
        path = root / "images/case_01.mhd"
        path.write_bytes(re.sub(rb"(?m)^Offset = .*$", f"Offset = {offset}".encode(), path.read_bytes()))
        with pytest.raises(DataError, match=r"case_01.mhd: (the file is unreadable|the affine must be finite)"):
            read_image([path])

    @staticmethod
    def compare(path):
        """What the formats' own library says, mirrored to RAS."""
        itk = pytest.importorskip("SimpleITK").ReadImage(str(path))
        columns = np.reshape(itk.GetDirection(), (3, 3)) * itk.GetSpacing()
        found = read_image([path]).geometry.affine
        np.testing.assert_allclose(found[:3, :3], np.diag([-1, -1, 1]) @ columns, atol=1e-12)
        np.testing.assert_allclose(found[:3, 3], itk.GetOrigin() * np.array([-1, -1, 1]), atol=1e-12)

    def test_images_in_folders_of_their_own(self, tmp_path):
        root = folders(tmp_path / "data", 2)
        for path in list((root / "images").iterdir()):
            (root / "images" / path.name[:7]).mkdir()
            path.rename(root / "images" / path.name[:7] / "ct.nii.gz")
        with pytest.raises(DataError, match=r"not read: case_00/ \(with case_00/ct.nii.gz\), case_01/"):
            check(root)
