"""Data of the field that other tools stumbled over and that were read right when they were tried: so it stays."""

import nibabel as nib
import numpy as np
import pytest
from field_data import LPS, check, edit, folders, model, msd, nnunet, prepare, volumes
from tiny_data import save_nifti, write_synapse

from adawac.data.layouts import Folders
from adawac.evaluation.references import References
from adawac.io.image_cases import find_images
from adawac.io.volumes import as_label, read_nifti


def test_masks_of_0_and_255(tmp_path):
    root = folders(tmp_path / "data")
    for path in (root / "labels").iterdir():
        edit(path, lambda label: (label > 0) * 255, np.uint8)
    classes = prepare(root).facts.classes
    assert classes.names == ("background", "class_255")
    assert classes.decode(np.array([0, 1], np.uint8)).tolist() == [0, 255]


@pytest.mark.parametrize("name", ["rec02.cut.x19", "x_2019", "pt 7 (left)", "läsion_1", "扫描_1", "a.b.c"])
def test_names(tmp_path, name):
    root = folders(tmp_path / "data")
    for part in ("images", "labels"):
        (root / f"{part}/case_00.nii.gz").rename(root / f"{part}/{name}.nii.gz")
    found = check(root)
    assert found.problems == ()
    assert name in found.measured
    assert name in find_images(root / "images")


def test_four_digits_that_are_no_channel(tmp_path):
    image = volumes(1)["case_00"][0][0]
    for name in ("x_2019", "y_2020", "a_0001_0000", "a_0001_0001"):
        save_nifti(tmp_path / f"{name}.nii.gz", image)
    assert {name: len(files) for name, files in find_images(tmp_path).items()} == {
        "x_2019": 1,
        "y_2020": 1,
        "a_0001": 2,
    }


@pytest.mark.parametrize("factor", [1 + 1.5e-5, 1 - 1.5e-5])
def test_labels_that_were_scaled_on_the_way(tmp_path, factor):
    _, label = volumes(1)["case_00"]
    save_nifti(tmp_path / "a.nii.gz", (label * factor).astype(np.float32))
    np.testing.assert_array_equal(as_label(read_nifti(tmp_path / "a.nii.gz"), "a").array[0], label)
    stored = nib.Nifti1Image(label.T.astype(np.int16), LPS)
    stored.header.set_slope_inter(factor, 0)
    nib.save(stored, tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(as_label(read_nifti(tmp_path / "b.nii.gz"), "b").array[0], label)


def test_an_oblique_grid_off_by_rounding(tmp_path):
    root = folders(tmp_path / "data")
    turn = np.deg2rad(17)
    oblique = np.eye(4)
    oblique[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    for part, noise in (("images", 0.0), ("labels", 1e-5)):
        for path in (root / part).iterdir():
            image = nib.load(path)
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj), oblique @ image.affine + noise), path)
    assert check(root).problems == ()


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_byte_orders(tmp_path, order, kind):
    image = volumes(1)["case_00"][0][0]
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    nib.save(kind(image.T, LPS, header), tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.array[0], image)
    assert model().predict(volume).shape == image.shape


def test_cases_without_any_structure(tmp_path):
    root = msd(tmp_path / "data", 6)
    for name in ("case_01", "case_04"):
        edit(root / f"labelsTr/{name}.nii.gz", lambda label: label * 0)
    found = check(root)
    assert (found.bad, len(found.measured)) == ((), 6)


def test_13_organs_of_synapse_are_named(tmp_path):
    root = write_synapse(tmp_path / "data", cases=2, test_cases=1)
    path = root / "Synapse/train_npz/case0001_slice003.npz"
    arrays = dict(np.load(path))
    arrays["label"][0, 0] = 13
    np.savez(path, **arrays)
    assert "[13] (1 voxels) stand for no class, only [0 to 8] are allowed" in check(root).bad[0]


def test_unlabelled_images_of_a_label_folder_are_named(tmp_path):
    root = nnunet(tmp_path / "data")
    (root / "labelsTr/case_02.nii.gz").unlink()
    assert "case case_02" in check(root).bad[0]


def test_a_broken_link_and_a_whole_one(tmp_path):
    root = folders(tmp_path / "data")
    (root / "images/case_00.nii.gz").rename(tmp_path / "elsewhere.nii.gz")
    (root / "images/case_00.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    (root / "images/case_01.nii.gz").unlink()
    (root / "images/case_01.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    (problem,) = check(root).bad
    assert problem.startswith("case case_01: ")


def test_references_and_training_name_the_same_values(tmp_path):
    root = folders(tmp_path / "data")
    assert References.of_folder(root / "labels").target("case_00").array.max() == 2
    assert Folders().scan(root).labels == {0: "background", 1: "class_1", 2: "class_2"}
