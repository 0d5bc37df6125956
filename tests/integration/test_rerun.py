"""A run folder holds all it takes to train it again, and the same comes out."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from test_resume import checkpoints, config, fit
from tiny_data import write_msd

from adawac.cli import main
from adawac.cli.rerun import differences
from adawac.report.sources import Source, evaluate_sources


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "run"
    data = write_msd(folder.parent / "msd", cases=4, shape=(7, 32, 32))
    fit(config(folder, data, max_epochs=1))
    return checkpoints(folder).parent


def test_the_run_records_what_its_result_depends_on(run):
    record = json.loads((run / "run.json").read_text())
    assert record["versions"]["torch"] == version("torch")
    assert set(record["data"]) == {"pt_1", "pt_3", "pt_4"}  # trained on, and what chose the checkpoint
    assert all(len(digest) == 65 for digest in record["data"].values())
    assert record["skipped"] == {}
    assert set(record["code"]) == {"adawac", "working_folder"}
    assert record["command"]


def test_the_same_again(run, capsys):
    assert main(["rerun", str(run)]) == 0
    assert "resumed_rerun/version_0: the same weights, bit for bit" in capsys.readouterr().out


def test_what_differs_is_said(run, capsys):
    assert main(["rerun", str(run), "--seed_everything", "4"]) == 1
    said = capsys.readouterr().out
    assert "other weights: " in said
    assert "resumed_rerun/version_1" in said


def test_a_run_trained_with_resume_is_not_taken_from_an_earlier_rerun(tmp_path, capsys):
    data = write_msd(tmp_path / "msd", cases=4, shape=(7, 32, 32))
    # GroupDRO: its state holds names of groups beside numbers
    fit(config(tmp_path / "run", data, max_epochs=1), "--resume=auto", "--model.weighting=GroupDRO")
    run = checkpoints(tmp_path / "run").parent
    assert main(["rerun", str(run)]) == 0
    assert main(["rerun", str(run), "--seed_everything=4"]) == 1
    assert "resumed_rerun/version_1: other weights: " in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_went_on_keeps_the_record_of_each_part(tmp_path, capsys):
    path = config(tmp_path / "run", write_msd(tmp_path / "msd", cases=4, shape=(7, 32, 32)), max_epochs=1)
    fit(path)
    record = checkpoints(tmp_path / "run").parent / "run.json"
    first = json.loads(record.read_text())
    first["versions"]["torch"] = "1.0"  # as if the first part had been trained elsewhere
    record.write_text(json.dumps(first))
    fit(path, "--resume=auto", "--trainer.max_epochs=2")
    fit(path, "--resume=auto", "--trainer.max_epochs=3")
    now = json.loads(record.read_text())
    assert [part["versions"]["torch"] for part in now["earlier"]] == ["1.0", version("torch")]
    assert set(now["earlier"][0]) == {"command", "versions", "code", "device"}
    assert main(["test", str(record.parent)]) == 0
    [evaluated] = evaluate_sources([Source(record.parent)], None, "penalise")
    assert evaluated.made["torch"] == f"1.0, then {version('torch')}"
    assert evaluated.made["device"] == "cpu"
    assert main(["rerun", str(record.parent)]) == 1  # whose schedule is that of three epochs from the beginning
    said = capsys.readouterr().out
    assert f"differs: versions.torch: 1.0 then, {version('torch')} now" in said
    assert said.count("differs: ") == 1
    assert "the run went on 2 times, perhaps with other settings; it was trained by" in said
    assert len(said.partition("trained by\n")[2].splitlines()) == 3  # a command each


def test_what_was_not_there_is_said_in_a_word():
    changed = ({"code": {"adawac": {"changed": hashed}}} for hashed in ("", "0123"))
    assert differences(*changed) == ["code.adawac.changed: nothing then, 0123 now"]


def test_older_records_counted_their_units_as_training_slices():
    assert differences({"training_slices": 7}, {"training_units": 7}) == []
    assert differences({"training_slices": 7}, {"training_units": 8}) == ["training_units: 7 then, 8 now"]


def test_a_rerun_is_not_led_to_another_run(capsys):
    assert main(["rerun", "runs/mine/version_0", "--name=other", "--runs", "elsewhere"]) == 2
    assert "--name, --runs: a rerun sets this itself; leave it out" in capsys.readouterr().err


def test_a_run_that_has_not_ended(run, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["rerun", "nowhere"]) == 2
    assert "nowhere has no config.yaml; give the folder of a run that has ended" in capsys.readouterr().err
