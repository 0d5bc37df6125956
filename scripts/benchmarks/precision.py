"""The ceiling's step in float32, in bfloat16, and in bfloat16 compiled: what a processor's matrix units are worth."""

import argparse
import copy
from typing import Any

from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

VARIANTS = {"float32": ("32", False), "bfloat16": ("bf16", False), "bfloat16, compiled": ("bf16", True)}
"""Name -> precision, and whether the network is compiled."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains, but for precision and compilation: all of them are measured."""
    training.add_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    steps = {}
    for name, (precision, compiled) in VARIANTS.items():
        variant = copy.copy(options)
        variant.precision, variant.compile = precision, compiled
        steps[name] = synchronised(training.ceiling_step(variant), options.device)
    seconds = interleaved(steps, options.rounds, warm_up=2, clock=options.clock)
    fastest = "bfloat16, compiled"
    ratios = {f"{name} / {fastest}": relative(seconds, fastest)[name] for name in ("float32", "bfloat16")}
    show(f"The ceiling, {device_name(options.device)}", seconds, relative(seconds, fastest), f"relative to {fastest}")
    return {"seconds": seconds, "ratios": ratios}
