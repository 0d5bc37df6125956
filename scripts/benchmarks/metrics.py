"""Dice and HD95 of every organ of a volume, against medpy: how much faster, and whether the values agree."""

import argparse
import math
from typing import Any

import numpy as np
from medpy.metric import binary
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from adawac.metrics import slice_counts, surface_distances
from benchmarks.measure import device_name, interleaved, relative, show

SPACING = (3.0, 0.8, 0.8)
Labels = NDArray[np.uint8]
Values = NDArray[np.float64]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How large a volume; medpy takes its time, so rounds are few."""
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 256, 256), metavar=("Z", "Y", "X"))
    parser.add_argument("--organs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the shapes")
    parser.set_defaults(rounds=5)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure in pairs, and compare every value."""
    preds, target = organs(tuple(options.shape), options.organs, np.random.default_rng(options.seed))
    found: dict[str, Values] = {}

    def ours() -> None:
        found["adawac"] = measured_by_us(preds, target, options.organs)

    def medpy() -> None:
        found["medpy"] = measured_by_medpy(preds, target, options.organs)

    seconds = interleaved({"adawac": ours, "medpy": medpy}, options.rounds, warm_up=0)
    ratios = relative(seconds, "adawac")
    show(f"Dice and HD95, {device_name('cpu')}", seconds, ratios, "times adawac's")

    table = Table("organ", "voxels", "Dice", "medpy's", "HD95, mm", "medpy's")
    for k, (mine, theirs) in enumerate(zip(found["adawac"], found["medpy"], strict=True), start=1):
        texts = [f"{value:.{digits}f}" for digits, i in ((6, 0), (4, 1)) for value in (mine[i], theirs[i])]
        table.add_row(str(k), str(np.count_nonzero(target == k)), *texts)
    largest = float(np.abs(found["adawac"] - found["medpy"]).max())
    Console().print(table, f"largest difference {largest:.1e}")
    values = {name: each.tolist() for name, each in found.items()}
    return {"seconds": seconds, "ratios": ratios, "values": values, "largest_difference": largest}


def measured_by_us(preds: Labels, target: Labels, organs: int) -> Values:
    """(organs, 2) Dice and pooled HD95."""
    dice = slice_counts(preds, target, organs + 1).total().dice()[1:]
    hd95 = [surface_distances(preds == k, target == k, SPACING).hd95("pooled") for k in range(1, organs + 1)]
    return np.stack([dice, hd95], axis=1)


def measured_by_medpy(preds: Labels, target: Labels, organs: int) -> Values:
    """(organs, 2) the same by medpy."""
    masks = [(preds == k, target == k) for k in range(1, organs + 1)]
    return np.array([(binary.dc(*pair), binary.hd95(*pair, SPACING)) for pair in masks])


def organs(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Predicted and reference label: uneven ellipsoids from the size of a gallbladder to that of a liver, side by side.

    The prediction's surface runs a few voxels off the reference's, as that of a decent network does.
    """
    grid = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij"))
    dents = gaussian_filter(rng.standard_normal(shape), (1.5, 6, 6))
    errors = gaussian_filter(rng.standard_normal(shape), (1, 3, 3))
    dents, errors = 0.12 * dents / dents.std(), 0.08 * errors / errors.std()
    preds, target = np.zeros((2, *shape), dtype=np.uint8)
    columns = math.ceil(math.sqrt(count))
    for k in range(1, count + 1):
        row, column = divmod(k - 1, columns)
        centre = np.array([rng.uniform(0.4, 0.6), (row + 0.5) / columns, (column + 0.5) / columns])
        radii = np.array([0.3, 0.45 / columns, 0.45 / columns]) * np.linspace(0.35, 1, count)[k - 1]
        distance = np.sqrt((((grid - centre[:, None, None, None]) / radii[:, None, None, None]) ** 2).sum(axis=0))
        target[distance + dents < 1] = k
        preds[distance + dents + errors < 1] = k
    return preds, target
