"""A study whose folds test different patients: settings are compared over the folds."""

import json

import pytest
import yaml
from scipy import stats

from adawac.cli import main
from adawac.errors import ConfigError
from adawac.evaluation import CaseRow, write_table
from adawac.report.wording import MINUS
from adawac.study import read_study
from adawac.study.folds import compare_folds, fold_table, is_cross_validation
from adawac.study.results import gather, results_table

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
    for setting, gains in (("pair", (0.0, 0.0)), ("adawac", (0.1, 0.14))):
        for (fold, patients), gain in zip(PATIENTS.items(), gains, strict=True):
            finish(tmp_path, f"{setting}-{fold}", patients, (0.4 + gain, 0.6 + gain))
    assert is_cross_validation(study())
    table, path = compare_folds(study())
    low, high = stats.t.interval(0.95, 1, 0.12, stats.sem([0.1, 0.14]))
    assert table.splitlines() == [
        "| setting | Dice, 4 patients | minus pair | 95 % interval over 2 folds |",
        "|---|---:|---:|---|",
        f"| adawac | 0.670 | +0.120 | {f'{low:+.3f}'.replace('-', MINUS)} to {high:+.3f} |",
        "| pair | 0.550 |  |  |",
        "",
        "Dice: mean of the folds' means. "
        "Intervals are not corrected for the number of settings: if all were equal, about 0.05 of 1 would exclude 0 by "
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


def rows_of(patient, dice, run="r"):
    """A case with the Dice and reference voxels of each organ."""
    row = CaseRow(run, "m", patient, patient, "", "all", "dice", 0.0, "penalise")
    return [
        row._replace(class_name=organ, metric=metric, value=value)
        for organ, (score, voxels) in dice.items()
        for metric, value in (("dice", score), ("reference_voxels", voxels))
    ]


def test_organs_that_cannot_be_judged_do_not_count(tmp_path, study):
    # spleen: held by nobody in fold0, by d alone in fold1; aorta: a fold's training lacked it
    dice = {
        "fold0": {"a": {"liver": (0.4, 9), "spleen": (1.0, 0), "aorta": (0.1, 9)},
                  "b": {"liver": (0.6, 9), "spleen": (1.0, 0), "aorta": (0.1, 9)}},
        "fold1": {"c": {"liver": (0.7, 9), "spleen": (float("nan"), 0), "aorta": (0.1, 9)},
                  "d": {"liver": (0.9, 9), "spleen": (0.2, 9), "aorta": (0.1, 9)}},
    }  # fmt: skip
    for setting in ("pair", "adawac"):
        for fold, patients in dice.items():
            run = tmp_path / "s" / f"{setting}-{fold}" / "version_0"
            write_table(run / "cases.csv", [row for name, of in patients.items() for row in rows_of(name, of)])
            units = {"liver": 5, "spleen": 5, "aorta": 0 if (setting, fold) == ("pair", "fold1") else 5}
            (run / "run.json").write_text(json.dumps({"units_of_class": units}))
    table, path = compare_folds(study())
    # fold0: liver (0.4 + 0.6) / 2; fold1: (liver (0.7 + 0.9) / 2 + spleen 0.2) / 2
    assert f"| pair | {(0.5 + 0.5) / 2:.3f} |" in table
    found = json.loads(path.with_suffix(".json").read_text())["adawac"]
    assert found["fold0"] == pytest.approx({"a": 0.4, "b": 0.6})
    # scores of 2 patients and 2 organs: c 0.7 / 2, d 0.9 / 2 + 0.2 / 1
    assert found["fold1"] == pytest.approx({"c": 0.35, "d": 0.65})


def test_cells_of_a_study_are_seen_together(tmp_path, study):
    # what pair could not learn does not count for adawac either, in its fold or in another
    for name, spleen in {"pair-fold0": 0.9, "adawac-fold0": 0.8, "adawac-fold1": 0.7}.items():
        run = tmp_path / "s" / name / "version_0"
        write_table(run / "cases.csv", rows_of(PATIENTS[name[-5:]][0], {"liver": (0.5, 9), "spleen": (spleen, 9)}))
        (run / "run.json").write_text(json.dumps({"units_of_class": {"liver": 3, "spleen": int(name != "pair-fold0")}}))
    results, left_out = gather(study())
    assert {each.cell: each.dice for each in results} == dict.fromkeys(
        ("pair-fold0", "adawac-fold0", "adawac-fold1"), 0.5
    )
    assert left_out == ["spleen: nothing that pair-fold0 was trained on holds it"]
    assert "Left out of the means: spleen" in str(results_table(study(), results, left_out).caption)
    assert json.loads((tmp_path / "s/results.json").read_text())["left_out"] == left_out


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
    assert main([*command, "--reference", "erm"]) == 2
    assert "--reference erm: the study has no such method" in capsys.readouterr().err


def test_folds_that_all_gain_the_same_and_a_single_one_have_no_interval_of_nan():
    even = fold_table({"pair": {"0": {"a": 0.5}, "1": {"b": 0.6}}, "erm": {"0": {"a": 0.75}, "1": {"b": 0.85}}})
    assert "| erm | 0.800 | +0.250 | +0.250 to +0.250 |" in even
    single = fold_table({"pair": {"0": {"a": 0.5}}, "erm": {"0": {"a": 0.75}}})
    assert "Dice, 1 patient |" in single
    assert "| erm | 0.750 | +0.250 |  |" in single
    twice = fold_table({"pair": {"0": {"a": 0.5, "b": 0.5}, "1": {"a": 0.5}}})
    assert "Dice, 2 patients |" in twice  # one of whom two folds test


def test_what_no_fold_can_say_is_null_in_the_numbers_of_a_study(tmp_path, study):
    for name in ("pair-fold0", "pair-fold1"):
        finish(tmp_path, name, PATIENTS[name[-5:]], (0.5, 0.5))
    results, left_out = gather(study())  # of label-dense slices nothing was measured
    assert "NaN" not in (tmp_path / "s/results.json").read_text()
    assert json.loads((tmp_path / "s/results.json").read_text())["cells"][0]["dice_dense"] is None
    column = results_table(study(), results, left_out).columns[3]
    assert str(next(iter(column.cells))) == "-"


def test_no_difference_of_dice_is_beyond_1():
    """Where Student's t over two folds would be: 0.2 +- 12.7 * 0.1."""
    table = fold_table({"pair": {"0": {"a": 0.5}, "1": {"b": 0.6}}, "erm": {"0": {"a": 0.6}, "1": {"b": 0.9}}})
    assert f"| {MINUS}1.000 to +1.000 |" in table


def test_what_others_are_compared_with_is_what_a_report_takes():
    """Pair, else ERM, whichever stands first in the study: so says the help of `--reference`."""
    of = {"0": {"a": 0.5}, "1": {"b": 0.6}}
    for settings, due in (("erm", "adawac", "pair"), "pair"), (("adawac", "erm"), "erm"), (("b", "a"), "b"):
        assert f"| minus {due} |" in fold_table(dict.fromkeys(settings, of)).splitlines()[0]
    assert "| minus adawac |" in fold_table(dict.fromkeys(("erm", "adawac"), of), "adawac").splitlines()[0]


def test_compute_that_is_not_equal_is_said_beneath_the_table(tmp_path, study):
    """A setting of half the passes: 80 and 120 against 200 and 200."""
    for setting, passes in (("pair", (200, 200)), ("adawac", (80, 120))):
        for (fold, patients), took in zip(PATIENTS.items(), passes, strict=True):
            finish(tmp_path, f"{setting}-{fold}", patients, (0.4, 0.6))
            record = tmp_path / "s" / f"{setting}-{fold}" / "version_0/run.json"
            record.write_text(json.dumps({"network_passes": took}))
    table, _ = compare_folds(study())
    assert table.endswith("Compute is not equal: of the network passes of pair, adawac took 0.5 times.")
