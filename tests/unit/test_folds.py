"""A study whose folds test different patients: settings are compared over the folds."""

import json

import pytest
import yaml
from scipy import stats

from adawac.cli import main
from adawac.errors import ConfigError
from adawac.evaluation import CaseRow, write_table
from adawac.study import read_study
from adawac.study.folds import compare_folds, fold_table, is_cross_validation

GRID = {"setting": {"pair": {}, "adawac": {}}, "fold": {"fold0": {}, "fold1": {}}}
PATIENTS = {"fold0": ("a", "b"), "fold1": ("c", "d")}


def finish(folder, cell, patients, dice):
    """What a run leaves behind: each patient's Dice, a tenth more for the second organ."""
    rows = [
        CaseRow("r", "m", patient, patient, organ, "all", "dice", value + more, "penalise")
        for patient, value in zip(patients, dice, strict=True)
        for organ, more in (("liver", 0.0), ("spleen", 0.1))
    ]
    run = folder / "s" / cell / "version_0"
    write_table(run / "cases.csv", rows)
    (run / "run.json").write_text("{}")


@pytest.fixture
def study(tmp_path):
    """Reads a study of this grid."""

    def read(grid=GRID):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({"name": "s", "grid": grid}, sort_keys=False))
        return read_study(tmp_path / "s.yaml", tmp_path)

    return read


def test_a_setting_is_compared_with_the_reference_fold_by_fold(tmp_path, study):
    for setting, gains in (("pair", (0.0, 0.0)), ("adawac", (0.1, 0.3))):
        for (fold, patients), gain in zip(PATIENTS.items(), gains, strict=True):
            finish(tmp_path, f"{setting}-{fold}", patients, (0.4 + gain, 0.6 + gain))
    assert is_cross_validation(study())
    table, path = compare_folds(study())
    low, high = stats.t.interval(0.95, 1, 0.2, stats.sem([0.1, 0.3]))
    assert table.splitlines() == [
        "| setting | Dice, 4 patients | minus pair | 95 % interval over 2 folds |",
        "|---|---:|---:|---|",
        f"| adawac | 0.750 | +0.200 | {low:+.3f} to {high:+.3f} |",
        "| pair | 0.550 |  |  |",
        "",
        "Intervals are not corrected for the number of settings: if all were equal, about 0.1 of 1 would exclude 0 by "
        "chance, and more than that as folds share training patients.",
    ]
    assert path.read_text() == table + "\n"
    assert json.loads(path.with_suffix(".json").read_text())["pair"]["fold1"] == pytest.approx({"c": 0.45, "d": 0.65})
    assert "minus adawac" in compare_folds(study(), "adawac")[0]


def test_seeds_of_a_fold_are_averaged(tmp_path, study):
    for seed, dice in (("seed0", 0.4), ("seed1", 0.6)):
        for fold, patients in PATIENTS.items():
            finish(tmp_path, f"pair-{fold}-{seed}", patients, (dice, dice))
    table, _ = compare_folds(study({"setting": {"pair": {}}, "fold": GRID["fold"], "seed": [0, 1]}))
    assert "| pair | 0.550 |" in table


def test_a_setting_without_all_its_folds_is_named_and_left_out(tmp_path, study):
    for name in ("pair-fold0", "adawac-fold0", "adawac-fold1"):
        finish(tmp_path, name, PATIENTS[name[-5:]], (0.5, 0.5))
    table, _ = compare_folds(study())
    assert "minus adawac" in table
    assert table.endswith("Not run to the end: pair.")
    assert "| pair |" not in table


def test_folds_that_share_their_test_set_are_no_cross_validation(tmp_path, study):
    for fold in PATIENTS:
        finish(tmp_path, f"pair-{fold}", ("a", "b"), (0.5, 0.5))
    assert not is_cross_validation(study())
    assert study().labels(study().cells[0]) == ("pair", "")  # folds are runs of one method in the report


@pytest.mark.parametrize(
    ("dice", "reference", "remedy"),
    [({}, None, "none has finished all its folds"), ({"pair": {}}, "erm", "those with all folds are pair")],
)
def test_a_comparison_with_nothing_is_refused(dice, reference, remedy):
    with pytest.raises(ConfigError, match=remedy):
        fold_table(dice, reference)


def test_the_command_ends_with_the_comparison(tmp_path, study, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("pair-fold0", "pair-fold1"):
        finish(tmp_path, name, PATIENTS[name[-5:]], (0.5, 0.5))
    study()
    command = ["study", str(tmp_path / "s.yaml"), "--runs", str(tmp_path), "--report"]
    assert main(command) == 0
    assert "| pair | 0.550 |" in capsys.readouterr().out
    assert main([*command, "--reference", "erm"]) == 0
    assert "no comparison: no setting erm" in capsys.readouterr().out
