"""One view of a slice: the paper's augmentation by adawac, against scipy's rotate and zoom as the official code has it.

adawac's slices lie on the training grid already: its store resizes them once. Run it with OMP_NUM_THREADS=1, a core
against a core.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from adawac.augment import PaperAugmentation
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

SOURCES = (512, 256)
"""Pixels along each side of the slices that the official code reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The training grid and the batch."""
    training.add_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; a round is a batch of ours and a slice of each source."""
    batch, augment = training.random_batch(options), PaperAugmentation()
    epoch = iter(range(10**9))

    def ours() -> None:
        augment(batch.image, batch.label, batch.index, seed=0, epoch=next(epoch), view=0)

    steps: dict[str, Callable[[], object]] = {"adawac": synchronised(ours, options.device)}
    for source in SOURCES:
        steps[f"scipy, from {source}"] = _official(source, options.size)
    seconds = interleaved(steps, options.rounds, clock=options.clock)
    seconds["adawac"] = [spent / options.batch_size for spent in seconds["adawac"]]
    ratios = relative(seconds, "adawac")
    threads = torch.get_num_threads()
    show(f"A view, {device_name(options.device)}", seconds, ratios, f"times adawac's on {threads} threads")
    return {"seconds": seconds, "ratios": ratios}


def _official(source: int, size: int) -> Callable[[], None]:
    """The dearer half of the official augmentation: a rotation by nearest neighbour, then splines to the grid."""
    rng = np.random.default_rng(0)
    image = rng.random((source, source), dtype=np.float32)
    label = rng.integers(0, training.CLASSES, (source, source)).astype(np.float32)

    def step() -> None:
        angle = rng.integers(-20, 20)
        turned = [ndimage.rotate(array, angle, order=0, reshape=False) for array in (image, label)]
        for array, order in zip(turned, (3, 0), strict=True):
            ndimage.zoom(array, size / source, order=order)

    return step
