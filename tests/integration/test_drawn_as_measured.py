"""Pictures of the worst cases show predictions made as those of the case table, whatever the run is set to now."""

import json

import numpy as np
import pytest
import torch
from tiny_data import write_msd
from tiny_run import ADAMW, tiny_settings, write_config

from adawac.cli import main
from adawac.evaluation import read_csv
from adawac.report.sources import Source, evaluate_sources, references_of_runs
from adawac.runs.checkpoint import RECIPE
from adawac.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn")

CLASSES = ["left_kidney", "right_kidney"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    """Cleans up after itself, as it says: its checkpoint has chosen the largest part of either class."""
    folder = tmp_path_factory.mktemp("home") / "run"
    settings = tiny_settings(folder, write_msd(folder.parent / "msd", cases=4, shape=(7, 32, 32)))
    settings["model"] |= {"largest_component": True, "optimizer": ADAMW, "weighting": "ERM"}
    settings["data"]["mirror_pairs"] = {"left_kidney": "right_kidney"}
    config = write_config(folder, settings | {"seed_everything": 3})
    assert main(["fit", str(config), "--trainer.max_epochs=3"]) == 0
    run = RunFolder(folder / "runs/tiny/version_0")
    checkpoint = torch.load(run.best, weights_only=True)
    checkpoint[RECIPE] = json.dumps(json.loads(checkpoint[RECIPE]) | {"largest_component": CLASSES})
    torch.save(checkpoint, run.best)
    return run


def drawn_and_measured(run):
    """Voxels of each class and case, as a picture would show them, and as the case table has them."""
    sources = [Source.parse(str(run.path))]
    references, _ = references_of_runs(sources)
    [found] = evaluate_sources(sources, references, "penalise")
    measured = {
        (row.case, row.class_name): row.value
        for row in read_csv(run.cases_file)
        if (row.group, row.metric) == ("all", "predicted_voxels")
    }
    preds = {case: found.predict(case, references.target(case)) for case in references.cases} if found.predict else {}
    return {
        (case, name): np.count_nonzero(preds[case] == CLASSES.index(name) + 1) for case, name in measured if preds
    }, measured


def test_they_follow_the_settings_that_the_table_was_measured_with(run):
    tables = []
    for flips, cleans in (("true", "false"), ("false", "true"), ("false", "false")):
        assert main(["test", str(run.path), "--model.flip_left_right", flips, "--model.largest_component", cleans]) == 0
        drawn, measured = drawn_and_measured(run)
        assert drawn == pytest.approx(measured, abs=3)  # voxels of two classes that are all but equally likely
        assert all(max(abs(measured[key] - then[key]) for key in measured) > 6 for then in tables)
        tables.append(measured)


def test_what_cannot_be_repeated_is_not_drawn(run):
    assert main(["test", str(run.path), "--data.window=[-900,900]"]) == 0
    drawn, measured = drawn_and_measured(run)
    assert measured
    assert not drawn


def test_predictions_that_were_mirrored_are_told_from_those_that_were_not(run, tmp_path, monkeypatch):
    """Of `predict`, whose folder says how it was filled."""
    monkeypatch.chdir(tmp_path)
    data = RunFolder.open(run.path).setting("data", "root")
    for name, options in (("plain", ["--largest-component"]), ("mirrored", ["--flip"])):
        assert main(["predict", str(run.path), "-i", f"{data}/imagesTr", "-o", name, *options]) == 0
    assert (
        main(["evaluate", "a=plain", "b=mirrored", "--labels", f"{data}/labelsTr", "-o", "report", "--pictures=0"]) == 0
    )
    said = json.loads((tmp_path / "report/results.json").read_text())["summary"]
    assert (
        "Predictions were not made alike: a with precision 32-true; b with precision 32-true, flip_left_right" in said
    )
    trained = sorted(json.loads(run.split_file.read_text())["train"])
    assert f"{len(trained)} of the 4 cases have the names of cases that plain was trained on" in said
    assert json.loads((tmp_path / "plain/predictions.json").read_text())["trained_on"] == trained


def test_a_report_says_how_long_was_trained_and_which_epoch_is_measured(run):
    assert main(["test", str(run.path)]) == 0
    [found] = evaluate_sources([Source.parse(str(run.path))], None, "penalise")
    said = {name: found.made[name] for name in ("epochs", "steps", "measured after epoch")}
    assert said == {"epochs": "3", "steps": "3", "measured after epoch": str(torch.load(run.best)["epoch"] + 1)}
