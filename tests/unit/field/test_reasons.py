"""What is said of data of the field that cannot be read: the right reason, the right remedy, all problems together."""

import gzip
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from field_data import check, edit, folders, msd, nnunet, prepare

from adawac.cli import main
from adawac.data.datamodule import SegmentationData
from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.errors.problems import Problem, grouped
from adawac.evaluation.references import References
from adawac.io.images import read_image


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """What commands write goes where the test is."""
    monkeypatch.chdir(tmp_path)


class TestAllTogether:
    def test_labels_that_are_all_fractional(self, tmp_path):
        root = folders(tmp_path / "data", 6)
        for path in (root / "labels").iterdir():
            edit(path, lambda label: label * 0.9882, np.float32)
        for run in (check, prepare, lambda root: References.of_folder(root / "labels")):
            with pytest.raises(DataError) as raised:
                run(root)
            assert len(raised.value.problems) == 6
            assert re.search(
                r"case case_00: .*whole numbers but \d+ voxels are not, such as (0.9882|1.976)", str(raised.value)
            )
            assert "6 cases alike; as all are multiples of 0.9882" in str(raised.value)

    def test_images_none_of_which_can_be_read(self, tmp_path):
        root = folders(tmp_path / "data")
        for path in (root / "images").iterdir():
            path.write_bytes(b"\x1f\x8b\x08 no gzip")
        edit(root / "labels/case_03.nii.gz", lambda label: label * 0.5, np.float32)
        found = check(root)
        assert [Problem.of(line).name for line in found.bad] == ["case_03", "case_00", "case_01", "case_02"]
        assert not found.measured

    def test_the_first_case_ends_nothing(self, tmp_path):
        root = folders(tmp_path / "data")
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 2, 2), np.int16), np.eye(4)), root / "images/case_00.nii.gz")
        edit(root / "images/case_02.nii.gz", lambda image: image * np.nan, np.float32)
        assert [Problem.of(line).name for line in check(root).bad] == ["case_00", "case_02"]

    def test_both_files_of_a_case(self, tmp_path):
        root = nnunet(tmp_path / "data")
        edit(root / "imagesTr/case_02_0000.nii.gz", lambda image: image * 0)
        edit(root / "labelsTr/case_02.nii.gz", lambda label: label * 3)
        (problem,) = check(root).bad
        assert re.search(
            r"case case_02: every voxel is 0 .*; also: label values \[3, 6\] .* stand for no class", problem
        )

    def test_a_split_that_is_wrong_too(self, tmp_path):
        root = folders(tmp_path / "data")
        (root / "labels/case_02.nii.gz").unlink()
        (root / "splits.json").write_text(json.dumps({"train": ["case_77"]}))
        found = check(root)
        assert "case case_02" in found.bad[0]
        assert "case_77 is neither a case nor a patient" in found.whole[0]

    @pytest.mark.parametrize("command", ["check", "init"])
    def test_commands_tell_few_and_write_all(self, tmp_path, capsys, command):
        root = folders(tmp_path / "data", 9)
        for path in (root / "images").iterdir():
            edit(path, lambda image: image + 1200)
        assert main([command, str(root), "--layout", "Folders", "--layout.modality", "ct"]) == 2
        said = "".join(capsys.readouterr())
        number = 9 if command == "check" else 6  # those to train on
        assert f"{number} cases alike; rescale the image to HU" in said
        assert said.count("no Hounsfield units do") == 3
        written = tmp_path / ("check_data.txt" if command == "check" else "adawac_init_problems.txt")
        assert written.read_text().count("no Hounsfield units do") == number
        assert str(written.name) in said

    def test_json_for_scripts(self, tmp_path, capsys):
        root = folders(tmp_path / "data", 6)
        for name in ("case_01", "case_04"):
            edit(root / f"images/{name}.nii.gz", lambda image: image * 0)
        assert main(["check", str(root), "--json"]) == 2
        found = json.loads(capsys.readouterr().out)
        assert [(each["name"], each["remedy"]) for each in found["problems"]] == [
            ("case_01", "export the image again"),
            ("case_04", "export the image again"),
        ]
        assert len({each["rule"] for each in found["problems"]}) == 1
        assert len(found["sound_cases"]) == 4
        for name in ("case_01", "case_04"):
            for part in ("images", "labels"):
                (root / f"{part}/{name}.nii.gz").unlink()
        assert main(["check", str(root), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["problems"] == []
        shutil.rmtree(root / "labels")
        (root / "notes.txt").write_text("x")
        assert main(["check", str(root), "--json"]) == 2
        assert "none of the known layouts" in json.loads(capsys.readouterr().out)["problems"][0]["problem"]

    def test_300_classes_that_no_case_holds(self, tmp_path):
        root = nnunet(tmp_path / "data", labels={"background": 0} | {f"c{i}": i for i in range(1, 254)})
        told = grouped(check(root).problems)
        assert told[0].startswith("251 classes alike; drop it with data.drop")
        assert len(told) == 5

    def test_rules_are_told_apart(self):
        lines = [f"case {i}: a is {i}; do b" for i in range(4)] + [f"case {i}: c is {i}; do b" for i in range(2)]
        assert grouped(lines) == [
            *("4 cases alike; do b:", "  case 0: a is 0", "  case 1: a is 1", "  case 2: a is 2", "  and 1 more"),
            *("case 0: c is 0; do b", "case 1: c is 1; do b"),
        ]


class TestMisnamed:
    """Files whose content is not what their names say."""

    @pytest.fixture
    def root(self, tmp_path):
        return folders(tmp_path / "data")

    @pytest.mark.parametrize(
        ("name", "make", "said"),
        [
            ("a.nii.gz", gzip.decompress, r"the file is NIfTI, .*; rename it to a\.nii$"),
            ("a.nii", lambda content: content, r"the file is gzipped NIfTI, .*; rename it to a\.nii\.gz$"),
            ("a.NII", lambda content: content, r"the file is gzipped NIfTI, .*; rename it to a\.nii\.gz$"),
            ("a.mha", lambda content: content, r"the file is gzipped NIfTI, .*; rename it to a\.nii\.gz$"),
            ("a.nrrd", gzip.decompress, r"the file is NIfTI, .*; rename it to a\.nii$"),
            ("a.nii.gz", gzip.compress, r"the file is gzip twice over, .*; unpack it once$"),
            ("a.nii.gz", lambda content: b"PK\3\4" + content, r"the file is a zip archive, "),
            ("a.nii.gz", lambda content: b"version https://git-lfs.github.com/spec/v1\noid", "`git lfs pull`$"),
            ("a.nii", lambda content: b"NRRD0004\ntype: short\n", r"the file is NRRD, .*; rename it to a\.nrrd$"),
            ("a.nii", lambda content: b"ObjectType = Image\nNDims = 3\n", r"MetaImage, .*; rename it to a\.mha$"),
            ("a.nii", lambda content: bytes(128) + b"DICM" + bytes(300), "DICOM, .*; give its series a folder"),
            ("a.nii.gz", lambda content: b"\x89HDF\r\n" + content, "HDF5, "),
        ],
    )
    def test_what_it_is_and_how_to_call_it(self, root, tmp_path, name, make, said):
        path = tmp_path / name
        path.write_bytes(make((root / "images/case_00.nii.gz").read_bytes()))
        with pytest.raises(DataError, match=said):
            read_image([path])

    def test_in_a_data_set(self, root, capfd):
        path = root / "images/case_01.nii.gz"
        path.write_bytes(gzip.decompress(path.read_bytes()))
        (problem,) = check(root).bad
        assert re.search(r"case case_01: .*the file is NIfTI, .*; rename it to case_01\.nii$", problem)
        assert "data code" not in "".join(capfd.readouterr())


class TestListings:
    @pytest.mark.parametrize("path", ["/data/a.nii.gz", "../a.nii.gz", "C:\\data\\a.nii.gz", "..\\a.nii.gz"])
    def test_ways_out_of_the_folder(self, tmp_path, path):
        root = msd(tmp_path / "data", training=[{"image": path, "label": "labelsTr/case_00.nii.gz"}])
        with pytest.raises(DataError, match="must be a path inside the data set"):
            check(root)

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            ({"background": "zero", "a": 1}, "label 'background': 'zero' has no whole number"),
            ({"background": 0, "a": 1.5}, "label 'a': 1.5 has no whole number"),
            ({"background": 0, "a": [1, 2]}, r"label 'a' is a region \[1, 2\], .* use `merge`"),
            ({"background": 0, "a": 1, "b": 1}, "label value 1 is both 'a' and 'b'; keep one"),
            ({"background": 0}, "no class but the background"),
            ({}, "`labels` must be a mapping|`labels` must name"),
        ],
    )
    def test_labels(self, tmp_path, labels, said):
        with pytest.raises(DataError, match=said):
            check(nnunet(tmp_path / "data", labels=labels))

    def test_slices_a_folder_deeper(self, tmp_path):
        root = folders(tmp_path / "data")
        (root / "images/case_02.nii.gz").unlink()
        inner = root / "images/case_02/IMG"
        inner.mkdir(parents=True)
        (inner / "1.dcm").write_bytes(bytes(128) + b"DICM")
        found = check(root)
        assert re.search(
            r"case case_02: .*no partner .* \(there is case_02/ \(no image in it, but DICOM in case_02/IMG: move it up",
            found.bad[0],
        )
        assert found.notes[0].endswith("not read: case_02/ (no image in it, but DICOM in case_02/IMG: move it up)")

    def test_names_of_labels_below_0(self, tmp_path):
        root = folders(tmp_path / "data")
        with pytest.raises(DataError, match="lie below 0"):
            SegmentationData(str(root), Folders(label_names={0: "background", -2: "a"})).prepare_data()
