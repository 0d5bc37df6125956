"""Settings that one may write of a layout, and arrays that one may hand over: taken, or told what to write instead."""

import re
import shutil
from pathlib import Path
from shlex import quote

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch
from field_data import check, folders, model, volumes
from tiny_data import save_nifti, write_acdc_volumes

from adawac.cli import main
from adawac.data.layouts import ACDC, Folders
from adawac.data.layouts.files import parse_labels
from adawac.errors import ConfigError, DataError
from adawac.inference.load_runs import load
from adawac.io.image_cases import scan_images
from adawac.io.volumes import Volume, read_nifti
from adawac.report.compare import evaluate


def lay_out(root, cases=3):
    for n, (image, label) in enumerate(volumes(cases).values()):
        save_nifti(root / f"p{n}/ct.nii.gz", image[0])
        save_nifti(root / f"p{n}/seg.nii.gz", label)
    return root


class TestPatterns:
    @pytest.mark.parametrize("begin", ["{root}/", "../data/", ""])
    def test_begin_anywhere(self, tmp_path, begin):
        root = lay_out(tmp_path / "data")
        begin = begin.format(root=root)
        cases = Folders(f"{begin}*/ct.nii.gz", f"{begin}*/seg.nii.gz").scan(root).cases
        assert [case.id for case in cases] == ["p0", "p1", "p2"]

    def test_what_systems_leave_behind_is_no_case(self, tmp_path):
        root = lay_out(tmp_path)
        for name in ("__MACOSX", ".Trash"):
            shutil.copytree(root / "p1", root / name)
        assert len(Folders("*/ct.nii.gz", "*/seg.nii.gz").scan(root).cases) == 3

    def test_that_leave_out_what_tells_cases_apart(self, tmp_path):
        for site in "ab":
            lay_out(tmp_path / site)
        with pytest.raises(DataError, match=r"a/p0/seg.nii.gz and .*b/p0/seg.nii.gz are the same image") as raised:
            Folders("?*/*/ct.nii.gz", "?*/*/seg.nii.gz").scan(tmp_path)
        assert "keep one of them, or let `*` stand for what tells them apart" in str(raised.value)

    @pytest.mark.parametrize("place", ["images", "images/*.nii.gz"])
    def test_of_images_that_are_the_labels(self, tmp_path, place):
        with pytest.raises(DataError, match="images and labels are the same files; correct `images` or `labels`"):
            Folders(place, place).scan(folders(tmp_path))


class TestFolders:
    @pytest.mark.parametrize(
        ("images", "labels"), [("imagesTr", "labelsTr"), ("Images", "Labels"), ("img", "gt"), ("a scan", "the masks")]
    )
    def test_of_other_names_are_in_the_remedy(self, tmp_path, images, labels):
        root = folders(tmp_path)
        (root / "images").rename(root / images)
        (root / "labels").rename(root / labels)
        due = f"such as --layout Folders --layout.images {quote(images)} --layout.labels {quote(labels)}"
        with pytest.raises(DataError, match=re.escape(due)):
            check(root)

    def test_of_images_alone_lie_in_the_one_to_give(self, tmp_path):
        root = folders(tmp_path / "data")
        with pytest.raises(DataError, match=f"give the folder that it lies in: {root}; correct"):
            check(root / "images")


class TestNames:
    def test_of_labels_either_way_round(self, tmp_path):
        root = folders(tmp_path)
        for names in ({1: "a", 2: "b"}, {"a": 1, "b": 2}, {"1": "a", "b": "2"}):
            assert check(root, layout=Folders(label_names=names)).classes == ("background", "a", "b")

    @pytest.mark.parametrize("names", [["background", "a"], "a", 3])
    def test_that_are_no_mapping(self, tmp_path, names):
        with pytest.raises(DataError, match=r"`labels` must be a mapping, not .*; write \{\"background\": 0"):
            Folders(label_names=names).scan(folders(tmp_path))
        with pytest.raises(DataError, match="must be a mapping, not None"):
            parse_labels(None, tmp_path)

    def test_of_kinds_of_intensities(self, tmp_path):
        root = folders(tmp_path)
        with pytest.raises(ConfigError, match=r"modality is 'CT'; did you mean ct\? choose one of ct, mr, prescaled"):
            Folders(modality="CT").scan(root)
        with pytest.raises(ConfigError, match="names 2 kinds but there are 1 channels; name one for each"):
            Folders(modality=["ct", "mr"]).scan(root)
        with pytest.raises(ConfigError, match="names 2 kinds but there are 1 channels; name one for each"):
            check(root, modality=("ct", "mr"))


class TestArrays:
    def test_of_tensors_of_any_type(self):
        image = torch.tensor(volumes(1)["case_00"][0][0])
        due = model().predict(image.float().bfloat16().float())
        np.testing.assert_array_equal(model().predict(image.bfloat16()), due)

    @pytest.mark.parametrize("dtype", [complex, str, object])
    def test_that_hold_no_numbers(self, dtype):
        """Half of a complex number was taken, and what strings spell."""
        with pytest.raises(DataError, match="the array: voxels must be integers or floats"):
            Volume.of_array(np.ones((4, 8, 8)).astype(dtype))

    def test_as_nibabel_gives_them(self, tmp_path, caplog):
        image = np.random.default_rng(0).normal(0, 300, (40, 36, 6)).astype(np.int16)
        image[0] = -1000
        nib.save(nib.Nifti1Image(image, np.diag([-1, -1, 4, 1])), tmp_path / "a.nii.gz")
        array = nib.load(tmp_path / "a.nii.gz").get_fdata()
        due = model().predict(str(tmp_path / "a.nii.gz"))
        assert not caplog.messages
        assert (model().predict(array, spacing=(1, 1, 4)).shape, due.shape) == ((40, 36, 6), (6, 36, 40))
        assert caplog.messages == [
            "volume: slices of 36 x 6 pixels: is the last axis that of the slices? It must be the first"
        ]
        np.testing.assert_array_equal(model().predict(array.T, spacing=(4, 1, 1)), due)

    @pytest.mark.parametrize("shape", [(1, 16, 16, 10), (1, 9, 12, 10), (4, 20, 20, 10)])
    def test_in_files_whose_channels_are_the_first_axis(self, tmp_path, shape):
        nib.save(nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)), tmp_path / "a.nii.gz")
        with pytest.raises(DataError, match="seems to have its channels first"):
            read_nifti(tmp_path / "a.nii.gz")
        nib.save(nib.Nifti1Image(np.ones((1, 16, 16, 4), np.int16), np.eye(4)), tmp_path / "a.nii.gz")  # a thin volume
        assert read_nifti(tmp_path / "a.nii.gz").array.shape == (4, 16, 16, 1)

    def test_whose_slices_may_be_the_last_axis(self, tmp_path):
        write_acdc_volumes(tmp_path, cases=2, shape=(5, 16, 14))
        (one, other) = ACDC().scan(tmp_path).cases
        with h5py.File(one.images[0], "r+") as file:
            turned = file["image"][()].transpose(1, 2, 0)
            del file["image"]
            file["image"] = turned
        assert "slices of 14 x 5 pixels: is the last axis that of the slices?" in ACDC().read_image(one).notes[0]
        assert ACDC().read_image(other).notes == ()


class TestHome:
    """`~` where no shell puts the user's folder: after an equals sign, in quotes, from Python."""

    def test_in_every_place_of_a_command(self, tmp_path, monkeypatch, capsys):
        folders(tmp_path / "data")
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        arguments = ["A=~/data/labels", "--labels=~/data/labels", "--images", "~/data/images", "-o", "~/report"]
        assert main(["evaluate", *arguments]) == 0
        assert (tmp_path / "report/report.html").exists()
        assert main(["check", "~/data", "--picture=~/x.png"]) == 0
        assert (tmp_path / "x.png").exists()
        assert list(Path().iterdir()) == []

    def test_from_python(self, tmp_path, monkeypatch):
        folders(tmp_path / "data")
        monkeypatch.setenv("HOME", str(tmp_path))
        report = evaluate(["~/data/labels"], "~/report", labels="~/data/labels", images="~/data/images")
        assert report.page == tmp_path / "report/report.html"
        assert len(scan_images(Path("~/data/images")).cases) == 4
        with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "runs"))):
            load("~/runs")


def test_a_pattern_that_the_shell_has_unfolded_wants_quotes(tmp_path, capsys):
    images = [tmp_path / f"{case}.nii.gz" for case in "abc"]
    for image in images:
        image.touch()
    with pytest.raises(SystemExit):
        main(["predict", "runs/mine/version_0", "-i", *map(str, images), "-o", str(tmp_path / "out")])
    assert "write it in quotes, such as -i 'images/*.nii.gz'" in capsys.readouterr().err
