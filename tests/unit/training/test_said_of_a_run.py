"""What a run says of itself while it trains and at its end, against numbers written down here."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from adawac.data.units import UnitTable
from adawac.training.callbacks import progress
from adawac.training.callbacks.progress import ProgressLines
from adawac.training.callbacks.suspect_slices import SuspectSlices
from adawac.training.callbacks.weight_monitor import WeightMonitor
from adawac.types import SampleLosses
from adawac.weighting import LastLosses


def trainer_at(epoch, batch, per_epoch, steps, epochs=3):
    """After so many batches of an epoch."""
    batches = SimpleNamespace(is_last_batch=batch == per_epoch, current=SimpleNamespace(ready=batch))
    loop = SimpleNamespace(
        epoch_loop=SimpleNamespace(batch_progress=batches),
        epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=epoch)),
    )
    return SimpleNamespace(
        fit_loop=loop, current_epoch=epoch, num_training_batches=per_epoch, max_epochs=epochs, max_steps=-1,
        global_step=steps, callback_metrics={}, sanity_checking=False, is_global_zero=True,
        state=SimpleNamespace(fn=TrainerFn.FITTING),
    )  # fmt: skip


@pytest.mark.parametrize("steps", [16, 2])
def test_the_time_left_counts_no_steps_of_another_batch_size(steps, monkeypatch, caplog):
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    lines = ProgressLines()
    lines.on_train_start(trainer_at(1, 0, 2, steps), None)  # went on after an epoch of 16 small batches, or of 2
    with caplog.at_level(logging.INFO):
        lines.on_validation_end(trainer_at(1, 2, 2, steps + 2), None)
    assert caplog.messages == ["epoch 2 of 3, 0:00:10 left"]  # the second of three epochs took 10 s


def suspects(folder, units, losses, weighting):
    """Lines of the file that a training leaves."""
    task = SimpleNamespace(
        weighting=weighting,
        data=SimpleNamespace(units=units, sampling=None, facts=SimpleNamespace(classes=("background", "liver"))),
        last_losses=losses,
    )
    trainer = SimpleNamespace(
        log_dir=folder,
        is_global_zero=True,
        fast_dev_run=False,
        callback_metrics={"val/dice/liver": torch.tensor(0.9)},
    )
    SuspectSlices().on_fit_end(trainer, task)
    return (folder / "suspects.csv").read_text().splitlines()


def test_a_slice_that_was_never_drawn_is_no_suspect(tmp_path):
    voxels = np.array([[9, 0], *[[7, 2]] * 8, *[[9, 0]] * 8])
    units = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))
    losses = LastLosses()
    losses.allocate(17)
    drawn = torch.arange(1, 17)
    losses.record(SampleLosses(drawn, torch.full((16,), 0.1), None, torch.as_tensor(units.dense[1:])))
    # The first has what all began with, and the dense fell below it; of the sparse, all but the last fell farther.
    log_odds = torch.tensor([0.0, *torch.linspace(-2, -1, 8), *torch.linspace(-9, -8, 7), -0.5])
    weighting = SimpleNamespace(weights=torch.sigmoid(log_odds), log_odds=log_odds)
    assert suspects(tmp_path, units, losses, weighting)[1:] == ["a,16,-0.5"]


@pytest.mark.parametrize("voxels", [[7, 2], [9, 0]])
def test_a_training_ends_where_all_slices_are_label_dense_or_none_is(tmp_path, voxels):
    units = UnitTable.of_slices(["a"], [np.array([voxels] * 4)], (3, 3), ("background", "liver"))
    losses = LastLosses()
    losses.allocate(4)
    losses.record(SampleLosses(torch.arange(4), torch.rand(4), None, torch.as_tensor(units.dense)))
    weighting = SimpleNamespace(weights=None, log_odds=None)
    assert suspects(tmp_path, units, losses, weighting) == ["case,unit,score"]


def test_before_any_step_is_taken_there_is_nothing_to_draw():
    units = UnitTable.of_slices(["a"], [np.array([[9, 0], [7, 2]])], (3, 3), ("background", "liver"))
    nothing = np.zeros(0, np.float32)
    WeightMonitor()._draw(None, 0, nothing, units.take(np.zeros(0, int)), ("inferior", "superior"))
