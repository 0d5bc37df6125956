"""How well scores order label-dense before label-sparse slices."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from adawac.errors import DataError
from adawac.metrics.overlap import AnyArray, numpy_array


def separation_auroc(scores: AnyArray, dense: AnyArray) -> float:
    """How well scores detect label-dense samples: the share of (dense, sparse) pairs that they order rightly.

    The area under the ROC curve, from ranks: ties count half, and log-odds of any size count as different.
    (Through a float32 sigmoid, as in torchmetrics, all those above 17 would be ties.)

    Args:
        scores: (n,) log-odds or weights, higher for samples held to be label-dense.
        dense: (n,) bool, True for label-dense samples.

    Returns:
        0 to 1, 1/2 for scores that say nothing; NaN if a group is empty or a score is NaN.

    Raises:
        DataError: if the shapes differ, or `dense` is not of bool.

    References:
        Hanley, McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC)
        curve", Radiology 1982.

    Example:
        >>> separation_auroc(np.array([40.0, 39.0, -2.0, 39.0]), np.array([True, True, False, False]))
        0.875
    """
    values, groups = scores_and_groups(scores, dense)
    num_dense, num_sparse = int(groups.sum()), int((~groups).sum())
    if not num_dense or not num_sparse:
        return float("nan")
    above = rankdata(values)[groups].sum() - num_dense * (num_dense + 1) / 2
    return float(above / (num_dense * num_sparse))


def scores_and_groups(scores: AnyArray, dense: AnyArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The arguments of `separation_auroc` as arrays on the host, (n,) each.

    Raises:
        DataError: if the shapes differ, or `dense` is not of bool.
    """
    values, groups = numpy_array(scores).astype(np.float64), numpy_array(dense)
    if values.ndim != 1 or values.shape != groups.shape:
        raise DataError(f"scores have shape {values.shape} and dense {groups.shape}; give one of each a slice, (n,)")
    if groups.dtype != np.bool_:
        raise DataError(f"dense has dtype {groups.dtype}; give bool, True for label-dense slices")
    return values, groups
