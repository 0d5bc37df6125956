"""Whether classes lie to each other, and in tissue, as they do in the other cases: a label may be turned or swapped."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LEAST = 7
"""Cases that must agree before another one can stand out."""

AGREE = 0.9
"""Share of the cases that must have two classes the same way round."""

FIRM = 0.5
"""How far apart two classes lie, in sums of their spreads, of which the order counts."""

FEWEST = 5
"""Voxels drawn of a class, of which the middle is known."""

IN_AIR, IN_TISSUE = -600.0, -300.0
"""HU that the middle voxel of a class lies below, or above."""

ENDS = ("lower and upper end", "front and back", "right and left")
"""Along (Z, Y, X), whose axes point Superior, Posterior and Left."""


def places(where: Sequence[NDArray[np.intp]], owner: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Where classes lie: (2, K, 3) mean and standard deviation of their voxels' places; NaN of few voxels.

    Args:
        where: (Z, Y, X) indices of some labelled voxels.
        owner: their class indices.
        classes: K.
    """
    count = np.bincount(owner, minlength=classes).astype(float)
    count[count < FEWEST] = np.nan
    found = []
    for axis in where:
        mean = np.bincount(owner, axis, classes) / count
        square = np.bincount(owner, (axis - np.nan_to_num(mean)[owner]) ** 2, classes) / count
        found.append((mean, np.sqrt(square) + 0.5))  # half a voxel, as of a single one
    turned: NDArray[np.float32] = np.array(found, np.float32).transpose(1, 2, 0)
    return turned


def reversed_order(
    found: Mapping[str, NDArray[np.float32]], names: Sequence[str], sides: Mapping[str, str]
) -> dict[str, str]:
    """Cases whose classes lie the other way round than in nearly all others, along an axis.

    Args:
        found: `places` of each case.
        names: K class names.
        sides: pairs of left and right classes.

    Returns:
        What is so of each such case: "liver and spleen, right and left".
    """
    pairs = [(names.index(one), names.index(other)) for one, other in sides.items()]
    odd: dict[str, str] = {}
    for axis in (2, 1, 0):
        ahead = np.zeros((len(names),) * 2, np.int32)
        there = np.zeros_like(ahead)
        for its in found.values():
            apart = _apart(its, axis)
            ahead += apart > FIRM
            there += np.isfinite(apart)
        firm = (ahead >= LEAST) & (ahead >= AGREE * (there - 1))
        for case, its in found.items():
            apart = _apart(its, axis)
            due, other = firm & np.isfinite(apart), firm & (apart < -FIRM)
            swapped = [pair for pair in pairs if axis == 2 and (other[pair] or other[pair[::-1]])]
            if case not in odd and (swapped or 0 < due.sum() <= 2 * other.sum()):
                one, two = swapped[0] if swapped else np.argwhere(other)[0]
                odd[case] = f"{names[one]} and {names[two]}, {ENDS[axis]}"
    return odd


def _apart(its: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(K, K) how far the class of a row lies before that of a column, in sums of their spreads."""
    mean, spread = its[:, :, axis]
    return np.asarray((mean[:, None] - mean) / (spread[:, None] + spread))


def in_air(intensities: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Cases of CT half of whose classes lie in air, while in most others they lie in tissue.

    Args:
        intensities: (K,) median HU of each class, by case; NaN where there is none.
    """
    table = np.array(list(intensities.values()))
    if len(table) < 3:
        return []
    there = np.isfinite(table)
    there &= [bool(held.any()) and np.median(its[held]) > IN_TISSUE for its, held in zip(table.T, there.T, strict=True)]
    air = there & (table < IN_AIR)
    return [case for case, all_, its in zip(intensities, there.sum(1), air.sum(1), strict=True) if 0 < all_ <= 2 * its]
