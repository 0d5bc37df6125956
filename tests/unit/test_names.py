"""Names that others gave: one rule where they enter, and text alone wherever they are shown."""

import csv
import io
import json
import logging

import nibabel as nib
import numpy as np
import pytest
from tiny_data import write_folders, write_msd

from adawac.cli import main
from adawac.data.classes import Classes
from adawac.data.layouts import Folders, detect
from adawac.errors import AdaWACError, ConfigError, DataError, name_problems
from adawac.evaluation import CaseRow, read_table, write_table
from adawac.evaluation.predictions import prediction_files
from adawac.inference.export.bundle import _inert
from adawac.io.image_cases import find_images
from adawac.io.terminal import Console, Formatter
from adawac.report.markdown import escape
from adawac.runs.suspects import read_suspects, write_suspects

HOSTILE = [
    *("liver\x1b[31mRED", "a\x07", "a\nb", "a\x9b2J", "\u202egnp.exe", "a\u2028b", ""),
    *('=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "\uff1d1+1", "%file#id", "@id::a"),
    "$__import__('os').system('touch PWNED')",
]
FINE = ["liver", "kidney (left)", "a|b", "<b>", "größe", "肝 脏", "患者\u3000一", "1", "x = 1", "a-b", "5 %"]


@pytest.mark.parametrize("name", HOSTILE)
class TestWhereTheyEnter:
    @pytest.mark.parametrize("what", ["class", "data set", "channel"])
    def test_data_sets(self, tmp_path, name, what):
        root = write_msd(tmp_path, cases=1)
        described = json.loads((root / "dataset.json").read_text())
        if what == "class":
            described["labels"]["1"] = name
        elif what == "channel":
            described["modality"] = {"0": name}
        else:
            described["name"] = name
        (root / "dataset.json").write_text(json.dumps(described))
        if what == "data set" and not name:  # says nothing, as what is left out does
            assert detect(root).scan(root).name == root.name
            return
        with pytest.raises(DataError, match=rf"{what} .*printable characters .*; rename it") as raised:
            detect(root).scan(root)
        assert str(raised.value).isprintable()

    def test_classes_of_settings_and_checkpoints(self, name):
        with pytest.raises(AdaWACError, match=r"class .*; rename it"):
            Classes.from_labels({1: "a", 2: "b"}, merge={name: ["a", "b"]})
        with pytest.raises(ConfigError, match=r"class .*; rename it"):
            Classes.from_json({"names": ["background", name], "indices": [[0, 0], [1, 1]], "values": [0, 1]})

    def test_cases(self, tmp_path, name):
        if "/" in name or not name:
            pytest.skip("no name of a file")
        root = write_folders(tmp_path / "data", cases=1)
        for folder in ("images", "labels"):
            (root / folder / "pt_1.nii.gz").rename(root / folder / f"{name}.nii.gz")
        for read in (lambda: Folders().scan(root), lambda: find_images(root / "images")):
            with pytest.raises(DataError, match=r"case .*printable characters .*; rename it"):
                read()
        with pytest.raises(DataError, match=r"case .*; rename it"):
            prediction_files(root / "labels")


def test_usual_names_are_names():
    assert name_problems("class", FINE) == []
    assert len(name_problems("class", [*FINE, 3, None])) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_tables_hold_no_formulas_and_give_back_what_was_written(tmp_path, name):
    row = CaseRow("run_0", name, "'" + name, name, name, "all", "volume_error", -1 / 3, "penalise")
    write_table(tmp_path / "a.csv", [row])
    write_suspects(tmp_path / "b.csv", [(name, 3, -1.5)])
    for table in "ab":
        with (tmp_path / f"{table}.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        assert not [cell for cell in cells if cell.strip()[:1] in "=+@" and cell not in ("", "+1")]
        assert all(cell == "-0.3333333333333333" or cell == "-1.5" for cell in cells if cell.startswith("-"))
    assert read_table(tmp_path / "a.csv") == [row]
    if "\n" not in name:
        assert read_suspects(tmp_path / "b.csv") == (f"{name}:3",)


@pytest.mark.parametrize("name", HOSTILE[:4])
def test_nothing_steers_a_terminal(name):
    shown = io.StringIO()
    Console(file=shown).print(name, markup=False)
    logged = Formatter().format(logging.LogRecord("a", 20, "a", 1, "class %s", (name,), None))
    for text in (shown.getvalue(), logged, escape(name)):
        assert not [char for char in text if not char.isprintable() and char != "\n"]


def test_nothing_in_an_error_steers_a_terminal(tmp_path, capsys):
    (tmp_path / "a\x1b[2J.nii.gz").touch()
    for path in (tmp_path, tmp_path / "a\x1b[2J.nii.gz", tmp_path / "none\x1b[2J"):
        assert main(["predict", str(path), "-i", str(path), "-o", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert not [char for char in said if not char.isprintable() and char != "\n"]
    assert "\\x1b[2J" in said


def test_a_bundle_s_description_holds_nothing_that_monai_runs():
    from monai.bundle import ConfigParser

    said = {"_target_": "os.system", "a": ["$1 + 1", "@b", "%c", {"$d": "e"}], "b": "plain", "_mode_": "callable"}
    parser = ConfigParser({"_meta_": _inert(said)})
    parser.parse()
    assert parser.get_parsed_content("_meta_::a") == [" $1 + 1", " @b", " %c", {" $d": "e"}]
    assert parser.get_parsed_content("_meta_") == _inert(said)


def test_case_names_beside_hostile_files_still_work(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "a - b.nii.gz")
    assert list(find_images(tmp_path)) == ["a - b"]
