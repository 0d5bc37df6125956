"""Recorded steps train like steps that run, on a GPU; elsewhere nothing is recorded, and a warning says so."""

import copy
import logging
import weakref
from functools import partial

import pytest
import torch
from tiny_task import SPEC, first_batch, make_data, make_task, make_trainer
from weighting_losses import METHODS

from adawac.networks import NetworkSpec
from adawac.training.performance.cuda_graphs import GraphedStep, recorder
from adawac.training.task import SegmentationTask
from adawac.weighting import AdaWAC

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def on_gpu(function):
    for mark in gpu:
        function = mark(function)
    return function


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("graphs"))


SIZES = (8, 8, 7, 8, 7, 7, 8)
"""Of the batches: those of an epoch may differ by one, and each size is recorded when it comes a second time."""


def train(data, weighting, record, precision=torch.float32):
    """Seven steps in two epochs: their losses, and all that was learnt."""
    task = make_task(data, copy.deepcopy(weighting)).to("cuda")
    step = GraphedStep(task._compute, list(task.network.parameters()), [task]) if record else task._compute
    optimizer = torch.optim.SGD(task.network.parameters(), lr=0.05)
    batch, losses = first_batch(data), []
    for number, size in enumerate(SIZES):
        torch.manual_seed(number)  # of dropout
        part = [tensor.roll(number, 0)[:size].cuda() for tensor in batch]
        epoch = torch.full((), number // 4, device="cuda")
        with torch.autocast("cuda", precision, enabled=precision != torch.float32, cache_enabled=False):
            loss, *_ = step(*part, epoch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().clone())
        del loss, _  # with them an earlier step's graph would be held
    if record:
        assert sorted(len(shapes[0][0]) for shapes in step._recordings) == [4, 4]
        assert all(recording is not None for recording in step._recordings.values())
    return torch.stack(losses), learnt(task)


def learnt(task):
    """Everything in the state that is a number."""
    return {name: value for name, value in task.state_dict().items() if isinstance(value, torch.Tensor)}


@on_gpu
@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_alike_recorded_or_not(data, name):
    losses, state = train(data, METHODS[name], record=False)
    recorded_losses, recorded_state = train(data, METHODS[name], record=True)
    torch.testing.assert_close(recorded_losses, losses, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(recorded_state, state, atol=1e-4, rtol=1e-3, equal_nan=True)


@on_gpu
@pytest.mark.parametrize("arguments", [{"norm": "BATCH"}, {"dropout": 0.3}])
def test_running_statistics_and_dropout_are_those_of_steps_that_run(data, arguments, monkeypatch):
    monkeypatch.setattr("tiny_task.SPEC", NetworkSpec(SPEC.architecture, SPEC.arguments | arguments))
    losses, state = train(data, AdaWAC(), record=False)
    recorded_losses, recorded_state = train(data, AdaWAC(), record=True)
    torch.testing.assert_close(recorded_losses, losses, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(recorded_state, state, atol=1e-3, rtol=1e-3, equal_nan=True)


@on_gpu
def test_mixed_precision_can_be_recorded(data):
    losses, _ = train(data, AdaWAC(), record=False, precision=torch.bfloat16)
    recorded, _ = train(data, AdaWAC(), record=True, precision=torch.bfloat16)
    torch.testing.assert_close(recorded, losses, atol=2e-2, rtol=2e-2)


@on_gpu
def test_what_is_compiled_is_not_compiled_anew_while_it_is_recorded():
    compiled, network = [], torch.nn.Linear(2, 1).cuda()

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    step = torch.compile(lambda x: (network(x).sum(),), backend=backend)
    graphed = GraphedStep(step, list(network.parameters()), [network])
    for _ in range(3):
        graphed(torch.ones(3, 2, device="cuda"))[0].backward()
    assert None not in graphed._recordings.values()
    assert len(compiled) == 1


@on_gpu
def test_gradients_of_several_steps_add_up():
    weight = torch.nn.Parameter(torch.ones(2, device="cuda"))
    step = GraphedStep(lambda x: ((weight * x).sum(),), [weight], [])
    for factor in (1.0, 2.0, 3.0, 4.0):
        (
            step(torch.full((2,), factor, device="cuda"))[0] / 4
        ).backward()  # a loss with a name would be held, see `train`
    assert None not in step._recordings.values()
    assert weight.grad.tolist() == [2.5, 2.5]


class OnCPU:
    """Stands in for a recording where there is no GPU: computes with the parameters that it was made with."""

    def __init__(self, step, parameters, inputs, pool):
        step(*inputs)  # as a recording does, in Python alone
        self.step, self.parameters = step, parameters
        self.values = [parameter.data for parameter in parameters]
        self.loss, self.gradients = torch.zeros(()), [torch.zeros_like(parameter) for parameter in parameters]
        self.graph, self.rest = self, []

    def take(self, inputs):
        self.inputs = inputs

    def replay(self):
        assert [value.data_ptr() for value in self.values] == [p.data_ptr() for p in self.parameters]
        with torch.enable_grad():
            loss = self.step(*self.inputs)[0]
        for own, new in zip(self.gradients, torch.autograd.grad(loss, self.parameters), strict=True):
            own.copy_(new)
        self.loss.copy_(loss.detach())


@pytest.fixture
def made(monkeypatch) -> list[OnCPU]:
    """Recordings that are made, where there is no GPU."""
    found = []
    monkeypatch.setattr(
        "adawac.training.performance.cuda_graphs._Recording", lambda *given: found.append(OnCPU(*given)) or found[-1]
    )
    for name in ("current_stream", "set_stream", "graph_pool_handle"):
        monkeypatch.setattr(torch.cuda, name, lambda *given: "none on a CPU")
    return found


def test_parameters_that_are_unfrozen_or_moved_are_learnt_from_then_on(made):
    head, body = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    body.requires_grad = False
    step = GraphedStep(lambda x: ((head * x).sum() + (body * x * x).sum(),), [head, body], [])

    def gradients():
        """Of three steps."""
        head.grad = body.grad = None
        for _ in range(3):
            step(torch.full((1,), 2.0))[0].backward()
        return head.grad.item(), None if body.grad is None else body.grad.item()

    assert gradients() == (6.0, None)
    assert len(made) == 1
    body.requires_grad = True
    assert gradients() == (6.0, 12.0)
    body.data = body.data.clone()
    assert gradients() == (6.0, 12.0)
    assert len(made) == 3


def test_modules_in_another_mode_are_recorded_anew(made):
    weight, dropout = torch.nn.Parameter(torch.ones(1)), torch.nn.Dropout()
    step = GraphedStep(lambda x: (dropout(weight * x).sum(),), [weight], [dropout])
    for training in (True, False):
        dropout.train(training)
        for _ in range(3):
            step(torch.ones(1))
    assert len(made) == 2


class Remembers(torch.nn.Module):
    """Counts its calls beside its buffers."""

    def __init__(self, count):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.count = count

    def forward(self, x):
        self.count = self.count + 1
        return (self.weight * x.sum() * self.count,)


@pytest.mark.parametrize("count", [0, 0.0, torch.zeros(())])
def test_a_number_that_a_step_remembers_is_named_and_steps_go_on(made, count, caplog):
    module = Remembers(count)
    step = GraphedStep(module, list(module.parameters()), [module])
    with caplog.at_level(logging.WARNING):
        losses = [step(torch.ones(1))[0].item() for _ in range(4)]
    assert losses == [1.0, 2.0, 3.0, 4.0]
    assert "model.cuda_graphs: a step replaces Remembers.count where it must change a buffer in place" in caplog.text


class NotesSize(torch.nn.Module):
    """Notes the length of what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.length = 0

    def forward(self, x):
        self.length = len(x)
        return ((self.weight * x).sum(),)


def test_a_number_that_is_set_to_what_it_was_hinders_no_recording(made):
    module = NotesSize()
    step = GraphedStep(module, list(module.parameters()), [module])
    for _ in range(2):
        step(torch.ones(1000))  # Python keeps one object of every small number, and makes large ones anew
    assert list(step._recordings.values()) == made != []


def test_a_step_that_goes_on_unrecorded_has_the_memory_of_the_failed_recording(made):
    weight, activations = torch.nn.Parameter(torch.ones(())), []

    def step(x):
        assert all(activation() is None for activation in activations)
        activation = weight * x
        activations.append(weakref.ref(activation))
        if len(activations) == 5:  # recording the second shape, after one run, recording and replay of the first
            raise RuntimeError("out of memory")
        return (activation.sum(),)

    graphed = GraphedStep(step, [weight], [])
    for size in (2, 2, 3, 3):
        graphed(torch.ones(size))
    assert len(activations) == 6
    assert graphed.failed
    assert not graphed._recordings


class Counts(torch.nn.Module):
    """Counts its calls in a buffer that it replaces, or in one that it changes."""

    def __init__(self, replaces):
        super().__init__()
        self.replaces = replaces
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        if self.replaces:
            self.count = self.count + 1
        else:
            self.count += 1
        return (self.weight * x.sum() * self.count,)


def test_a_buffer_that_is_replaced_between_steps_counts_from_then_on(made):
    module = Counts(replaces=False)
    step = GraphedStep(module, list(module.parameters()), [module])
    for _ in range(3):
        step(torch.ones(1))
    module.count = torch.zeros(())
    for _ in range(3):
        step(torch.ones(1))
    assert len(made) == 2


@on_gpu
@pytest.mark.parametrize("replaces", [True, False])
def test_state_that_a_recording_would_lose_is_named_and_steps_go_on(caplog, replaces):
    module = Counts(replaces).cuda()
    step = GraphedStep(module, list(module.parameters()), [module])
    with caplog.at_level(logging.WARNING):
        losses = [step(torch.ones(1, device="cuda"))[0].item() for _ in range(4)]
    assert losses == [1.0, 2.0, 3.0, 4.0]
    warnings = [
        record.getMessage() for record in caplog.records if record.name == "adawac.training.performance.cuda_graphs"
    ]
    assert [("Counts.count" in text, "goes on without" in text) for text in warnings] == [(True, True)] * replaces


@on_gpu
def test_a_step_that_waits_for_the_gpu_goes_on_unrecorded(caplog):
    weight = torch.nn.Parameter(torch.ones(2, device="cuda"))
    step = GraphedStep(lambda x: ((weight * x).sum() * float(x.sum().item()),), [weight], [])
    with caplog.at_level(logging.WARNING):
        losses = [step(torch.full((2,), factor, device="cuda"))[0].item() for factor in (1.0, 2.0, 3.0)]
    assert losses == [4.0, 16.0, 36.0]
    assert "model.cuda_graphs" in caplog.text


@on_gpu
def test_a_fit_with_recorded_steps_learns_the_same(data, caplog, monkeypatch):
    states, recordings, record = [], [], GraphedStep._record
    monkeypatch.setattr(GraphedStep, "_record", lambda *given: recordings.append(record(*given)) or recordings[-1])
    for cuda_graphs in (False, True):
        torch.manual_seed(0)
        # Adam's first steps have the size of the learning rate even where a gradient is nothing but rounding.
        optimizer = partial(torch.optim.SGD, lr=0.05)
        task = SegmentationTask(SPEC, AdaWAC(), optimizer=optimizer, seed=1, cuda_graphs=cuda_graphs)
        trainer = make_trainer(accelerator="gpu", devices=1, max_epochs=4, precision="32-true", limit_val_batches=0)
        trainer.fit(task, data)
        states.append(learnt(task))
    assert "model.cuda_graphs" not in caplog.text
    assert len(recordings) == 1  # all batches have eight slices
    torch.testing.assert_close(states[1], states[0], atol=1e-3, rtol=1e-2, equal_nan=True)


def test_a_strategy_of_several_processes_records_nothing(caplog, monkeypatch):
    """Even with one of them: the strategy holds on to the network's graph of gradients."""
    trainer = make_trainer(strategy="ddp", devices=1)
    monkeypatch.setattr(type(trainer.strategy), "root_device", torch.device("cuda"))
    with caplog.at_level(logging.WARNING):
        assert recorder(trainer, lambda *_: (), [], []) is None
    assert "model.cuda_graphs: several processes wait for one another" in caplog.text


def test_without_a_gpu_a_fit_goes_on_and_says_why_nothing_is_recorded(data, caplog):
    task = SegmentationTask(SPEC, AdaWAC(), seed=1, cuda_graphs=True)
    with caplog.at_level(logging.WARNING):
        make_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0).fit(task, data)
    assert "model.cuda_graphs: training runs on cpu" in caplog.text
    assert task.graphed is None
    assert task.weighting.samples_seen > 0
