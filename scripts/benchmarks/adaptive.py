"""A step on a batch that losses decide, of a million slices, against a step on one in random order."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from adawac import weighting as methods
from adawac.data.loading import AdaptiveOrder, EpochOrder
from adawac.data.sampling import AdaptiveSampling
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

SLICES = 10**6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains."""
    training.add_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both in turn, with one view: an adaptive draw needs no second one."""
    task = training.task_of(methods.ERM(), options.batch_size, options)
    step = training.method_step(task, training.random_batch(options), options)

    def losses(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return task.last_losses.of(np.arange(len(rows)))[0], np.full(len(rows), 1 + len(taken))

    taken: list[None] = []  # one a step, so that each is newer than the last
    units = training.units_of(SLICES, options)
    orders = {
        "uniform": EpochOrder(SLICES, options.batch_size, 0),
        "adaptive": AdaptiveOrder(units, options.batch_size, 0, AdaptiveSampling("classes"), losses),
    }
    steps = {name: synchronised(_with(order, step, taken), options.device) for name, order in orders.items()}
    seconds = interleaved(steps, options.rounds, clock=options.clock)
    ratios = {"adaptive / uniform": relative(seconds, "uniform")["adaptive"]}
    show(
        f"A step of {SLICES:,} slices, {device_name(options.device)}", seconds, relative(seconds, "uniform"), "relative"
    )
    return {"seconds": seconds, "ratios": ratios}


def _with(order: EpochOrder, step: Callable[[], None], taken: list[None]) -> Callable[[], None]:
    batches = iter(order)

    def run() -> None:
        next(batches)
        order.hand_out()
        step()
        taken.append(None)
        order.step_done()

    return run
