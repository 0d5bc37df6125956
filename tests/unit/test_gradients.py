"""What steers a training, measured without touching it."""

import json
import math
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from tiny_data import write_msd

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import gradients


@pytest.fixture
def root(tmp_path):
    root = write_msd(tmp_path / "data", cases=4, shape=(12, 32, 32))
    (root / "splits.json").write_text(json.dumps({"train": ["pt_1", "pt_2"], "val": ["pt_3"], "test": ["pt_4"]}))
    return root


@pytest.fixture
def tasks(monkeypatch):
    """The tasks that were trained."""
    seen = []
    fit = pl.Trainer.fit
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, task, data: (fit(self, task, data), seen.append(task)))
    return seen


@pytest.mark.slow
def test_the_training_goes_on_as_if_nothing_had_been_measured(root, tasks, tmp_path, monkeypatch):
    results = gradients.measured(str(root), [], 20, 32, str(tmp_path / "store"))
    assert [each["step"] for each in results["steps"]] == [*range(2, 21, 2)]
    for each in results["steps"]:
        assert each["loss ratio"] == pytest.approx(each["cross-entropy"] / each["dice"])
        assert 0 < each["gradient ratio"] < math.inf
    monkeypatch.setattr(gradients.Gradients, "on_train_batch_start", lambda *_: None)
    gradients.measured(str(root), [], 20, 32, str(tmp_path / "store"))
    measured, plain = (dict(task.network.state_dict()) for task in tasks)
    assert all(torch.equal(measured[name], plain[name]) for name in plain)
