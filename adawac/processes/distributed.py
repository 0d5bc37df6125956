"""What several processes must agree on: the losses of the global batch, the results of all volumes, and their end."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from adawac.types import SampleLosses, Weights

Item = TypeVar("Item")


def world_size() -> int:
    """Number of processes; 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def connection_closed() -> Iterator[None]:
    """Close the connection to the other processes in the end, if one was opened within.

    Lightning closes NCCL's alone. Where gloo's stays open its threads still run while the interpreter is torn down, and
    the process may be aborted (SIGABRT) after all is done: measured, one exit in eight of two idle processes.

    Example:
        >>> with connection_closed():
        ...     world_size()
        1
    """
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
            gc.collect()  # a DistributedDataParallel, which lives in cycles, would keep it open


def gather_losses(losses: SampleLosses) -> tuple[SampleLosses, slice]:
    """Losses of all processes' shares of a batch, the same on each, and where this process's share lies in them.

    Args:
        losses: detached losses of this process's share, at least one sample; shares may differ by one.

    Returns:
        Losses of the global batch, in the order of the processes; rows of this process.

    Example:
        >>> losses = SampleLosses(torch.tensor([4, 2]), torch.tensor([0.1, 0.2]), None, torch.tensor([True, False]))
        >>> gather_losses(losses)[1]  # a single process
        slice(0, 2, None)
    """
    if world_size() == 1:
        return losses, slice(0, len(losses.index))
    sizes = [torch.zeros(1, dtype=torch.int64, device=losses.index.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(losses.index)], device=losses.index.device))
    counts = torch.cat(sizes).tolist()
    gathered = SampleLosses(
        index=_gather(losses.index, counts),
        supervised=_gather(losses.supervised, counts),
        consistency=None if losses.consistency is None else _gather(losses.consistency, counts),
        dense=_gather(losses.dense.to(torch.uint8), counts).bool(),
    )
    first = sum(counts[: dist.get_rank()])
    return gathered, slice(first, first + len(losses.index))


def take_weights(weights: Weights, rows: slice) -> Weights:
    """Weights of some samples of a batch."""
    return Weights(weights.supervised[rows], None if weights.consistency is None else weights.consistency[rows])


def gather_cases(results: Mapping[str, Item]) -> dict[str, Item]:
    """Picklable results by case of all processes; a case that several of them have comes once.

    Example:
        >>> gather_cases({"case_1": 0.5, "case_2": 0.7})  # a single process
        {'case_1': 0.5, 'case_2': 0.7}
    """
    if world_size() == 1:
        return dict(results)
    shares: list[Any] = [None] * world_size()
    dist.all_gather_object(shares, dict(results))
    return {case: result for share in shares for case, result in share.items()}


def _gather(part: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows of all processes, of which each has `counts` of them."""
    padded = part.new_zeros(max(counts), *part.shape[1:])
    padded[: len(part)] = part
    shares = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(shares, padded)
    return torch.cat([share[:count] for share, count in zip(shares, counts, strict=True)])
