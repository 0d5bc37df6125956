"""Every method keeps the same state in two processes as in one, whatever share of a batch each of them has."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from forked import in_two
from weighting_losses import METHODS, make, random_losses

from adawac.processes.distributed import connection_closed, gather_cases, gather_losses, take_weights, world_size
from adawac.types import SampleLosses

STEPS, SIZE = 15, 7  # which two processes cannot share evenly


def part(losses: SampleLosses, rows: slice) -> SampleLosses:
    return SampleLosses(*(None if values is None else values[rows] for values in losses))


def train(rows: slice) -> dict:
    """State and last weights of each method after steps on this process's share of the batches."""
    results = {}
    for name, method in METHODS.items():
        weighting, rng = make(copy.deepcopy(method)), np.random.default_rng(0)
        for _ in range(STEPS):
            losses, mine = gather_losses(part(random_losses(rng, size=SIZE), rows))
            weights = take_weights(weighting.step(losses), mine)
        tensors = {key: value for key, value in weighting.state_dict().items() if isinstance(value, torch.Tensor)}
        results[name] = (tensors, weights.supervised, weights.consistency)
    return results


def one_of_two(rank: int) -> tuple:
    """What each of two processes does."""
    assert world_size() == 2
    cases = gather_cases({"shared": 1, f"of {rank}": rank})
    return cases, train(slice(0, 4) if rank == 0 else slice(4, SIZE))


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_keep_the_state_of_one(tmp_path: Path) -> None:
    whole = train(slice(0, SIZE))
    shares = in_two(one_of_two, tmp_path)
    for cases, results in shares:
        assert cases == {"shared": 1, "of 0": 0, "of 1": 1}
        for name, (state, _, _) in whole.items():
            for key, value in state.items():
                torch.testing.assert_close(results[name][0][key], value, msg=f"{name}: {key}")
    for name, (_, *weights) in whole.items():
        for kind, expected in enumerate(weights, start=1):
            if expected is not None:
                together = torch.cat([results[name][kind] for _, results in shares])
                torch.testing.assert_close(together, expected, msg=f"{name}: weights")


def test_one_process_gathers_its_own() -> None:
    losses = random_losses(np.random.default_rng(0))
    gathered, mine = gather_losses(losses)
    assert gathered is losses
    assert mine == slice(0, len(losses.index))
    assert gather_cases({"a": 1}) == {"a": 1}


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_the_connection_is_closed_whatever_happens(tmp_path: Path) -> None:
    @connection_closed()
    def connect_and_divide(name: str, by: int) -> float:
        dist.init_process_group("gloo", init_method=f"file://{tmp_path}/{name}", rank=0, world_size=1)
        return world_size() / by

    assert connect_and_divide("done", 1) == 1
    assert not dist.is_initialized()
    with pytest.raises(ZeroDivisionError):
        connect_and_divide("failed", 0)
    assert not dist.is_initialized()
