"""What is recognised in data: CT or MR, the direction of the scan, what stands out; and how to choose otherwise."""

import json
import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from field_data import LPS, check, edit, folders, msd, nnunet
from tiny_data import make_case, save_nifti

from adawac.cli import main
from adawac.data.layouts import Folders
from adawac.data.recognition import may_be_raw, scan_axis
from adawac.phantom.ct import render
from adawac.training.plan import make_plan


def found(root, topic, **settings) -> str | None:
    return {finding.topic: finding.found for finding in check(root, **settings).recognised}.get(topic)


def each_image(root, change, dtype=np.int16):
    for path in sorted(root.glob("images*/*")):
        edit(path, change, dtype)


class TestIntensities:
    @pytest.mark.parametrize(
        ("change", "dtype", "modality"),
        [
            (lambda image: image, np.int16, "ct"),
            (lambda image: np.where(image < -900, -3024, image), np.int16, "ct"),
            (lambda image: np.where(image < -900, -32768, image), np.int16, "ct"),
            (lambda image: image + 1200, np.int16, "mr"),
            (lambda image: (image + 1200) / 2000.0, np.float32, "prescaled"),
            (lambda image: (image - image.mean()) / image.std(), np.float32, "mr"),
        ],
    )
    def test_of_plain_folders_by_their_values(self, tmp_path, change, dtype, modality):
        root = folders(tmp_path / "data")
        each_image(root, change, dtype)
        assert Folders().scan(root).modality == modality
        assert "by the values of 3 images" in found(root, "intensities")
        assert check(root).problems == ()

    def test_one_image_of_another_kind_is_a_problem_of_its_own(self, tmp_path):
        root = folders(tmp_path / "data", 6)
        edit(root / "images/case_00.nii.gz", lambda image: image + 1200)
        checked = check(root)
        assert len(checked.bad) == 1
        assert re.search("case case_00: .*no Hounsfield units", checked.bad[0])

    @pytest.mark.parametrize(("tag", "modality"), [("CT", "ct"), ("MR", "mr"), ("PT", "mr")])
    def test_by_headers_of_dicom(self, tmp_path, tag, modality):
        dicom = pytest.importorskip("dicom_files")
        root = folders(tmp_path / "data", 3)
        for i, path in enumerate(sorted((root / "images").iterdir())):
            array = np.asarray(nib.load(path).dataobj)
            path.unlink()
            series = f"1.2.826.0.1.3680043.8.498.{i + 1}"
            for file in dicom.write_series(root / f"images/case_{i:02d}", array, LPS, series=series):
                dicom.change(file, Modality=tag)
        collection = Folders().scan(root)
        assert (collection.modality, collection.known_by) == (modality, f"DICOM headers ({tag})")

    @pytest.mark.parametrize(
        ("names", "modality"), [(("CT",), "ct"), (("T2w",), "mr"), (("ct",), "ct"), (("noNorm",), "prescaled")]
    )
    def test_names_of_channels_count_more_than_values(self, tmp_path, names, modality):
        root = nnunet(tmp_path / "data", channels=names)
        assert "by its names of channels" in found(root, "intensities")
        assert check(root).fingerprint.modality == modality
        assert ("may be CT" in found(root, "intensities")) == (modality != "ct")

    def test_a_decathlon_that_says_nothing(self, tmp_path):
        root = msd(tmp_path / "data", modality=None)
        assert check(root).fingerprint.modality == "ct"
        for path in (root / "imagesTr").iterdir():
            edit(path, lambda image: image + 1200)
        assert check(root).fingerprint.modality == "mr"

    @pytest.mark.parametrize("offset", [1024, 1000])
    def test_ct_without_its_offset_is_asked_about(self, tmp_path, offset):
        """Bodies of generated CT, air around them; else normalised per volume as MR, in silence."""
        root = tmp_path / "data"
        for case in range(2):
            image, label, _ = render(seed=0, patient=case, size=(8, 64, 64))
            save_nifti(root / f"images/{case}.nii.gz", (image + offset).clip(0).astype(np.int16))
            save_nifti(root / f"labels/{case}.nii.gz", label)
        said = found(root, "intensities")
        assert said.startswith("MR or the like")
        assert said.endswith("; but image may be CT without its offset of -1024: if so, subtract 1024 from the images")
        each_image(root, lambda image: image - offset)
        assert found(root, "intensities").startswith("CT, windowed in HU (by the values of 2 images")

    @pytest.mark.skipif("ADAWAC_DATA" not in os.environ, reason="needs real MR")
    @pytest.mark.parametrize("factor", [1, 3, 10])
    def test_mr_is_not_asked_about(self, factor):
        """Hippocampi: hardly any of 40 images look so by chance, whatever their scale, and never most."""
        paths = sorted(Path(os.environ["ADAWAC_DATA"], "hippocampus-mr/imagesTr").glob("*.nii.gz"))[:40]
        values = [np.asarray(nib.load(path).dataobj) for path in paths]
        assert not may_be_raw(factor * np.concatenate([each.reshape(-1) for each in values]))

    def test_each_channel_is_configured(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        root = nnunet(tmp_path / "data", 6, channels=("CT", "noNorm"))
        for path in root.glob("imagesTr/*_0001.nii.gz"):
            edit(path, lambda image: (image > 100) * 0.75, np.float32)
        assert found(root, "intensities").startswith("CT: CT, windowed in HU; noNorm: scaled already, left alone (by")
        assert main(["init", str(root)]) == 0
        said = yaml.safe_load((tmp_path / "data.yaml").read_text())["data"]
        assert said["modality"] == ["ct", "prescaled"]
        assert said["window"]
        assert main(["check", str(root), "--modality", "[ct, prescaled]"]) == 0

    def test_an_mr_folder_is_configured_as_such(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        root = folders(tmp_path / "data", 6)
        each_image(root, lambda image: (image + 1200) // 2)
        assert main(["init", str(root)]) == 0
        assert re.search(
            r"intensities +MR .*by the values of 3 images\) \[otherwise: --modality\]", capsys.readouterr().out
        )
        assert "modality: mr" in (tmp_path / "data.yaml").read_text()


class TestDirection:
    @pytest.mark.parametrize(
        ("spacing", "shape", "axis"),
        [
            ((5.0, 0.8, 0.8), (20, 256, 256), 0),
            ((0.8, 4.0, 0.8), (256, 30, 256), 1),
            ((0.9, 0.9, 3.3), (256, 256, 24), 2),
            ((1.0, 3.0, 3.0), (90, 64, 64), 0),  # two equally long ones are the pixels
            ((3.0, 3.0, 1.0), (64, 64, 90), 2),
            ((3.0, 0.9, 0.8), (30, 256, 256), 0),
            ((1.0, 1.0, 1.0), (36, 50, 35), None),
            ((1.2, 1.0, 1.0), (30, 50, 50), None),
        ],
    )
    def test_of_a_grid(self, spacing, shape, axis):
        assert scan_axis(spacing, shape) == axis

    @pytest.mark.parametrize(
        ("spacing", "axis"), [((0.8, 0.9, 4.0), "sagittal"), ((0.8, 4.0, 4.0), "axial"), ((4.0, 0.8, 0.8), "axial")]
    )
    def test_of_the_plan_that_init_writes(self, tmp_path, spacing, axis):
        root = folders(tmp_path / "data")
        for name in range(4):
            image, label = make_case(np.random.default_rng(name), (6, 16, 16))
            save_nifti(root / f"images/case_{name:02d}.nii.gz", image[0], spacing)
            save_nifti(root / f"labels/case_{name:02d}.nii.gz", label, spacing)
        assert make_plan(check(root).fingerprint, 8.0).axis == axis

    def test_of_a_data_set_with_an_outlier(self, tmp_path):
        root = folders(tmp_path / "data", 6)
        image, label = make_case(np.random.default_rng(7), (6, 16, 16))
        for part, array in (("images", image[0]), ("labels", label)):
            save_nifti(root / f"{part}/case_05.nii.gz", array, (0.8, 0.9, 9.0))
        said = found(root, "slices")
        assert (
            said
            == "scanned axial, 3 mm apart, pixels of 0.9 x 0.8 mm (medians of 5 cases); otherwise (sagittal): case_05"
        )
        assert found(root, "spacing") == "others than most: case_05 (0.8 x 0.9 x 9 mm)"


class TestPatientsAndClasses:
    def test_several_visits(self, tmp_path):
        root = folders(tmp_path / "data", 6)
        for part in ("images", "labels"):
            for i in range(6):
                path = root / f"{part}/case_{i:02d}.nii.gz"
                path.rename(root / f"{part}/pt{i // 2}_visit{i % 2 + 1}.nii.gz")
        assert re.search("6 cases that seem, by their names, to be of 3 patients", found(root, "patients"))

    def test_sides_and_rare_classes(self, tmp_path):
        root = nnunet(tmp_path / "data", 12, labels={"background": 0, "left_kidney": 1, "right_kidney": 2})
        for i in range(1, 12):
            edit(root / f"labelsTr/case_{i:02d}.nii.gz", lambda label: np.where(label == 2, 1, label))
        (root / "splits.json").write_text(json.dumps({"train": [f"case_{i:02d}" for i in range(12)]}))
        assert found(root, "left, right") == "left_kidney and right_kidney"
        assert found(root, "rare classes") == "right_kidney in 1 of 12 cases"

    def test_a_class_of_a_stray_voxel(self, tmp_path):
        root = folders(tmp_path / "data")
        assert found(root, "tiny classes") is None
        stray = np.zeros((16, 16, 6), np.int16)
        stray[0, 0, 0] = 77
        edit(root / "labels/case_01.nii.gz", lambda label: label + stray)
        assert found(root, "tiny classes") == "class_77 (1 voxel): of a slip?"

    @pytest.mark.parametrize("change", [lambda image: -image, lambda image: np.clip(image, -100, 240)])
    def test_ct_without_air_among_others(self, tmp_path, change):
        root = folders(tmp_path / "data")
        assert found(root, "air") is None
        edit(root / "images/case_01.nii.gz", change)
        assert found(root, "air") == "none in case_01, unlike in most: are they windowed, or upside down?"
        for path in (root / "images").iterdir():
            edit(path, lambda image: np.clip(image, -100, 240))
        assert found(root, "air") is None

    def test_a_background_of_another_name(self, tmp_path):
        root = nnunet(tmp_path / "data", labels={"liver": 0, "a": 1, "b": 2})
        assert found(root, "background") == "the value 0, which is called liver"

    def test_about_ten_lines(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        root = folders(tmp_path / "data")
        assert main(["check", str(root)]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "[otherwise: " in line]
        assert len(lines) == 4
        assert lines[0].startswith("layout       Folders [otherwise: --layout]")
        assert [line.partition("[otherwise: ")[2] for line in lines[1:]] == [
            "--modality]",
            "data.axis in the configuration]",
            "--patient_pattern]",
        ]

    @pytest.mark.parametrize("command", ["check", "init"])
    def test_what_is_wrong_is_told_in_options_of_the_command(self, tmp_path, monkeypatch, capsys, command):
        monkeypatch.chdir(tmp_path)
        root = nnunet(tmp_path / "data")  # which says CT
        each_image(root, lambda image: np.abs(image) / 1000)
        assert main([command, str(root)]) == 2
        said = "".join(capsys.readouterr())
        assert "set --modality to `mr`" in said
        assert "data.modality" not in said


class TestTurnedCopies:
    """Copies that somebody turned or mirrored, in other parts of the split than what they were made of."""

    @pytest.mark.parametrize(
        "turn", [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], lambda a: np.rot90(a)]
    )
    @pytest.mark.parametrize("dtype", [np.int16, np.float32])
    def test_they_are_found(self, tmp_path, turn, dtype):
        root = folders(tmp_path / "data", 5)
        if dtype is np.float32:  # standardised, so that sums of slices nearly cancel
            each_image(root, lambda image: (image - image.mean()) / image.std(), dtype)
        for folder in ("images", "labels"):
            image = nib.load(root / f"{folder}/case_03.nii.gz")
            nib.save(nib.Nifti1Image(turn(np.asarray(image.dataobj)).copy(), LPS), root / f"{folder}/new.nii.gz")
        said = found(root, "same image")
        assert said.startswith("but turned or mirrored, of case_03 and new: leave copies out")
        assert check(root).problems == ()

    def test_of_one_patient_they_are_right(self, tmp_path):
        root = folders(tmp_path / "data", 3)
        for folder in ("images", "labels"):
            image = nib.load(root / f"{folder}/case_02.nii.gz")
            mirrored = np.asarray(image.dataobj)[::-1].copy()
            nib.save(nib.Nifti1Image(mirrored, LPS), root / f"{folder}/case_02b.nii.gz")
        assert found(root, "same image", patient_pattern=r"(case_\d+)") is None
        assert found(root, "same image", patient_pattern=None) is not None

    def test_other_images_are_not(self, tmp_path):
        assert found(folders(tmp_path / "data", 6), "same image") is None
