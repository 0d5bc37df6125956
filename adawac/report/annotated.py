"""The chapter on what annotation is worth: Dice against the slices that were annotated, with and without the others."""

from collections.abc import Iterable, Sequence
from statistics import median

from matplotlib.figure import Figure

from adawac.report import charts
from adawac.report.blocks import Block, Table
from adawac.report.contents import Contents, MethodResult
from adawac.report.details import subheading
from adawac.report.runs import nouns
from adawac.report.wording import estimated

SERIES = {True: ("with those that nobody annotated", *charts.STYLES[0]), False: ("alone", *charts.STYLES[1])}
"""Label, colour and marker of trainings with and without unlabelled slices."""

ASIDE = 1.015
"""Factor by which the points of one number of slices are moved apart, so that both intervals are seen."""


def annotated(report: Contents) -> Iterable[Block]:
    """Table and curve of each training subset in which any method was shown slices without labels."""
    _, many = nouns(report.runs)
    for number, subset in enumerate(report.subsets):
        methods = [method for method in subset.methods if method.annotated]
        if not any(_others(method) for method in methods):
            continue
        methods.sort(key=lambda method: (_labelled(method), _others(method)))
        yield from subheading(report, subset)
        yield charts.picture(
            f"annotated_{number}",
            curve(methods, many),
            f"Mean Dice against the number of annotated training {many}: "
            + "; ".join(f"{method.name}: {_labelled(method):g}, {estimated(method.dice[0])}" for method in methods),
            f"Bars: 95 % intervals. Trainings on the annotated {many} alone, and with {many} that nobody annotated. "
            "Where runs of a method differ in number, it stands at the median. Look at the network passes of each, "
            "above: only equal ones make a fair comparison.",
        )
        yield Table(
            ("trained on", f"annotated {many}", "without a label", "Dice, mean of organs"),
            tuple((m.name, *map(_range, zip(*m.annotated, strict=True)), estimated(m.dice[0])) for m in methods),
        )


def _range(counts: Sequence[int]) -> str:
    """A number that all runs share, or from the least to the most."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def curve(methods: Sequence[MethodResult], many: str = "slices") -> Figure:
    """Dice of methods against the annotated slices, in two series; a point a method.

    Args:
        methods: those that recorded on what they were trained, the fewest annotated slices first.
        many: what they were trained on.
    """
    figure = Figure((charts.WIDTH * 0.7, 3.4), layout="constrained")
    axes = figure.subplots()
    for others, (label, colour, marker) in SERIES.items():
        points = [method for method in methods if (_others(method) > 0) is others]
        means = [method.dice[0].mean for method in points]
        ends = [
            # In this order NaN, of no interval, stays NaN, and no bar is drawn.
            [max(method.dice[0].mean - method.dice[0].low, 0.0) for method in points],
            [max(method.dice[0].high - method.dice[0].mean, 0.0) for method in points],
        ]
        axes.errorbar(
            [_labelled(method) * (ASIDE if others else 1 / ASIDE) for method in points],
            means,
            ends,
            color=colour,
            marker=marker,
            linewidth=1,
            capsize=3,
            label=label,
        )
    axes.set_xscale("log")
    numbers = sorted({_labelled(method) for method in methods})
    axes.set_xticks(numbers, [f"{number:,.10g}" for number in numbers])
    axes.minorticks_off()
    axes.set_xlabel(f"annotated training {many}")
    axes.set_ylabel("Dice, mean of organs")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _labelled(method: MethodResult) -> float:
    return median(labelled for labelled, _ in method.annotated)


def _others(method: MethodResult) -> float:
    return median(others for _, others in method.annotated)
