"""A step on a resident batch by pair and AdaWAC, against the ceiling; updates of the weights by number of samples."""

import argparse
from collections.abc import Callable
from typing import Any

import torch

from adawac import weighting as methods
from adawac.types import SampleLosses
from adawac.weighting import Weighting
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

SAMPLES = (10**3, 10**5, 10**7)
UPDATES: dict[str, Callable[[], Weighting]] = {"adawac": methods.AdaWAC, "reweight-only": methods.ReweightOnly}
"""One method whose update costs the same for any number of samples, and one whose update normalises over all."""
UPDATES_A_ROUND = 20
"""An update takes a fifth of a millisecond, too little to be measured alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains."""
    training.add_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the steps, then the updates alone."""
    batch = training.random_batch(options)
    ceilings = training.ceiling_steps(options)
    steps = dict(ceilings)
    for name, weighting in (("pair", methods.Pair()), ("adawac", methods.AdaWAC())):
        step = training.method_step(training.task_of(weighting, 3000, options), batch, options)
        steps[name] = synchronised(step, options.device)
    seconds = interleaved(steps, options.rounds, warm_up=3, clock=options.clock)  # the second step records
    ratios = {f"{name} / {one}": relative(seconds, one)[name] for name in ceilings for one in ("pair", "adawac")}
    ratios["adawac / pair"] = relative(seconds, "pair")["adawac"]
    show(f"Training step, {device_name(options.device)}", seconds, relative(seconds, "pair"), "relative to pair")

    updates = {
        f"{name}, {samples:.0e} samples": synchronised(_update(make(), samples, options), options.device)
        for name, make in UPDATES.items()
        for samples in SAMPLES
    }
    spent = interleaved(updates, options.rounds, 3, options.clock)
    reference = f"adawac, {SAMPLES[0]:.0e} samples"
    growth = relative(spent, reference)
    show(f"{UPDATES_A_ROUND} updates of the weights", spent, growth, f"relative to {reference}")
    return {"seconds": seconds | spent, "ratios": ratios | growth}


def _update(weighting: Weighting, samples: int, options: argparse.Namespace) -> Callable[[], None]:
    """Updates by a batch whose samples lie anywhere in the table."""
    weighting.allocate(training.units_of(samples, options))
    weighting.to(options.device)
    size, device = options.batch_size, options.device
    index = torch.arange(size, device=device) * (samples // size)
    dense = torch.zeros(size, dtype=torch.bool, device=device)
    losses = SampleLosses(index, torch.rand(size, device=device), torch.rand(size, device=device), dense)

    def update() -> None:
        for _ in range(UPDATES_A_ROUND):
            weighting.step(losses)

    return update
