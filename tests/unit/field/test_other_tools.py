"""What other tools write beside images: dataset.json, lists, tables, values; told for what it is, with what to do."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from field_data import LABELS, check, edit, folders, msd, nnunet, volumes
from tiny_data import save_nifti

from adawac.data.layouts import Folders
from adawac.data.unlabelled import unlabelled_cases
from adawac.errors import ConfigError, DataError
from adawac.evaluation.references import References, named_classes
from adawac.io.case_column import read_case_column
from adawac.report.compare import evaluate

sitk = pytest.importorskip("SimpleITK")


def as_told(error: DataError) -> Folders:
    """The layout whose options a message ends with."""
    options = shlex.split(str(error).rpartition("--layout Folders ")[2])
    images = options[options.index("--layout.images") + 1]
    return Folders(
        json.loads(images) if images.startswith("[") else images, options[options.index("--layout.labels") + 1]
    )


def told(root: Path) -> dict[str, str]:
    return {found.topic: found.found for found in check(root).recognised}


class TestDatasetJson:
    @pytest.mark.parametrize(
        "settings", [{"file_ending": None}, {"numTraining": None}, {"name": ""}, {"name": None}, {"dataset": {}}]
    )
    def test_entries_that_say_nothing(self, tmp_path, settings):
        found = check(nnunet(tmp_path / "data", **settings))
        assert (len(found.measured), found.problems) == (4, ())

    def test_another_ending_is_told_as_such(self, tmp_path):
        root = nnunet(tmp_path / "data", file_ending=".nrrd")
        with pytest.raises(DataError) as raised:
            check(root)
        (problem,) = raised.value.problems
        assert "`file_ending` is '.nrrd', but no file ends so (" in problem
        assert "not read: case_00_0000.nii.gz" in problem

    def test_labels_of_a_list_that_was_sorted_apart(self, tmp_path):
        root = msd(tmp_path / "data")
        plain = json.loads((root / "dataset.json").read_text())
        assert check(root).notes == ()
        names = [entry["label"] for entry in plain["training"]]
        for entry, label in zip(plain["training"], [*names[1:], names[0]], strict=True):
            entry["label"] = label
        (root / "dataset.json").write_text(json.dumps(plain))
        (note,) = check(root).notes
        assert "gives the label case_01.nii.gz to case_00, case_02.nii.gz to case_01" in note

    def test_of_nnunet_too(self, tmp_path):
        root = nnunet(tmp_path / "data", cases=3)
        listed = {
            f"pt_{i}": {"images": [f"imagesTr/case_0{i}_0000.nii.gz"], "label": f"labelsTr/case_0{2 - i}.nii.gz"}
            for i in range(3)
        }
        nnunet(root, cases=3, dataset=listed)
        assert any("gives the label case_02.nii.gz to case_00" in note for note in check(root).notes)

    @pytest.mark.parametrize(("number", "said"), [(4, False), ("4", False), (None, False), (5, True)])
    def test_a_list_shorter_than_it_says(self, tmp_path, number, said):
        notes = check(msd(tmp_path / "data", numTraining=number)).notes
        assert len(notes) == said
        assert all("`numTraining` is 5, but 4 cases are listed" in note for note in notes)


class TestValues:
    @pytest.mark.parametrize("value", [255, 32767, 65535])
    def test_the_largest_of_a_type(self, tmp_path, value):
        root = folders(tmp_path / "data")
        edit(root / "labels/case_02.nii.gz", lambda label: np.where(label == 2, value, label), np.uint16)
        assert (
            f"in case_02, beside smaller values: is it to be ignored, or a mask of 0 and {value}?"
            in (told(root)[f"value {value}"])
        )

    def test_that_count_lesions(self, tmp_path):
        root = folders(tmp_path / "data", 5)
        assert "instances" not in told(root)
        for number, path in enumerate(sorted((root / "labels").iterdir())):
            edit(
                path,
                lambda label, n=number: np.where(
                    label > 0, np.arange(label.size).reshape(label.shape) % (n + 1) + 1, 0
                ),
            )
        assert "each case holds the values from 1 on, up to 5" in told(root)["instances"]

    @pytest.mark.parametrize(
        ("change", "remedy"),
        [
            (lambda label: np.where(label == 0, np.nan, label), "write 0 there, if they are background"),
            (
                lambda label: np.sin(label / 2),
                "if they are probabilities, write a class's value where its own is above 0.5",
            ),
            (lambda label: label * 0.3, "or export again with nearest-neighbour interpolation"),
            (lambda label: label * 0.7, "export again with nearest-neighbour interpolation"),
        ],
    )
    def test_that_are_not_whole(self, tmp_path, change, remedy):
        root = folders(tmp_path / "data")
        edit(root / "labels/case_02.nii.gz", change, np.float32)
        assert check(root).bad[0].endswith(remedy)


class TestFoldersOfAnotherShape:
    def test_a_file_in_a_folder_of_its_name(self, tmp_path):
        """As some archives unpack: images/case_00.nii/case_00.nii."""
        root = folders(tmp_path / "data", ending=".nii")
        for path in [path for path in root.rglob("*.nii") if path.is_file()]:
            moved = path.rename(path.with_suffix(".moved"))
            path.mkdir()
            moved.rename(path / path.name)
        with pytest.raises(DataError) as raised:
            check(root)
        assert len(check(root, layout=as_told(raised.value)).measured) == 4

    @pytest.mark.parametrize(
        ("images", "label"),
        [
            (["Patient_{0:02d}/Patient_{0:02d}.nii.gz"], "Patient_{0:02d}/GT.nii.gz"),
            (["Case{0:02d}.mhd"], "Case{0:02d}_segmentation.mhd"),
            (["volume-{0}.nii"], "segmentation-{0}.nii"),
            (["averaged/img/img{0:04d}.nii.gz"], "averaged/label/label{0:04d}.nii.gz"),
            (["subset{1}/1.3.6.1.{0}.nii"], "seg-lungs/1.3.6.1.{0}.nii"),
            (["{0}/data.nii.gz"], "{0}/label.nii.gz"),
            (["pt{0}/v{1}/t1.nii.gz"], "pt{0}/v{1}/seg.nii.gz"),
            (
                ["BraTS20_{0:03d}/BraTS20_{0:03d}_" + each + ".nii" for each in ("flair", "t1", "t2")],
                "BraTS20_{0:03d}/BraTS20_{0:03d}_seg.nii",
            ),
            (["images/1{0}/1{0}_100{0}_t2w.nii"], "labels/1{0}_100{0}.nii"),
        ],
    )
    def test_patterns_are_told_that_find_it(self, tmp_path, images, label):
        """Typed as they are told, they find every case with its own label."""
        for number, (image, mask) in enumerate(volumes(6).values(), 1):
            for place, array in ((label, mask), *((each, image[0]) for each in images)):
                target = tmp_path / place.format(number, number % 2)
                save_nifti(target.with_name(target.name.replace(".mhd", ".nii")), array)
                if target.suffix == ".mhd":
                    written = target.with_suffix(".nii")
                    sitk.WriteImage(sitk.ReadImage(str(written)), str(target))
                    written.unlink()
        with pytest.raises(DataError) as raised:
            check(tmp_path)
        cases = as_told(raised.value).scan(tmp_path).cases
        assert len({case.id for case in cases}) == 6
        for case in cases:
            layout = as_told(raised.value)
            image, mask = layout.read_image(case).array[0], layout.read_label(case).array[0]
            assert [image[mask == k].mean() for k in (1, 2)] == pytest.approx([120, 240], abs=5)  # its own label

    def test_masks_an_organ(self, tmp_path):
        for number, (image, mask) in enumerate(volumes(4).values(), 1):
            save_nifti(tmp_path / f"s{number:04d}/ct.nii.gz", image[0])
            for value, organ in enumerate(("liver", "spleen"), 1):
                save_nifti(tmp_path / f"s{number:04d}/segmentations/{organ}.nii.gz", (mask == value).astype(np.uint8))
        with pytest.raises(DataError) as raised:
            check(tmp_path)
        layout = as_told(raised.value)
        layout.label_names = {1: "liver", 2: "spleen"}
        assert len(check(tmp_path, layout=layout).measured) == 4

    def test_of_images_alone_nothing_is_made_up(self, tmp_path):
        for number in range(3):
            save_nifti(tmp_path / f"scan{number}.nii.gz", np.ones((4, 4, 4), np.int16))
        with pytest.raises(DataError, match=r"--layout.images scans --layout.labels masks$"):
            check(tmp_path)

    def test_empty_ones(self, tmp_path):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir()
        with pytest.raises(DataError, match=r"images: it is empty; .* are read: put them there$"):
            check(tmp_path)


class TestEvaluate:
    @pytest.fixture
    def root(self, tmp_path):
        root = folders(tmp_path / "data", 3)
        shutil.copytree(root / "labels", root / "preds")
        return root

    def dice(self, root, preds="preds", labels="labels", **settings):
        rows = evaluate([root / preds], labels=root / labels, **settings).cases
        return {(row.case, row.class_name): row.value for row in rows if (row.metric, row.group) == ("dice", "all")}

    def test_the_background_among_the_names(self, root):
        assert named_classes(["background", "a", "b"]) == named_classes(["a", "b"])
        assert set(self.dice(root, classes=["background", *list(LABELS)[1:]]).values()) == {1.0}

    def test_a_single_file(self, root):
        name = "case_01.nii.gz"
        edit(root / "preds" / name, lambda label: label * (label != 2), np.uint8)
        found = self.dice(root, f"preds/{name}", f"labels/{name}", classes=["a", "b"])
        assert found == {("case_01", "a"): 1.0, ("case_01", "b"): 0.0}

    def test_values_of_no_class_are_told_in_its_own_options(self, root):
        for path in (root / "preds").iterdir():
            edit(path, lambda label: label * 3, np.uint8)
        with pytest.raises(DataError, match="name them all by --classes") as raised:
            self.dice(root)
        assert "data.ignore_label" not in str(raised.value)
        for path in (root / "preds").iterdir():
            edit(path, lambda label: (label > 0) * 255, np.uint8)
        with pytest.raises(DataError, match="write the class's value in place of 255") as raised:
            self.dice(root)
        assert "data.ignore_label" not in str(raised.value)
        with pytest.raises(DataError, match="by --classes"):
            References.of_folder(root / "labels", named_classes(["a"])).target("case_00")


class TestTables:
    def test_of_excel(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"PK\x03\x04" + bytes(99))
        with pytest.raises(ConfigError, match=r"a table of Excel .* save it as CSV"):
            read_case_column(tmp_path / "a.csv", "patient", ["a"])

    def test_only_names_that_are_left_are_meant(self, tmp_path):
        (tmp_path / "a.csv").write_text("case,patient\ncase_0,1\ncase-1,2\n")
        with pytest.raises(DataError, match=r"for case case_1; did you mean case-1\?"):
            read_case_column(tmp_path / "a.csv", "patient", ["case_0", "case_1"])
        (tmp_path / "a.csv").write_text("case,patient\ncase_0,1\n")
        with pytest.raises(DataError, match=r"for case case_1; add a line"):
            read_case_column(tmp_path / "a.csv", "patient", ["case_0", "case_1"])


def test_predictions_that_number_classes_otherwise_are_told(tmp_path, caplog):
    """Their Dice is 0, of which nothing else says the reason."""
    root = folders(tmp_path / "data", 3)
    shutil.copytree(root / "labels", root / "preds")
    evaluate([root / "preds"], labels=root / "labels")
    assert "do values mean the same" not in caplog.text
    for path in (root / "preds").iterdir():
        edit(path, lambda label: np.array([0, 2, 1])[label], np.uint8)
    evaluate([root / "preds"], labels=root / "labels")
    assert "class_1, class_2 lie in most cases elsewhere than in the references: do values mean" in caplog.text
    caplog.clear()
    for path in (root / "preds").iterdir():
        edit(path, lambda label: label * (label == 1), np.uint8)  # a network that never found one
    evaluate([root / "preds"], labels=root / "labels")
    assert "do values mean the same" not in caplog.text


class TestWhatIsNoDataSetYet:
    def test_an_archive(self, tmp_path):
        (tmp_path / "Task09_Spleen.tar").touch()
        with pytest.raises(DataError, match=r"it holds Task09_Spleen.tar; unpack Task09_Spleen.tar; correct the path"):
            check(tmp_path)
        with pytest.raises(DataError, match="this is a file; unpack it, and give the folder of a data set"):
            check(tmp_path / "Task09_Spleen.tar")

    def test_what_nnunet_prepared(self, tmp_path):
        root = nnunet(tmp_path / "data")
        shutil.rmtree(root / "imagesTr")
        with pytest.raises(DataError, match="imagesTr: the folder does not exist; complete the data set"):
            check(root)
        (root / "labelsTr").rename(root / "gt_segmentations")
        with pytest.raises(DataError, match="give the folder of nnUNet_raw, not of nnUNet_preprocessed"):
            check(root)


def test_unlabelled_images_where_a_pattern_finds_them(tmp_path):
    for number, (image, _) in enumerate(volumes(3).values()):
        save_nifti(tmp_path / f"more/p{number}/ct.nii.gz", image[0])
        save_nifti(tmp_path / f"more/p{number}/old.nii.gz", image[0])
    found = unlabelled_cases(tmp_path / "more/*/ct.nii.gz")
    assert sorted(found) == ["unlabelled/p0", "unlabelled/p1", "unlabelled/p2"]
    assert [path.name for case in found.values() for path in case.images] == ["ct.nii.gz"] * 3


def test_patients_that_are_nan_are_unknown_and_not_one(tmp_path):
    """As pandas writes what it does not know; two cases of `nan` were one patient."""
    (tmp_path / "a.csv").write_text("case,patient\nx,p1\ny,nan\nz,NaN\n")
    with pytest.raises(DataError, match="no patient for case y, z; add a line 'case,patient' for each"):
        read_case_column(tmp_path / "a.csv", "patient", ["x", "y", "z"])
    with pytest.raises(DataError, match=r"no patient for case 001 \(the table calls them x\); add a line"):
        read_case_column(tmp_path / "a.csv", "patient", ["001"])
