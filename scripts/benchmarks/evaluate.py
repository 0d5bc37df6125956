"""A case of 117 classes measured against volumes of more and more voxels: seconds a million voxels, and the slope."""

import argparse
from typing import Any

import numpy as np

from adawac.evaluation.case_table import case_rows
from benchmarks.measure import device_name, interleaved, relative, show

CLASSES = 117
"""Foreground classes, as many as TotalSegmentator's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes of the volumes; rounds are few, as each takes its time."""
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 144, 216, 320], help="voxels along each axis")
    parser.set_defaults(rounds=3)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure each size in turn."""
    names = ["background", *(f"organ {k}" for k in range(CLASSES))]
    pairs = {side: organs(side) for side in options.sides}
    steps = {
        f"{side**3 / 1e6:.1f} million voxels": lambda pair=pair, side=side: case_rows(
            "ct", "ct", *pair, (320 / side,) * 3, names
        )
        for side, pair in pairs.items()
    }
    seconds = interleaved(steps, options.rounds, clock=options.clock)
    ratios = relative(seconds, next(iter(steps)))
    show(f"{CLASSES} classes, {device_name('cpu')}", seconds, ratios, "relative to the smallest")
    medians = [float(np.median(spent)) for spent in seconds.values()]
    slope = float(np.polyfit(np.log([side**3 for side in options.sides]), np.log(medians), 1)[0])
    print(f"exponent of the number of voxels: {slope:.2f}")
    return {"seconds": seconds, "ratios": ratios, "exponent": slope}


def organs(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and reference label: balls of differing size side by side, the prediction's a little off."""
    target, preds = np.zeros((2, side, side, side), np.uint8)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:CLASSES]
    for k, cell in enumerate(grid, start=1):
        radius = rng.uniform(0.04, 0.09) * side
        for labels, off in ((target, 0.0), (preds, 0.01)):
            centre = (cell + 0.5) * side / 5 + off * side
            box = tuple(slice(max(0, int(at - radius)), int(at + radius) + 2) for at in centre)
            z, y, x = (np.arange(side)[axis] - at for axis, at in zip(box, centre, strict=True))
            inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius**2
            labels[box][inside] = k
    return preds, target
