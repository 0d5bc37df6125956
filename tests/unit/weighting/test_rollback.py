"""A step that is not taken leaves nothing behind: whoever rejects it, whatever the method."""

import copy

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision
from tiny_task import SPEC, make_data, make_trainer
from torch import nn
from weighting_losses import METHODS

from adawac.networks import NetworkSpec
from adawac.training.callbacks import FiniteGuard
from adawac.training.task import SegmentationTask
from adawac.weighting import AdaWAC
from adawac.weighting.rollback import Rollback

BAD = 2
"""The step that goes wrong, of three."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("rollback"), batch_size=4)


class Spoil(Callback):
    """Makes a gradient infinite, or raises, in one batch, whose loss is finite; notes the state around it."""

    def __init__(self, batch: int = BAD, error: type[BaseException] | None = None) -> None:
        self.batch, self.error, self.number = batch, error, 0
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer, task) -> None:
        self.task = task
        next(task.network.parameters()).register_hook(self.spoil)
        self.note(task)

    def spoil(self, gradient: torch.Tensor) -> torch.Tensor:
        self.number += 1
        if self.number != self.batch:
            return gradient
        assert torch.isfinite(self.task.last_losses.supervised[self.task.last_losses.supervised.isfinite()]).any()
        if self.error is not None:
            raise self.error
        return gradient * torch.inf

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx) -> None:
        assert torch.isfinite(outputs["loss"])
        self.note(task)

    def note(self, task) -> None:
        self.states.append({k: v.clone() for k, v in task.state_dict().items() if isinstance(v, torch.Tensor)})


def scaler() -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0))


REJECTING = {
    "guard": lambda: {"callbacks": [FiniteGuard("skip")]},
    "scaler": lambda: {"plugins": [scaler()]},
    "scaler and guard": lambda: {"callbacks": [FiniteGuard("skip")], "plugins": [scaler()]},
}


def fit(data, weighting, spoil: Spoil, network=SPEC, callbacks=(), **options) -> SegmentationTask:
    task = SegmentationTask(network, copy.deepcopy(weighting))
    trainer = make_trainer(limit_train_batches=4, limit_val_batches=0, callbacks=[*callbacks, spoil], **options)
    trainer.fit(task, datamodule=data)
    return task


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Names of what is not the same to a bit."""
    same = {name: torch.equal(before[name].nan_to_num(-1.0), after[name].nan_to_num(-1.0)) for name in before}
    return {name for name, equal in same.items() if not equal}


@pytest.mark.parametrize(
    ("name", "rejecting"),
    [
        # Quickly each method once, with one of them after the other; all of them with the first.
        pytest.param(name, rejecting, marks=[pytest.mark.slow] * (number > 0 and number % len(REJECTING) != place))
        for number, name in enumerate(METHODS)
        for place, rejecting in enumerate(REJECTING)
    ],
)
def test_a_rejected_batch_moves_nothing(data, name, rejecting):
    spoil = Spoil()
    fit(data, METHODS[name], spoil, **REJECTING[rejecting]())
    assert moved(spoil.states[BAD - 1], spoil.states[BAD]) == set()
    for step in (1, BAD + 1):  # the others are taken
        assert {"last_losses.supervised"} <= moved(spoil.states[step - 1], spoil.states[step])
        assert any(key.startswith("network.") for key in moved(spoil.states[step - 1], spoil.states[step]))


def test_nor_do_the_network_s_running_statistics(data):
    spoil = Spoil()
    network = NetworkSpec(SPEC.architecture, {**SPEC.arguments, "norm": "BATCH"})
    fit(data, AdaWAC(), spoil, network, callbacks=[FiniteGuard("skip")])
    assert moved(spoil.states[BAD - 1], spoil.states[BAD]) == set()
    assert any("running_mean" in key for key in moved(spoil.states[BAD], spoil.states[BAD + 1]))


@pytest.mark.parametrize("bad", [1, 2])
def test_of_accumulated_gradients_one_bad_part_takes_all_with_it(data, bad):
    spoil = Spoil(bad)
    fit(data, AdaWAC(), spoil, callbacks=[FiniteGuard("skip")], accumulate_grad_batches=2)
    start, _, first, _, second = spoil.states
    assert moved(start, first) == set()
    assert {"weighting.log_odds", "last_losses.supervised"} <= moved(first, second)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_an_exception_leaves_the_step_before(data, accumulated, tmp_path):
    """What is saved of a training that an exception has ended is the state after its last step."""
    spoil = Spoil(3, MemoryError)
    task = SegmentationTask(SPEC, AdaWAC())
    trainer = make_trainer(limit_val_batches=0, callbacks=[spoil], accumulate_grad_batches=accumulated)
    with pytest.raises(MemoryError):
        trainer.fit(task, datamodule=data)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "after.ckpt", weights_only=True)
    saved = torch.load(tmp_path / "after.ckpt", weights_only=True)["state_dict"]
    assert moved(spoil.states[2], {name: saved[name] for name in spoil.states[2]}) == set()


def test_a_checkpoint_between_two_parts_of_a_step_holds_what_was_before_it(data, tmp_path):
    class Save(Callback):
        def on_train_batch_end(self, trainer, *args) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.fit_loop.epoch_loop.batch_idx}.ckpt")

    spoil = Spoil(0)
    fit(data, AdaWAC(), spoil, callbacks=[Save()], accumulate_grad_batches=2)
    start, _, first, *_ = spoil.states
    for batch, expected in enumerate((start, first, first)):
        saved = torch.load(tmp_path / f"{batch}.ckpt", weights_only=True)["state_dict"]
        assert moved(expected, {name: saved[name] for name in expected}) == set()


def test_a_sample_whose_own_loss_is_infinite_stays_marked(data):
    """Or a sampler that draws unseen samples first would draw it for ever."""
    task = SegmentationTask(SPEC, AdaWAC())
    seen = []

    class Rot(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
            if batch_idx == 1:
                batch.image[0] = torch.inf
                seen.append(batch.index)

    trainer = make_trainer(limit_train_batches=2, limit_val_batches=0, callbacks=[FiniteGuard("skip"), Rot()])
    trainer.fit(task, datamodule=data)
    assert task.last_losses.supervised[seen[0][0]] == torch.inf
    assert task.last_losses.supervised[seen[0][1:]].isnan().all()


class Replacing(nn.Module):
    """State of a user's method, which is replaced and not changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(3))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def step(self) -> None:
        self.state = self.state + 1
        self.count += 1


@pytest.mark.parametrize(("where", "expected"), [(None, 0), (torch.tensor(1.0), 0), (torch.tensor(0.0), 1)])
def test_where_the_device_decides(where, expected):
    module = nn.BatchNorm1d(3)
    rollback = Rollback(module)
    for _ in range(2):  # copies are used again
        rollback.mark()
        module(torch.rand(5, 3))
        rollback.restore(where)
        assert not rollback.marked
    assert module.num_batches_tracked == 2 * expected


def test_state_that_is_replaced_comes_back_as_well():
    module = Replacing()
    rollback = Rollback(module)
    rollback.mark()
    module.step()
    rollback.restore()
    assert (module.state.tolist(), module.count.item()) == ([0, 0, 0], 0)
    module.step()
    rollback.restore()  # of what was settled nothing is taken back
    assert (module.state.tolist(), module.count.item()) == ([1, 1, 1], 1)
