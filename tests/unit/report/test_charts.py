"""Figures of the report that the reader could not make out: too many panels, labels over one another."""

import math
import statistics
from typing import get_args

import numpy as np
import pytest
from matplotlib.colors import same_color

from adawac.evaluation import Ranking
from adawac.evaluation.statistics import Verdict
from adawac.figures import VERMILION
from adawac.report.charts import Line, forest, method_styles, ranks
from adawac.report.patient_figures import agreement

LINES = [Line("mean of organs", 0.02, 0.01, 0.03, "better", overall=True), Line("liver", 0.01, -0.02, 0.05)]


@pytest.mark.parametrize("methods", [1, 5, 6, 11])
def test_panels_wrap_and_keep_their_labels_apart(methods):
    figure = forest({f"method {number} - pair": LINES for number in range(methods)})
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert len(boxes) == methods
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    names = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels() if label.get_visible()]
    assert names.count("liver") >= -(-methods // 5)
    lowest = {round(axes.get_position().x0, 3): axes for axes in figure.axes}.values()  # of each column the last one
    assert all(any(label.get_visible() and label.get_text() for label in axes.get_xticklabels()) for axes in lowest)


def markers(axes):
    """Each point of a figure and whether it is open."""
    points = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    return [same_color(point.get_markerfacecolor(), "white") for point in points]


def test_only_what_differs_is_filled():
    verdicts = ("better", "worse", *({*get_args(Verdict)} - {"better", "worse"}), None)
    figure = forest({"a": [Line("liver", 0.02, 0.01, 0.03, verdict) for verdict in verdicts]})
    assert markers(figure.axes[0]) == [False, False, True, True, True, True]


def test_an_interval_without_ends_is_drawn_with_arrows_on_both_sides():
    figure = forest({"a": [Line("liver", 0.02, -math.inf, math.inf), Line("spleen", 0.01, 0.0, 0.02)]})
    figure.draw_without_rendering()
    assert [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in "<>"] == ["<", ">"]


def test_mean_ranks_have_no_bars_that_read_as_verdicts():
    ranking = Ranking({"a": 1.2, "b": 1.9, "c": 2.9}, 0.01, 12, ())
    [axes] = ranks(ranking, method_styles(list("abc"), "c")).axes
    horizontal = [line for line in axes.lines if len(line.get_ydata()) > 1 and len(set(line.get_ydata())) == 1]
    assert not horizontal
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None"] == [1.2, 1.9, 2.9]


def test_limits_of_agreement_are_those_of_the_marks_and_none_of_a_single_one():
    reference, predicted = np.array([10.0, 20.0, 40.0]), np.array([12.0, 19.0, 44.0])
    percents = [100 * (p - r) / ((p + r) / 2) for r, p in zip(reference, predicted, strict=True)]
    both = agreement({"three": [(reference, predicted)], "one": [(reference[:1], predicted[:1])]})
    for axes, expected in zip(both.axes, (3, 1), strict=False):
        lines = sorted(line.get_ydata()[0] for line in axes.lines if line.get_color() == VERMILION)
        assert len(lines) == expected
        mean = statistics.mean(percents[:expected])
        reach = 1.96 * statistics.stdev(percents) if expected > 1 else 0
        assert lines == pytest.approx([mean - reach, mean, mean + reach] if expected > 1 else [mean])
