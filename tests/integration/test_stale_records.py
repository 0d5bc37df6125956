"""A case table speaks for a run only while its checkpoint is the one that was measured, a split while it is whole."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config
from tiny_study import BASE, prepare, study

from adawac.cli import main
from adawac.evaluation import read_csv
from adawac.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of one epoch, tested; its best checkpoint is beaten by whatever comes next."""
    folder = tmp_path_factory.mktemp("home") / "run"
    settings = tiny_settings(folder, write_msd(folder.parent / "msd", cases=4, shape=(7, 32, 32)))
    config = write_config(folder, settings | {"seed_everything": 3})
    assert main(["fit", str(config), "--trainer.max_epochs=1"]) == 0
    assert main(["test", str(folder / "runs/tiny/version_0")]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path) -> RunFolder:
    shutil.copytree(trained, tmp_path / "run")
    return RunFolder(tmp_path / "run/runs/tiny/version_0")


def train_on(run: RunFolder) -> None:
    """Three more epochs; the best of then gives way, whatever it was worth."""
    checkpoint = torch.load(run.last, weights_only=True)
    for key, state in checkpoint["callbacks"].items():
        if "val/dice" in key:
            state |= {name: torch.tensor(-1.0) for name in ("best_model_score", "current_score", "kth_value")}
            state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(-1.0))
    torch.save(checkpoint, run.last)
    before = run.best.read_bytes()
    options = ["--runs", str(run.runs), "--resume", "auto", "--trainer.max_epochs", "4"]
    assert main(["fit", str(run.config_file), *options]) == 0
    assert run.best.read_bytes() != before


def test_a_table_of_an_earlier_checkpoint_is_refused_until_the_run_is_tested(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate = ["evaluate", "-o", "report", "--pictures=0"]
    assert main([*evaluate, str(run.path)]) == 0
    assert run.stale_cases is None
    train_on(run)
    for source in (run.path, run.cases_file):
        capsys.readouterr()
        assert main([*evaluate, str(source)]) == 2
        said = capsys.readouterr().err
        assert "cases.csv was measured with another checkpoint (" in said
        assert f"than checkpoints/best.ckpt is now ({'%s'})" % run_hash(run) in said
        assert f"measure it: adawac test {run.path}" in said
    assert main([*evaluate, str(run.path), "--predict"]) == 0  # which measures by itself
    assert main(["test", str(run.path)]) == 0
    assert main([*evaluate, str(run.path)]) == 0
    assert {row.checkpoint_hash for row in read_csv(tmp_path / "report/cases.csv")} == {run_hash(run)}


def run_hash(run: RunFolder) -> str:
    """As the shell says it: sha256sum best.ckpt | head -c 12."""
    import hashlib

    return hashlib.sha256(run.best.read_bytes()).hexdigest()[:12]


def test_tables_that_cannot_be_told_are_taken_as_they_are(run):
    table = run.cases_file.read_text()
    run.cases_file.write_text(table.replace(run_hash(run), ""))  # of an older version, or written by hand
    assert run.stale_cases is None
    run.cases_file.write_text(table)
    shutil.rmtree(run.best.parent)  # to save space
    assert run.stale_cases is None
    assert RunFolder(run.path / "nowhere").stale_cases is None


def test_without_validation_it_is_the_last_checkpoint_that_counts(run):
    run.best.unlink()
    assert "than checkpoints/last.ckpt is now" in run.stale_cases
    assert main(["test", str(run.path)]) == 0
    assert run.stale_cases is None


def test_a_checkpoint_is_not_measured_as_another_method_s(run, capsys):
    assert main(["test", str(run.path), "--model.weighting=ERM"]) == 2
    assert "model.weighting: AdaWAC then, ERM now" in capsys.readouterr().err
    assert main(["validate", str(run.path), "--model.teacher=MeanTeacher"]) == 2
    assert "model.teacher: not set then, MeanTeacher now" in capsys.readouterr().err


def test_what_numbers_are_of_is_said_where_it_is_not_what_they_seem(run, caplog, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split = run.split
    train, [test] = sorted(split.train), split.test
    run.split_file.write_text(json.dumps({"train": split.val, "val": [], "test": [*train, test]}))
    evaluate = ["evaluate", str(run.path), "-o", "report", "--pictures=0"]
    assert main(evaluate) == 0
    assert f"cases.csv was measured on 1 of {len(train) + 1} test cases; on all: adawac test {run.path}" in caplog.text
    assert (
        f" was measured on 1 of {len(train) + 1} test cases."
        in json.loads(Path("report/results.json").read_text())["summary"]
    )
    assert "trained on" not in caplog.text
    assert main(["test", str(run.path), "--data.window=[-900,900]"]) == 0
    said = (
        f"{len(train)} of {len(train) + 1} cases are measured that the checkpoint was trained on ({', '.join(train)})"
    )
    assert said in caplog.text
    assert "preprocessing.window: [-125.0, 275.0] then, [-900.0, 900.0] now" in caplog.text
    caplog.clear()
    capsys.readouterr()
    assert main(evaluate) == 0
    assert "test cases" not in caplog.text
    assert f"{len(train)} of the {len(train) + 1} cases have the names of cases that" in (
        told := capsys.readouterr().out
    )
    assert f"was trained on ({', '.join(train)})" in told


def test_tables_of_one_checkpoint_that_was_tested_otherwise_say_so(run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = Path(shutil.copytree(run.path, tmp_path / "other/version_0"))
    capsys.readouterr()
    assert main(["test", str(other), "--model.flip_left_right=true", "--data.window=[-900,900]"]) == 0
    told = "precision 32-true, flip_left_right, preprocessing.window: [-125.0, 275.0] then, [-900.0, 900.0] now"
    assert f"Predicted with: {told}." in " ".join(capsys.readouterr().out.split())
    assert {row.predicted_with for row in read_csv(other / "cases.csv")} == {told}
    assert {row.predicted_with for row in read_csv(run.cases_file)} == {"precision 32-true"}
    evaluate = ["evaluate", f"a={run.path}", f"b={other}", "-o", "report", "--pictures=0"]
    assert main(evaluate) == 0
    said = f"Predictions were not made alike: a with precision 32-true; b with {told}."
    assert said in " ".join(capsys.readouterr().out.split())
    for page in ("report.md", "results.json"):
        assert said in (tmp_path / "report" / page).read_text().replace("\\_", "_").replace("\\[", "[").replace(
            "\\]", "]"
        )
    made = {each["name"]: each["made"]["predicted with"] for each in _results(tmp_path)["runs"]}
    assert sorted(made.values()) == ["precision 32-true", told]
    assert main([*evaluate, "--predict"]) == 0  # which predicts both as they were trained
    assert "not made alike" not in _results(tmp_path)["summary"]


def _results(folder: Path) -> dict:
    return json.loads((folder / "report/results.json").read_text())


def test_files_that_changed_between_two_tests_are_named(run, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = Path(shutil.copytree(run.path, tmp_path / "other/version_0"))
    evaluate = ["evaluate", f"a={run.path}", f"b={other}", "-o", "report", "--pictures=0"]
    assert main(evaluate) == 0
    assert "another file" not in caplog.text
    [hashed] = {row.data_hash for row in read_csv(run.cases_file)}
    (other / "cases.csv").write_text(run.cases_file.read_text().replace(hashed, "0" * len(hashed)))
    assert main(evaluate) == 0
    assert (said := f"{run.split.test[0]}: image or label was another file when one run was tested") in caplog.text
    assert said in _results(tmp_path)["summary"]


@pytest.mark.slow
def test_a_cell_whose_training_went_on_is_tested_anew(tmp_path, capsys):
    grid = {"method": {"erm": {"model.weighting": "ERM"}}}
    home = prepare(tmp_path, {"name": "tiny", "config": "base.yaml", "grid": grid}, BASE)
    study(home)
    cell = RunFolder(home / "runs/tiny/erm/version_0")
    state = torch.load(cell.best, weights_only=True)
    torch.save(state | {"touched": True}, cell.best)  # another file, as after epochs that found a better one
    assert "stopped" in study(home, "--dry-run")
    assert "finished: erm" in study(home)
    assert cell.stale_cases is None
    assert "0 of 1 cells to run" in study(home, "--dry-run")


def test_a_damaged_split_is_said(run, trained, tmp_path, capsys):
    """Whether the model was trained on the images cannot be told then, nor can `evaluate`."""
    (run.path / "split.json").write_text("")
    assert (
        main(["predict", str(run.path), "-i", str(trained.parent / "msd/imagesTr"), "-o", str(tmp_path / "out")]) == 0
    )
    said = capsys.readouterr().out
    assert said.count("which cases the model was trained on is not known: ") == 1
    assert "split.json: damaged" in said
