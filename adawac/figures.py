"""Figures of a run, as functions from arrays to matplotlib figures, for TensorBoard and for reports.

Figures are made without pyplot, which keeps global state and may want a display. The colours are those of
Okabe and Ito, which colour-blind readers tell apart; dense and sparse, reference and prediction also differ
in marker or line.
"""

import math
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType
from numpy.typing import NDArray

from adawac.data.units import UnitTable

BLUE, VERMILION = "#0072B2", "#D55E00"
CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
MOST_NAMED_CLASSES = 12
"""With more classes than this their extents are left out: the names would no longer be readable."""


def weights_by_position(
    weights: NDArray[np.floating],
    units: UnitTable,
    cases: Sequence[str] | None = None,
    ends: tuple[str, str] = ("first", "last"),
) -> Figure:
    """Weight of every training slice by its position in its volume, a panel a case.

    Label-dense slices are filled circles, label-sparse ones open triangles; below is where each class lies.

    Args:
        weights: (n,) weight beta of the supervised loss of every training unit.
        units: table of the n units.
        cases: ids of the cases to show; None for the first four that have units.
        ends: what lies at the first and at the last slice, such as inferior and superior.

    Example:
        >>> voxels = np.array([[9, 0], [7, 2], [9, 0]])
        >>> units = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))
        >>> figure = weights_by_position(np.array([0.2, 0.9, 0.3]), units, ends=("inferior", "superior"))
        >>> [axes.get_title() for axes in figure.axes]
        ['a', '']
    """
    chosen = [units.cases[case] for case in np.unique(units.case)[:4]] if cases is None else list(cases)
    extents = 1 < len(units.classes) <= MOST_NAMED_CLASSES + 1
    columns = min(2, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    strip = 0.13 * len(units.classes[1:]) if extents else 0.0
    figure = Figure(figsize=(5.2 * columns, 0.6 + rows * (2.6 + strip)), dpi=100, layout="constrained")
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    top = max(1.0, float(np.nanmax(weights)))
    for cell, case in zip(cells, chosen, strict=False):
        mine = units.case == units.cases.index(case)
        upper, *lower = cell.subplots(
            1 + extents, 1, sharex=True, squeeze=False, height_ratios=[2.0, strip] if extents else [1.0]
        )[:, 0]
        _scatter(upper, units.position[mine], weights[mine], units.dense[mine], top)
        upper.set_title(case, fontsize=9)
        for axes in lower:
            _class_extents(axes, units.position[mine], units.voxels[mine] > 0, units.classes)
        (lower or [upper])[-1].set_xlabel(f"slice position, 0 {ends[0]} to 1 {ends[1]}", fontsize=8)
    return figure


def overlay(
    image: NDArray[np.floating],
    target: NDArray[np.integer],
    preds: NDArray[np.integer],
    classes: Sequence[str],
    title: str = "",
    spacing: tuple[float, float] = (1.0, 1.0),
) -> Figure:
    """Outlines of the reference (solid) and of a prediction (dashed) over an image, in a colour a class.

    Args:
        image: (H, W), any range.
        target: (H, W) class indices; indices without a name are not drawn.
        preds: (H, W) class indices.
        classes: K names, background first.
        title: of the figure.
        spacing: (row, column) in mm, for the right proportions.

    Example:
        >>> target, preds = np.zeros((2, 8, 8), dtype=np.uint8)
        >>> target[2:5, 2:5] = 1
        >>> figure = overlay(np.zeros((8, 8)), target, preds, ("background", "liver"))
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['reference', 'prediction', 'liver']
    """
    height, width = image.shape[0] * spacing[0], image.shape[1] * spacing[1]
    figure = Figure(figsize=(7.0, 5.2 * height / width + 0.3), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(image, cmap="gray", aspect=spacing[0] / spacing[1])
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    handles = [
        Line2D([], [], color="0.3", linestyle="-", label="reference"),
        Line2D([], [], color="0.3", linestyle="--", label="prediction"),
    ]
    for index, (name, colour) in enumerate(
        zip(classes[1:], islice(cycle(CLASS_COLOURS), len(classes) - 1), strict=True), start=1
    ):
        in_target = _outline(axes, target == index, colour, "-")
        in_preds = _outline(axes, preds == index, colour, "--")
        if in_target or in_preds:
            handles.append(Line2D([], [], color=colour, label=name))
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _scatter(
    axes: Axes,
    position: NDArray[np.floating],
    weights: NDArray[np.floating],
    dense: NDArray[np.bool_],
    top: float,
) -> None:
    axes.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    axes.scatter(position[dense], weights[dense], s=14, marker="o", color=BLUE, label="label-dense")
    axes.scatter(
        position[~dense],
        weights[~dense],
        s=18,
        marker="^",
        facecolors="none",
        edgecolors=VERMILION,
        linewidths=0.9,
        label="label-sparse",
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.04 * top, 1.04 * top)
    axes.set_ylabel("weight", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="best", framealpha=0.8)


def _class_extents(
    axes: Axes, position: NDArray[np.floating], present: NDArray[np.bool_], classes: Sequence[str]
) -> None:
    """A row a class, marked at every slice that holds it."""
    for row, name in enumerate(classes[1:]):
        where = position[present[:, 1 + row]]
        axes.plot(where, np.full(len(where), row), "s", color="0.35", markersize=2.5, label=name)
    axes.set_yticks(range(len(classes) - 1), classes[1:])
    axes.set_ylim(len(classes) - 1.5, -0.5)
    axes.tick_params(labelsize=6, length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _outline(axes: Axes, mask: NDArray[np.bool_], colour: str, style: LineStyleType) -> bool:
    """Draw the edge of a mask; False if it is empty."""
    if not mask.any():
        return False
    padded = np.pad(mask, 1).astype(np.float32)  # closes outlines that touch the border
    rows, columns = (np.arange(-1, n + 1) for n in mask.shape)
    axes.contour(columns, rows, padded, levels=[0.5], colors=colour, linestyles=style, linewidths=1.2)
    return True
