"""Clean-up of predictions: of each organ only its largest connected part."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)
"""Voxels that share a face, an edge or a corner are connected: 26 neighbours."""


def keep_largest(preds: NDArray[np.uint8], classes: Collection[int]) -> NDArray[np.uint8]:
    """Turn all but the largest connected part of some classes into background.

    Parts are counted in voxels; of equally large ones the first stays, in the order of the axes.

    Args:
        preds: (Z, Y, X) class indices.
        classes: indices of the classes to clean up.

    Returns:
        A cleaned copy.

    Example:
        >>> preds = np.array([[[1, 1, 0, 1, 2, 0, 2]]], dtype=np.uint8)
        >>> keep_largest(preds, [1]).tolist()
        [[[1, 1, 0, 0, 2, 0, 2]]]
    """
    cleaned: NDArray[np.uint8] = preds.copy()
    boxes = ndimage.find_objects(preds)  # of every class, None where it is absent
    for index in classes:
        if index > len(boxes) or boxes[index - 1] is None:
            continue
        inner = cleaned[boxes[index - 1]]  # a view
        mask = inner == index
        parts, count = ndimage.label(mask, NEIGHBOURS)
        if count > 1:
            largest = np.bincount(parts[mask]).argmax()
            inner[mask & (parts != largest)] = 0
    return cleaned
