"""Figures of a run, as functions from arrays to matplotlib figures, for TensorBoard and for reports.

Figures are made without pyplot, which keeps global state and may want a display. Colour-blind readers can
tell the colours apart (Okabe and Ito's for groups, Tol's light scheme for classes over a dark image); groups
also differ in their markers, reference and prediction in their lines.
"""

import colorsys
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType
from numpy.typing import NDArray

from adawac.data.units import UnitTable
from adawac.errors import ConfigError, counted

warnings.filterwarnings(
    "ignore", "Glyph .* missing from font|constrained_layout not applied"
)  # names of any letters, of any length

BLUE, VERMILION = "#0072B2", "#D55E00"
CLASS_COLOURS = ("#EE8866", "#99DDFF", "#BBCC33", "#FFAABB", "#44BB99", "#EEDD88", "#77AADD", "#AAAA00")
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

    Raises:
        ConfigError: no case is asked for, or one without training units.

    Example:
        >>> voxels = np.array([[9, 0], [7, 2], [9, 0]])
        >>> units = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))
        >>> figure = weights_by_position(np.array([0.2, 0.9, 0.3]), units, ends=("inferior", "superior"))
        >>> [axes.get_title() for axes in figure.axes]
        ['a', '']
    """
    available = [units.cases[case] for case in np.unique(units.case)]
    chosen = available[:4] if cases is None else list(cases)
    if not chosen or (unknown := [case for case in chosen if case not in available]):
        raise ConfigError(
            f"weights_by_position: {', '.join(unknown) if chosen else 'no case'} is not among the training "
            f"cases; choose from {', '.join(available)}"
        )
    extents = 1 < len(units.classes) <= MOST_NAMED_CLASSES + 1
    columns = min(2, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    strip = 0.13 * len(units.classes[1:]) if extents else 0.0
    figure = Figure(figsize=(5.2 * columns, 0.6 + rows * (2.5 + strip)), dpi=100, layout="constrained")
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    top = max(1.0, float(np.nanmax(weights)))
    for cell, case in zip(cells, chosen, strict=False):
        rows_of_case = np.flatnonzero(units.case == units.cases.index(case))
        mine = units.take(rows_of_case)
        panels = cell.subplots(
            1 + extents, 1, sharex=True, squeeze=False, height_ratios=[2.0, strip] if extents else [1.0]
        )[:, 0]
        _scatter(panels[0], mine, weights[rows_of_case], top)
        panels[0].set_title(plain(case), fontsize=9)
        if extents:
            _class_extents(panels[1], mine)
        panels[-1].set_xlabel(f"slice position, 0 {ends[0]} to 1 {ends[1]}", fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def overlay(
    image: NDArray[np.floating],
    target: NDArray[np.integer],
    preds: NDArray[np.integer],
    classes: Sequence[str],
    title: str = "",
    spacing: tuple[float, float] = (1.0, 1.0),
    origin: Literal["upper", "lower"] = "upper",
) -> Figure:
    """Outlines of the reference (solid) and of a prediction (dashed) over an image, in a colour a class.

    Shows the part of the image that is brighter than air or labelled.

    Args:
        image: (H, W), any range.
        target: (H, W) class indices; indices without a name are not drawn.
        preds: (H, W) class indices.
        classes: K names, background first.
        title: of the figure.
        spacing: (row, column) in mm, for the right proportions.
        origin: where the first row is shown.

    Example:
        >>> target, preds = np.zeros((2, 8, 8), dtype=np.uint8)
        >>> target[2:5, 2:5] = 1
        >>> figure = overlay(np.zeros((8, 8)), target, preds, ("background", "liver"))
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['reference', 'prediction', 'liver']
    """
    return side_by_side({title: Panel(image, target, preds)}, classes, spacing, origin)


class Panel(NamedTuple):
    """A slice and what is outlined on it.

    Attributes:
        image: (H, W), any range.
        target: (H, W) class indices; indices without a name are not drawn.
        preds: (H, W) class indices.
    """

    image: NDArray[np.floating]
    target: NDArray[np.integer]
    preds: NDArray[np.integer]


def side_by_side(
    panels: Mapping[str, Panel],
    classes: Sequence[str],
    spacing: tuple[float, float] = (1.0, 1.0),
    origin: Literal["upper", "lower"] = "upper",
) -> Figure:
    """Outlines of references (solid) and predictions (dashed) over slices, cut alike.

    Args:
        panels: title -> slice, at least one, all of one size.
        classes: K names, background first.
        spacing: (row, column) in mm, for the right proportions.
        origin: where the first row is shown.
    """
    rows, columns = _view(
        np.max([panel.image for panel in panels.values()], axis=0),
        np.any([(panel.target > 0) | (panel.preds > 0) for panel in panels.values()], axis=0),
    )
    height, width = (rows.stop - rows.start) * spacing[0], (columns.stop - columns.start) * spacing[1]
    scale = min(5.5 / max(height, width), 12.0 / (width * len(panels)))
    size = (scale * width * len(panels) + 1.9, scale * height + 0.4)
    figure = Figure(size, dpi=100, layout="constrained", facecolor="black")
    handles = [
        Line2D([], [], color="white", linestyle="-", label="reference"),
        Line2D([], [], color="white", linestyle="--", label="prediction"),
    ]
    drawn: dict[str, Line2D] = {}
    for axes, (title, panel) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.imshow(panel.image[rows, columns], cmap="gray", aspect=spacing[0] / spacing[1], origin=origin)
        axes.set_title(plain(title), fontsize=12, color="white")
        axes.set_axis_off()
        drawn |= _outlines(axes, panel.target[rows, columns], classes, "-")
        drawn |= _outlines(axes, panel.preds[rows, columns], classes, "--")
    handles += [drawn[name] for name in classes[1:] if name in drawn]
    figure.legend(handles=handles, loc="outside right upper", fontsize=10, frameon=False, labelcolor="white")
    return figure


def three_views(
    image: NDArray[np.floating],
    preds: NDArray[np.integer],
    classes: Sequence[str],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    title: str = "",
) -> Figure:
    """Outlines of a prediction over the axial, coronal and sagittal slice with most foreground, to check it by eye.

    Where nothing was found the middle slices are shown.

    Args:
        image: (Z, Y, X) canonical, any range.
        preds: (Z, Y, X) class indices.
        classes: K names, background first.
        spacing: (z, y, x) in mm, for the right proportions.
        title: of the figure.

    Example:
        >>> preds = np.zeros((4, 8, 8), dtype=np.uint8)
        >>> preds[1, 2:5, 6] = 1
        >>> figure = three_views(np.zeros((4, 8, 8)), preds, ("background", "liver"))
        >>> [axes.get_title() for axes in figure.axes]
        ['axial, slice 1 (0 to 3)', 'coronal, slice 2 (0 to 7)', 'sagittal, slice 6 (0 to 7)']
    """
    figure = Figure((15.0, 5.4), dpi=100, layout="constrained", facecolor="black")
    figure.suptitle(plain(title) if preds.any() else f"{plain(title)}: nothing found", color="white", fontsize=12)
    low, high = float(image.min()), float(image.max())
    drawn: dict[str, Line2D] = {}
    for axis, (axes, name) in enumerate(zip(figure.subplots(1, 3), ("axial", "coronal", "sagittal"), strict=True)):
        area = np.count_nonzero(preds, axis=tuple({0, 1, 2} - {axis}))
        position = int(area.argmax()) if area.any() else len(area) // 2
        rows, columns = (length for other, length in enumerate(spacing) if other != axis)
        plane = image.take(position, axis)
        origin: Literal["upper", "lower"] = "upper" if axis == 0 else "lower"  # rows run to the back, or up
        axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=rows / columns, origin=origin)
        axes.set_title(f"{name}, slice {position} (0 to {len(area) - 1})", fontsize=10, color="white")
        axes.set_axis_off()
        drawn |= _outlines(axes, np.moveaxis(preds, axis, 0)[position], classes, "-")
    if drawn:
        handles = [drawn[organ] for organ in classes[1:] if organ in drawn]
        figure.legend(handles=handles, loc="outside right upper", fontsize=9, frameon=False, labelcolor="white")
    return figure


def class_colours(count: int) -> list[str]:
    """A colour for each class, no two alike; of more than eight, further ones lie between in hue and brightness.

    Example:
        >>> class_colours(2), len(set(class_colours(40)))
        (['#EE8866', '#99DDFF'], 40)
    """
    further = (
        to_hex(colorsys.hsv_to_rgb((0.11 + 0.618 * i) % 1, 0.85 - 0.15 * (i % 3), 1.0 - 0.2 * (i % 2)))
        for i in range(count - len(CLASS_COLOURS))
    )
    return [*CLASS_COLOURS[:count], *further]


def plain(text: str) -> str:
    """A name from the data as it is: matplotlib would read what stands between two dollars as a formula."""
    return text.replace("$", r"\$")


def data_overview(
    cases: Sequence[str],
    voxels: Sequence[NDArray[np.integer]],
    spacings: Sequence[tuple[float, ...] | None],
    classes: Sequence[str],
) -> Figure:
    """What a data set holds: slices of every case by whether they show a class, how frequent classes are, spacings.

    Args:
        cases: n names.
        voxels: for each case (slices, K) voxels of every class.
        spacings: (slice, row, column) in mm of each case, None where unknown.
        classes: K class names, background first.

    Example:
        >>> figure = data_overview(["a"], [np.array([[9, 0], [7, 2]])], [(3.0, 1.0, 1.0)], ("background", "liver"))
        >>> [axes.get_title() for axes in figure.axes]
        ['slices of 1 case', 'slices that hold a class, of 1 case', 'spacing of 1 case']
    """
    height = max(3.0, 0.14 * max(len(cases), 1.4 * len(classes)) + 1.0)
    figure = Figure(figsize=(13, min(height, 40.0)), dpi=100, layout="constrained")
    slices, frequency, spacing = figure.subplots(1, 3)
    rows = np.arange(len(cases))
    dense = np.array([np.count_nonzero(counts[:, 1:].any(axis=1)) for counts in voxels])
    labelled = np.array([np.count_nonzero(counts.any(axis=1)) for counts in voxels])
    sparse, ignored = labelled - dense, np.array([len(counts) for counts in voxels]) - labelled
    slices.barh(rows, dense, color=BLUE, label="label-dense")
    slices.barh(rows, sparse, left=dense, color=VERMILION, hatch="///", edgecolor="white", label="label-sparse")
    if ignored.any():
        slices.barh(rows, ignored, left=labelled, color="0.8", label="wholly ignored")
    step = max(1, len(cases) // 60)  # names stay readable
    slices.set_yticks(rows[::step], [plain(case) for case in cases[::step]])
    slices.invert_yaxis()
    figure.legend(fontsize=8, ncols=2, loc="outside lower left")  # within the axes it would cover bars
    held = np.concatenate([counts[:, 1:] > 0 for counts in voxels]).mean(axis=0)
    places = np.arange(len(classes) - 1)
    frequency.barh(places, 100 * held, color="0.35")
    frequency.set_yticks(places, [plain(name) for name in classes[1:]])
    frequency.invert_yaxis()
    frequency.set_xlabel("% of all slices", fontsize=8)
    known = np.array([row for row in spacings if row is not None]).reshape(-1, 3)
    spacing.scatter(known[:, 1], known[:, 0], s=16, color=BLUE)
    spacing.set_xlabel("mm between rows", fontsize=8)
    spacing.set_ylabel("mm between slices", fontsize=8)
    everyone, spaced = counted(len(cases), "case"), counted(len(known), "case")
    titles = f"slices of {everyone}", f"slices that hold a class, of {everyone}", f"spacing of {spaced}"
    for axes, title in zip((slices, frequency, spacing), titles, strict=True):
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _scatter(axes: Axes, units: UnitTable, weights: NDArray[np.floating], top: float) -> None:
    position, dense, sparse = units.position, units.dense, units.sparse
    axes.scatter(position[dense], weights[dense], s=14, marker="o", color=BLUE, label="label-dense")
    axes.scatter(
        position[sparse],
        weights[sparse],
        s=18,
        marker="^",
        facecolors="none",
        edgecolors=VERMILION,
        linewidths=0.9,
        label="label-sparse",
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.04 * top, 1.04 * top)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.set_ylabel("weight", fontsize=8)
    axes.tick_params(labelsize=7)


def _class_extents(axes: Axes, units: UnitTable) -> None:
    """A row a class, filled along the units that hold it."""
    names = units.classes[1:]
    width = units.length
    for row in range(len(names)):
        held = units.voxels[:, 1 + row] > 0
        axes.barh(row, width[held], left=(units.position - width / 2)[held], height=0.5, color="0.35")
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(labelsize=6, length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _view(image: NDArray[np.floating], labelled: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns that hold anything brighter than a tenth of the range, or any label."""
    low, high = float(image.min()), float(image.max())
    seen = (image > low + 0.1 * (high - low)) | labelled
    if not seen.any():
        return slice(0, image.shape[0]), slice(0, image.shape[1])
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _outlines(
    axes: Axes, labels: NDArray[np.integer], classes: Sequence[str], style: LineStyleType
) -> dict[str, Line2D]:
    """Draw the edges of every class that is there; what stands for each in a legend."""
    drawn: dict[str, Line2D] = {}
    colours = class_colours(len(classes) - 1)
    rows, columns = (np.arange(-1, n + 1) for n in labels.shape)
    for index, name in enumerate(classes[1:], start=1):
        mask = labels == index
        if mask.any():
            colour = colours[index - 1]
            padded = np.pad(mask, 1).astype(np.float32)  # closes outlines that touch the border
            axes.contour(columns, rows, padded, levels=[0.5], colors=colour, linestyles=style, linewidths=1.4)
            drawn[name] = Line2D([], [], color=colour, label=plain(name))
    return drawn
