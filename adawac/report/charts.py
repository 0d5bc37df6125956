"""Figures of a report, as functions from its numbers to SVG or PNG; they look the same wherever they are opened.

Colour-blind readers can distinguish the colours (Okabe and Ito) and never carry a meaning alone: methods differ in
their markers, what differs from the reference is filled, label-sparse slices are open triangles.
"""

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from adawac.evaluation import Ranking
from adawac.evaluation.statistics import Verdict
from adawac.figures import BLUE, VERMILION, plain
from adawac.report.blocks import Picture
from adawac.runs.slice_weights import SliceWeights

Floats = NDArray[np.floating]

STYLES = (
    (BLUE, "o"),
    (VERMILION, "s"),
    ("#009E73", "D"),
    ("#CC79A7", "^"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
"""Colours, each with a marker; the reference comes first and has its own."""

MARKERS_AGAIN = ("<", ">", "p", "h", "*", "d")
"""Of further methods, which come to the same colours."""

Style = tuple[str, str]
"""Colour and marker."""

REFERENCE_STYLE = ("#444444", "X")
VERDICT_COLOURS: Mapping[Verdict | None, str] = {"better": BLUE, "worse": VERMILION}
"""Of those that say something; all others are grey."""

WIDTH = 9.6
"""Of every figure, in inches."""


class Line(NamedTuple):
    """A line of a forest plot.

    Attributes:
        label: on the left.
        difference: method - reference.
        low: lower end of its interval.
        high: upper end.
        verdict: None where none is given.
        overall: drawn as a diamond.
        heading: names the lines below it.
    """

    label: str
    difference: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    verdict: Verdict | None = None
    overall: bool = False
    heading: bool = False


def method_styles(methods: Sequence[str], reference: str) -> dict[str, Style]:
    """Colour and marker of each method, the same in all figures of a report; no two alike among a dozen.

    Example:
        >>> styles = method_styles([f"method {i}" for i in range(13)], "method 0")
        >>> len(set(styles.values()))
        13
    """
    others = [method for method in methods if method != reference]
    looks = [*STYLES, *((colour, marker) for (colour, _), marker in zip(STYLES, MARKERS_AGAIN, strict=True))]
    return {reference: REFERENCE_STYLE} | {method: looks[i % len(looks)] for i, method in enumerate(others)}


def columns_for(titles: Sequence[str], most: int) -> int:
    """How many panels stand side by side, so that a title of theirs needs two lines at most.

    Args:
        titles: of all panels.
        most: panels in a row.

    Example:
        >>> columns_for(["ERM"] * 7, 5), columns_for(["ERM"] * 3 + ["CVaRDRO by position, with consistency"], 5)
        (4, 4)
    """
    longest = max(map(len, titles))
    most = max(1, min(most, len(titles), int(2 * LETTERS / max(longest, 1))))
    rows = -(-len(titles) // most)
    return -(-len(titles) // rows)


LETTERS = 96
"""Of a title, side by side, over the whole width."""


def fitted(title: str, columns: int, lines: int = 2) -> str:
    r"""A title in lines that fit a panel, cut where it takes more; they end at blanks, - and _ where they can.

    Example:
        >>> fitted("adawac_half_batch", 10, 3)
        'adawac_\nhalf_\nbatch'
    """
    width = max(8, LETTERS // columns - 2)
    wrapped = textwrap.wrap(title.replace("_", "_ "), width, max_lines=lines, placeholder=" ...")
    return plain("\n".join(wrapped).replace("_ ", "_"))


def legend_above(figure: Figure, styles: Mapping[str, Style]) -> None:
    """Colours and markers of the methods, over the figure, in as many columns as their names leave room for."""
    handles = [
        Line2D([], [], linestyle="none", color=c, marker=m, label=plain(name)) for name, (c, m) in styles.items()
    ]
    columns = max(1, min(len(handles), LETTERS // (max(map(len, styles)) + 4)))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, fontsize=9, frameon=False)


def forest(panels: Mapping[str, Sequence[Line]]) -> Figure:
    """Differences of Dice with their intervals, a panel a method, all panels with the same lines.

    Args:
        panels: title -> lines, from the top.

    Example:
        >>> figure = forest({"adawac - pair": [Line("liver", 0.02, 0.01, 0.03, "better")]})
        >>> figure.axes[0].get_title("left")
        'adawac - pair'
    """
    count = len(next(iter(panels.values())))
    figure, grid = panelled(list(panels), 5, 0.3, 0.7 + 0.28 * count)
    columns = grid.shape[1]
    reach = _reach(line for lines in panels.values() for line in lines)
    for axes, lines in zip(grid.flat, panels.values(), strict=False):
        axes.axvline(0, color="#222222", linewidth=0.9, zorder=1)
        for row, line in enumerate(lines):
            _draw_line(axes, row, line, reach)
        axes.set_xlim(-reach, reach)
        axes.locator_params(axis="x", nbins=max(2, 10 // columns))
        clean(axes, "x")
        axes.tick_params(axis="y", length=0)
    figure.supxlabel("difference of Dice, 95 % interval", fontsize=9)
    lines = next(iter(panels.values()))
    for first in grid[:, 0]:
        first.set_yticks(range(count), [plain(line.label) for line in lines])
        for label, line in zip(first.get_yticklabels(), lines, strict=True):
            if line.overall or line.heading:
                label.set_fontweight("bold")
    grid[0, 0].set_ylim(count - 0.4, -0.6)
    return figure


def _draw_line(axes: Axes, row: int, line: Line, reach: float) -> None:
    if np.isnan(line.difference):
        return
    colour = VERDICT_COLOURS.get(line.verdict, "#555555")
    if not np.isnan(line.low):
        seen = np.clip([line.low, line.high], -2 * reach, 2 * reach)  # an interval may have no ends
        axes.plot(seen, [row, row], color=colour, linewidth=2.0 if line.overall else 1.5, zorder=2)
        for end, marker in ((line.low, "<"), (line.high, ">")):  # the interval goes on beyond the figure
            if abs(end) > reach:
                axes.plot(np.sign(end) * reach * 0.985, row, marker=marker, color=colour, markersize=6, zorder=3)
    axes.plot(
        line.difference,
        row,
        marker="D" if line.overall else "o",
        markersize=7.5 if line.overall else 6.5,
        color=colour,
        markerfacecolor=colour if line.verdict in VERDICT_COLOURS else "white",
        markeredgewidth=1.5,
        zorder=4,
    )


def _reach(lines: Iterable[Line]) -> float:
    """Half the width of the axis: intervals are seen whole unless they are far longer than differences are large."""
    numbers = [(line.difference, line.low, line.high) for line in lines]
    known = [abs(value) for values in numbers for value in values if np.isfinite(value)]
    differences = [abs(values[0]) for values in numbers if np.isfinite(values[0])]
    if not known:
        return 0.1
    return float(max(1e-3, min(1.08 * max(known), max(12 * max(differences), 2.2 * np.median(known)))))


def position_curves(
    values: Mapping[str, Sequence[float]], styles: Mapping[str, Style], ends: str, n: Sequence[int]
) -> Figure:
    """Dice along the volume, a line a method.

    Args:
        values: method -> mean Dice in each stretch of the volume, NaN where nobody has labels.
        styles: colour and marker of each method.
        ends: what lies where, for the axis.
        n: cases with labels in each stretch.
    """
    figure = Figure((WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    count = len(n)
    centres = (np.arange(count) + 0.5) / count
    for method, line in values.items():
        colour, marker = styles[method]
        axes.plot(centres, line, color=colour, marker=marker, markersize=6, linewidth=1.6, label=plain(method))
    axes.set_xticks(centres, [f"{i} of {count}\nn = {cases}" for i, cases in enumerate(n, start=1)])
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(ends, fontsize=9)
    axes.set_ylabel("Dice", fontsize=9)
    legend_above(figure, {method: styles[method] for method in values})
    clean(axes, "y")
    return figure


def weights_along(panels: Mapping[str, SliceWeights]) -> Figure:
    """Weight of every training slice by its position, a panel a method, with the mean of each group in tenths.

    Args:
        panels: title -> weights.
    """
    figure, grid = panelled(list(panels), 3, 0.4, 2.6)
    for axes, table in zip(grid.flat, panels.values(), strict=False):
        for group, colour, marker, name in (
            (table.dense, BLUE, "o", "label-dense"),
            (~table.dense, VERMILION, "^", "label-sparse"),
        ):
            x, y = table.position[group], table.weight[group]
            axes.plot(
                x,
                y,
                linestyle="none",
                marker=marker,
                markersize=3,
                color=colour,
                markerfacecolor=colour if marker == "o" else "none",
                markeredgewidth=0.5,
                alpha=0.25,
                rasterized=True,
            )
            centres, means = _binned(x, y)
            axes.plot(centres, means, color=colour, marker=marker, markersize=6, linewidth=1.8, label=name)
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        clean(axes, "y")
    figure.supxlabel("position in the volume, first slice 0 to last slice 1", fontsize=9)
    figure.supylabel("weight", fontsize=9)  # in the loss, or in the draw
    grid[0, 0].legend(fontsize=9, frameon=False, loc="best")
    return figure


def _binned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Means in tenths of the volume that hold anything."""
    tenth = np.minimum((10 * x).astype(int), 9)
    held = np.unique(tenth)
    return (held + 0.5) / 10, np.array([y[tenth == k].mean() for k in held])


def ranks(ranking: Ranking, styles: Mapping[str, Style]) -> Figure:
    """Mean ranks on an axis: a description, without bars or distances that would read as verdicts."""
    names, values = list(ranking.ranks), np.array(list(ranking.ranks.values()))
    figure = Figure((WIDTH, 0.9 + 0.24 * len(names)), layout="constrained")
    axes = figure.subplots()
    for row, (name, (colour, marker)) in enumerate((n, styles[n]) for n in names):
        axes.plot([values[row], values[row]], [0, row + 1], color="#bbbbbb", linewidth=1, zorder=1)
        axes.plot(values[row], row + 1, marker=marker, color=colour, markersize=7)
        axes.annotate(
            f"{plain(name)}  {values[row]:.2f}",
            (values[row], row + 1),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_xlim(0.8, len(names) + 0.9)
    axes.set_ylim(len(names) + 0.6, 0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(1, len(names) + 1))
    axes.set_xlabel("mean rank over patients, 1 is best", fontsize=9)
    axes.set_yticks([])
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure


def panelled(titles: Sequence[str], most: int, above: float, height: float) -> tuple[Figure, NDArray[np.object_]]:
    """A figure of panels with their titles, on the same axes, and its grid of axes (rows, columns).

    Args:
        titles: of the panels; what else the grid has room for is left empty.
        most: panels side by side.
        above: inches of the figure beside its rows.
        height: of a row, in inches.
    """
    columns = columns_for(titles, most)
    rows = -(-len(titles) // columns)
    figure = Figure((WIDTH, above + height * rows), layout="constrained")
    grid: NDArray[np.object_] = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, (axes, title) in enumerate(zip_longest(grid.flat, titles)):
        if title is None:
            axes.remove()
            grid.flat[place - columns].tick_params(labelbottom=True)  # the lowest of its column now
        else:
            axes.set_title(fitted(title, columns), fontsize=10, loc="left")
    return figure, grid


def clean(axes: Axes, grid: Literal["both", "x", "y"]) -> None:
    """No frame above and on the right; what is drawn lies above the grid, of lines across these axes."""
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def picture(name: str, figure: Figure, alt: str, caption: str) -> Picture:
    """A drawing of a report: `Picture`, of the figure as SVG."""
    return Picture(name, "svg", encode(figure), alt, caption)


def encode(figure: Figure, kind: Literal["svg", "png"] = "svg") -> bytes:
    """The figure as a file, the same bytes for the same figure.

    Args:
        figure: to be drawn.
        kind: of the file.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "adawac", "svg.fonttype": "path"}):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=160, metadata=metadata, facecolor=figure.get_facecolor())
    return buffer.getvalue()
