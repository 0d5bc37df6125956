"""Figures in which every patient is a mark: strips, pairs of methods, agreement of volumes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from adawac.figures import BLUE, VERMILION, plain
from adawac.report.charts import WIDTH, Style, clean, columns_for, fitted, legend_above, panelled

Floats = NDArray[np.float64]


class Patients(NamedTuple):
    """A method on one organ, or on all.

    Attributes:
        values: one a patient.
        mean: as the tables have it, which of all organs is not that of the patients where some lack an organ.
    """

    values: Floats
    mean: float


NOBODY = Patients(np.array([]), np.nan)


def strips(panels: Mapping[str, Mapping[str, Mapping[str, Patients]]], styles: Mapping[str, Style]) -> Figure:
    """Every patient's value and their mean, a row an organ and in it one a method; panels side by side.

    Args:
        panels: title -> organ -> method -> its patients.
        styles: colour and marker of each method.

    Example:
        >>> values = Patients(np.array([0.7, 0.9]), 0.8)
        >>> figure = strips({"Dice": {"liver": {"pair": values}}}, {"pair": ("#444444", "X")})
        >>> [axes.get_title("left") for axes in figure.axes]
        ['Dice']
    """
    organs = list(next(iter(panels.values())))
    methods = list(styles)
    step = 0.8 / len(methods)
    height = 1.0 + len(organs) * max(0.32, 0.14 * len(methods) + 0.06)
    figure = Figure((WIDTH, height), layout="constrained")
    for place, (axes, (title, rows)) in enumerate(
        zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True)
    ):
        for row, organ in enumerate(organs):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f3f5f7", zorder=0)
            for i, method in enumerate(methods):
                (values, mean), (colour, marker) = rows.get(organ, {}).get(method, NOBODY), styles[method]
                y = row + (i - (len(methods) - 1) / 2) * step
                axes.plot(values, np.full(len(values), y), "o", color=colour, markersize=3, alpha=0.45, zorder=2)
                if len(values):
                    axes.plot(mean, y, marker, color=colour, markersize=7, markeredgecolor="black", zorder=3)
        axes.set_title(plain(title), fontsize=10, loc="left")
        axes.set_ylim(len(organs) - 0.5, -0.5)
        axes.set_yticks(range(len(organs)), [plain(organ) for organ in organs] if not place else [""] * len(organs))
        clean(axes, "x")
        axes.tick_params(axis="y", length=0)
    legend_above(figure, styles)
    return figure


def pairs(
    panels: Mapping[str, Mapping[str, tuple[Patients, Patients]]], reference: str, higher: Mapping[str, bool]
) -> Figure:
    """A line a patient from the reference to a method: which got better, and by how much.

    Args:
        panels: metric -> method -> the reference's, and the method's, of the same patients.
        reference: its name.
        higher: metric -> whether more is better.
    """
    methods = list(next(iter(panels.values())))
    columns = columns_for(methods, most=6)
    blocks = -(-len(methods) // columns)
    figure = Figure((WIDTH, 0.2 + 2.3 * len(panels) * blocks), layout="constrained")
    grid = figure.subplots(len(panels) * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for k, (metric, of_method) in enumerate(panels.items()):
        for i, method in enumerate(methods):
            axes = grid[(i // columns) * len(panels) + k, i % columns]
            _pair(axes, *of_method[method], higher[metric])
            axes.set_title(fitted(method, columns) if k == 0 else "", fontsize=9, loc="left")
            axes.set_xticks([0, 1], [fitted(name, 2 * columns, 3) for name in (reference, method)])
            if i % columns == 0:
                axes.set_ylabel(metric, fontsize=9)
    return figure


def _pair(axes: Axes, before: Patients, after: Patients, higher: bool) -> None:
    axes.set_visible(True)
    for one, other in zip(before.values, after.values, strict=True):
        better = (other > one) == higher
        colour, style = ("#777777", ":") if one == other else (BLUE, "-") if better else (VERMILION, "--")
        axes.plot([0, 1], [one, other], style, color=colour, marker="o", markersize=3, linewidth=1, alpha=0.75)
    axes.plot([0, 1], [before.mean, after.mean], color="black", marker="D", markersize=6, linewidth=2)
    axes.set_xlim(-0.25, 1.25)
    clean(axes, "y")
    axes.tick_params(axis="x", length=0, labelsize=8)


def agreement(panels: Mapping[str, Sequence[tuple[Floats, Floats]]]) -> Figure:
    """Bland and Altman's plot of volumes: the difference to the reference by the mean of both, organs together.

    Args:
        panels: method -> of each organ the volumes in the reference, and as predicted, in ml, of the same patients.
    """
    figure, grid = panelled(list(panels), 4, 0.3, 2.5)
    for axes, organs in zip(grid.flat, panels.values(), strict=False):
        reference, predicted = (np.concatenate([organ[side] for organ in organs]) for side in (0, 1))
        mean = (reference + predicted) / 2
        difference = 100 * (predicted - reference) / mean
        axes.axhline(0, color="#222222", linewidth=0.9)
        middle, lines = difference.mean(), [(difference.mean(), "-")]
        if len(difference) > 1:  # one mark says nothing of how far others lie
            reach = 1.96 * difference.std(ddof=1)
            lines += [(middle - reach, "--"), (middle + reach, "--")]
        for height, style in lines:
            axes.axhline(height, color=VERMILION, linewidth=1.2, linestyle=style)
        axes.plot(mean, difference, "o", color=BLUE, markersize=3.5, alpha=0.55)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        clean(axes, "both")
    figure.supxlabel("volume, mean of prediction and reference, ml", fontsize=9)
    figure.supylabel("difference, % of the mean", fontsize=9)
    return figure
