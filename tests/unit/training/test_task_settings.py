"""Settings that make a training faster or steadier leave what it learns as it is."""

from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from tiny_task import SEED, SPEC, first_batch, make_data, make_task, make_trainer

from adawac.data.datamodule import SegmentationData
from adawac.errors import ConfigError
from adawac.losses import FeatureConsistency
from adawac.training.performance.compile import Compiled
from adawac.training.task import SegmentationTask
from adawac.weighting import AdaWAC


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("task"))


class Logged(pl.Callback):
    """After which steps `train/loss` was new."""

    def __init__(self):
        self.steps, self.last = [], None

    def on_train_batch_end(self, trainer, *args):
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None and (self.last is None or loss != self.last):
            self.steps.append(trainer.global_step)
            self.last = loss.clone()


def fitted(data, callback=None, **trainer_options) -> SegmentationTask:
    """A task after two epochs of three batches of eight slices, or as the trainer's options say."""
    callbacks = [callback] if callback else []
    task = SegmentationTask(
        SPEC,
        AdaWAC(calibrate=False, step_size=3.0),
        consistency=FeatureConsistency(normalised=False),  # no variance over the batch
        optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
        dice_ratio=0.0,  # Dice is one number a batch
        seed=SEED,
    )
    options = {"max_epochs": 2, "limit_val_batches": 0, "callbacks": callbacks} | trainer_options
    make_trainer(**options).fit(task, data)
    return task


def test_losses_are_logged_every_so_many_steps_and_at_the_end_of_an_epoch(data):
    watch = Logged()
    fitted(data, watch, log_every_n_steps=2)
    assert watch.steps == [2, 3, 4, 6]


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_a_precision_that_losses_and_weights_cannot_have_is_refused(data, precision):
    with pytest.raises(ConfigError, match=f"trainer.precision is {precision}, .* give bf16-mixed, 16-mixed or 32-true"):
        fitted(data, precision=precision)


def test_accumulated_batches_are_one_batch_to_weights_and_network(data):
    whole = fitted(data)
    parts = fitted(make_data(Path(data.root).parent, batch_size=4), accumulate_grad_batches=2)
    assert parts.trainer.global_step == whole.trainer.global_step == 6
    torch.testing.assert_close(parts.weighting.log_odds, whole.weighting.log_odds, rtol=1e-4, atol=1e-5)
    assert whole.weighting.log_odds.std() > 1e-3
    torch.testing.assert_close(parts.network.state_dict(), whole.network.state_dict(), rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_step_and_leaves_the_weights_rule_alone(data):
    free, clipped = (
        fitted(data, max_epochs=1, max_steps=1),
        fitted(data, max_epochs=1, max_steps=1, gradient_clip_val=1e-6),
    )
    start = make_task(data).network.state_dict()
    moved = [
        max(float((value - start[name]).abs().max()) for name, value in task.network.state_dict().items())
        for task in (free, clipped)
    ]
    assert moved[0] > 1e-4
    assert moved[1] < 1e-6
    torch.testing.assert_close(clipped.weighting.log_odds, free.weighting.log_odds)


class Trace(pl.Callback):
    """The network after every step."""

    def __init__(self):
        self.networks = []

    def on_train_batch_end(self, trainer, task, *args):
        self.networks.append({name: value.clone() for name, value in task.network.state_dict().items()})


def test_a_moving_average_is_of_the_network_and_leaves_weights_alone(data):
    trace = Trace()
    plain = fitted(data, trace)
    averaged = fitted(data, EMAWeightAveraging(decay=0.5, use_buffers=False), limit_val_batches=1)
    due, *later = trace.networks
    for network in later:
        due = {name: (value + network[name]) / 2 for name, value in due.items()}
    torch.testing.assert_close(averaged.network.state_dict(), due)
    assert any((value - plain.network.state_dict()[name]).abs().max() > 1e-4 for name, value in due.items())
    torch.testing.assert_close(averaged.weighting.log_odds, plain.weighting.log_odds)


def test_channels_last_changes_nothing_but_the_memory(data):
    batch = first_batch(data)
    tasks = [make_task(data, channels_last=choice) for choice in (False, True)]
    losses = [task.training_step(batch, 0) for task in tasks]
    torch.testing.assert_close(losses[1], losses[0])
    weight = next(p for p in tasks[1].network.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_an_optimiser_that_flattens_gradients_trains_with_channels_last_as_well(data):
    """As `init` plans: torch's LBFGS failed there."""
    lbfgs = partial(torch.optim.LBFGS, lr=0.1, max_iter=2)
    tasks = [make_task(data, channels_last=choice, optimizer=lbfgs) for choice in (False, True)]
    for task in tasks:
        make_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0).fit(task, data)
    due = tasks[0].network.state_dict()
    for name, value in tasks[1].network.state_dict().items():
        torch.testing.assert_close(value, due[name])


def test_patches_train_with_channels_last_as_well(data):
    patches = SegmentationData(
        str(data.root),
        split=data.split_rule,
        size=(32, 32),
        patch=(4, 16, 16),
        batch_size=4,
        store=str(data.store_folder),
    )
    patches.prepare_data()
    patches.setup("fit")
    tasks = [make_task(patches, channels_last=choice) for choice in (False, True)]
    batch = patches.train_dataloader().dataset[[0, 3, 5, 9]]
    losses = [task.training_step(batch, 0) for task in tasks]
    torch.testing.assert_close(losses[1], losses[0])
    weight = next(p for p in tasks[1].network.parameters() if p.ndim == 5 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_compiled_run_has_the_same_parameters_by_name(data, monkeypatch):
    monkeypatch.setattr("adawac.training.task.Compiled", partial(Compiled, backend="eager"))
    plain, compiled = make_task(data), make_task(data, compile=True)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    batch = first_batch(data)
    torch.testing.assert_close(compiled.training_step(batch, 0), plain.training_step(batch, 0))
