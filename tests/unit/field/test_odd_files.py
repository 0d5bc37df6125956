"""Files that converters and people make, of the kinds of faults that reports told of: read right, or refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from field_data import check, edit, folders, msd, nnunet, volumes

from adawac.data.classes import Classes
from adawac.data.image_rules import checked
from adawac.data.preprocessing import Preprocessing
from adawac.data.recognition import kind_of_values
from adawac.errors import AdaWACError, ConfigError, DataError
from adawac.io.case_column import read_case_column
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti


def said(checkup) -> str:
    return "\n".join((*checkup.problems, *checkup.notes, *(finding.found for finding in checkup.recognised)))


class TestLabels:
    @pytest.fixture
    def root(self, tmp_path):
        return folders(tmp_path / "data")

    def each(self, root, change, dtype, which=""):
        for path in sorted((root / "labels").glob(f"*{which}.nii.gz")):
            edit(path, change, dtype)

    def test_numbers_that_floats_cannot_hold(self, root):
        """16777217 is 16777216 in float32."""
        self.each(root, lambda label: np.where(label == 2, 16777217, label), np.float64)
        with pytest.raises(
            DataError, match=r"(?s)export the label as integers.*floats hold no label value of 16777216 exactly"
        ):
            check(root)

    def test_numbers_that_predictions_cannot_hold(self, root):
        self.each(root, lambda label: np.where(label == 2, 2**32 - 1, label), np.uint32)
        with pytest.raises(DataError, match="no file of predictions holds a value of 4294967295"):
            check(root)
        assert Classes.from_labels({1: "a", 2**31 - 1: "b"}).decode(np.array([2])).tolist() == [2**31 - 1]

    def test_masks_of_0_and_255_beside_those_of_0_and_1(self, root):
        self.each(root, lambda label: label == 1, np.uint8)
        self.each(root, lambda label: label * 255, np.uint8, "case_01")
        assert "in case_01, beside smaller values: is it to be ignored, or a mask of 0 and 255" in said(check(root))
        self.each(root, lambda label: (label > 0) * 255, np.uint8)
        assert "beside smaller values" not in said(check(root))

    def test_a_case_whose_background_is_1(self, root):
        self.each(root, lambda label: np.maximum(label, 1), np.uint8, "case_02")
        assert "none in case_02: there, too, the background must be 0" in said(check(root))

    def test_an_image_in_place_of_a_label(self, tmp_path):
        root = msd(tmp_path / "msd")
        (root / "labelsTr/case_01.nii.gz").write_bytes((root / "imagesTr/case_01.nii.gz").read_bytes())
        (problem,) = check(root).bad
        assert problem.startswith("case case_01: label values")
        assert problem.endswith("give the label map in place of this file, which seems to be an image")

    def test_a_label_of_two_images(self, root):
        assert "same label" not in {finding.topic for finding in check(root).recognised}
        (root / "labels/case_03.nii.gz").write_bytes((root / "labels/case_01.nii.gz").read_bytes())
        found = {finding.topic: finding.found for finding in check(root).recognised}
        assert found["same label"] == "voxel for voxel, of case_01 and case_03: has each image its own?"

    def test_300_values_are_told_in_a_line(self):
        with pytest.raises(ConfigError) as raised:
            Classes.from_labels({value: f"class_{value}" for value in range(301)})
        assert "(class_1, class_2, class_3, class_4, class_5 and 295 more)" in str(raised.value)


class TestIntensities:
    def test_mr_below_0_is_no_ct(self):
        rng = np.random.default_rng(0)
        for mean, width in ((300, 200), (0, 150), (800, 500)):
            assert kind_of_values(rng.normal(mean, width, 5000)) == "mr"
        image, _ = volumes(1)["case_00"]
        assert kind_of_values(image) == "ct"
        assert kind_of_values(np.clip(image, -300, 300)) == "ct"  # as windowed CT is
        assert kind_of_values(np.where(image < -900, -2000, image)) == "ct"

    def test_hu_that_were_rescaled_twice(self, tmp_path):
        root = folders(tmp_path / "data")
        edit(root / "images/case_01.nii.gz", lambda image: image - 1024)
        (problem,) = check(root).bad
        assert problem.startswith("case case_01: intensities go from -2")
        edit(root / "images/case_01.nii.gz", lambda image: np.where(image < -1900, -2000, image + 1024))
        assert check(root).problems == ()

    def test_numbers_of_small_units_are_normalised(self, tmp_path):
        """Diffusion in m2/s: left alone, half precision would hold zeros."""
        root = folders(tmp_path / "data")
        for path in (root / "images").iterdir():
            edit(path, lambda image: (image + 1200.0) * 1e-12, np.float32)
        found = check(root)
        assert (found.fingerprint.modality, found.problems) == ("mr", ())
        problem = check(root, modality="prescaled").bad[0]
        assert "must reach 1e-05 and stay below 65504; set data.modality to `mr`" in problem

    def test_0_to_255_among_0_to_1(self, tmp_path):
        root = folders(tmp_path / "data")
        for path in sorted((root / "images").iterdir()):
            edit(path, lambda image: (image + 1100) / 2000, np.float32)
        assert check(root).notes == ()
        edit(path, lambda image: image * 255, np.float32)
        (note,) = check(root).notes
        assert re.fullmatch("case case_03: intensities go from .* to 17.*, and are left alone as if scaled", note)

    @pytest.mark.parametrize("unit", [1e-9, 1.0, 1e30])
    def test_normalised_alike_in_any_unit(self, unit):
        image = np.random.default_rng(0).normal(5, 2, (1, 4, 8, 8))
        low, high = np.quantile(image, [0.005, 0.995])
        due = np.clip(image, low, high)
        due = (due - due.mean()) / due.std()
        made = Preprocessing("mr").intensities((unit * image).astype(np.float32))
        np.testing.assert_allclose(made, due, atol=1e-4)
        assert not Preprocessing("mr").intensities(np.full((1, 4, 8, 8), unit * 0.1, np.float32)).any()

    def test_a_channel_that_is_a_copy(self, tmp_path):
        root = nnunet(tmp_path / "data", channels=("T1", "T2"))
        copy = (root / "imagesTr/case_01_0000.nii.gz").read_bytes()
        (root / "imagesTr/case_01_0001.nii.gz").write_bytes(copy)
        (note,) = check(root).notes
        assert note.startswith("case case_01: channels 0 and 1 are the same, voxel for voxel")

    def test_many_copies_are_one_line(self):
        """And not one for each two of them: times that a tool filled up were 66 lines a case."""
        volume = np.random.default_rng(0).normal(size=(1, 6, 16, 16)).astype(np.float32)
        (note,) = checked(np.concatenate([volume] * 8 + [volume + 1]), ("mr",) * 9)[1]
        assert note.startswith("channels 0, 1, 2, 3, 4 and 3 more are the same")
        (one, other) = checked(np.concatenate([volume, -volume, volume, -volume]), ("mr",) * 4)[1]
        assert (one[:16], other[:16]) == ("channels 0 and 2", "channels 1 and 3")


class TestListings:
    def test_channels_in_plain_folders_are_those_of_predict(self, tmp_path):
        root = folders(tmp_path / "data", 3)
        for path in sorted((root / "images").iterdir()):
            first, second = (path.with_name(path.name.replace(".nii", f"_000{i}.nii")) for i in (0, 1))
            path.rename(first)
            second.write_bytes(first.read_bytes())
            edit(second, lambda image: image + 7)
        found = check(root)
        assert (sorted(found.measured), found.problems) == (["case_00", "case_01", "case_02"], ())
        assert found.fingerprint.channels == ("channel_0", "channel_1")
        first, second = read_image(sorted((root / "images").glob("case_00*"))).array
        np.testing.assert_array_equal(second, first + 7)
        (root / "images/case_01_0000.nii.gz").unlink()
        assert "case case_01_0001: " in said(check(root))

    def test_four_digits_that_labels_have_too_are_names(self, tmp_path):
        root = folders(tmp_path / "data")
        for i, part in enumerate(("images", "labels") * 2):
            (root / part / f"case_0{i // 2}.nii.gz").rename(root / part / f"img_{i // 2:04d}.nii.gz")
        assert sorted(check(root).measured) == ["case_02", "case_03", "img_0000", "img_0001"]

    @pytest.mark.parametrize("ending", [".mnc", ".img", ".png"])
    def test_folders_of_another_format_are_named(self, tmp_path, ending):
        root = folders(tmp_path / "data", 2)
        for path in root.rglob("*.nii.gz"):
            path.rename(str(path).replace(".nii.gz", ending))
        with pytest.raises(
            DataError, match=rf"images: not read: case_00{ending}, case_01{ending}; NIfTI, .*"
        ) as raised:
            check(root)
        said = str(raised.value)
        assert ("write all slices of a scan as one NIfTI" in said, "convert the files" in said) == (
            ending == ".png",
            ending != ".png",
        )

    def test_pictures_become_a_volume_as_the_page_shows(self, tmp_path, monkeypatch):
        from PIL import Image

        volume = np.random.default_rng(0).integers(0, 255, (3, 4, 5)).astype(np.uint8)  # superior, posterior, left
        (tmp_path / "scan_7").mkdir()
        (tmp_path / "images").mkdir()
        for number, picture in enumerate(volume):
            Image.fromarray(picture).save(tmp_path / f"scan_7/{number}.png")
        monkeypatch.chdir(tmp_path)
        text = (Path(__file__).parents[3] / "data_README.md").read_text()
        exec(text.partition("several frames\n")[2].partition("```python\n")[2].partition("```")[0], {})
        read = read_nifti(tmp_path / "images/scan_7.nii.gz")
        np.testing.assert_array_equal(read.array[0], volume)
        assert read.geometry.spacing == pytest.approx((5.0, 0.8, 0.8))

    def test_slices_of_all_patients_in_one_folder(self, tmp_path):
        root = folders(tmp_path / "data", 2)
        for path in (root / "images").iterdir():
            path.unlink()
            path.with_suffix(".dcm").write_bytes(bytes(128) + b"DICM")
        with pytest.raises(DataError, match=r"not read: .*give each series a folder of its own"):
            check(root)

    def test_series_two_folders_deeper(self, tmp_path):
        root = folders(tmp_path / "data")
        (root / "images/case_02.nii.gz").unlink()
        inner = root / "images/case_02/study/series"
        inner.mkdir(parents=True)
        (inner / "1.dcm").write_bytes(bytes(128) + b"DICM")
        assert "DICOM in case_02/study/series: move it up" in said(check(root))

    def test_an_unknown_folder_is_told_by_what_it_holds(self, tmp_path):
        nnunet(tmp_path / "data").joinpath("dataset.json").rename(tmp_path / "data/Dataset.JSON")
        with pytest.raises(DataError, match=r"it holds Dataset.JSON, imagesTr, labelsTr; correct the path"):
            check(tmp_path / "data")

    @pytest.mark.parametrize(
        "settings",
        [
            {"numTraining": "4"},
            {"numTraining": 4.0},
            {"file_ending": "nii.gz"},
            {"labels": {"background": [0], "a": [1], "b": [2]}},
            {"labels": {"background": 0, "a": 1, "b": 2, "Ignore": 3}},
        ],
        ids=str,
    )
    def test_written_otherwise_and_meant_the_same(self, tmp_path, settings):
        found = check(nnunet(tmp_path / "data", **settings))
        assert (found.classes, found.problems) == (("background", "a", "b"), ())

    def test_a_name_that_stands_twice_in_json(self, tmp_path):
        root = msd(tmp_path / "data")
        path = root / "dataset.json"
        path.write_text(path.read_text().replace('"2": "b"', '"1": "b"'))
        with pytest.raises(DataError, match=r"dataset.json: .*'1' stands there 2 times"):
            check(root)

    @pytest.mark.parametrize("how", [{"channel_names": ["CT"]}, {"labels": ["background", "a"]}], ids=str)
    def test_lists_where_mappings_are_due_are_answered_by_an_example(self, tmp_path, how):
        with pytest.raises(DataError, match=r"must be a mapping, not \['.*; write \{"):
            check(nnunet(tmp_path / "data", **how))


class TestTables:
    @pytest.mark.parametrize("mark", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_as_excel_writes_them(self, tmp_path, mark, encoding):
        lines = [("case", "patient"), ("a_1", "Müller, A"), ("a_2", "Müller, A")]
        text = "".join(mark.join(f'"{field}"' for field in line) + "\r\n" for line in lines)
        (tmp_path / "patients.csv").write_bytes(text.encode(encoding))
        read = read_case_column(tmp_path / "patients.csv", "patient", ["a_1", "a_2"])
        assert read == {"a_1": "Müller, A", "a_2": "Müller, A"}

    def test_capitals_in_its_header(self, tmp_path):
        (tmp_path / "patients.csv").write_bytes(b"Case,PATIENT\r\na.nii.gz,7\r\n")
        assert read_case_column(tmp_path / "patients.csv", "patient", ["a"]) == {"a": "7"}

    @pytest.mark.parametrize(
        ("content", "remedy"),
        [
            (b"Case,Person\na,1\n", "begins with 'case,Person'; add them"),
            ("case,patient\na,Müller\n".encode("latin-1"), "give the path of a CSV file in UTF-8"),
            (b"case,patient\na.c.nii.gz,1\n", "no patient for case a .*; add a line"),
        ],
    )
    def test_what_is_wrong_with_others(self, tmp_path, content, remedy):
        (tmp_path / "patients.csv").write_bytes(content)
        with pytest.raises(AdaWACError, match=remedy):
            read_case_column(tmp_path / "patients.csv", "patient", ["a"])

    def test_a_split_that_is_no_json(self, tmp_path):
        root = nnunet(tmp_path / "data")
        (root / "splits.json").write_text("case,part\ncase_00,train\n")
        assert 'but a split is {"train": [names]' in said(check(root))
        (root / "splits.json").write_text(json.dumps({"train": ["case_00"], "fold1": ["case_01"]}))
        assert "'fold1' is no part of a split, which is {\"train\": [names]" in said(check(root))
