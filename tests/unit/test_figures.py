import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.figures import CLASS_COLOURS, MOST_NAMED_CLASSES, data_overview, overlay, weights_by_position


def _units(cases=5, depth=6, num_classes=3):
    """Every volume empty at both ends; class 1 in the lower, class 2 in the upper half."""
    voxels = np.zeros((depth, num_classes), np.int64)
    voxels[:, 0] = 9
    voxels[1:3, 1] = 4
    voxels[3:5, 2] = 4
    names = ("background", *(f"organ{k}" for k in range(1, num_classes)))
    return UnitTable.of_slices([f"pt_{i}" for i in range(cases)], [voxels] * cases, (4, 4), names)


def _pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_every_slice_of_a_case_is_drawn_once_in_its_group():
    units = _units()
    weights = np.linspace(0, 1, len(units))
    figure = weights_by_position(weights, units, ["pt_1"])
    dense, sparse = (points.get_offsets() for points in figure.axes[0].collections)
    mine = slice(6, 12)
    np.testing.assert_allclose(dense, np.stack([units.position, weights], 1)[mine][1:5])
    np.testing.assert_allclose(sparse, np.stack([units.position, weights], 1)[mine][[0, 5]])


def test_rows_below_show_where_each_class_lies():
    strip = weights_by_position(np.zeros(6), _units(cases=1)).axes[1]
    assert [tick.get_text() for tick in strip.get_yticklabels()] == ["organ1", "organ2"]
    bars = {(bar.get_y() + bar.get_height() / 2, round(bar.get_x(), 4)) for bar in strip.patches}
    assert bars == {(0, round(1 / 6, 4)), (0, round(2 / 6, 4)), (1, 0.5), (1, round(4 / 6, 4))}


def test_four_cases_unless_asked_and_no_names_where_there_are_too_many():
    few, many = _units(), _units(num_classes=MOST_NAMED_CLASSES + 2)
    assert len(weights_by_position(np.zeros(len(few)), few).axes) == 4 * 2
    assert len(weights_by_position(np.zeros(len(many)), many).axes) == 4


def test_weights_above_one_stay_in_view():
    figure = weights_by_position(np.array([0, 5, 1, 1, 1, 0.0]), _units(cases=1))
    assert figure.axes[0].get_ylim()[1] > 5


def test_the_ends_are_named_and_the_figure_is_drawn():
    figure = weights_by_position(np.linspace(0, 1, 18), _units(cases=3), ends=("inferior", "superior"))
    assert figure.axes[1].get_xlabel() == "slice position, 0 inferior to 1 superior"
    assert len(np.unique(_pixels(figure).reshape(-1, 4), axis=0)) > 10


@pytest.mark.parametrize(("cases", "named"), [(["pt_9"], "pt_9"), ([], "no case")])
def test_a_case_without_units_is_refused(cases, named):
    units = _units(cases=2)
    with pytest.raises(ConfigError, match=rf"{named} is not .* choose from pt_0, pt_1"):
        weights_by_position(np.zeros(len(units)), units, cases)


def _blob(shape=(30, 40), rows=slice(10, 16), columns=slice(12, 20)):
    label = np.zeros(shape, np.uint8)
    label[rows, columns] = 1
    return label


def test_outlines_run_along_pixel_edges_of_the_part_shown():
    image = np.zeros((30, 40))
    image[8:20, 5:35] = 1.0
    figure = overlay(image, _blob(), np.zeros_like(_blob()), ("background", "liver"))
    axes = figure.axes[0]
    assert axes.images[0].get_array().shape == (12, 30)
    (vertices,) = [path.vertices for path in axes.collections[0].get_paths()]
    # rows 10 to 15 and columns 12 to 19, less the part of the image that is not shown
    np.testing.assert_allclose([vertices[:, 1].min(), vertices[:, 1].max()], [1.5, 7.5])
    np.testing.assert_allclose([vertices[:, 0].min(), vertices[:, 0].max()], [6.5, 14.5])


def test_reference_is_solid_prediction_dashed_in_the_colour_of_the_class():
    target, preds = _blob(), 2 * _blob(columns=slice(15, 25))
    axes = overlay(np.zeros((30, 40)), target, preds, ("background", "liver", "spleen")).axes[0]
    solid, dashed = axes.collections
    assert solid.get_linestyle()[0][1] is None
    assert dashed.get_linestyle()[0][1] is not None
    np.testing.assert_allclose(
        [solid.get_edgecolor()[0, :3], dashed.get_edgecolor()[0, :3]],
        [[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in CLASS_COLOURS[:2]],
    )


def test_only_classes_that_are_there_are_in_the_legend():
    figure = overlay(np.zeros((30, 40)), 2 * _blob(), 2 * _blob(), ("background", "liver", "spleen"))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "reference",
        "prediction",
        "spleen",
    ]


def test_a_picture_without_any_contrast_or_label_is_still_drawn():
    empty = np.zeros((30, 40), np.uint8)
    figure = overlay(np.zeros((30, 40)), empty, empty, ("background", "liver"), spacing=(2.0, 1.0))
    width, height = figure.get_size_inches()
    assert height > width  # 60 mm by 40 mm
    assert _pixels(figure).size


@pytest.mark.parametrize("cases", [2, 15, 300])
def test_the_legend_of_the_overview_covers_nothing(cases):
    names = [f"phantom_{i:03d}" for i in range(cases)]
    figure = data_overview(names, [np.array([[9, 0], [7, 2]])] * cases, [(3.0, 1.0, 1.0)] * cases, ("none", "liver"))
    _pixels(figure)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["label-dense", "label-sparse"]
    assert all(axes.get_legend() is None for axes in figure.axes)
    assert not any(legend.get_window_extent().overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_the_overview_shows_names_as_they_are():
    figure = data_overview(["a$b_$"], [np.array([[9, 0], [7, 2]])], [(3.0, 1.0, 1.0)], ("none", "liver$_$"))
    _pixels(figure)  # matplotlib would fail on a formula that is none
    shown = [label.get_text() for axes in figure.axes[:2] for label in axes.get_yticklabels()]
    assert shown == [r"a\$b_\$", r"liver\$_\$"]
