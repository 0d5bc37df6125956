"""The case table of three hand-made cases, worked out on paper."""

import math
from pathlib import Path

import numpy as np
import pytest

from adawac.errors import ConfigError, DataError
from adawac.evaluation import ANY_CLASS, MadeBy, case_rows, training_rows, write_table
from adawac.evaluation.case_table import higher_is_better

CLASSES = ("background", "liver", "spleen")
SPACING = (5.0, 1.0, 1.0)

# Three cases of three slices of 1 x 4 voxels, 5 x 1 x 1 mm; 1 liver, 2 spleen.
#
#            case a                case b                case c
#         preds    target       preds    target       preds    target
#   0    1 0 0 0   0 0 0 0     0 0 0 0   0 0 0 0     0 0 0 0   0 0 0 0
#   1    0 1 1 0   0 1 1 0     0 1 1 0   0 1 1 0     1 1 0 0   1 1 0 0
#   2    0 1 1 0   0 1 2 0     0 0 2 1   0 0 0 0     0 0 0 0   0 0 0 0
#
#   liver         TP 3, 5 predicted, 3 target   TP 2, 3, 2                 TP 2, 2, 2
#     Dice        6/8; dense slices 6/7         4/5; dense 1               1; dense 1
#   spleen        missed                        false alarm; dense: empty  both empty
#   sparse        slice 0: liver 1 voxel        slices 0 and 2: 1 and 1    slices 0 and 2: nothing
PREDS = {
    "a": [[[1, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 1, 1, 0]]],
    "b": [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 2, 1]]],
    "c": [[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]],
}
TARGET = {
    "a": [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 1, 2, 0]]],
    "b": [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]],
    "c": [[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]],
}
DIAGONAL = math.sqrt(15**2 + 1**2 + 4**2)


def hand_made(case, policy="penalise", **kwargs):
    return case_rows(case, f"patient {case}", PREDS[case], TARGET[case], SPACING, CLASSES, policy, **kwargs)


def values(case, policy="penalise", **kwargs):
    rows = hand_made(case, policy, **kwargs)
    table = {(row.group, row.metric, row.class_name): row.value for row in rows}
    assert len(table) == len(rows)
    return table


def test_liver_of_case_a_is_worked_out_by_hand():
    table = values("a")
    assert table["all", "dice", "liver"] == pytest.approx(6 / 8)
    assert table["all", "iou", "liver"] == pytest.approx(3 / 5)
    assert table["all", "recall", "liver"] == 1
    assert table["all", "precision", "liver"] == pytest.approx(3 / 5)
    assert table["all", "volume_error", "liver"] == pytest.approx(2 / 3)
    assert (table["all", "predicted_voxels", "liver"], table["all", "reference_voxels", "liver"]) == (5, 3)
    assert table["dense", "dice", "liver"] == pytest.approx(6 / 7)
    # preds -> target: the stray voxel lies one slice and one voxel off, sqrt(25 + 1); (2, 0, 2) lies 1 off;
    # three times 0. target -> preds: three times 0. Pooled: 0 0 0 0 0 0 1 sqrt(26); place 0.95 * 7 = 6.65.
    # Larger directed: preds -> target, 0 0 0 1 sqrt(26), place 0.95 * 4 = 3.8.
    far = math.sqrt(26)
    assert table["all", "hd95_mm", "liver"] == pytest.approx(1 + 0.65 * (far - 1))
    assert table["all", "hd95_max_mm", "liver"] == pytest.approx(1 + 0.8 * (far - 1))
    assert table["all", "hd_mm", "liver"] == pytest.approx(far)
    assert table["all", "assd_mm", "liver"] == pytest.approx((1 + far) / 8)
    assert table["all", "nsd_2mm", "liver"] == pytest.approx(7 / 8)
    others = values("a", tolerances=(0.5, 5.1))
    assert others["all", "nsd_0.5mm", "liver"] == pytest.approx(6 / 8)
    assert others["all", "nsd_5.1mm", "liver"] == 1  # sqrt(26) is 5.099
    assert ("all", "nsd_2mm", "liver") not in others


@pytest.mark.parametrize(
    ("policy", "both_dice", "both_distance", "one_distance"),
    [("penalise", 1, 0, DIAGONAL), ("skip", math.nan, math.nan, DIAGONAL), ("paper", 1, 0, 0)],
)
def test_spleen_is_missed_then_a_false_alarm_then_absent(policy, both_dice, both_distance, one_distance):
    missed, alarm, absent = (values(case, policy) for case in "abc")
    expected = [(missed, 0, one_distance), (alarm, 0, one_distance), (absent, both_dice, both_distance)]
    for table, dice, distance in expected:
        assert table["all", "dice", "spleen"] == pytest.approx(dice, nan_ok=True)
        assert table["all", "nsd_2mm", "spleen"] == pytest.approx(dice, nan_ok=True)
        assert table["all", "hd95_mm", "spleen"] == pytest.approx(distance, nan_ok=True)
    outcomes = [(t["all", "missed", "spleen"], t["all", "false_alarm", "spleen"]) for t in (missed, alarm, absent)]
    assert outcomes == [(1, 0), (0, 1), (0, 0)]
    # the false alarm lies on a label-sparse slice: the dense slices do not see it
    assert alarm["dense", "dice", "spleen"] == pytest.approx(both_dice, nan_ok=True)
    assert alarm["dense", "false_alarm", "spleen"] == 0


def test_sparse_slices_count_false_positives_and_have_no_dice():
    found = {}
    for case in "abc":
        table = values(case)
        assert ("sparse", "dice", "liver") not in table
        found[case] = [
            (table["sparse", "false_positive_voxels", name], table["sparse", "false_positive_slices", name])
            for name in ("liver", "spleen", ANY_CLASS)
        ]
    assert found == {
        "a": [(1, 1), (0, 0), (1, 1)],
        "b": [(1, 1), (1, 1), (2, 1)],  # both on the same slice
        "c": [(0, 0), (0, 0), (0, 0)],
    }
    assert [values("a")[group, "slices", ANY_CLASS] for group in ("all", "dense", "sparse")] == [3, 2, 1]


def test_a_group_without_slices_has_no_values():
    rows = case_rows("empty", "p", np.zeros((2, 3, 3), int), np.zeros((2, 3, 3), int), None, CLASSES)
    table = {(row.group, row.metric, row.class_name): row.value for row in rows}
    assert table["dense", "slices", ANY_CLASS] == 0
    for metric in ("dice", "recall", "missed", "false_alarm"):
        assert math.isnan(table["dense", metric, "liver"])
    assert table["all", "dice", "liver"] == 1


def test_ignored_voxels_count_nowhere():
    target = np.array(TARGET["a"])
    target[0, 0, 0] = 255  # the stray voxel
    own = {"mine": lambda preds, target, steps: preds.sum()}
    rows = case_rows("a", "p", PREDS["a"], target, SPACING, CLASSES, metrics=own)
    table = {(row.group, row.metric, row.class_name): row.value for row in rows}
    assert table["all", "predicted_voxels", "liver"] == table["all", "mine", "liver"] == 4
    assert table["all", "hd_mm", "liver"] == 1
    assert table["sparse", "false_positive_slices", ANY_CLASS] == 0


def test_names_say_voxels_where_the_spacing_is_unknown_and_surface_is_left_out_when_not_asked():
    metrics = {row.metric for row in case_rows("a", "p", PREDS["a"], TARGET["a"], None, CLASSES)}
    assert {"hd95_voxel", "hd95_max_voxel", "hd_voxel", "assd_voxel", "nsd_2voxel"} <= metrics
    assert not any(metric.endswith("mm") for metric in metrics)
    assert not any("hd" in row.metric or "nsd" in row.metric for row in hand_made("a", surface=False))


def test_every_metric_has_a_direction_or_says_that_it_has_none():
    directions = {}
    for spacing in (SPACING, None):
        for row in case_rows("a", "p", PREDS["a"], TARGET["a"], spacing, CLASSES, tolerances=(2, 0.5)):
            try:
                directions[row.metric] = higher_is_better(row.metric)
            except ConfigError as error:
                assert "choose one with a direction, as dice or hd95_mm" in str(error)  # noqa: PT017
    surface = {f"{name}_{unit}" for name in ("hd95", "hd95_max", "hd", "assd") for unit in ("mm", "voxel")}
    assert {metric for metric, higher in directions.items() if not higher} == {
        *surface,
        *("missed", "false_alarm", "false_positive_voxels", "false_positive_slices"),
    }
    assert {metric for metric, higher in directions.items() if higher} == {
        *("dice", "iou", "recall", "precision"),
        *("nsd_2mm", "nsd_0.5mm", "nsd_2voxel", "nsd_0.5voxel"),
    }


def test_errors_name_the_case():
    with pytest.raises(DataError, match=r"case ct_7: target, slice 2: .*found 2; list this class"):
        case_rows("ct_7", "p", np.zeros((3, 1, 4), int), TARGET["a"], None, CLASSES[:2])
    with pytest.raises(DataError, match=r"case ct_7: spacing \(1, 1\) must be 3 .*pass None to measure"):
        case_rows("ct_7", "p", PREDS["a"], TARGET["a"], (1, 1), CLASSES)
    with pytest.raises(DataError, match=r"case ct_7: class names must differ .*rename the class"):
        case_rows("ct_7", "p", PREDS["a"], TARGET["a"], None, ("background", "liver", "liver"))


def test_what_nobody_labelled_has_no_value():
    """Nothing is a match of nothing only where somebody looked."""
    target = np.array(TARGET["a"])
    target[1:] = 255
    rows = case_rows("a", "p", PREDS["a"], target, SPACING, CLASSES)
    table = {(row.group, row.metric, row.class_name): row.value for row in rows}
    assert [table[g, "slices", ANY_CLASS] for g in ("all", "dense", "sparse", "ignored")] == [3, 0, 1, 2]
    assert math.isnan(table["dense", "dice", "liver"])
    assert (table["all", "dice", "liver"], table["all", "dice", "spleen"]) == (0, 1)
    assert table["sparse", "false_positive_slices", ANY_CLASS] == 1  # the others may be right
    rows = case_rows("a", "p", PREDS["a"], np.full_like(target, 255), SPACING, CLASSES)
    table = {(row.group, row.metric, row.class_name): row.value for row in rows}
    assert [table[g, "slices", ANY_CLASS] for g in ("all", "dense", "sparse", "ignored")] == [3, 0, 0, 3]
    for metric in ("dice", "recall", "missed", "false_alarm", "hd95_mm", "hd95_max_mm", "hd_mm", "assd_mm", "nsd_2mm"):
        assert math.isnan(table["all", metric, "liver"]), metric


def test_stretches_of_the_volume_count_labelled_slices():
    target = np.array(TARGET["a"])
    target[0] = 255
    rows = case_rows("a", "p", PREDS["a"], target, None, CLASSES, positions=3)
    table = {(row.group, row.metric, row.class_name): row.value for row in rows}
    groups = [f"position {i} of 3" for i in (1, 2, 3)]
    assert [table[group, "slices", ANY_CLASS] for group in groups] == [0, 1, 1]
    assert [table[group, "dice", "spleen"] for group in groups] == pytest.approx([math.nan, 1, 0], nan_ok=True)


def test_rows_are_as_they_were_when_they_were_stamped_afterwards(tmp_path):
    """tests/data/case_rows.csv was written of the same predictions when a callback still put in run and hashes."""
    made_by = MadeBy("mine", "erm", "c0ffee", "c0de", {"liver": 3, "spleen": 0})
    rows = []
    for case in "ab":
        target = np.array(TARGET[case])
        target[0, 0, 3] = 255
        named = {"made_by": made_by, "data_hash": f"data {case}"}
        rows += case_rows(case, f"patient {case}", PREDS[case], target, SPACING, CLASSES, "skip", **named)
    write_table(tmp_path / "now.csv", [*rows, *training_rows(rows, made_by.units)])
    before = Path(__file__).parents[2] / "data/case_rows.csv"
    assert (tmp_path / "now.csv").read_bytes() == before.read_bytes()


def test_a_further_metric_takes_no_name_of_another():
    for name in ("dice", "hd95_mm"):
        with pytest.raises(ConfigError, match=f"metric '{name}' is one of the case table's own"):
            case_rows("a", "p", PREDS["a"], TARGET["a"], SPACING, CLASSES, metrics={name: lambda *_: 0.5})
