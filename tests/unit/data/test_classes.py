import json

import numpy as np
import pytest

from adawac.data.classes import Classes
from adawac.errors import ConfigError, DataError
from adawac.types import IGNORE_INDEX

LABELS = {0: "background", 1: "left_kidney", 2: "spleen", 5: "right_kidney", 7: "cord"}
KIDNEY = {"kidney": ["right_kidney", "left_kidney"]}


def test_indices_follow_label_values():
    classes = Classes.from_labels(dict(reversed(LABELS.items())))
    assert classes.names == ("background", "left_kidney", "spleen", "right_kidney", "cord")
    assert len(classes) == 5
    encoded = classes.encode(np.array([[[0, 1], [2, 5], [7, 7]]], dtype=np.int16))
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [[[0, 1], [2, 3], [4, 4]]]
    assert classes.decode(encoded).tolist() == [[[0, 1], [2, 5], [7, 7]]]


def test_background_need_not_be_named():
    assert Classes.from_labels({3: "liver"}).names == ("background", "liver")


def test_dropped_becomes_background_and_merged_stands_at_its_first_member():
    classes = Classes.from_labels(LABELS, drop=["spleen"], merge=KIDNEY)
    assert classes.names == ("background", "kidney", "cord")
    assert classes.encode(np.array([0, 1, 2, 5, 7])).tolist() == [0, 1, 0, 1, 2]
    assert classes.decode(np.array([0, 1, 2], np.uint8)).tolist() == [0, 1, 7]


def test_a_merged_class_may_keep_the_name_of_a_member():
    classes = Classes.from_labels(LABELS, merge={"spleen": ["spleen", "cord"]})
    assert classes.names == ("background", "left_kidney", "spleen", "right_kidney")


@pytest.mark.parametrize("values", [[0, 5, 7], [2, 9], [90_000, 5], [-128, 0, 127]])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_any_values_in_any_type(values, dtype):
    """Near each other and far apart, all of them classes: as a dictionary says."""
    values = [value for value in values if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max]
    named = {value: f"organ {value}" for value in values if value > 0}
    classes = Classes.from_labels({0: "background"} | named, ignore_value=-128)
    labels = np.random.default_rng(0).choice(np.array(values, dtype), (3, 4, 5))
    index = {0: 0, -128: IGNORE_INDEX} | {value: classes.names.index(name) for value, name in named.items()}
    assert classes.encode(labels).tolist() == np.vectorize(index.get)(labels).tolist()


@pytest.mark.parametrize("labels", [LABELS, LABELS | {9: "unlabelled"}])
def test_ignored_value(labels):
    classes = Classes.from_labels(labels, ignore_value=9)
    assert "unlabelled" not in classes.names
    assert classes.encode(np.array([9, 7])).tolist() == [IGNORE_INDEX, 4]


@pytest.mark.parametrize("ignore", [None, 255, -1])
def test_survives_json(ignore):
    classes = Classes.from_labels(LABELS, ignore_value=ignore, drop=["spleen"], merge=KIDNEY)
    assert Classes.from_json(json.loads(json.dumps(classes.to_json()))) == classes


@pytest.mark.parametrize(
    ("values", "named"), [([3, 3, 6], r"\[3, 6\] \(3 voxels\)"), ([-1], r"\[-1\]"), ([300], r"\[300\]")]
)
def test_unknown_values_are_named_with_those_allowed(values, named):
    with pytest.raises(
        DataError,
        match=rf"{named}.*\[0, 1, 2, 5, 7, 9\] are allowed; (name them|correct the label, or set data.ignore)",
    ):
        Classes.from_labels(LABELS, ignore_value=9).encode(np.array([0, 9, *values]))


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (
            {"drop": ["liver"]},
            r"drop: \['liver'\].*choose from \['left_kidney', 'spleen', 'right_kidney', 'cord'\]",
        ),
        ({"drop": ["background"]}, "choose from"),
        ({"merge": {"kidney": ["left_kidney", "liver"]}}, r"merge: \['liver'\].*choose from"),
        ({"drop": ["spleen"], "merge": {"x": ["spleen", "cord"]}}, "dropped, or merged once"),
        ({"merge": {"x": ["spleen", "cord"], "y": ["cord"]}}, "dropped, or merged once"),
        ({"merge": {"x": []}}, "leave them out"),
        ({"merge": {"cord": ["left_kidney", "right_kidney"]}}, "add them to their members"),
        ({"merge": {"background": ["cord"]}}, "add them to their members"),
        ({"drop": ["left_kidney", "spleen", "right_kidney", "cord"]}, "change `drop` or `merge`"),
        ({"ignore_value": 0}, "value of unlabelled voxels"),
    ],
)
def test_settings_that_mean_nothing(settings, remedy):
    with pytest.raises(ConfigError, match=remedy):
        Classes.from_labels(LABELS, **settings)


def test_two_values_of_one_name():
    with pytest.raises(DataError, match=r"\['cord'\] occur twice; rename them"):
        Classes.from_labels({1: "cord", 2: "cord"})


@pytest.mark.parametrize("labels", [{}, {0: "background"}])
def test_labels_without_a_class_are_refused(labels):
    with pytest.raises(DataError, match=r"no class but the background; check that the label files are the right ones"):
        Classes.from_labels(labels)


def test_mirror_table_swaps_pairs():
    classes = Classes.from_labels(LABELS, drop=["spleen"])
    assert classes.mirror_table({}) == (0, 1, 2, 3)
    for pairs in (
        {"left_kidney": "right_kidney"},
        {"right_kidney": "left_kidney"},
        {"left_kidney": "right_kidney", "right_kidney": "left_kidney"},
    ):
        assert classes.mirror_table(pairs) == (0, 2, 1, 3)


def test_no_class_is_its_own_partner_or_the_backgrounds():
    classes = Classes.from_labels({1: "left_kidney", 2: "right_kidney", 3: "cord"})
    with pytest.raises(ConfigError, match="'left_kidney' is its own partner; name the class of the other side"):
        classes.mirror_table({"left_kidney": "left_kidney"})  # a slip, with which views would exchange nothing
    with pytest.raises(ConfigError, match="'background' is no class"):
        classes.mirror_table({"cord": "background"})


def test_mirror_table_refuses_unknown_names_and_second_partners():
    classes = Classes.from_labels(LABELS)
    with pytest.raises(
        ConfigError, match=r"'LeftKidney' is no class; did you mean left_kidney\? name two of \['left_kidney'"
    ):
        classes.mirror_table({"LeftKidney": "right_kidney"})
    for pairs in (
        {"left_kidney": "right_kidney", "cord": "right_kidney"},
        {"cord": "spleen", "spleen": "left_kidney"},
    ):
        with pytest.raises(ConfigError, match="keep one pair"):
            classes.mirror_table(pairs)
