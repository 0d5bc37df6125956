import numpy as np

from adawac.inference.largest_component import keep_largest


def blocks() -> np.ndarray:
    """Class 1 in parts of 8 and of 12 voxels, class 3 in one of 4; class 2 is absent."""
    preds = np.zeros((6, 12, 12), np.uint8)
    preds[0:2, 0:2, 0:2] = 1
    preds[0:3, 6:8, 6:8] = 1
    preds[4, 0:2, 8:10] = 3
    return preds


def test_smaller_parts_become_background():
    preds = blocks()
    cleaned = keep_largest(preds, [1, 2, 3])
    expected = preds.copy()
    expected[0:2, 0:2, 0:2] = 0
    assert np.array_equal(cleaned, expected)
    assert np.array_equal(preds, blocks())  # the input stays


def test_only_the_classes_named():
    preds = blocks()
    assert np.array_equal(keep_largest(preds, [3]), preds)
    assert np.array_equal(keep_largest(preds, []), preds)
    assert np.array_equal(keep_largest(preds, [7]), preds)  # no such class in the volume
    preds[5, 11, 11] = 3
    assert (keep_largest(preds, [3]) == 3).sum() == 4


def test_voxels_that_share_a_corner_are_connected():
    preds = np.zeros((4, 4, 4), np.uint8)
    preds[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = 1
    preds[0, 3, 3] = 1
    assert np.argwhere(keep_largest(preds, [1])).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_another_class_in_between_separates():
    preds = np.array([[[1, 1, 2, 1, 1, 1]]], np.uint8)
    assert keep_largest(preds, [1]).tolist() == [[[0, 0, 2, 1, 1, 1]]]


def test_nothing_found():
    preds = np.zeros((2, 3, 4), np.uint8)
    assert np.array_equal(keep_largest(preds, [1, 2]), preds)
