"""Files of four dimensions, which hold a volume or channels, and of two, which hold a slice."""

import nibabel as nib
import numpy as np
import pytest
from field_data import check, header, model
from tiny_data import save_nifti

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
        assert (
            "it holds 3 volumes, which are read as channels: if they are" in read_image([tmp_path / "a.nrrd"]).notes[-1]
        )

    @pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii"])
    def test_of_a_plane_the_remedy_is_a_slice(self, tmp_path, ending):
        itk = pytest.importorskip("SimpleITK")
        itk.WriteImage(itk.GetImageFromArray(np.ones((5, 6), np.uint8)), str(tmp_path / f"a{ending}"))
        with pytest.raises(DataError, match=r"this has shape \(6, 5\); export the slice as \(6, 5, 1\)"):
            read_image([tmp_path / f"a{ending}"])


class TestOrder:
    """What the axes of a file are is not taken from their order alone, where that is plainly another."""

    ARRAY = np.random.default_rng(0).integers(0, 1000, (3, 20, 24, 18)).astype(np.int16)

    @pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
    def test_channels_first_are_told_with_what_turns_them(self, tmp_path, ending):
        itk = pytest.importorskip("SimpleITK")
        path = tmp_path / f"a{ending}"
        itk.WriteImage(itk.GetImageFromArray(self.ARRAY.T, isVector=False), str(path))
        with pytest.raises(DataError, match=r"shape \(3, 20, 24, 18\) seems to have its channels first") as raised:
            read_image([path])
        assert "numpy.moveaxis(array, 0, -1)" in str(raised.value)
        turned = np.moveaxis(self.ARRAY, 0, -1)  # the remedy, typed
        itk.WriteImage(itk.GetImageFromArray(turned.T, isVector=False), str(path))
        assert read_image([path]).array.shape == (3, 18, 24, 20)

    def test_in_a_data_set_no_label_is_blamed(self, tmp_path):
        for folder, shape in (("images", (3, 20, 24, 18)), ("labels", (20, 24, 18))):
            (tmp_path / folder).mkdir()
            for name in "ab":
                made = nib.Nifti1Image(np.ones(shape, np.int16), np.diag([1, 1, 2, 1]))
                nib.save(made, tmp_path / folder / f"{name}.nii.gz")
        for problem in check(tmp_path).bad:
            assert "seems to have its channels first" in problem
            assert "label" not in problem.replace(str(tmp_path), "").partition("; ")[0]

    @pytest.mark.parametrize("shape", [(8, 20, 24, 4), (20, 24, 18, 30), (3, 5, 24, 18), (3, 4, 5, 6)])
    def test_of_others_the_last_axis_is_that_of_channels(self, tmp_path, shape):
        nib.save(nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)), tmp_path / "a.nii")
        assert len(read_image([tmp_path / "a.nii"]).array) == shape[-1]


class TestTimes:
    """Volumes one a time are channels in no file but by mistake, or as in perfusion: it is said."""

    @pytest.mark.parametrize(
        ("code", "step", "number", "said"),
        [
            (8, 0.035, 3, "it holds 3 volumes, 0.035 s apart, which are read as channels"),
            (16, 2000, 2, "it holds 2 volumes, 2000 ms apart, which are read as channels"),
            (0, 1, 25, "it holds 25 volumes, which are read as channels"),
            (8, 1, 4, ""),  # as the Decathlon and ITK write channels
            (8, 0, 2, ""),
            (0, 3, 2, ""),
        ],
    )
    def test_of_nifti(self, tmp_path, code, step, number, said):
        image = nib.Nifti1Image(np.ones((4, 5, 6, number), np.int16), np.eye(4))
        image.header["xyzt_units"], image.header["pixdim"][4] = 2 + code, step
        nib.save(image, tmp_path / "a.nii")
        notes = read_image([tmp_path / "a.nii"]).notes
        assert len(notes) == bool(said)
        if said:
            assert said in notes[0]
            assert notes[0].endswith("if they are times, export one a file")

    @pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
    def test_of_itk(self, tmp_path, ending):
        itk = pytest.importorskip("SimpleITK")
        image = itk.GetImageFromArray(np.ones((3, 4, 5, 6), np.int16), isVector=False)
        image.SetSpacing((1, 1, 2, 0.5))
        itk.WriteImage(image, str(tmp_path / f"a{ending}"))
        assert any("it holds 3 volumes, 0.5 " in note for note in read_image([tmp_path / f"a{ending}"]).notes)

    def test_every_command_says_so(self, tmp_path):
        """Also where their number is another than that of the other cases."""
        for name, times in (("a", 3), ("b", 3), ("c", 4)):
            save_nifti(tmp_path / f"images/{name}.nii.gz", np.random.default_rng(0).normal(0, 9, (times, 4, 8, 8)))
            save_nifti(tmp_path / f"labels/{name}.nii.gz", np.ones((4, 8, 8), np.uint8))
            header(tmp_path / f"images/{name}.nii.gz", lambda its: its.set_xyzt_units("mm", "sec"))
            header(tmp_path / f"images/{name}.nii.gz", lambda its: its["pixdim"].__setitem__(4, 0.04))
        found = check(tmp_path)
        (problem,) = [each for each in found.bad if "case c" in each]
        assert "image has 4 channels but 3 are due" in problem
        assert "it holds 4 volumes, 0.04 s apart" in problem
        assert "it holds 3 volumes, 0.04 s apart, which are read as channels" in found.notes[0]
        with pytest.raises(DataError, match=r"has 4 channels, but the model was trained on 3; .* 0.04 s apart"):
            model("mr", 3).predict(tmp_path / "images/c.nii.gz")
