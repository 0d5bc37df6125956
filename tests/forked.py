"""Processes forked from that of the tests: they need not import torch, MONAI and Lightning again, ten seconds each."""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch._inductor.config
import torch.distributed as dist
import torch.multiprocessing as mp


def in_two(work: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `work(rank)` returns in each of two processes of one group (gloo)."""
    mp.start_processes(_of_a_group, (work, folder), nprocs=2, start_method="fork")  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def adawac_in(processes: int, arguments: Sequence[str]) -> None:
    """A command in several processes, begun as torchrun begins them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(_as_torchrun_does, (arguments, port, processes), nprocs=processes, start_method="fork")  # type: ignore[no-untyped-call]


def _of_a_group(rank: int, work: Callable[[int], Any], folder: Path) -> None:
    torch.set_num_threads(
        1
    )  # a fork has none of the threads that the tests' process computes with, and would wait for them
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(work(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()


def _as_torchrun_does(rank: int, arguments: Sequence[str], port: int, processes: int) -> None:
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    from adawac.cli import main

    # What the process of the tests has computed and compiled with were threads, of which a fork has none: it would wait
    # for ever.
    torch.set_num_threads(1)
    torch._inductor.config.compile_threads = 1
    rank_zero_only.rank = rank  # as Lightning reads it when it is imported; else both would claim the run's folder

    os.environ |= {
        "RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "GROUP_RANK": "0",
        "WORLD_SIZE": f"{processes}", "LOCAL_WORLD_SIZE": f"{processes}",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "TORCHELASTIC_RUN_ID": "tests",
    }  # fmt: skip
    assert main(list(arguments)) == 0
