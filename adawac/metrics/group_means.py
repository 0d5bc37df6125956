"""Do the weights tell label-dense from label-sparse samples, which nobody told them apart?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GroupMeans(NamedTuple):
    """Mean of a quantity over the label-dense and over the label-sparse samples; NaN for an empty group."""

    dense: float
    sparse: float


def group_means(values: NDArray[np.floating], dense: NDArray[np.bool_]) -> GroupMeans:
    """Mean of each group; samples without a finite value (NaN: not seen yet) are left out.

    Args:
        values: (n,) one number a sample, NaN where unknown.
        dense: (n,) True for label-dense samples.

    Example:
        >>> group_means(np.array([1.0, 3.0, np.nan, 5.0]), np.array([True, True, True, False]))
        GroupMeans(dense=2.0, sparse=5.0)
    """
    return GroupMeans(_known_mean(values[dense]), _known_mean(values[~dense]))


def mean_ratio(numerator: NDArray[np.floating], denominator: NDArray[np.floating]) -> float:
    """Ratio of two means over samples, such as consistency to cross-entropy; NaN where undefined.

    Args:
        numerator: (n,) one number a sample, NaN where unknown.
        denominator: (n,) likewise.

    Example:
        >>> mean_ratio(np.array([1.0, 3.0, np.nan]), np.array([4.0, 4.0, np.nan]))
        0.5
    """
    below = _known_mean(denominator)
    return _known_mean(numerator) / below if below else float("nan")


def _known_mean(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if known.size else float("nan")
