"""Figures of the report that the reader could not make out: too many panels, labels over one another."""

import pytest

from adawac.report.figures import PANELS, Line, forest

LINES = [Line("mean of organs", 0.02, 0.01, 0.03, "better", overall=True), Line("liver", 0.01, -0.02, 0.05)]


@pytest.mark.parametrize("methods", [1, PANELS, PANELS + 1, 2 * PANELS + 1])
def test_panels_wrap_and_keep_their_labels_apart(methods):
    figure = forest({f"method {number} - pair": LINES for number in range(methods)})
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert len(boxes) == methods
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    names = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels() if label.get_visible()]
    assert names.count("liver") >= -(-methods // PANELS)
