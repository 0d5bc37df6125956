"""Overlap counts against values worked out by hand, and against medpy."""

import numpy as np
import pytest
import torch
from medpy.metric import binary

from adawac.errors import ConfigError, DataError
from adawac.metrics import slice_counts, volume_nsd

# Two slices of 2 x 4 voxels, classes 0, 1, 2; "i" is ignored.
#
#   slice 0   preds  0 1 1 2     target  0 1 1 1
#                    0 0 2 2             0 0 2 i
#   slice 1   preds  0 0 0 0     target  0 0 0 0
#                    0 0 0 1             0 0 0 0
PREDS = np.array([[[0, 1, 1, 2], [0, 0, 2, 2]], [[0, 0, 0, 0], [0, 0, 0, 1]]], dtype=np.uint8)
TARGET = np.array([[[0, 1, 1, 1], [0, 0, 2, 255]], [[0, 0, 0, 0], [0, 0, 0, 0]]], dtype=np.uint8)


def test_counts_are_those_counted_by_hand():
    counts = slice_counts(PREDS, TARGET, num_classes=3)
    assert counts.true_positive.tolist() == [[3, 2, 1], [7, 0, 0]]
    assert counts.predicted.tolist() == [[3, 2, 2], [7, 1, 0]]  # the ignored voxel's 2 does not count
    assert counts.reference.tolist() == [[3, 3, 1], [8, 0, 0]]
    assert counts.dense.tolist() == [True, False]
    assert counts.true_positive.dtype == np.int64


def test_metrics_are_those_worked_out_by_hand():
    total = slice_counts(PREDS, TARGET, num_classes=3).total()
    # class 1: TP 2, predicted 3, reference 3; class 2: TP 1, predicted 2, reference 1
    assert total.dice()[1:] == pytest.approx([4 / 6, 2 / 3])
    assert total.iou()[1:] == pytest.approx([2 / 4, 1 / 2])
    assert total.recall()[1:] == pytest.approx([2 / 3, 1])
    assert total.precision()[1:] == pytest.approx([2 / 3, 1 / 2])
    assert total.volume_error()[1:] == pytest.approx([0, 1])


def test_groups_of_slices_add_up_to_the_volume():
    counts = slice_counts(PREDS, TARGET, num_classes=3)
    dense, sparse = counts.take(counts.dense).total(), counts.take(~counts.dense).total()
    assert dense.dice()[1] == pytest.approx(4 / 5)  # without the false alarm of slice 1
    assert sparse.predicted.tolist() == [7, 1, 0]
    for name in ("true_positive", "predicted", "reference"):
        assert (getattr(dense, name) + getattr(sparse, name)).tolist() == getattr(counts.total(), name).tolist()


# classes 1 to 4: both empty, missed, false alarm, found at another place
@pytest.mark.parametrize(
    ("policy", "dice"), [("penalise", [1, 0, 0, 0]), ("skip", [np.nan, 0, 0, 0]), ("paper", [1, 0, 0, 0])]
)
def test_policy_decides_what_empty_masks_are_worth(policy, dice):
    counts = slice_counts([[[0, 3, 4, 0]]], [[[2, 0, 0, 4]]], num_classes=5).total()
    for metric in (counts.dice, counts.iou, counts.recall, counts.precision):
        assert metric(policy)[1:] == pytest.approx(dice, nan_ok=True)
    assert counts.missed[1:].tolist() == [False, True, False, False]
    assert counts.false_alarm[1:].tolist() == [False, False, True, False]
    assert counts.volume_error(policy)[1:] == pytest.approx(
        [np.nan if policy == "skip" else 0, -1, np.nan, 0], nan_ok=True
    )


def test_unknown_policy_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'nan' is unknown; choose one of penalise, skip, paper"):
        slice_counts(PREDS, TARGET, num_classes=3).total().dice("nan")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.int64])
def test_any_integer_dtype_and_tensors_give_the_same_counts(dtype):
    expected = slice_counts(PREDS, TARGET, num_classes=3)
    counts = slice_counts(torch.as_tensor(PREDS), TARGET.astype(dtype), num_classes=3)
    assert counts.reference.tolist() == expected.reference.tolist()
    assert counts.true_positive.tolist() == expected.true_positive.tolist()


def test_dice_equals_medpy_on_random_volumes():
    rng = np.random.default_rng(0)
    for _ in range(200):
        preds, target = rng.integers(0, 4, (2, 5, 9, 7)) * (rng.random((2, 5, 9, 7)) < rng.uniform(0.1, 1))
        dice = slice_counts(preds, target, num_classes=4).total().dice()
        for k in range(1, 4):
            assert dice[k] == pytest.approx(binary.dc(preds == k, target == k), abs=1e-12)


def test_without_an_ignored_value_255_is_a_value_outside_the_classes():
    with pytest.raises(DataError, match=r"target, slice 0: .* 0 to 2, found 255; .* ignore_index=255"):
        slice_counts(PREDS, TARGET, num_classes=3, ignore_index=None)


@pytest.mark.parametrize(("wrong", "found"), [(3, 3), (-1, -1)])
def test_predicted_value_outside_the_classes_is_named(wrong, found):
    preds = PREDS.astype(np.int64)
    preds[1, 0, 0] = wrong
    with pytest.raises(DataError, match=f"preds, slice 1: .* found {found}; list this class"):
        slice_counts(preds, TARGET, num_classes=3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_classes": 3.0}, "num_classes is 3.0; give a whole number"),
        ({"num_classes": "3"}, "num_classes is '3'; give a whole number"),
        ({"num_classes": 3, "classes": 1}, r"classes is 1; give a list of class indices, such as \[1\]"),
        ({"num_classes": 3, "spacing": "1mm"}, "spacing '1mm' must be 3 positive numbers"),
        ({"num_classes": 3, "tolerance": "2mm"}, "the tolerance is '2mm'; give a distance"),
    ],
)
def test_a_setting_of_another_kind_is_named(settings, said):
    with pytest.raises((ConfigError, DataError), match=said):
        volume_nsd(PREDS, TARGET, **settings)


def test_other_shape_is_refused():
    with pytest.raises(DataError, match=r"\(2, 2, 3\) .* \(2, 2, 4\).*predict on the grid of the label"):
        slice_counts(PREDS[..., :3], TARGET, num_classes=3)


def test_probabilities_are_refused():
    with pytest.raises(DataError, match=r"preds have dtype float32.*take the argmax of the logits"):
        slice_counts(torch.zeros(2, 2, 4), TARGET, num_classes=3)
