"""Files of four dimensions, which hold a volume or channels, and of two, which hold a slice."""

import numpy as np
import pytest

from adawac.errors import DataError
from adawac.io.images import read_image


class TestFourDimensions:
    """NRRD and MetaImage as NIfTI: a single volume, or channels along the last axis, as SimpleITK writes them."""

    @pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
    @pytest.mark.parametrize("number", [1, 3])
    def test_are_one_volume_or_channels(self, tmp_path, ending, number):
        itk = pytest.importorskip("SimpleITK")
        array = np.random.default_rng(0).integers(-1000, 1000, (number, 4, 5, 6)).astype(np.int16)
        image, volume = itk.GetImageFromArray(array, isVector=False), itk.GetImageFromArray(array[0])
        spacing, origin, turned = (0.8, 0.9, 3.0), (1.0, 2.0, 3.0), (0, -1, 0, 1, 0, 0, 0, 0, 1)
        rows = np.eye(4)
        rows[:3, :3] = np.reshape(turned, (3, 3))
        for made, end in ((image, (7.0,)), (volume, ())):
            made.SetSpacing((*spacing, *end))
            made.SetOrigin((*origin, *end))
            made.SetDirection(rows[: 3 + len(end), : 3 + len(end)].flatten().tolist())
        itk.WriteImage(image, str(tmp_path / f"four{ending}"))
        itk.WriteImage(volume, str(tmp_path / "three.nii.gz"))
        found, due = read_image([tmp_path / f"four{ending}"]), read_image([tmp_path / "three.nii.gz"])
        assert len(found.array) == number
        np.testing.assert_array_equal(found.array[0], due.array[0])
        np.testing.assert_array_equal(np.sort(found.array, axis=None), np.sort(array, axis=None))
        np.testing.assert_allclose(found.geometry.canonical_affine, due.geometry.canonical_affine, atol=1e-5)

    @pytest.mark.parametrize(
        ("kinds", "directions", "shape"),
        [
            ("list domain domain domain", "none (2,0,0) (0,2,0) (0,0,2)", (2, 4, 4, 4)),
            (None, "none (2,0,0) (0,2,0) (0,0,2)", (2, 4, 4, 4)),
            ("domain domain domain time", "(2,0,0) (0,2,0) (0,0,2) none", (4, 4, 4, 1)),
        ],
    )
    def test_of_nrrd_whatever_says_which_axis_is_none_of_space(self, tmp_path, kinds, directions, shape):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape, order="F")
        lines = ["NRRD0004", "type: uchar", "dimension: 4", "space: left-posterior-superior"]
        lines += [f"sizes: {' '.join(map(str, shape))}", f"space directions: {directions}"]
        lines += [f"kinds: {kinds}"] * (kinds is not None) + ["encoding: raw", "space origin: (0,0,0)", "", ""]
        (tmp_path / "a.nrrd").write_bytes("\n".join(lines).encode() + array.tobytes(order="F"))
        found = read_image([tmp_path / "a.nrrd"])
        due = array.transpose(0, 3, 2, 1) if shape[0] == 2 else array.T
        np.testing.assert_array_equal(found.array, due)
        assert found.geometry.spacing == (2.0, 2.0, 2.0)

    def test_times_are_named(self, tmp_path):
        header = "NRRD0004\ntype: uchar\ndimension: 4\nsizes: 2 2 2 3\nkinds: domain domain domain time\n"
        (tmp_path / "a.nrrd").write_bytes(f"{header}spacings: 1 1 1 1\nencoding: raw\n\n".encode() + bytes(24))
        with pytest.raises(DataError, match="it holds 3 volumes, one a time; export one volume a file"):
            read_image([tmp_path / "a.nrrd"])

    @pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii"])
    def test_of_a_plane_the_remedy_is_a_slice(self, tmp_path, ending):
        itk = pytest.importorskip("SimpleITK")
        itk.WriteImage(itk.GetImageFromArray(np.ones((5, 6), np.uint8)), str(tmp_path / f"a{ending}"))
        with pytest.raises(DataError, match=r"this has shape \(6, 5\); export the slice as \(6, 5, 1\)"):
            read_image([tmp_path / f"a{ending}"])
