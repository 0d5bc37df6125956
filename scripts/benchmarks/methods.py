"""A training step of every weighting method, relative to pair's."""

import argparse
from collections.abc import Callable
from typing import Any

from adawac import weighting as methods
from adawac.weighting import Weighting
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

SAMPLES = 3000
METHODS: dict[str, Callable[[], Weighting]] = {
    "erm": methods.ERM,
    "pair": methods.Pair,
    "acr-only": methods.ACROnly,
    "adawac": methods.AdaWAC,
    "pseudo-adawac": methods.PseudoAdaWAC,
    "trim-train": methods.TrimTrain,
    "trim-train + acr": methods.TrimTrainACR,
    "trim-ratio": methods.TrimRatio,
    "trim-ratio + acr": methods.TrimRatioACR,
    "reweight-only": methods.ReweightOnly,
    "pm-dro": methods.PMDRO,
    "group-dro": methods.GroupDRO,
    "cvar-dro": methods.CVaRDRO,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains, on smaller planes: thirteen methods take their time."""
    training.add_arguments(parser)
    parser.set_defaults(size=112, precision="bf16")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    batch = training.random_batch(options)
    steps = {}
    for name, make in METHODS.items():
        step = training.method_step(training.task_of(make(), SAMPLES, options), batch, options)
        steps[name] = synchronised(step, options.device)
    seconds = interleaved(steps, options.rounds, warm_up=2, clock=options.clock)  # the second step records
    ratios = relative(seconds, "pair")
    show(f"Training step, {device_name(options.device)}", seconds, ratios, "relative to pair")
    return {"seconds": seconds, "ratios": ratios}
