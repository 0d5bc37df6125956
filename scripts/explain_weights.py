"""Draw how AdaWAC's weights move on losses that are known: the figure of docs/weights.md.

    python scripts/explain_weights.py -o docs/figures/weights_move.png

A hundred slices, a third of which keeps three times the cross-entropy of the others, while all losses fall.
Batches, losses and noise are made up; the weights are those of `adawac.AdaWAC`.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from adawac import AdaWAC, SampleLosses

SLICES, HARD, BATCH, EPOCHS = 100, 33, 20, 20
STEP_SIZES = (0.1, 0.3, 1.0)


def main() -> None:
    """Simulate, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write")
    output: Path = parser.parse_args().output
    figure, axes = plt.subplots(1, len(STEP_SIZES), figsize=(9, 2.8), sharey=True, layout="constrained")
    for ax, step_size in zip(axes, STEP_SIZES, strict=True):
        draw(ax, simulate(step_size), step_size)
    axes[0].set_ylabel("weight of the cross-entropy")
    axes[0].legend(loc="lower left", fontsize=8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=120)


def simulate(step_size: float) -> Tensor:
    """(epochs + 1, slices) weights after each epoch; the first `HARD` slices keep a large cross-entropy."""
    generator = torch.Generator().manual_seed(0)
    weighting = AdaWAC(step_size=step_size, num_samples=SLICES)
    hard = torch.arange(SLICES) < HARD
    course = [weighting.weights.clone()]
    for epoch in range(EPOCHS):
        for index in torch.randperm(SLICES, generator=generator).split(BATCH):
            fall = 0.9**epoch  # all losses fall in the course of training; the ratio of easy to hard does not return
            mean = torch.where(hard[index], 0.9, 0.3) * fall
            ce = mean * torch.empty(len(index)).uniform_(0.6, 1.4, generator=generator)
            consistency = torch.empty(len(index)).uniform_(0.5, 1.5, generator=generator)
            weighting.step(SampleLosses(index, ce, consistency, hard[index]))
        course.append(weighting.weights.clone())
    return torch.stack(course)


def draw(ax: Axes, course: Tensor, step_size: float) -> None:
    """A line a slice, and the means of both groups."""
    groups = (("hard: large cross-entropy", slice(0, HARD), "#0072b2"), ("easy", slice(HARD, None), "#d55e00"))
    for name, rows, colour in groups:
        ax.plot(course[:, rows].numpy(), color=colour, alpha=0.15, linewidth=0.7)
        ax.plot(course[:, rows].mean(1).numpy(), color=colour, linewidth=2, label=name)
    ax.axhline(0.5, color="0.7", linewidth=0.8, zorder=0)
    ax.set(title=f"step_size {step_size}", xlabel="epoch", ylim=(0, 1), xlim=(0, EPOCHS))


if __name__ == "__main__":
    main()
