"""The chapter on what annotation is worth: shown where slices without labels were trained on, and not else."""

import pytest
from report_runs import BETTER, WORSE, report_of, seeds

from adawac.report.annotated import annotated, curve
from adawac.report.blocks import Picture, Table
from adawac.report.document import document
from adawac.report.runs import MethodRun

pytestmark = pytest.mark.usefixtures("undrawn")


def told(runs, labelled, others):
    return [MethodRun(**{**vars(run), "annotated": (labelled, others)}) for run in runs]


@pytest.fixture
def report():
    return report_of(
        *told(seeds("pair", WORSE), 378, 0),
        *told(seeds("taught", BETTER), 378, 2210),
        *told(seeds("all", BETTER), 2588, 0),
    )


def test_a_point_a_method_in_two_series(report):
    picture, table = annotated(report)
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    assert [row[:3] for row in table.lines] == [("pair", "378", "0"), ("taught", "378", "2,210"), ("all", "2,588", "0")]
    assert b"<svg" in picture.content[:400]
    assert "taught: 378, 0.8" in picture.alt
    axes = curve(report.subsets[0].methods).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["378", "2,588"]
    found = {container.get_label(): container.lines[0].get_xdata().tolist() for container in axes.containers}
    assert found["with those that nobody annotated"] == pytest.approx([378], rel=0.02)
    assert found["alone"] == pytest.approx([378, 2588], rel=0.02)
    low, high = axes.containers[0].lines[2][0].get_segments()[0][:, 1]
    taught = report.subsets[0].methods[1].dice[0]
    assert (low, high) == pytest.approx((taught.low, taught.high))


def test_bars_are_the_intervals_of_the_tables_and_no_longer():
    """Means by plain loops; the ends as the table beside the figure says them, which no Dice can lie beyond."""
    high = [0.999, 0.998, 0.6, 0.999, 0.997, 0.999, 0.998, 0.999]
    runs = [*told(seeds("pair", WORSE), 378, 0), *told(seeds("taught", high), 378, 2210)]
    report = report_of(*runs)
    _, table = annotated(report)
    axes = curve(report.subsets[0].methods).axes[0]
    for series, method, dice in (("alone", "pair", WORSE), ("with those that nobody annotated", "taught", high)):
        [container] = [each for each in axes.containers if each.get_label() == series]
        [mean] = container.lines[0].get_ydata()
        low, top = container.lines[2][0].get_segments()[0][:, 1]
        assert mean == pytest.approx(sum(dice) / 8)
        said = dict((line[0], line[3]) for line in table.lines)[method]
        assert said == f"{mean:.3f} ({low:.3f} to {top:.3f})"
    assert top <= 1


def test_it_is_left_out_where_all_slices_are_annotated_or_nothing_is_known():
    for runs in (seeds("pair", WORSE), told(seeds("pair", WORSE), 378, 0)):
        report = report_of(*runs, *seeds("adawac", BETTER))
        assert not list(annotated(report))
        assert "What annotation is worth" not in [section.title for section in document(report).sections]
