"""Names that are nearly those that are due: taken where they can mean one thing, else told with what to do."""

import json
import shutil
from pathlib import Path
from unicodedata import normalize

import nibabel as nib
import numpy as np
import pytest
from field_data import check, edit, folders, msd, nnunet, volumes
from test_odd_headers import patch
from tiny_data import save_nifti

from adawac.data.classes import Classes
from adawac.data.layouts import Folders
from adawac.data.layouts.masks import joined
from adawac.data.splits import FileSplit
from adawac.errors import DataError
from adawac.evaluation.predictions import from_files, measure, name_problems, prediction_files
from adawac.evaluation.references import References, named_classes
from adawac.io.case_column import read_case_column
from adawac.io.image_cases import find_images


def rename(folder: Path, old: str, new: str) -> None:
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(path.name.replace(old, new)))


class TestEnds:
    """Images and labels, or references and predictions, whose names differ by what they begin and end with."""

    @pytest.mark.parametrize(
        ("old", "new", "form"), [(".nii", "_seg.nii", "case_*_seg"), ("case_", "label", "label*"), ("case", "x", "x_*")]
    )
    def test_of_labels_are_told_as_patterns_that_find_them(self, tmp_path, old, new, form):
        root = folders(tmp_path / "data")
        rename(root / "labels", old, new)
        with pytest.raises(DataError) as raised:
            check(root)
        images, labels = "images/case_*.nii.gz", f"labels/{form}.nii.gz"
        assert f"--layout.images '{images}' --layout.labels '{labels}', or rename them" in str(raised.value)
        assert len(check(root, layout=Folders(images, labels)).measured) == 4

    def test_of_others_are_told_one_by_one(self, tmp_path):
        root = folders(tmp_path / "data", 3)
        rename(root / "labels", "case_02", "case_07")
        rename(root / "labels", ".nii", "_seg.nii")
        with pytest.raises(DataError, match="6 problems"):
            check(root)

    @pytest.mark.parametrize("end", ["_0000", "_pred"])
    def test_of_predictions(self, tmp_path, end):
        root = folders(tmp_path, 3)
        shutil.copytree(root / "labels", root / "preds")
        rename(root / "preds", ".nii", f"{end}.nii")
        references = References.of_folder(root / "labels")
        problems = name_problems(root / "preds", prediction_files(root / "preds"), references)
        assert problems == [
            f"{root}/preds: predictions are called case_*{end} but their references case_*; rename the predictions"
        ]


def test_predictions_whose_dataset_json_names_the_classes_otherwise(tmp_path):
    """Their Dice would be that of other organs."""
    root = folders(tmp_path, 2)
    shutil.copytree(root / "labels", root / "preds")
    references = References.of_folder(root / "labels", named_classes(["a", "b"]))
    for order, wrong in ((("a", "b"), False), (("b", "a"), True)):
        labels = {"background": 0} | {name: value for value, name in enumerate(order, start=1)}
        (root / "preds/dataset.json").write_text(json.dumps({"labels": labels}))
        problems = name_problems(root / "preds", prediction_files(root / "preds"), references)
        assert [
            f"{root}/preds/dataset.json calls label values {{1: 'b', 2: 'a'}}, but" in each for each in problems
        ] == [True] * wrong


class TestMasks:
    @pytest.fixture
    def label(self):
        return volumes(1)["case_00"][1]

    def write(self, folder, label, *names):
        for value, name in enumerate(names, start=1):
            save_nifti(folder / f"{name}.nii.gz", 255 * (label == value).astype(np.uint8))
        return sorted(folder.iterdir())

    def test_are_found_whatever_their_capitals_and_blanks(self, tmp_path, label):
        files = self.write(tmp_path, label, "kidney_left", "LIVER")
        np.testing.assert_array_equal(joined(files, {1: "Kidney left", 2: "liver"}).array[0], label)

    def test_but_where_these_tell_classes_apart(self, tmp_path, label):
        files = self.write(tmp_path, label, "a_b", "A_b")
        np.testing.assert_array_equal(joined(files, {1: "a_b", 2: "A_b"}).array[0], label)
        with pytest.raises(DataError, match=r"a_b\.nii\.gz and A_b\.nii\.gz are masks of one organ; keep one"):
            joined(files, {1: "a b"})

    def test_two_of_a_name(self, tmp_path, label):
        self.write(tmp_path, label, "liver")
        save_nifti(tmp_path / "liver.nii", label)
        with pytest.raises(DataError, match=r"liver\.nii\.gz and liver\.nii are masks of one organ"):
            joined(sorted(tmp_path.iterdir()), {1: "liver"})


def test_an_umlaut_is_one_letter_whatever_wrote_it(tmp_path):
    """macOS takes it apart, and so do names that are copied from there."""
    apart, whole = (normalize(form, "Müller") for form in ("NFD", "NFC"))
    assert apart != whole
    root = nnunet(tmp_path / "data")
    (root / "imagesTr/case_01_0000.nii.gz").rename(root / f"imagesTr/{apart}_0000.nii.gz")
    (root / "labelsTr/case_01.nii.gz").rename(root / f"labelsTr/{whole}.nii.gz")
    found = check(root)
    assert (found.problems, sorted(found.measured)) == ((), ["Müller", "case_00", "case_02", "case_03"])
    assert "no label" not in {finding.topic for finding in found.recognised}
    assert whole in find_images(root / "imagesTr")
    (root / "parts.json").write_text(json.dumps({"train": [apart, "case_00", "case_02"], "val": ["case_03"]}))
    assert not check(root, split=FileSplit("parts.json")).problems
    (tmp_path / "p.csv").write_text(f"case,patient\n{apart},1\n")
    assert read_case_column(tmp_path / "p.csv", "patient", [whole]) == {whole: "1"}


def test_absolute_paths_into_the_data_set(tmp_path):
    root = msd(tmp_path / "data")
    pairs = json.loads((root / "dataset.json").read_text())["training"]
    for place, sound in ((root, True), (tmp_path / "elsewhere", False)):
        there = [{key: str(place / path) for key, path in pair.items()} for pair in pairs]
        msd(root, training=there)
        if sound:
            assert not check(root).problems
        else:
            with pytest.raises(DataError, match="must be a path inside the data set"):
                check(root)


def test_a_part_that_stands_twice_in_a_split(tmp_path):
    """The first would be left out."""
    root = nnunet(tmp_path / "data")
    (root / "splits.json").write_text('{"train": ["case_00"], "train": ["case_01", "case_02"], "val": ["case_03"]}')
    assert "'train' stands there 2 times" in check(root).problems[0]


def test_references_without_background_are_told(tmp_path, caplog):
    """Most likely they were numbered from 1, and so is the background, whose Dice would count."""
    root = folders(tmp_path, 2)
    for path in (root / "labels").iterdir():
        edit(path, lambda label: label + 1)
    references = References.of_folder(root / "labels")
    measure(from_files(prediction_files(root / "labels"), references), references)
    assert caplog.text.count("no voxel of its reference is background (0): does another value stand for it?") == 2


def test_an_image_that_lies_elsewhere_than_its_reference(tmp_path):
    """Pictures of it ended the report with a traceback."""
    root = folders(tmp_path, 2)
    references = References.of_folder(root / "labels", images=find_images(root / "images"))
    target = references.target("case_00")
    assert references.image("case_00", target).array.shape == (1, 6, 16, 16)
    edit(root / "images/case_00.nii.gz", lambda image: image[:8])
    with pytest.raises(DataError, match=r"case case_00: label has shape \(6, 16, 16\) but \(6, 16, 8\) is due"):
        references.image("case_00", target)


def test_a_web_page_in_place_of_a_file(tmp_path):
    root = folders(tmp_path)
    (root / "images/case_01.nii.gz").write_text("<!DOCTYPE html><title>404</title>")
    (problem,) = check(root).problems
    assert "the file is a web page, which is not what its name says; download the file again" in problem


def test_an_intercept_that_is_no_number(tmp_path):
    root = folders(tmp_path / "data")
    patch(root / "images/case_01.nii.gz", 112, np.array([1, np.nan], "<f4").tobytes())
    (problem,) = check(root).problems
    assert "its scl_slope is 1 but scl_inter nan, which makes no intensities; correct the header" in problem
    patch(root / "images/case_01.nii.gz", 112, np.array([0, np.nan], "<f4").tobytes())
    assert not check(root).problems


def test_255_where_it_is_no_class(tmp_path):
    root = nnunet(tmp_path / "data")
    image = nib.load(root / "labelsTr/case_01.nii.gz")
    mask = 255 * (np.asarray(image.dataobj) > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, image.affine), root / "labelsTr/case_01.nii.gz")
    (problem,) = check(root).problems
    assert "if it is a mask of 0 and 255, write the class's value in place of 255" in problem
    assert Classes.from_labels({1: "a"}, 255).encode(mask).max() == 255
