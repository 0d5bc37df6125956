"""Organs that cannot be judged, from labels to reports: the mean is as without them, and the reason is said."""

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from medpy.metric.binary import dc
from tiny_data import erase, write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.evaluation import read_csv, write_table

pytestmark = pytest.mark.usefixtures("undrawn")

SPLIT = {"train": ["pt_1", "pt_2", "pt_3"], "val": ["pt_4"], "test": ["pt_5", "pt_6"]}
KIDNEYS = ("left_kidney", "right_kidney")
REASONS = {
    "liver": "no test case holds it",  # in training alone
    "spleen": "nothing that tiny was trained on holds it",  # in validation and test alone
    "stomach": "no test case holds it; nothing that tiny was trained on holds it",  # in dataset.json alone
}

VOXEL = 1e-3
"""What a voxel or two can do to a Dice: test and predict round logits apart in batches of other sizes."""


class Place(NamedTuple):
    """Data, a run on them that has been tested, what was said, and the mean Dice of the kidneys by medpy."""

    data: Path
    run: Path
    said: str
    dice: float


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """Fitted and tested once."""
    home = tmp_path_factory.mktemp("home")
    data = write_msd(home / "msd", cases=6, shape=(6, 32, 32), num_classes=6)
    for part, dropped in {"train": [4, 5], "val": [5], "test": [3, 5]}.items():
        for case in SPLIT[part]:
            erase(data / f"labelsTr/{case}.nii.gz", dropped)
    (home / "split.json").write_text(json.dumps(SPLIT))
    settings = tiny_settings(home, data)
    settings["data"]["split"] = {"class_path": "FileSplit", "init_args": {"path": str(home / "split.json")}}
    settings["trainer"]["max_epochs"] = 2
    assert main(["fit", "--config", str(write_config(home, settings))]) == 0
    run, out = home / "runs/tiny/version_0", io.StringIO()
    with redirect_stdout(out):
        assert main(["test", str(run)]) == 0
    assert main(["predict", str(run), "-i", str(data / "imagesTr"), "-o", str(home / "preds")]) == 0

    def labels(folder: Path, case: str):
        return np.asarray(nib.load(folder / f"{case}.nii.gz").dataobj)

    pairs = [(labels(home / "preds", case), labels(data / "labelsTr", case)) for case in SPLIT["test"]]
    dice = np.mean([[dc(preds == k, target == k) for k in (1, 2)] for preds, target in pairs])
    return Place(data, run, " ".join(out.getvalue().replace("│", " ").split()), float(dice))


def test_a_test_prints_the_mean_of_the_others_and_why(place):
    [printed] = re.findall(r"Dice, mean of classes ([0-9.]+) \(3 of 5 classes left out\)", place.said)
    assert float(printed) == pytest.approx(place.dice, abs=VOXEL)
    for organ, reason in REASONS.items():
        assert f"Dice, {organ} - (2 of 2 cases left out)" in place.said
        assert f"{organ}: {reason}" in place.said


def test_the_case_table_keeps_what_was_measured_and_says_what_was_learned(place):
    rows = read_csv(place.run / "cases.csv")
    dice = {row.class_name for row in rows if (row.group, row.metric) == ("all", "dice") and not np.isnan(row.value)}
    assert dice == {*KIDNEYS, *REASONS}
    units = {row.class_name: row.value for row in rows if row.metric == "training_units"}
    recorded = json.loads((place.run / "run.json").read_text())["units_of_class"]
    assert units == recorded
    assert {name for name, count in units.items() if count == 0} == {"spleen", "stomach"}


@pytest.mark.parametrize("kind", ["run", "old run", "table", "measured anew"])
def test_a_report_says_the_same_of_a_run_and_of_its_table(place, tmp_path, capsys, kind):
    run, table = place.run, tmp_path / "tiny.csv"
    if kind == "old run":  # whose case table does not say what it was trained on
        run = tmp_path / "tiny/version_0"
        shutil.copytree(place.run, run)
        write_table(run / "cases.csv", [row for row in read_csv(run / "cases.csv") if row.metric != "training_units"])
    shutil.copy(place.run / "cases.csv", table)
    sources = {"table": [str(table)], "measured anew": [str(run), "--predict"]}.get(kind, [str(run)])
    assert main(["evaluate", *sources, "--pictures", "0", "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    [subset] = json.loads((tmp_path / "out/results.json").read_text())["subsets"]
    [method] = subset["methods"]
    assert method["dice"][0]["mean"] == pytest.approx(place.dice, abs=VOXEL)
    assert {each["class_name"]: each["mean"] for each in method["dice"] if each["n"] == 0} == dict.fromkeys(REASONS)
    report = (tmp_path / "out/report.md").read_text()
    for organ, reason in REASONS.items():
        assert f"{organ}: {reason}" in said
        assert f"{organ}: {reason}" in report.replace("\\", "")
        assert f"| {organ} | - |" in report
    assert {each["class_name"]: each["reason"] for each in subset["left_out"]} == REASONS


def test_what_one_run_could_not_learn_counts_in_no_other_of_the_report(place, tmp_path, capsys):
    rows = [row for row in read_csv(place.run / "cases.csv") if row.class_name != "stomach"]
    for name, units in {"taught": 9.0, "untaught": 0.0}.items():
        learned = [row._replace(value=units) if row.metric == "training_units" else row for row in rows]
        named = [row._replace(run=name, method=name, value=row.value) for row in learned]
        write_table(tmp_path / f"{name}.csv", [row for row in named if row.class_name not in ("liver", "left_kidney")])
    sources = [f"taught@full={tmp_path}/taught.csv", f"untaught@less={tmp_path}/untaught.csv"]
    assert main(["evaluate", *sources, "--pictures", "0", "-o", str(tmp_path / "out")]) == 0
    for subset in json.loads((tmp_path / "out/results.json").read_text())["subsets"]:
        assert {each["class_name"] for each in subset["left_out"]} == {"spleen", "right_kidney"}
        assert all(each["mean"] is None for method in subset["methods"] for each in method["dice"])
    assert "right_kidney: nothing that untaught was trained on holds it" in capsys.readouterr().out
