"""A MONAI bundle reads files by our rules: the same are read, the same are refused, labels lie on the files' grids."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from field_data import LPS, folders, header, volumes
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from nibabel import orientations
from tiny_data import save_nifti

from adawac.errors import DataError
from adawac.inference.export.segment_volume import LoadVolumed, SaveLabeld, images_in, segment_all
from adawac.io.volumes import read_nifti


@pytest.fixture
def path(tmp_path) -> Path:
    return folders(tmp_path, 1) / "images/case_00.nii.gz"


def contradict(path: Path) -> None:
    header(path, lambda head: head.__setitem__("pixdim", [1, 2, 2, 2, 1, 1, 1, 1]))


SPOILT = {
    "two grids": (contradict, "says two things of a voxel"),
    "unit": (lambda path: header(path, lambda head: head.__setitem__("xyzt_units", 3)), "which is micron"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "copy it again"),
    "compressed twice": (lambda path: path.write_bytes(gzip.compress(path.read_bytes())), "unpack it once"),
    "channels first": (
        lambda path: nib.save(nib.Nifti1Image(np.zeros((2, 20, 24, 18), np.int16), LPS), path),
        "channels first",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_what_training_refuses_is_refused(path, spoil, said):
    spoil(path)
    for read in (read_nifti, lambda path: LoadVolumed()({"image": path})):
        with pytest.raises(DataError, match=said):
            read(path)


def test_vectors_are_channels(tmp_path):
    """As SimpleITK writes them; MONAI's reader gave five axes."""
    image = volumes(1, 2)["case_00"][0]
    made = SimpleITK.Compose([SimpleITK.GetImageFromArray(channel) for channel in image])
    SimpleITK.WriteImage(made, str(tmp_path / "a.nii.gz"))
    read = LoadVolumed()({"image": str(tmp_path / "a.nii.gz")})["image"]
    np.testing.assert_array_equal(read.numpy(), image)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "ASL", "PIR"])
def test_labels_lie_where_the_voxels_do(path, axes):
    """Whatever the order of the file's axes: voxels, affine and codes are the file's, by nibabel."""
    image = nib.load(path)
    transform = orientations.ornt_transform(nib.io_orientation(image.affine), orientations.axcodes2ornt(axes))
    turned = image.as_reoriented(transform)
    turned.set_sform(turned.affine, 1)
    nib.save(turned, path)
    data = LoadVolumed()({"image": path})
    assert nib.aff2axcodes(data["image"].affine.numpy()) == ("S", "P", "L")
    pred = MetaTensor((data["image"] > 100).int(), meta=data["image"].meta)
    SaveLabeld(str(path.parent.parent / "out"))({**data, "pred": pred})
    written = nib.load(path.parent.parent / "out/case_00.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), turned.get_fdata() > 100)
    np.testing.assert_allclose(written.affine, turned.affine, atol=1e-5)
    assert int(written.header["sform_code"]) == 1


def test_units_of_the_header_are_read(path):
    before = LoadVolumed()({"image": path})["image"].affine
    image = nib.load(path)
    scaled = nib.Nifti1Image(np.asarray(image.dataobj), np.diag([0.001, 0.001, 0.001, 1]) @ image.affine)
    scaled.header.set_xyzt_units("meter")
    nib.save(scaled, path)
    torch.testing.assert_close(LoadVolumed()({"image": path})["image"].affine, before, atol=1e-4, rtol=0)


def test_files_of_a_folder(tmp_path, caplog):
    for name in ("b.nii", "a_0000.NII.GZ", "._a.nii.gz", "notes.txt", "c.nrrd"):
        (tmp_path / name).touch()
    assert [path.name for path in images_in(str(tmp_path))] == ["a_0000.NII.GZ", "b.nii"]
    assert "not read: c.nrrd, notes.txt" in caplog.text
    assert images_in(str(tmp_path / "b.nii")) == [tmp_path / "b.nii"]
    for none in ("gone", "c.nrrd"):
        with pytest.raises(DataError, match=r"no NIfTI file there .*; give a file or a folder of them"):
            images_in(str(tmp_path / none))


def test_a_label_is_called_as_its_case(path):
    named = path.rename(path.with_name("pt_1_0000.NII.GZ"))
    data = LoadVolumed()({"image": named})
    SaveLabeld(str(path.parent.parent / "out"))({**data, "pred": data["image"] * 0})
    assert [each.name for each in (path.parent.parent / "out").iterdir()] == ["pt_1.nii.gz"]


def test_what_is_odd_is_said(path, caplog):
    save_nifti(path, volumes(1)["case_00"][0][0])
    header(path, lambda head: (head.set_sform(None, 0), head.set_qform(None, 0)))
    LoadVolumed()({"image": path})
    assert "neither qform nor sform" in caplog.text


def test_one_that_cannot_be_read_stops_no_other(path, caplog):
    (bad := path.with_name("a.nii.gz")).write_bytes(b"")
    out = path.parent.parent / "out"
    segment = [Compose([LoadVolumed()]), lambda data: {**data, "pred": data["image"] * 0}, SaveLabeld(str(out))]
    with pytest.raises(DataError, match=r"a.nii.gz: the file is empty"):
        segment_all([bad, path], segment)
    assert [each.name for each in out.iterdir()] == ["case_00.nii.gz"]
    assert "a.nii.gz: the file is empty" in caplog.text
    with pytest.raises(ZeroDivisionError):
        segment_all([path], [lambda data: 1 / 0])
