"""NRRD and MetaImage, against NIfTI files of the same voxels and grid; which files make an image."""

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import write_series
from tiny_data import make_case, save_nifti

from adawac.errors import ConfigError, DataError
from adawac.io.image_cases import find_images, scan_images
from adawac.io.images import files_of, list_images, read_image
from adawac.io.itk import geometry_of_lps
from adawac.io.volumes import read_nifti, write_label_nifti

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")


def write_itk(path, array, compressed: bool = False):
    """Write (X, Y, Z) or (X, Y, Z, C) on an oblique grid, also as NIfTI; return both paths."""
    image = sitk.GetImageFromArray(np.swapaxes(array, 0, 2), isVector=array.ndim == 4)
    angle = np.deg2rad(21)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    image.SetDirection((turn[:, [1, 0, 2]] * [1, -1, -1]).ravel())
    image.SetSpacing((0.7, 0.9, 3.0))
    image.SetOrigin((-11.5, 20.25, 99.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    nifti = path.with_name(f"{path.stem}_as.nii.gz")
    sitk.WriteImage(image, path, useCompression=compressed)
    if array.ndim == 3:
        sitk.WriteImage(image, nifti)
    return path, nifti


@pytest.fixture
def voxels():
    return np.random.default_rng(5).integers(-1000, 1500, (7, 6, 5)).astype(np.int16)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_voxels_and_grid_are_those_of_the_nifti(voxels, ending, compressed, tmp_path):
    path, nifti = write_itk(tmp_path / f"a{ending}", voxels, compressed)
    found, due = read_image([path]), read_nifti(nifti)
    assert found.array.dtype == np.int16
    assert np.array_equal(found.array, due.array)
    assert np.allclose(found.geometry.canonical_affine, due.geometry.canonical_affine, atol=1e-4)
    assert found.geometry.difference(due.geometry) is None


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_sheared_grid_is_read_and_written_as_it_is(voxels, ending, tmp_path):
    columns = np.array([[0.7, 0, 0], [0, 0.9, 1.1], [0, 0, 3.0]])  # from one voxel to the next: the gantry is tilted
    image = sitk.GetImageFromArray(voxels.T)
    image.SetSpacing(np.linalg.norm(columns, axis=0).tolist())
    image.SetDirection((columns / np.linalg.norm(columns, axis=0)).ravel().tolist())
    sitk.WriteImage(image, tmp_path / f"a{ending}")
    geometry = read_image([tmp_path / f"a{ending}"]).geometry
    z, y, x = columns.T[::-1]
    assert geometry.steps.T @ geometry.steps == pytest.approx(np.stack([z, y, x]) @ np.stack([z, y, x]).T, abs=1e-4)
    write_label_nifti(tmp_path / "label.nii", np.zeros(geometry.shape, np.uint8), geometry)
    assert nib.load(tmp_path / "label.nii").affine[:3, :3] == pytest.approx(np.diag([-1, -1, 1]) @ columns, abs=1e-5)


@pytest.mark.parametrize("ending", ENDINGS)
def test_numbers_of_a_voxel_are_channels(voxels, ending, tmp_path):
    path, _ = write_itk(tmp_path / f"a{ending}", np.stack([voxels, voxels + 1], -1))
    found = read_image([path]).array
    assert found.shape[0] == 2
    assert np.array_equal(found[1], found[0] + 1)


def test_channels_of_different_formats(voxels, tmp_path):
    path, nifti = write_itk(tmp_path / "a.mhd", voxels)
    found = read_image([*files_of(path), nifti])
    assert found.array.shape[0] == 2
    assert np.array_equal(*found.array)


class TestFiles:
    @pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
    def test_voxels_beside_a_header_belong_to_the_image(self, voxels, ending, tmp_path):
        path, _ = write_itk(tmp_path / f"a{ending}", voxels)
        header, data = files_of(path)
        assert header == path
        assert data.stat().st_size == voxels.nbytes or ending == ".nhdr"
        assert data.parent == tmp_path

    def test_the_header_s_words_may_be_capitals(self, voxels, tmp_path):
        path, _ = write_itk(tmp_path / "a.nhdr", voxels)
        path.write_text(path.read_text().replace("data file: ", "DATA FILE: ../"))
        with pytest.raises(DataError, match="must lie in one file of the same folder"):
            read_image([path])

    @pytest.mark.parametrize("named", ["../secret.raw", "/etc/hostname", "LIST", "a_%03d.raw 1 9 1", "gone.raw", ""])
    @pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
    def test_voxels_elsewhere_are_refused(self, voxels, ending, named, tmp_path):
        (tmp_path / "secret.raw").write_bytes(voxels.tobytes())
        path, _ = write_itk(tmp_path / f"in/a{ending}", voxels)
        content = path.read_text().replace(files_of(path)[1].name, named)
        path.write_text(content)
        with pytest.raises(DataError, match=r"must lie in one file of the same folder, but the header names '"):
            read_image([path])

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_other_content(self, ending, tmp_path):
        path = tmp_path / f"a{ending}"
        path.write_bytes(b"no image at all")
        with pytest.raises(DataError, match=r"a\..*: the file is unreadable, cut short or corrupt .*; copy it again"):
            read_image([path])
        path.unlink()
        with pytest.raises(DataError, match=r"cannot be read \(No such file"):
            read_image([path])

    @pytest.mark.parametrize("ending", [".nrrd", ".mha"])
    def test_cut_short(self, voxels, ending, tmp_path):
        path, _ = write_itk(tmp_path / f"a{ending}", voxels)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError, match="unreadable, cut short or corrupt"):
            read_image([path])

    def test_planes_and_series_of_volumes(self, voxels, tmp_path):
        sitk.WriteImage(sitk.GetImageFromArray(voxels[0]), tmp_path / "plane.mha")
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((2,) * 5), isVector=False), tmp_path / "more.mha")
        for name in ("plane", "more"):
            with pytest.raises(DataError, match="a volume has 3 dimensions"):
                read_image([tmp_path / f"{name}.mha"])

    def test_complex_numbers(self, voxels, tmp_path):
        sitk.WriteImage(sitk.GetImageFromArray(voxels.astype(np.complex64)), tmp_path / "k.nrrd")
        with pytest.raises(DataError, match=r"integers or floats but are complex; convert"):
            read_image([tmp_path / "k.nrrd"])

    def test_axes_that_span_no_space(self, tmp_path):
        with pytest.raises(DataError, match=r"a.nrrd: the affine must be finite and invertible .*; export the image"):
            geometry_of_lps(tmp_path / "a.nrrd", (2, 2, 2), np.ones((3, 3)), np.zeros(3))

    def test_too_large(self, voxels, tmp_path, monkeypatch):
        path, _ = write_itk(tmp_path / "a.mha", voxels)
        monkeypatch.setenv("ADAWAC_MAX_VOXELS", "100")
        with pytest.raises(DataError, match=r"at most 1e\+02 are read"):
            read_image([path])


class TestFind:
    @pytest.fixture
    def folder(self, voxels, tmp_path):
        """A case of each format, two channels of one as DICOM, and what is no image."""
        write_itk(tmp_path / "in/a.mhd", voxels)
        (tmp_path / "in/a_as.nii.gz").rename(tmp_path / "in/b.nii.gz")
        for name in ("c", "d_0000", "d_0001"):
            write_series(tmp_path / f"in/{name}", voxels.astype(np.float32), np.diag([-1.0, -1, 2, 1]))
        (tmp_path / "in/notes").mkdir()
        (tmp_path / "in/notes/a.txt").write_text("nothing")
        (tmp_path / "in/.c").mkdir()
        return tmp_path / "in"

    def test_files_and_series_of_a_folder(self, folder):
        assert [path.name for path in list_images(folder)] == ["a.mhd", "b.nii.gz", "c", "d_0000", "d_0001"]
        found = {case: [path.name for path in paths] for case, paths in find_images(folder).items()}
        assert found == {"a": ["a.mhd"], "b": ["b.nii.gz"], "c": ["c"], "d": ["d_0000", "d_0001"]}
        assert read_image(find_images(folder)["d"]).array.shape == (2, 5, 6, 7)

    def test_a_series_alone(self, folder, monkeypatch):
        assert find_images(folder / "c") == {"c": (folder / "c",)}
        monkeypatch.chdir(folder / "c")
        assert set(find_images(type(folder)("."))) == {"c"}

    def test_slices_beside_images(self, folder):
        next(iter((folder / "c").iterdir())).rename(folder / "IM.dcm")
        with pytest.raises(DataError, match=r"DICOM slices lie there beside a.mhd.*; move the slices into a folder"):
            find_images(folder)

    def test_a_slice_alone_is_no_image(self, folder):
        with pytest.raises(DataError, match=r"no image there; give .* the folder of a DICOM series"):
            find_images(next(iter((folder / "c").iterdir())))

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_pipes_and_folders_are_no_files_and_what_may_not_be_read_does_not_keep_others_away(
        self, tmp_path, monkeypatch
    ):
        for name in ("a.nii.gz", "b.nii.gz"):
            (tmp_path / name).touch()
        os.mkfifo(tmp_path / "pipe.nii.gz")  # who reads it waits for ever
        (tmp_path / "folder.nii.gz").mkdir()
        (tmp_path / "gone.nii.gz").symlink_to("nowhere")
        opened = Path.open

        def refuses(path, *mode, **options):
            if path.name == "b.nii.gz":
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *mode, **options)

        monkeypatch.setattr(Path, "open", refuses)
        found = scan_images(tmp_path)
        assert list(found.cases) == ["a", "b", "gone"]
        assert found.passed_over == f"{tmp_path}: not read: folder.nii.gz/, pipe.nii.gz"

    def test_one_name_in_two_formats(self, folder):
        (folder / "b").mkdir()
        next(iter((folder / "c").iterdir())).rename(folder / "b/IM.dcm")
        with pytest.raises(DataError, match=r"case b: b and b.nii.gz are the same image; keep one of them"):
            find_images(folder)

    def test_without_simpleitk(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "SimpleITK", None)
        with pytest.raises(ConfigError, match=r"read by SimpleITK, which is not installed; pip install 'adawac\[dicom"):
            find_images(folder)
        assert set(find_images(folder / "b.nii.gz")) == {"b"}
        with pytest.raises(ConfigError, match=r"adawac\[dicom\]"):
            read_image([folder / "c"])


def test_dicom_alone_needs_simpleitk(tmp_path, monkeypatch):
    image, _ = make_case(np.random.default_rng(0), (4, 8, 8))
    save_nifti(tmp_path / "a.nii.gz", image[0])
    for name in ("b.nrrd", "c.mha", "d.mhd"):
        sitk.WriteImage(sitk.GetImageFromArray(image[0]), tmp_path / name)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    found = find_images(tmp_path)
    assert list(found) == ["a", "b", "c", "d"]
    assert {read_image(paths).array.shape for paths in found.values()} == {(1, 4, 8, 8)}
