"""Figures of the report that the reader could not make out: too many panels, labels over one another."""

import math
from typing import get_args

import pytest
from matplotlib.colors import same_color

from adawac.evaluation import Ranking
from adawac.evaluation.statistics import Verdict
from adawac.report.figures import Line, forest, method_styles, ranks

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
