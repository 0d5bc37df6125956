"""Folders of unlabelled images with odd content, and what is asked of training volumes before any is read."""

import logging
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from dicom_files import change, write_series
from field_data import LPS, edit, folders

from adawac.data.datamodule import SegmentationData
from adawac.data.image_rules import checked
from adawac.data.layouts.base import Case
from adawac.data.patients import patients_beside
from adawac.data.splits import FractionSplit
from adawac.data.subsets import Annotated, HalfVolume
from adawac.errors import ConfigError, DataError

NOISE = np.random.default_rng(5).normal(0, 300, (16, 16, 6)).astype(np.int16)


@pytest.fixture
def root(tmp_path):
    """Five cases of CT; the folder for others beside them."""
    (tmp_path / "rest").mkdir()
    return folders(tmp_path / "data", 5)


def looked_at(root, **settings) -> SegmentationData:
    settings = {"split": FractionSplit(val=0.2, test=0.2), "patient_pattern": None} | settings
    data = SegmentationData(str(root), size=(16, 16), store=str(root.parent / "store"), **settings)
    data.look()
    return data


def trained_on(root, **settings) -> list[str]:
    data = looked_at(root, unlabelled=str(settings.pop("rest", root.parent / "rest")), **settings)
    data.prepare_data()
    data.setup("fit")
    return [case.removeprefix("unlabelled/") for case in data.units.cases if case.startswith("unlabelled/")]


@pytest.mark.parametrize(
    ("subset", "unit", "what"),
    [
        (Annotated(volumes=99), {}, "volumes is 99, but 3 train; give fewer"),
        (Annotated(every=2), {"patch": (4, 8, 8)}, "every is 2, but patches share voxels"),
        (HalfVolume(["case_0"]), {}, r"case_0 is not a training case; did you mean case_0\d"),
    ],
)
def test_what_the_training_cases_cannot_give_is_said_before_an_image_is_read(root, subset, unit, what):
    with pytest.raises(ConfigError, match=what):
        looked_at(root, subset=subset, **unit)
    assert not (root.parent / "store").exists()


class TestWhomTheyShow:
    """Another export of a test case, or another frame of its patient, would be known from training."""

    def test_of_the_same_name(self, root, caplog):
        data = looked_at(root)
        for case in (*data.split.test, data.split.train[0]):
            nib.save(nib.Nifti1Image(NOISE, LPS), root.parent / f"rest/{case}.nii.gz")
        assert trained_on(root) == [data.split.train[0]]
        said = rf"1 of 2 images are of patients who validate or test, .* left out: unlabelled/{data.split.test[0]};"
        assert re.search(said, caplog.text)

    @pytest.mark.parametrize("table", [False, True])
    def test_of_the_same_patient(self, root, tmp_path, table):
        held = looked_at(root).split.val[0]
        for name in (f"{held}_late", "case_77_late", "other"):
            nib.save(nib.Nifti1Image(NOISE, LPS), root.parent / f"rest/{name}.nii.gz")
        pattern = r"(case_\d+)"
        if table:
            rows = [f"case_0{i},p{i}" for i in range(5)] + [f"{held}_late.nii.gz,p{held[-1]}"]
            (tmp_path / "who.csv").write_text("case,patient\n" + "\n".join(rows))
            pattern = str(tmp_path / "who.csv")
        assert trained_on(root, patient_pattern=pattern) == ["case_77_late", "other"]

    def test_by_the_headers_of_dicom(self, tmp_path):
        for i, number in enumerate(("A1", "B2", "A1", "C3")):
            for file in write_series(tmp_path / f"s{i}", NOISE, LPS, series=f"1.2.826.0.1.3680043.8.498.{i + 1}"):
                change(file, PatientID=number)
        cases = [Case(f"s{i}", tuple(sorted((tmp_path / f"s{i}").iterdir()))) for i in range(4)]
        found = patients_beside(cases[2:], cases[:2], {"s0": "s0", "s1": "s1"})
        assert found == {"s2": "s0", "s3": "s3"}


def test_a_folder_of_the_labelled_images_alone(root, caplog):
    shutil.copytree(root / "images", root.parent / "copies")
    for path in list((root.parent / "copies").iterdir()):
        path.rename(path.with_name(f"copy_{path.name}"))
    assert trained_on(root, rest=root.parent / "copies") == []
    (said,) = [each for each in caplog.records if "of labelled cases: left out" in each.message]
    assert (said.levelno, said.message) == (
        logging.WARNING,
        "data.unlabelled: 5 of 5 images are of labelled cases: left out",
    )


@pytest.mark.parametrize("offset", [0, 1200])
def test_label_maps_among_them(root, offset, caplog):
    """CT cannot be so; of MR it is asked."""
    for path in (root / "images").iterdir():
        edit(path, lambda image: image + offset)
    shutil.copy(root / "labels/case_00.nii.gz", root.parent / "rest/seg.nii.gz")
    if not offset:
        with pytest.raises(DataError, match=r"case unlabelled/seg: .* which no Hounsfield units do"):
            trained_on(root)
        return
    assert trained_on(root) == ["seg"]
    assert "case unlabelled/seg: its voxels have a few whole numbers" in caplog.text
    assert not re.search(r"case case_\d+: its voxels", caplog.text)


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("images/case_00.nii.gz", "no folder but a file is .*case_00.nii.gz; give the one with images"),
        ("imges", "there is no folder .*imges; did you mean .*images"),
        (".", r"no image there; .*not read: images/ \(with images/case_00.nii.gz\)"),
    ],
)
def test_what_is_no_such_folder(root, rest, what):
    with pytest.raises(DataError, match=what):
        trained_on(root, rest=root / rest)


def test_other_channels(root):
    nib.save(nib.Nifti1Image(np.stack([NOISE, NOISE + 1], -1), LPS), root.parent / "rest/x.nii.gz")
    with pytest.raises(DataError, match="case unlabelled/x: image has 2 channels but 1 are due"):
        trained_on(root)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_image_of_few_values_is_asked_about_and_no_other(kind):
    """Be it trained on or predicted: the rules are the same."""
    counts = np.random.default_rng(0).integers(0, 17, (1, 6, 16, 16)).astype(kind)
    assert "few whole numbers" in checked(np.minimum(counts, 15).astype(np.float32), ("mr",))[1][-1]
    for other in (counts, counts / 100, counts + np.float32(0.5)):
        assert not any("few whole numbers" in note for note in checked(other.astype(np.float32), ("mr",))[1])
    mask = np.concatenate([counts * 7, counts > 8]).astype(np.float32)
    assert checked(mask, ("mr", "prescaled"))[1] == ()


def test_the_folder_of_all_images_is_no_reason_to_warn(root, caplog):
    nib.save(nib.Nifti1Image(NOISE, LPS), root / "images/further.nii.gz")
    shutil.copy(root / "images/further.nii.gz", root.parent / "rest/further.nii.gz")
    for path in (root / "images").glob("case*"):
        (root.parent / f"rest/{path.name}").symlink_to(path)
    (root / "images/further.nii.gz").unlink()
    caplog.set_level(logging.INFO)
    assert trained_on(root) == ["further"]
    (said,) = [each for each in caplog.records if "data.unlabelled" in each.message]
    assert (said.levelno, said.message) == (
        logging.INFO,
        "data.unlabelled: 5 of 6 images are of labelled cases: left out",
    )
