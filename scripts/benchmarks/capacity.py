"""The largest batch whose training step by AdaWAC a GPU can take, and how fast steps are on the way there."""

import argparse
import copy
import gc
from itertools import count
from typing import Any

import torch

from adawac.errors import ConfigError
from adawac.weighting import AdaWAC
from benchmarks import training
from benchmarks.measure import device_name, interleaved, show, synchronised


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains; the batch size is where it starts."""
    training.add_arguments(parser)
    parser.add_argument("--most", type=int, default=4096, help="batch size at which to stop looking")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Double the batch until it no longer fits, then halve the gap five times."""
    if not options.device.startswith("cuda"):
        raise ConfigError("capacity: only a GPU has a memory of its own to fill; give --device cuda")
    seconds: dict[str, list[float]] = {}
    largest, too_large = 0, options.most + 1
    for size in (options.batch_size << i for i in count()):
        if size > options.most or not _fits(size, options, seconds):
            too_large = size
            break
        largest = size
    for _ in range(5):
        middle = (largest + too_large) // 2
        if largest < middle <= options.most and _fits(middle, options, seconds):
            largest = middle
        else:
            too_large = middle
    per_slice = {name: [s / int(name) for s in spent] for name, spent in seconds.items()}
    show(f"A slice by batch size, {device_name(options.device)}", per_slice, seconds, "s a batch")
    print(f"largest batch: {largest}")
    return {"largest_batch": largest, "seconds": seconds, "memory_bytes": torch.cuda.mem_get_info(options.device)[1]}


def _fits(size: int, options: argparse.Namespace, seconds: dict[str, list[float]]) -> bool:
    """Try some steps; keep their seconds where the batch fits, its recording too where steps are recorded."""
    options = copy.copy(options)
    options.batch_size = size
    try:
        task = training.task_of(AdaWAC(), size, options)
        step = training.method_step(task, training.random_batch(options), options)
        timed = {str(size): synchronised(step, options.device)}
        spent = interleaved(timed, 3, warm_up=2, clock=options.clock)  # the second step records
        if task.graphed is not None and task.graphed.failed:
            print(f"{size}: its step cannot be recorded")
            return False
        seconds |= spent
        return True
    except RuntimeError as error:  # out of memory; or a kernel that counts its elements in 32 bits
        print(f"{size}: {str(error).splitlines()[0][:200]}")
        return False
    finally:
        task = step = None  # type: ignore[assignment]
        gc.collect()
        torch.cuda.empty_cache()
