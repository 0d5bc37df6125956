"""The plan of a training: fingerprint in, settings and their reasons out; nothing is read, nothing is drawn.

A rule for each choice. They are nnU-Net's where those do not rest on a GPU: the axis along which slices were scanned
comes first, spacing is the median, edges are halved down to four voxels, and a patch shrinks where it spans most of the
volume. What differs: a slice is seen whole, since it has one weight; where memory is short its pixels grow, both sides
alike, so that nothing is distorted. And samples of a step are few, since an hour of a CPU holds few steps.

References:
    Isensee et al., "nnU-Net", Nature Methods 18, 2021, and the planner of its version 2; for its presets of 8, 24 and
    40 GB Isensee et al., "nnU-Net Revisited", MICCAI 2024 (arXiv 2404.09556): more memory buys a larger patch first.
    Myronenko et al., "Auto3DSeg", 2023, and Celaya et al., "MIST", 2024, choose patches by memory, spacing by medians.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from adawac.data.fingerprint import Fingerprint
from adawac.data.preprocessing import AXES, Axis
from adawac.data.recognition import scan_axis
from adawac.data.unit_kinds import PatchUnit
from adawac.networks.patch_unet import PatchUNet
from adawac.networks.slice_unet import SliceUNet
from adawac.networks.topology import WIDTH, Topology

AROUND, ENOUGH = 0.25, 10
"""How much of a plane is shown around the labels, as a share of how far they reach from its centre, where so many cases
say how far that is. Fewer say less, so that more is shown, in proportion: all labels of n cases, drawn evenly, reach on
average over n / (n + 1) of where such labels lie. Less where the plane ends."""

SLICES, PATCHES = (12, 24), (2, 2)
"""Fewest and most samples of a step: the fewest are nnU-Net's, 24 the paper's."""

SEEN = 1 / 8
"""Share of a median volume that a patch shows at least; below a quarter nnU-Net trains a second, coarser network."""

OVERLAP = 0.5
"""Of neighbouring patches, as in nnU-Net."""

NEIGHBOURS, CLOSE = 3, 3
"""Slices that a network of two dimensions is shown at a time, and pixels that they may lie apart: beyond that nnU-Net
calls voxels anisotropic, and neighbours show other anatomy."""

FEWEST_EPOCHS = 10

OFTEN = 30
"""Epochs from which views are strong. Slices of 3 patients, seen 48 times each, taught 4 points more by them, of
80, seen 39 times, 0.3 to 0.5; those of 21, seen 7 times, 1 to 2 less: docs/results."""

Fits = Callable[[Topology], bool]
Found = tuple[Topology, float]
"""A network, and how many times as long its pixels are as those of the data."""


@dataclass(frozen=True)
class Budget:
    """What a training may cost.

    Attributes:
        widths: channels of the first features: the first that fits, before the network is made small.
        steps: fewest and most of a training.
        work: voxels that a training looks at, within these bounds.
        epochs: most of a training.
        memory: GiB of a step, where nobody says more.
    """

    widths: tuple[int, ...]
    steps: tuple[int, int]
    work: float
    epochs: int
    memory: float


BUDGETS: Mapping[str, Budget] = {
    "cpu": Budget(widths=(WIDTH // 2,), steps=(2500, 5000), work=250e6, epochs=500, memory=1.0),
    "gpu": Budget(widths=(WIDTH, WIDTH // 2), steps=(25_000, 25_000), work=math.inf, epochs=1000, memory=8.0),
}
"""Of a CPU half an hour to an hour of one core, by its age, whose memory is large and whose time is short. Of a GPU
nnU-Net's width and memory, and a tenth of its steps: minutes to hours, by its kind; what that teaches was not measured.
"""


@dataclass(frozen=True)
class Plan:
    """What to train on, with what network, for how long.

    Attributes:
        axis: along which volumes are cut.
        spacing: (row, column) mm of the training grid; None where it is unknown, and planes are resized.
        size: (h, w) of the training grid.
        patch: (d, h, w); None for slices.
        neighbours: slices that are shown at a time, of which the middle one is labelled; 1 beside patches.
        network: its shape.
        batch_size: samples of a step.
        epochs: so many.
        views: the augmentation's class.
        memory: GiB of a step on one view.
        reasons: of axis, spacing, size, patch, neighbours, network, batch_size, epochs and views, in words.
    """

    axis: Axis
    spacing: tuple[float, float] | None
    size: tuple[int, int]
    patch: tuple[int, int, int] | None
    neighbours: int
    network: Topology
    batch_size: int
    epochs: int
    views: Literal["RandomAugmentation", "StrongAugmentation"]
    memory: float
    reasons: dict[str, str] = field(compare=False)


def make_plan(
    facts: Fingerprint, memory: float | None = None, patches: bool = False, device: Literal["cpu", "gpu"] = "cpu"
) -> Plan:
    """Plan a training.

    Args:
        facts: of the training cases.
        memory: GiB that a step may take, above 0; where even the smallest sample takes more, that one is planned. None:
            the budget's.
        patches: train on patches, of three dimensions, instead of slices.
        device: that will train, which decides on the budget.
    """
    budget = BUDGETS[device]
    memory = memory or budget.memory
    axis, why_axis = _axis(facts)
    order = [AXES.index(axis), *(other for other in range(3) if AXES[other] != axis)]
    steps = [1.0] * 3 if facts.spacing is None else [facts.spacing.median[each] for each in order]
    whole, why_size = _whole(facts, order, steps)
    neighbours, why_neighbours = (1, "") if patches else _neighbours(facts, steps)

    def takes(network: Topology, batch: int) -> float:
        return network.memory(batch, neighbours * len(facts.channels), 1 + len(facts.classes))

    fewest, most = PATCHES if patches else SLICES
    network, growth = (_patch if patches else _plane)(
        whole, steps, budget.widths, lambda net: takes(net, fewest) <= memory
    )
    why_spacing = "the median" if growth == 1 else f"{growth:.2f} times the median, for a step of {memory:g} GiB"
    depth, *plane = network.shape if patches else (1, *network.shape)
    size = [max(side, math.ceil(edge / growth * patches)) for side, edge in zip(plane, whole[1:], strict=True)]
    shape = (max(1, round(whole[0])), size[0], size[1])
    patch = (depth, plane[0], plane[1])
    windows = len(PatchUnit(patch, OVERLAP).starts(shape)) if patches else shape[0]
    units = facts.num_cases * windows
    batch = next((size for size in range(most, fewest, -1) if takes(network, size) <= memory), fewest)
    batch = max(2, min(batch, units // 10))  # an epoch of ten steps
    voxels = batch * math.prod(network.shape)
    wanted = min(budget.steps[1], max(budget.steps[0], budget.work / voxels))
    epochs = min(budget.epochs, max(FEWEST_EPOCHS, round(wanted * batch / units)))
    noun = "patches" if patches else "slices"
    deepest = tuple(side // by for side, by in zip(network.shape, network.divisors, strict=True))
    reasons = {
        "axis": why_axis,
        "spacing": why_spacing,
        "size": why_size,
        "patch": f"{windows} of them, half overlapping, in a volume of the median size",
        "neighbours": why_neighbours,
        "network": f"{network.said}{_why_not_more(network, budget)}; deepest ones of {by_times(deepest)}",
        "batch_size": f"about {takes(network, batch):.2g} GiB; twice that with two views of each, as in the study",
        "epochs": f"about {epochs * math.ceil(units / batch)} steps of {batch} {noun}, for a {device.upper()}",
        "views": f"{noun} are seen {epochs} times on average, where "
        + ("strong views taught more" if epochs >= OFTEN else "StrongAugmentation taught less")
        + " in our trials",
    }
    return Plan(
        axis=axis,
        spacing=None if facts.spacing is None else (_rounded(growth * steps[1]), _rounded(growth * steps[2])),
        size=(size[0], size[1]),
        patch=patch if patches else None,
        neighbours=neighbours,
        network=network,
        batch_size=batch,
        epochs=epochs,
        views="StrongAugmentation" if epochs >= OFTEN else "RandomAugmentation",
        memory=takes(network, batch),
        reasons=reasons,
    )


def by_times(lengths: Sequence[float]) -> str:
    """Lengths as people write them.

    Example:
        >>> by_times((56, 35.5))
        '56 x 35.5'
    """
    return " x ".join(f"{length:.4g}" for length in lengths)


def _axis(facts: Fingerprint) -> tuple[Axis, str]:
    """Along which slices were scanned, as far as spacing tells; else axial."""
    if facts.spacing is None:
        return "axial", "spacing unknown: as the files have it"
    steps = facts.spacing.median
    axis = scan_axis(steps, [round(side) for side in facts.shape.median])
    if axis is None:
        return "axial", f"no direction stands out: voxels of {by_times(steps)} mm"
    plane = by_times([step for other, step in enumerate(steps) if other != axis])
    return AXES[axis], f"scanned so: slices are {steps[axis]:.3g} mm apart, pixels {plane} mm"


def _neighbours(facts: Fingerprint, steps: Sequence[float]) -> tuple[int, str]:
    """How many slices are shown at a time, by how many pixels they lie apart."""
    if facts.spacing is None:
        return 1, f"slice by slice, as spacing is unknown; {NEIGHBOURS} shows those above and below, too"
    apart = steps[0] / math.sqrt(steps[1] * steps[2])
    said = f"the next slice is {apart:.2g} times as far as the next pixel"
    if apart > CLOSE:
        return 1, f"{said}, so neighbours show other anatomy; {NEIGHBOURS} would show those above and below, too"
    return NEIGHBOURS, f"{said}, so those above and below are shown, too; 1 for each alone"


def _whole(facts: Fingerprint, order: Sequence[int], steps: Sequence[float]) -> tuple[list[float], str]:
    """Voxels of a median volume's slices, and of rows and columns that show every label with what is around it."""
    whole = [facts.shape.median[each] for each in order]
    if facts.spacing is None or facts.reach is None:
        return whole, f"the median plane is {by_times(whole[1:])}; its spacing is unknown, so all are resized"
    few = facts.num_cases < ENOUGH
    around = AROUND * ENOUGH / min(facts.num_cases, ENOUGH)
    for place, axis in list(enumerate(order))[1:]:
        reach = facts.reach.high[axis] / steps[place]
        whole[place] = max(reach, min((1 + around) * reach, whole[place]))
    said = f" (more than from {ENOUGH} cases on: labels of others may reach further)" * few
    return whole, f"holds all labels and what is around them{said}, {by_times(whole[1:])} of them"


def _why_not_more(network: Topology, budget: Budget) -> str:
    """Why a network is not as wide as nnU-Net's, or not at the whole resolution."""
    if network.small or network.channels[0] < budget.widths[0]:
        return ", since more takes more memory than a step may (--memory)"
    return ", since an hour of a CPU holds few steps (--device)" if network.channels[0] < WIDTH else ""


def _sizes(widths: Sequence[int]) -> list[tuple[int, bool]]:
    """Width of a network and whether it is small, the largest first."""
    return [*((width, False) for width in widths), (widths[-1], True)]


def _plane(whole: Sequence[float], steps: Sequence[float], widths: Sequence[int], fits: Fits) -> Found:
    """The whole plane, its pixels grown until it fits."""
    growth = 1.0
    while True:
        for width, small in _sizes(widths):
            network = SliceUNet.of([edge / growth for edge in whole[1:]], steps[1:], small, width)
            if fits(network) or growth > 16:
                return network, growth
        growth *= 1.02


def _patch(whole: Sequence[float], steps: Sequence[float], widths: Sequence[int], fits: Fits) -> Found:
    """The largest patch that fits, in the proportions of the volume; pixels grown until it shows enough of that."""
    growth = 1.0
    while True:
        volume = [whole[0], whole[1] / growth, whole[2] / growth]
        grown = [steps[0], steps[1] * growth, steps[2] * growth]
        for width, small in _sizes(widths):
            network = _largest(volume, partial(PatchUNet.of, spacing=grown, small=small, width=width), fits)
            if math.prod(network.shape) >= SEEN * math.prod(volume) or growth > 16:
                return network, growth
        growth *= 1.02


def _largest(volume: Sequence[float], network_of: Callable[[Sequence[float]], Topology], fits: Fits) -> Topology:
    """The volume, cut where it is seen most of until it fits."""
    network = network_of(volume)
    while not fits(network):
        widest = max(range(3), key=lambda axis: network.shape[axis] / volume[axis])
        shape = list(network.shape)
        shape[widest] -= network.divisors[widest]
        if shape[widest] <= 0:
            break
        network = network_of(shape)
    return network


def _rounded(step: float) -> float:
    """Millimetres to four digits."""
    return float(f"{step:.4g}")
