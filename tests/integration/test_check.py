"""`adawac check`: every case read once, every problem in one go, each with its remedy; `fit` sees the same."""

import io
import json
import re
import shutil
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from test_resume import config, fit
from tiny_data import make_case, save_nifti, write_folders, write_msd, write_nnunet, write_synapse

from adawac.cli import main

SHAPE = (6, 32, 32)


def edit(path: Path, change) -> None:
    file = nib.load(path)
    array, affine = change(np.asarray(file.dataobj).astype(np.float32), file.affine.copy())
    nib.save(nib.Nifti1Image(array, affine), path)


def voxel(value):
    def change(array, affine):
        array.flat[0] = value
        return array, affine

    return change


def two_dimensional(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((8, 8), np.int16), np.eye(4)), path)


def two_channels(path: Path) -> None:
    save_nifti(path, make_case(np.random.default_rng(0), SHAPE, 2)[0])


SHIFT = np.zeros((4, 4))
SHIFT[0, 3] = 5.0

IMAGES = {
    "unreadable": (lambda path: path.write_bytes(b"\x1f\x8b\x08 no gzip"), "copy it again"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "copy it again"),
    "no NIfTI": (lambda path: path.write_text("<html>404</html>"), "a web page.* download the file again"),
    "two dimensions": (two_dimensional, "export the slice as"),
    "NaN": (lambda path: edit(path, voxel(np.nan)), "1 of 6144 voxels are NaN .* repair or export"),
    "infinite": (lambda path: edit(path, voxel(-np.inf)), "NaN or infinite .* repair or export"),
    "constant": (lambda path: edit(path, lambda a, m: (a * 0 - 7, m)), "every voxel is -7 .*; export the image again"),
    "air at 0": (lambda path: edit(path, lambda a, m: (a + 1100, m)), "no Hounsfield units do .*rescale .* `mr`"),
    "0 to 1": (
        lambda path: edit(path, lambda a, m: (a / 4000 + 0.5, m)),
        "no Hounsfield units do .*rescale .* `prescaled`",
    ),
    "much too large": (lambda path: edit(path, lambda a, m: (a * 1e6, m)), "no Hounsfield units do .*rescale"),
    "channels": (
        lambda path: save_nifti(path, make_case(np.random.default_rng(0), SHAPE, 2)[0]),
        "correct the channel",
    ),
}
LABELS = {
    "shape": (lambda path: edit(path, lambda a, m: (a[:-1], m)), "re-export the label on the image's grid"),
    "affine": (lambda path: edit(path, lambda a, m: (a, m + SHIFT)), "lies 5 mm off the grid .*re-export"),
    "fractional": (lambda path: edit(path, voxel(0.5)), "export again with nearest-neighbour"),
    "unknown": (lambda path: edit(path, voxel(77)), r"\[77\] \(1 voxels\) stand for no class.*name them in"),
    "missing": (lambda path: path.unlink(), "does not exist; restore the file or take the case off the list"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A data set in which every case but the last two has a problem of its own."""
    faults = [("images", *fault) for fault in IMAGES.values()] + [("labels", *fault) for fault in LABELS.values()]
    root = write_msd(tmp_path_factory.mktemp("broken") / "msd", cases=len(faults) + 2, shape=SHAPE)
    due = {}
    for number, (folder, damage, remedy) in enumerate(faults, start=1):
        damage(root / f"{folder}Tr/pt_{number}.nii.gz")
        due[f"pt_{number}"] = remedy
    return root, due


def check(capsys, root: Path, *options: str, code: int) -> list[str]:
    assert main(["check", str(root), f"--picture={root.parent / 'picture.png'}", *options]) == code
    return capsys.readouterr().out.splitlines()


def test_every_problem_of_every_case_in_one_go(broken, capsys):
    root, due = broken
    lines = check(capsys, root, code=2)
    for case, remedy in due.items():
        (line,) = [line for line in lines if line.startswith(f"case {case}: ")]
        assert re.search(remedy, line), line
    assert (
        f"{len(due)} problems; with --skip-bad, `adawac init` and `adawac fit` go on without cases that have one"
        in lines[-1]
    )
    assert (root.parent / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_fit_says_the_same_on_first_use(broken, tmp_path, capsys):
    root, due = broken
    whole = tmp_path / "msd"
    shutil.copytree(root, whole)
    number = list(due).index("pt_16") + 1  # the missing file is for the listing to say
    listed = json.loads((whole / "dataset.json").read_text())
    listed["training"] = [pair for pair in listed["training"] if f"pt_{number}." not in pair["image"]]
    (whole / "dataset.json").write_text(json.dumps(listed))
    assert main(["fit", "--config", str(config(tmp_path / "run", whole))]) == 2
    said = capsys.readouterr().err
    assert f"{len(due) - 1} problems:" in said
    for case, remedy in due.items():
        if case != "pt_16":
            assert re.search(rf"case {case}: .*(?:{remedy})", said), case


def test_skip_bad_goes_on_without_them_and_records_which(broken, tmp_path, caplog):
    root, due = broken
    path = config(tmp_path / "run", root, max_epochs=1)
    plain = yaml.safe_load(path.read_text())
    plain["data"]["split"] = {"class_path": "FileSplit", "init_args": {"path": "mine.json"}}
    split = {"train": [f"pt_{i}" for i in range(1, 16)] + ["pt_17"], "test": ["pt_18"]}
    (root / "mine.json").write_text(json.dumps(split))
    path.write_text(yaml.safe_dump(plain))
    fit(path, "--skip-bad")
    run = tmp_path / "run/runs/resumed/version_0"
    record = json.loads((run / "run.json").read_text())
    assert len(record["skipped"]) == len(due)
    assert "copy it again" in record["skipped"]["pt_2"]
    assert json.loads((run / "split.json").read_text()) == {"train": ["pt_17"], "val": [], "test": ["pt_18"]}
    for problem in record["skipped"].values():
        assert f"left out: {problem}" in caplog.messages
    with warnings.catch_warnings(record=True) as heard:
        assert main(["test", str(run)]) == 0
    assert not [warning for warning in heard if "into no part" in str(warning.message)]  # it is the run's own split
    assert main(["evaluate", str(run), "-o", str(tmp_path / "report")]) == 0
    assert len(list((tmp_path / "report/figures").glob("case_*"))) == 1  # files that are missing hinder no picture


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_the_letters_of_a_name(encoding, tmp_path, monkeypatch):
    root = write_folders(tmp_path / "Größe 患")
    for part in ("images", "labels"):
        (root / part / "pt_1.nii.gz").rename(root / part / "ü 患.nii.gz")
    (root / "images/pt_2.nii.gz").write_bytes(b"")
    (root / "images/患.txt").touch()
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("sys.stdout", shown)
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(root)]) == 2
    text = shown.buffer.getvalue().decode(encoding)
    assert "pt_2" in text
    assert r"not read: \u60a3.txt" in text


@pytest.mark.usefixtures("undrawn")
class TestWhole:
    """Problems that no single file has."""

    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return write_msd(tmp_path / "msd", cases=5, shape=SHAPE)

    def test_nothing_to_say(self, root, capsys):
        lines = check(capsys, root, code=0)
        assert lines[-1] == f"no problems in 5 cases; next: adawac init {root}"
        assert any("label-dense" in line for line in lines)
        assert any("spacing" in line for line in lines)

    @pytest.mark.parametrize(
        ("command", "option", "guess"),
        [("check", "layout", "MSD"), ("check", "split", "AutoSplit"), ("init", "layout", "MSD")],
    )
    def test_a_class_that_is_not_there_is_answered_with_those_that_are(self, root, capsys, command, option, guess):
        with pytest.raises(SystemExit):
            main([command, str(root), f"--{option}", f"{guess}s"])
        assert f"'{guess}s' is no class that is known here; did you mean {guess}?" in capsys.readouterr().err

    def test_problems_are_said_where_no_picture_can_be_written(self, root, tmp_path, capsys):
        (tmp_path / "taken").touch()
        (root / "labelsTr/pt_2.nii.gz").write_bytes(b"")
        assert main(["check", str(root), "--picture", str(tmp_path / "taken/picture.png")]) == 2
        said = capsys.readouterr().out
        assert "name another place with --picture" in said
        assert "case pt_2: " in said

    def test_one_image_under_two_names(self, root, capsys):
        """Also when the file is another: not compressed, other axes."""
        array = nib.load(root / "imagesTr/pt_2.nii.gz")
        other = nib.as_closest_canonical(array)
        nib.save(
            nib.Nifti1Image(np.asarray(other.dataobj).astype(np.float32), other.affine), root / "imagesTr/pt_4.nii.gz"
        )
        (line,) = [line for line in check(capsys, root, code=2) if line.startswith("case ")]
        assert re.fullmatch(
            r"case pt_4: its image is that of case pt_2, voxel for voxel \(.*\); remove one of them, or say with .*",
            line,
        )
        assert main(["fit", "--config", str(config(root.parent / "run", root))]) == 2
        assert "case pt_4: its image is that of case pt_2" in capsys.readouterr().err

    def test_two_readings_of_one_image_are_one_patient_s(self, tmp_path, capsys):
        root = write_folders(tmp_path / "data", cases=3, shape=SHAPE)
        for folder in ("images", "labels"):
            for path in (root / folder).iterdir():
                path.rename(path.with_name(path.name.replace(".nii", "_a.nii")))
        for folder in ("images", "labels"):
            shutil.copy(root / folder / "pt_1_a.nii.gz", root / folder / "pt_1_b.nii.gz")
        assert any("case pt_1_b: its image" in line for line in check(capsys, root, code=2))
        check(capsys, root, r"--patient_pattern=(pt_\d+)_", code=0)

    def test_a_patient_in_two_parts(self, root, capsys):
        (root / "splits.json").write_text(json.dumps({"train": ["pt_1", "pt_2"], "val": ["pt_2"], "test": ["pt_3"]}))
        lines = check(capsys, root, code=2)
        assert any("patient pt_2 lies in more than one part" in line and "move all its cases" in line for line in lines)
        assert "--skip-bad" not in lines[-1]

    def test_cases_that_a_split_forgets(self, root, capsys):
        (root / "splits.json").write_text(json.dumps({"train": ["pt_1", "pt_2"], "val": ["pt_3"]}))
        lines = check(capsys, root, code=2)
        assert any("puts pt_4, pt_5 into no part: left out; add them to the file" in line for line in lines)

    def test_a_class_that_no_training_case_holds(self, root, capsys):
        listed = json.loads((root / "dataset.json").read_text())
        listed["labels"]["3"] = "spleen"
        (root / "dataset.json").write_text(json.dumps(listed))
        lines = check(capsys, root, code=2)
        assert lines[-1] == "1 problem"  # of no case, so that there is none to leave out
        (root / "labelsTr/pt_2.nii.gz").write_bytes(b"")
        lines = check(capsys, root, code=2)
        assert lines[-1].startswith("2 problems; with --skip-bad, ")
        assert "go on without cases that have one, but 1 of the whole data set will remain" in lines[-1]
        assert any("class spleen: none of 3 training cases holds it" in line for line in lines), lines
        assert any("drop it with data.drop, or move a case that holds it into train" in line for line in lines)

    def test_names_cannot_steer_the_terminal(self, tmp_path, capsys):
        root = write_folders(tmp_path / "data", cases=2, shape=SHAPE)
        for folder in ("images", "labels"):
            (root / folder / "pt_1.nii.gz").rename(root / folder / "\x1b[2Jpt_1.nii.gz")
        (root / "images/\x1b[2Jpt_1.nii.gz").write_bytes(b"")
        said = "\n".join(check(capsys, root, code=2))
        assert "\\x1b[2Jpt_1" in said
        assert "\x1b[2J" not in said

    def test_missing_partners_and_slices_do_not_hide_what_else_there_is(self, tmp_path, capsys):
        root = write_nnunet(tmp_path / "nnunet", cases=4, shape=SHAPE)
        (root / "labelsTr/pt_1.nii.gz").unlink()
        edit(root / "imagesTr/pt_2_0000.nii.gz", voxel(np.nan))
        lines = check(capsys, root, code=2)
        assert [line.partition(":")[0] for line in lines if line.startswith("case ")] == ["case pt_1", "case pt_2"]
        root = write_synapse(tmp_path / "synapse", cases=3, shape=SHAPE, num_classes=3)
        next((root / "Synapse/train_npz").glob("case0001_slice003.npz")).unlink()
        lines = check(capsys, root, code=2)
        assert any("case0001_slice003.npz does not exist; restore" in line for line in lines)
