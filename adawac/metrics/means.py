"""Which values count, and the one mean that is formed of them: of patients, then of classes."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def counting_pairs(values: Iterable[Array], lost: Mask) -> Mask:
    """The pairs of a case and a class that count: those with a value in every run of every method in view.

    Args:
        values: of each method (N, R, K), of N cases, R runs and K classes, NaN where there is none.
        lost: (K,) True for classes that count in no mean: no reference holds them, or they could not be learned.

    Returns:
        (N, K) True where a pair counts.

    Example:
        >>> values = np.array([[[0.9, 1.0]], [[np.nan, 1.0]]])
        >>> counting_pairs([values], lost=np.array([False, True])).tolist()
        [[True, False], [False, False]]
    """
    missing = [np.isnan(array).any(axis=1) for array in values]
    return np.asarray(~np.any(missing, axis=0) & ~lost, dtype=bool)


def patient_means(values: Array, pairs: Mask, patients: NDArray[np.str_]) -> tuple[NDArray[np.str_], Mask, Array]:
    """Means over the cases of each patient, so that a patient of five scans counts as much as one of a single scan.

    Args:
        values: (N, R, K).
        pairs: (N, K) True where case and class count.
        patients: (N,) whom each case shows.

    Returns:
        The n patients, sorted; (n, K) whether any case of the patient counts; (n, R, K) its mean, 0 where none does.

    Example:
        >>> values = np.array([[[0.5]], [[0.75]], [[1.0]]])
        >>> _, _, means = patient_means(values, np.ones((3, 1), bool), np.array(["p", "p", "q"]))
        >>> means.ravel().tolist()
        [0.625, 1.0]
    """
    names, member = np.unique(patients, return_inverse=True)
    of_patient = (member == np.arange(len(names))[:, None]).astype(np.float64)  # (n, N)
    cases = of_patient @ pairs
    sums = np.einsum("nc,crk->nrk", of_patient, np.where(pairs[:, None], values, 0))
    return names, cases > 0, sums / np.maximum(cases, 1)[:, None]


def class_means(values: Array, pairs: Mask, patients: NDArray[np.str_]) -> Array:
    """Mean of each class over patients; the mean of classes is the mean of those that are not NaN.

    Args:
        values: (N, K) one value a case and class.
        pairs: (N, K) True where case and class count.
        patients: (N,) whom each case shows.

    Returns:
        (K,) NaN where nothing of the class counts.

    Example:
        >>> values = np.array([[0.5, 0.2], [1.0, 0.2]])
        >>> class_means(values, np.array([[True, False], [True, False]]), np.array(["p", "q"])).tolist()
        [0.75, nan]
    """
    _, has, means = patient_means(values[:, None], pairs, patients)
    n = has.sum(axis=0)
    return np.where(n > 0, means[:, 0].sum(axis=0) / np.maximum(n, 1), np.nan)


def mean_of_classes(means: Array) -> float:
    """Mean of the classes that count, those that are not NaN; NaN where none does.

    Example:
        >>> mean_of_classes(np.array([0.75, np.nan, 0.25]))
        0.5
    """
    known = means[~np.isnan(means)]
    return float(known.mean()) if known.size else float("nan")
