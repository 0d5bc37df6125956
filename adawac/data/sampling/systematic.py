"""Different rows, of which each comes exactly as often as its probability says."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def at_most(p: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """The distribution nearest to a given one in proportions, of which no entry is above a bound.

    Args:
        p: (n,) at least 0, of sum 1.
        bound: at least 1 / (entries above 0).

    Returns:
        (n,) of sum 1: entries that would lie above the bound lie on it, the others keep their proportions.

    Example:
        >>> at_most(np.array([0.7, 0.2, 0.1]), 0.5).round(3).tolist()
        [0.5, 0.333, 0.167]
    """
    full = np.zeros(len(p), dtype=bool)
    while (over := ~full & (p > bound * (1 + 1e-9))).any():
        full |= over
        rest = p[~full].sum()
        free = 1 - bound * full.sum()
        p = np.where(full, bound, p * (free / rest if rest > 0 else 0.0))
    return p


def draw_exactly(p: NDArray[np.float64], dense: NDArray[np.bool_], size: int, rng: np.random.Generator) -> Rows:
    """Different rows, of which each comes with probability size * p_i, exactly.

    The rows are laid end to end in random order, each as long as its p_i, label-dense ones first, and a comb of equal
    steps with a random offset picks those that its teeth fall on. So the number of label-dense rows in a batch differs
    by less than one from its mean.

    Args:
        p: (n,) of sum 1, none above 1 / size (see `at_most`).
        dense: (n,) which rows are label-dense.
        size: rows of the batch.
        rng: of this batch alone.

    Returns:
        (size,) different rows in random order.

    References:
        Madow, "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20, 1949.

    Example:
        >>> p, dense = np.array([0.5, 0.25, 0.25]), np.array([True, False, False])
        >>> 0 in draw_exactly(p, dense, 2, np.random.default_rng(0))
        True
    """
    shuffled = rng.permutation(len(p))
    is_dense = dense[shuffled]
    order = np.concatenate([shuffled[is_dense], shuffled[~is_dense]])
    ends = np.cumsum(p[order])
    teeth = (rng.random() + np.arange(size)) / size * ends[-1]
    picked = np.searchsorted(ends, teeth, side="right")
    # Rounding may let two teeth meet in a row of length 1 / size: the next one is theirs.
    picked = np.maximum.accumulate(picked - np.arange(size)) + np.arange(size)
    rows: Rows = order[np.minimum(picked, len(p) - size + np.arange(size))]
    return rng.permutation(rows)
