"""What is drawn, from the command line to the report: logged, recorded, and told beside the numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_data import write_msd
from tiny_run import ADAMW, tiny_settings, write_config

from adawac.cli import main
from adawac.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn")

DRAWS = {
    "plain": [],
    "by_class": ["--data.sampling=ClassBalanced", "--data.sampling.share=1.0", "--data.sampling.cap=100"],
    "adaptive": ["--data.sampling=AdaptiveSampling", "--data.sampling.balance=classes"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, RunFolder]:
    """Plain training on one view, by each of the draws, trained and tested."""
    folder = tmp_path_factory.mktemp("draws")
    root = write_msd(folder / "msd", cases=8, shape=(9, 32, 32))
    settings = tiny_settings(folder / "run", root)
    settings["trainer"] |= {"max_epochs": 4, "check_val_every_n_epoch": 4, "log_every_n_steps": 1}
    settings["data"]["batch_size"] = 6
    settings["model"] |= {"weighting": "ERM", "optimizer": ADAMW}
    config = write_config(folder / "run", settings)
    found = {}
    for name, options in DRAWS.items():
        assert main(["fit", str(config), f"--name={name}", *options]) == 0
        found[name] = RunFolder(config.parent / "runs" / name / "version_0")
        assert main(["test", str(found[name].path)]) == 0
    return found


def test_what_was_drawn_is_recorded(runs):
    plain, by_class = (runs[name].record["draws"] for name in ("plain", "by_class"))
    assert plain["least"] == plain["most"] == 4  # every slice once an epoch
    assert plain["effective"] == runs["plain"].record["training_units"]
    assert plain["dense"] < 0.9
    assert by_class["dense"] == 1  # nothing but slices that hold a class
    assert by_class["least"] == 0
    organs = list(by_class["of_class"].values())
    assert organs[0] == pytest.approx(organs[1], abs=0.15)


def test_what_is_drawn_is_logged(runs):
    logs = {name: EventAccumulator(str(run.path)).Reload() for name, run in runs.items()}
    tags = {name: {tag for tag in log.Tags()["scalars"] if tag.startswith("draws/")} for name, log in logs.items()}
    assert not tags["plain"]
    assert tags["by_class"] == {
        *("draws/dense_share", "draws/effective_slices"),
        *(f"draws/per_slice_{number}" for number in ("min", "median", "max")),
        *("draws/class/left_kidney", "draws/class/right_kidney"),
    }
    assert tags["adaptive"] - tags["by_class"] == {"draws/q/left_kidney", "draws/q/right_kidney"}
    q = [logs["adaptive"].Scalars(tag)[-1].value for tag in sorted(tags["adaptive"] - tags["by_class"])]
    assert sum(q) == pytest.approx(1)


def test_weights_that_draw_are_written_like_those_that_weigh(runs):
    assert runs["by_class"].weights is None
    weights = runs["adaptive"].weights
    last = torch.load(runs["adaptive"].path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert len(weights.case) == last["last_losses.draws"].count_nonzero()  # of others a weight says nothing
    assert np.unique(weights.score).size > 2
    assert runs["adaptive"].suspects is not None


def test_the_report_says_what_was_drawn(runs, tmp_path):
    named = [f"{name}={run.path}" for name, run in runs.items()]
    assert main(["evaluate", *named, "-o", str(tmp_path / "out"), "--pictures", "0"]) == 0
    text = Path(tmp_path / "out/report.md").read_text()
    section = text.split("## What was drawn")[1].split("\n## ")[0].replace("\\_", "_")
    assert re.search(r"\| by_class \| +1\.000 \| +0 \|", section)
    assert re.search(r"\| plain \| .* \| +4 \| +4 \| +4 \|", section)
    assert "| draws | left_kidney | right_kidney |" in re.sub(" +", " ", section)
    assert "## What the weights do" in text
