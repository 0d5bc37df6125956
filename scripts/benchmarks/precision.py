"""The ceiling's step in float32 and in bfloat16, compiled and not, beside a bare matrix product in either.

The product has nothing to wait for but the processor's multipliers: what bfloat16 gains there is the most that a
network can gain from it.
"""

import argparse
import copy
from typing import Any

import torch

from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

VARIANTS = {
    "float32": ("32", False),
    "float32 compiled": ("32", True),
    "bfloat16": ("bf16", False),
    "bfloat16 compiled": ("bf16", True),
}
"""Name -> precision, and whether the network is compiled."""

PRODUCTS = {"float32 product": torch.float32, "bfloat16 product": torch.bfloat16}
"""Name -> type of what is multiplied."""

PRODUCT_SIZE = 2048
"""Rows and columns of the matrices."""


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
    for name, dtype in PRODUCTS.items():
        matrix = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=options.device).to(dtype)
        steps[name] = synchronised(lambda matrix=matrix: matrix @ matrix, options.device)
    seconds = interleaved(steps, options.rounds, warm_up=2, clock=options.clock)
    ratios = {}
    for names in (VARIANTS, PRODUCTS):
        *others, fastest = names
        against = relative({name: seconds[name] for name in names}, fastest)
        show(device_name(options.device), seconds, against, f"relative to {fastest}")
        ratios |= {f"{name} / {fastest}": against[name] for name in others}
    return {"seconds": seconds, "ratios": ratios}
