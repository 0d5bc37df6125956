r"""Confidence intervals of a mean over patients, and the one test of two methods over the same patients.

Values are arrays (..., n, R): n patients, each predicted by the same R runs (seeds) of a method; leading axes are
separate problems. Patients and runs are crossed: a run may be lucky on all patients at once, which more patients do not
average out. With R = 1 nothing is known of that: all is said of this one trained network, not of its training.

**A mean**: Hall's skewness-corrected t. Its variance is put together from mean squares,

    V = V_cases + max(0, V_runs - V_both),

where V_cases = s^2 of the patients' means / n, V_runs = s^2 of the run means / R, and V_both, that of the residuals /
(n R), is in both of them. Degrees of freedom: the harmonic mean of n - 1 and R - 1, weighted by V_cases and V_runs;
Satterthwaite's squared weights trust few runs too much.

**A difference**: sign flips, inverted. Were the true difference delta, a patient's difference y_i - delta a_i could as
well have had the other sign. So T = mean(y_i - delta a_i) is compared with S + E over all signs s_i,

    S = mean(s_i (y_i - delta a_i)),        E = sqrt(max(0, V_runs - 3/4 V_both)) t,

where E is the variation between runs: t has R + R' - 2 degrees of freedom and V_runs is pooled over both methods; with
a single run each there is no E and the test is exact. V_both is in S and in V_runs; were all of it subtracted, E would
be 0 in half of the studies whose runs hardly differ, and the test too bold (6.4 % for 5 % in docs/reliability.md; with
none subtracted 1 %). Where the signs of the set A are turned, S + E >= T says that

    (sum_A y - n E / 2) / sum_A a <= delta,

so that the ends of the interval are order statistics of these ratios, and p counts those on the far side of 0: p is
below 0.05 exactly where the interval does not hold 0. No sign turned is what was observed, and counts on both sides:
of n patients p is at least 2^(1 - n), and fewer than 6 have an interval without ends. Ties are split by however little
E, which makes the test bolder than without: p is the larger of those with and without E, the interval has the farther
ends. How often both hold what they promise is simulated in docs/reliability.md.

References:
    Fisher (1935), The Design of Experiments, section 21: the test of signs turned.
    Tritchler (1984), On inverting permutation tests, JASA 79: its interval.
    Hall (1992), On the removal of skewness by transformation, J. R. Stat. Soc. B 54: the cubic transformation.
    Cochran and Cox (1950), Experimental Designs, 4.14: quantiles weighted by variances, which the freedom is akin to.
"""

from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
"""Nominal coverage."""

ENUMERATED = 20
"""Patients up to whom all signs are gone through."""

SAMPLED = 2**14
"""Signs that are drawn for more patients, always the same ones."""

ROUNDING = 1e-13
"""Sums of n values below n times this share of the largest are 0: what is tied but for rounding is tied."""

IN_BOTH = 0.75
"""Share of V_both that is taken to be counted twice, see above."""

LUCK = 2**10
"""Quantiles of the variation between runs, of either sign."""

PAIRED = 2**15
"""Pairs of signs and luck that are gone through at least."""


class Interval(NamedTuple):
    """A mean or a difference, with its confidence interval.

    Attributes:
        estimate: (...) the mean over patients of the mean over runs.
        low: (...) lower end; -inf, or NaN for a mean, where so few patients bound nothing.
        high: (...) upper end.
        p: (...) two-sided p-value of the hypothesis that a difference is 0; NaN for a mean, where 0 is no hypothesis.
    """

    estimate: Array
    low: Array
    high: Array
    p: Array


def mean_interval(values: Array) -> Interval:
    """Skewness-corrected t interval of a mean, for bounded and skewed values such as Dice.

    Args:
        values: (..., n, R) patients x runs of one method, none NaN.

    Returns:
        Arrays (...).

    Example:
        >>> dice = np.array([0.93, 0.91, 0.9, 0.94, 0.88, 0.92, 0.55, 0.93])[:, None]
        >>> interval = mean_interval(dice)
        >>> f"{interval.estimate:.2f}, {interval.low:.2f} to {interval.high:.2f}"  # longer on the side of the tail
        '0.87, 0.47 to 0.95'
    """
    means = values.mean(axis=-1)
    mean, n = np.asarray(means.mean(axis=-1)), means.shape[-1]
    nothing = np.full_like(mean, np.nan)
    if n < 2:
        return Interval(mean, nothing, nothing, nothing)
    cases = np.asarray(means.var(axis=-1, ddof=1) / n)
    runs, both, runs_freedom = _runs(values)
    total = cases + np.maximum(0, runs - both)
    share = runs / _positive(cases + runs)
    freedom = 1 / ((1 - share) / (n - 1) + share / max(runs_freedom, 1))
    # Hall: x + skew x^2 / 3 + skew^2 x^3 / 27 + skew / 6 of the studentised mean x is nearly t
    skew = _skewness(means) * (cases / _positive(total)) ** 1.5
    skew = np.where(np.abs(skew) < 1e-6, 1e-6, skew)  # the limit is the t interval
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom)
    low, high = (mean - 3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1) * np.sqrt(total) for t in (reach, -reach))
    return Interval(mean, low, high, nothing)


def paired_test(first: Array, second: Array, weights: Array | None = None) -> Interval:
    """The difference of two methods over the same patients, first - second, with its interval and p.

    Args:
        first: (n, R) patients x runs of one method, none NaN.
        second: (n, R') the same patients by the other; R' may differ from R.
        weights: (n,) above 0, how much of what is measured a patient has, relative to the mean; the difference is
            sum(y) / sum(weights) of the patients' differences y. None: all have 1.

    Returns:
        Arrays (); NaN without patients.

    Example:
        >>> gains = np.array([1.0] * 5 + [0.0] * 7)[:, None]
        >>> found = paired_test(gains, np.zeros((12, 1)))  # the five could have been 2^5 ways, two of them as extreme
        >>> f"{found.estimate:.2f}, {found.low:.2f} to {found.high:.2f}, p = {found.p}"
        '0.42, 0.00 to 0.75, p = 0.0625'
    """
    n = len(first)
    if n == 0:
        return Interval(*[np.array(np.nan)] * 4)
    means = first.mean(axis=1), second.mean(axis=1)
    scored = _in_order(means[0] - means[1], np.ones(n) if weights is None else weights)
    sums, sizes = np.hsplit(_subset_sums(scored), 2)
    sums[np.abs(sums) < ROUNDING * n * np.abs(means).max()] = 0
    estimate = sums[-1] / sizes[-1]
    runs, both, freedom = _runs(first, second)
    found = [_tails(sums, sizes)]
    between = runs - IN_BOTH * both
    if between > 1e-9 * runs:  # more than rounding
        found.append(_tails(sums - n / 2 * np.sqrt(between) * _luck(len(sums), freedom), sizes))
    low, high, below, above = np.array(found).T
    p = min(1.0, 2 * min(below.max(), above.max()))
    # Rounding of a ratio alone can put an end beyond the estimate, and never beyond 0.
    ends = np.minimum(low.min(), estimate), np.maximum(high.max(), estimate)
    return Interval(*[np.asarray(each).reshape(()) for each in (estimate, *ends, p)])


def _in_order(scores: Array, weights: Array) -> Array:
    """(n, 2) differences of patients, and weights, sorted so that the order of patients decides nothing."""
    order = np.lexsort((weights, scores * np.sign(scores.sum()), np.abs(scores)))
    return np.stack([scores, weights], axis=1)[order]


def _subset_sums(rows: Array) -> Array:
    """(N, k) sums over subsets of n rows (n, k): the empty one first, all of them last, complements mirrored."""
    if len(rows) > ENUMERATED:
        half = _sampled_subsets(len(rows)) @ rows
        return np.concatenate([half, rows.sum(axis=0) - half[::-1]])
    sums = np.zeros((1, rows.shape[1]))
    for row in rows:
        sums = np.concatenate([sums, sums + row])
    return sums


@lru_cache(maxsize=4)
def _sampled_subsets(n: int) -> Array:
    """(SAMPLED / 2, n) of 0 and 1."""
    chosen = np.random.default_rng(0).integers(0, 2, (SAMPLED // 2, n)).astype(np.float64)
    chosen[0] = 0
    return chosen


@lru_cache(maxsize=8)
def _luck(subsets: int, freedom: int) -> Array:
    """(N, M) quantiles of t, for each subset and its complement some of both signs, spread evenly over all subsets."""
    sizes = stats.t.ppf((1 + (np.arange(LUCK) + 0.5) / LUCK) / 2, freedom)
    each = min(LUCK, max(1, PAIRED // 2 // subsets))
    stride = LUCK // each
    place = np.minimum(np.arange(subsets), np.arange(subsets)[::-1])
    offset = (stride * (place * (np.sqrt(5) - 1) / 2 % 1)).astype(int)  # golden ratio: even over any stretch
    chosen = sizes[offset[:, None] + stride * np.arange(each)]
    return np.concatenate([chosen, -chosen], axis=1)


def _tails(sums: Array, sizes: Array) -> tuple[float, float, float, float]:
    """Ends of the interval, and the shares of ratios sums / sizes at most and at least 0; no size counts on both sides.

    The lower end is the least ratio that, with all below it, makes up half of what the interval leaves out: it lies
    above 0 exactly if the share at most 0 is smaller than that.
    """
    held = sizes[:, 0] > 0
    ratios = (sums[held] / sizes[held]).ravel()
    count, empty = sums.size, sums.size - ratios.size
    rank = ceil((1 - LEVEL) / 2 * count) - empty  # of the lower end, from 1; and of the upper, from above
    if rank < 1:
        low, high = -np.inf, np.inf
    else:
        ends = rank - 1, len(ratios) - rank
        low, high = np.partition(ratios, ends)[list(ends)]
    below, above = np.count_nonzero(ratios <= 0), np.count_nonzero(ratios >= 0)
    return low, high, (below + empty) / count, (above + empty) / count


def _runs(*methods: Array) -> tuple[Array, Array, int]:
    """V_runs and V_both (...) of (..., n, R) of one method or two, pooled, and their degrees of freedom."""
    n, freedom = methods[0].shape[-2], sum(values.shape[-1] - 1 for values in methods)
    of_runs, residual = np.zeros((2, *methods[0].shape[:-2]))
    for values in methods:  # sums of squares: of the runs' means, and of what neither patient nor run explains
        by_run = values.mean(axis=-2, keepdims=True)
        centre = by_run.mean(axis=-1, keepdims=True)
        of_runs += ((by_run - centre) ** 2).sum(axis=(-2, -1))
        residual += ((values - values.mean(axis=-1, keepdims=True) - by_run + centre) ** 2).sum(axis=(-2, -1))
    share = sum(1 / values.shape[-1] for values in methods) / max(freedom, 1)
    return np.asarray(share * of_runs), np.asarray(share * residual / (max(n - 1, 1) * n)), freedom


def _skewness(means: Array) -> Array:
    """Of the standardised mean of n values (..., n): theirs, over sqrt(n)."""
    n = means.shape[-1]
    centred = means - means.mean(axis=-1, keepdims=True)
    variance = np.asarray((centred**2).sum(axis=-1) / max(n - 1, 1))
    return np.asarray((centred**3).mean(axis=-1) / _positive(variance) ** 1.5 / np.sqrt(n))


def _positive(values: Array) -> Array:
    """As a divisor of what is 0 where it is 0."""
    return np.asarray(np.maximum(values, 1e-150))
