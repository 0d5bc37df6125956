"""A training step as a single launch: what a GPU does in it is recorded once, as a CUDA graph, and replayed."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import Parameter

from adawac.errors import one_line

log = logging.getLogger(__name__)

Step = Callable[..., tuple[Tensor | None, ...]]


class GraphedStep:
    """Computes a step's loss and its gradient by replaying the kernels of an earlier step.

    A step of a UNet is made of a thousand short kernels, which the host launches more slowly than a GPU runs them. The
    first inputs of a shape run as they are, the second are recorded, and from then on the step is one launch.
    Inputs of other shapes get recordings of their own; where parameters are frozen, unfrozen or moved, buffers
    replaced or modules put into another mode, such as by a callback, all is recorded anew. Where recording fails, a
    warning says why and the steps go on without it: where the step waits for the device, or an earlier loss is still
    held with its graph.

    Args:
        step: tensors on the GPU in, the loss and whatever else is to be known out. It must not wait for the device, and
            what it remembers must lie in buffers that it changes in place: its Python is not run again.
        parameters: by which the loss is differentiated, those that are not frozen.
        modules: whose buffers the step may change, and whose modes it follows.

    Example:
        >>> weight = Parameter(torch.ones(2))
        >>> graphed = GraphedStep(lambda x: ((weight * x).sum(),), [weight], [])
        >>> loss, = graphed(torch.ones(2))  # the first of its shape; a CPU would record none after it either
        >>> loss
        tensor(2., grad_fn=<SumBackward0>)
    """

    def __init__(self, step: Step, parameters: Sequence[Parameter], modules: Sequence[nn.Module]) -> None:
        self._step = step
        self._parameters = parameters
        self._modules = [part for module in modules for part in module.modules()]
        self._recordings: dict[tuple[Any, ...], _Recording | None] = {}
        self._recorded_of: list[Any] = []
        self._pool: Any = None
        self.failed = False
        """Whether recording has failed, so that steps go on without."""

    def __call__(self, *inputs: Tensor) -> tuple[Tensor | None, ...]:
        """Loss, with its graph of gradients, and the rest, without; the rest holds until the next call."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if self._in_use() != self._recorded_of:
            self._recordings.clear()
            self._pool = None  # freed with its recordings
        if self.failed or shapes not in self._recordings:
            self._recordings[shapes] = None
            outputs = self._step(*inputs)
            self._recorded_of = self._in_use()  # afterwards: buffers that the step replaces are found in recording it
            return outputs
        recording = self._recordings[shapes]
        if recording is None:
            try:
                recording = self._recordings[shapes] = self._record(inputs)
            except Exception as error:  # of a kernel that waits, a library that cannot be recorded, ...
                log.warning("model.cuda_graphs: %s; training goes on without", one_line(error)[:300])
                self.failed = True
                self._recordings.clear()
        if recording is None:  # only here: in `except` the error keeps what the recording has allocated
            return self._step(*inputs)
        recording.take(inputs)
        loss = _Replay.apply(recording, *recording.parameters)  # type: ignore[no-untyped-call]
        return loss, *recording.rest

    def _in_use(self) -> list[Any]:
        """What a recording takes for granted: where parameters and buffers lie, which are trained, modes."""
        tensors = [*self._parameters, *(b for module in self._modules for b in module.buffers(recurse=False))]
        return [(t.requires_grad, t.data_ptr()) for t in tensors] + [module.training for module in self._modules]

    def _record(self, inputs: Sequence[Tensor]) -> "_Recording":
        """Record without running; the recordings share their memory, as only one at a time is replayed."""
        stream = torch.cuda.current_stream()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        before = [_remembered(module) for module in self._modules]
        try:
            trained = [parameter for parameter in self._parameters if parameter.requires_grad]
            recording = _Recording(self._step, trained, inputs, self._pool)
        finally:
            torch.cuda.set_stream(stream)  # which a failed recording does not give back
            moved = []
            for module, known in zip(self._modules, before, strict=True):
                now = _remembered(module)
                replaced = [name for name in now if not _same(now[name], known.get(name))]
                moved += [f"{type(module).__name__}.{name}" for name in replaced]
                for name in replaced:
                    setattr(module, name, known.get(name))
        if moved:
            raise RuntimeError(f"a step replaces {', '.join(moved)} where it must change a buffer in place (`copy_`)")
        return recording


def _remembered(module: nn.Module) -> dict[str, Any]:
    """Buffers of a module, and its tensors and numbers beside them, which a replay neither reads anew nor changes."""
    own = {**vars(module), **module._buffers}
    return {name: value for name, value in own.items() if isinstance(value, Tensor | int | float)}


def _same(value: Any, before: Any) -> bool:
    """Whether a tensor is the one of before, or a number worth as much: a size that is noted anew does no harm."""
    return value is before or (not isinstance(value, Tensor) and not isinstance(before, Tensor) and value == before)


def recorder(
    trainer: pl.Trainer, step: Step, parameters: Sequence[Parameter], modules: Sequence[nn.Module]
) -> GraphedStep | None:
    """What records and replays the steps of a training, where that can be; None, and a warning why, where it cannot.

    Args:
        trainer: says device, strategy and precision.
        step: see `GraphedStep`, as the other two.
        parameters: by which the loss is differentiated.
        modules: whose buffers the step may change.
    """
    device, obstacle = trainer.strategy.root_device, None
    if device.type != "cuda":
        obstacle = f"training runs on {device.type}, not on a CUDA GPU"
    elif not isinstance(trainer.strategy, SingleDeviceStrategy):
        obstacle = "several processes wait for one another within a step"
    elif getattr(trainer.precision_plugin, "scaler", None) is not None:
        obstacle = "16-mixed scales a loss before it is differentiated; bf16-mixed needs no scale"
    if obstacle is not None:
        log.warning("model.cuda_graphs: %s; training goes on without", obstacle)
        return None
    return GraphedStep(step, parameters, modules)


class _Recording:
    """Kernels of a step on fixed tensors: inputs, outputs, gradients."""

    def __init__(self, step: Step, parameters: Sequence[Parameter], inputs: Sequence[Tensor], pool: Any) -> None:
        self.inputs = [tensor.clone() for tensor in inputs]
        self.graph = torch.cuda.CUDAGraph()
        cached = torch.is_autocast_cache_enabled()
        if torch.is_autocast_enabled("cuda"):  # a network compiled with this setting would be compiled anew
            torch.set_autocast_cache_enabled(False)  # or weights cast before the recording would be read for ever
        try:
            # Others may use the GPU meanwhile: a loader's thread pins its batches.
            with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
                loss, *rest = step(*self.inputs)
                assert loss is not None, "a step's first output is its loss"
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        finally:
            torch.set_autocast_cache_enabled(cached)
        self.loss = loss.detach()
        self.rest = [None if output is None else output.detach() for output in rest]
        used = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
        self.parameters = [parameter for parameter, _ in used]
        self.gradients = [gradient for _, gradient in used]

    def take(self, inputs: Sequence[Tensor]) -> None:
        """Copy what is to be computed with to where the recording reads it."""
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)


class _Replay(torch.autograd.Function):
    """Loss whose gradient was computed with it."""

    @staticmethod
    def forward(ctx: FunctionCtx, recording: _Recording, *parameters: Parameter) -> Tensor:
        ctx.gradients = recording.gradients  # type: ignore[attr-defined]
        recording.graph.replay()
        return recording.loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, factor: Tensor) -> tuple[Tensor | None, ...]:
        # New tensors, as the next replay overwrites the recording's, which may not yet have been added up.
        return None, *torch._foreach_mul(ctx.gradients, factor)  # type: ignore[attr-defined]
