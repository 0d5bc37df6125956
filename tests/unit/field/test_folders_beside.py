"""Folders of images in a data set's root that its layout does not read: test cases that somebody held out are named."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from field_data import check, folders, msd, nnunet
from tiny_data import save_nifti

from adawac.data.layouts import Folders


def held_out(root, images: str, labels: str, there=("imagesTr", "labelsTr"), number: int = 1):
    """The last case's image and label in folders of their own, and off the list."""
    for source, target in zip(there, (images, labels), strict=True):
        (root / target).mkdir(parents=True)
        for path in sorted((root / source).iterdir())[-number:]:
            shutil.move(path, root / target / path.name)
    if (path := root / "dataset.json").exists():
        listed = json.loads(path.read_text())
        listed |= {"training": listed["training"][:3]} if "training" in listed else {"numTraining": 3}
        path.write_text(json.dumps(listed))
    return root


@pytest.mark.parametrize(
    ("write", "images", "labels", "said"),
    [
        (msd, "imagesTs", "labelsTs", "imagesTs/, labelsTs/"),
        (nnunet, "imagesVal", "labelsVal", "imagesVal/, labelsVal/"),
        (folders, "imagesTs", "labelsTs", "imagesTs/, labelsTs/"),
        (folders, "test/images", "test/labels", "test/"),
    ],
)
def test_they_are_named_with_what_to_do(tmp_path, write, images, labels, said):
    there = ("images", "labels") if write is folders else ("imagesTr", "labelsTr")
    root = held_out(write(tmp_path / "data"), images, labels, there)
    (note,) = check(root).notes
    assert note == (
        f"{root}: images lie in {said} and are not read; to test on such, put them among the others and name them as "
        "`test` in splits.json"
    )
    for source, target in zip(there, (images, labels), strict=True):  # as it says
        for path in (root / target).iterdir():
            shutil.move(path, root / source / path.name)
        (root / target).rmdir()
    if write is folders:
        (root / "splits.json").write_text(json.dumps({"train": ["case_00", "case_01", "case_02"], "test": ["case_03"]}))
        assert check(root).notes == ()
        assert sorted(check(root).measured) == [f"case_{i:02d}" for i in range(4)]


def test_labels_of_test_images_that_are_listed_without(tmp_path):
    root = held_out(msd(tmp_path / "data"), "imagesTs", "labelsTs")
    listed = json.loads((root / "dataset.json").read_text()) | {"test": ["./imagesTs/case_03.nii.gz"]}
    (root / "dataset.json").write_text(json.dumps(listed))
    (note,) = check(root).notes
    assert "images lie in labelsTs/ and are not read" in note


def test_what_is_read_and_what_holds_no_images_is_not_named(tmp_path):
    root = held_out(nnunet(tmp_path / "data", 4), "imagesTs", "labelsTs")  # which nnU-Net's layout takes
    for name in ("figures", "empty", ".cache", "code/deep/er"):
        (root / name).mkdir(parents=True)
    (root / "figures/a.png").touch()
    save_nifti(root / ".cache/a.nii.gz", np.zeros((2, 4, 4)))
    save_nifti(root / "code/deep/er/a.nii.gz", np.zeros((2, 4, 4)))
    assert check(root).notes == ()


def test_a_pattern_says_it_once(tmp_path):
    root = tmp_path / "data"
    for i in range(3):
        image = nib.load(folders(tmp_path / "plain", 3) / f"images/case_{i:02d}.nii.gz")
        (root / f"c{i}").mkdir(parents=True)
        nib.save(image, root / f"c{i}/ct.nii.gz")
        shutil.copy(tmp_path / f"plain/labels/case_{i:02d}.nii.gz", root / f"c{i}/seg.nii.gz")
    shutil.copytree(root / "c0", root / "c9")
    (root / "c9/ct.nii.gz").rename(root / "c9/scan.nii.gz")
    (root / "c9/seg.nii.gz").rename(root / "c9/mask.nii.gz")
    (note,) = check(root, layout=Folders("*/ct.nii.gz", "*/seg.nii.gz")).notes
    assert "not read: c9/ (with c9/mask.nii.gz)" in note
