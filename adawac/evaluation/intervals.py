r"""Confidence intervals of a mean over cases and of a difference of two methods, honest about the runs (seeds) too.

Values are arrays (..., n, R): n cases, each predicted by the same R runs of a method; leading axes are separate
problems. Cases and runs are crossed: a run may be lucky on all cases at once, which more cases do not average out. The
estimate is the mean over cases of the mean over runs. Its variance is put together from mean squares,

    V = V_cases + max(0, V_runs - V_both),

where V_cases = s^2 of the case means / n, V_runs = s^2 of the run means / R, and V_both, that of the residuals / (n R),
is in both of them. With R = 1 there is no V_runs: the interval speaks of this one trained model, not of its training.
Runs of two methods are separate trainings, whose V_runs is pooled. Degrees of freedom: the harmonic mean of n - 1 and
R - 1 (pooled R + R' - 2), weighted by V_cases and V_runs; Satterthwaite's squared weights trust few runs too much.

Chosen by measurement, 30 cases, nominal 95 %, over the scenarios of `adawac.evaluation.coverage` in which no organ is
missed (`python scripts/evaluate_shift.py --coverage --cases 30 --bootstrap 1000` repeats it):

- Mean, one run: Hall's skewness-corrected t covers 94.9 to 95.2 %, t 92.5 to 94.7 %, BCa 91.7 to 94.3 %. So
  `mean_interval` is Hall's, for small n too: of 10 cases it covers 93 to 95 %, BCa 88 to 90 %.
- Difference, one run: t covers 95.1 to 95.2 %, skewness-corrected 92 to 94 %, BCa 90.6 to 92.4 %. Differences of equal
  methods are symmetric, for which t is made; so `difference_interval` is t.
- Three runs: where trainings differ by 0.01 Dice, the two-level bootstrap covers 91 % of means and 90 to 92 % of
  differences, as three runs resampled vary too little; the intervals here 95 to 96 %, both. Where trainings do not
  differ at all, the interval of a difference is a little long (97 to 98 %). Two runs are few: of 100 cases and
  trainings that differ by 0.01, it covers 92.5 %, and 6 % of equal methods are told apart. One run knows nothing of it:
  of 12 cases and trainings that differ by 0.03, it covers 40 %.

Pooling takes the runs of both methods to vary alike. Where their spreads are 0.03 and 0.003, that of a difference
covers 90 % with three runs each, 87 % with two, 64 % with two of the unsteady against six, 99 % the other way round.

No interval knows of what has not been seen: where 1 of 50 cases is missed and none of 30 is, each of them is too short.

References:
    Hall (1992), On the removal of skewness by transformation, J. R. Stat. Soc. B 54: the cubic transformation.
    Cochran and Cox (1950), Experimental Designs, 4.14: quantiles weighted by variances, which the freedom is akin to.
    Efron (1987), Better bootstrap confidence intervals, JASA 82: BCa.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
"""Nominal coverage."""


class Interval(NamedTuple):
    """A mean or a difference, with its confidence interval.

    Attributes:
        estimate: (...) the mean over cases of the mean over runs.
        low: (...) lower end; NaN where a single case tells nothing of the spread.
        high: (...) upper end.
        p: (...) two-sided p-value of the hypothesis that a difference is 0, from t. With several runs V_runs is not
            reduced here, so p errs to the safe side, and below 0.05 it implies that the interval does not hold 0.
            NaN for a mean, where 0 is no hypothesis, and for bootstraps.
    """

    estimate: Array
    low: Array
    high: Array
    p: Array


def mean_interval(values: Array) -> Interval:
    """Skewness-corrected t interval of a mean, for bounded and skewed values such as Dice.

    Args:
        values: (..., n, R) cases x runs of one method, none NaN.

    Returns:
        Arrays (...).

    Example:
        >>> dice = np.array([0.93, 0.91, 0.9, 0.94, 0.88, 0.92, 0.55, 0.93])[:, None]
        >>> interval = mean_interval(dice)
        >>> f"{interval.estimate:.2f}, {interval.low:.2f} to {interval.high:.2f}"  # longer on the side of the tail
        '0.87, 0.47 to 0.95'
    """
    parts = _Parts.of(values)
    skew = _skewness(values.mean(axis=-1)) * (parts.cases / _positive(parts.total)) ** 1.5
    return _cubic(parts, skew)


def difference_interval(first: Array, second: Array) -> Interval:
    """Interval of the difference of two methods over the same cases, first - second, and its p-value, by t.

    Args:
        first: (..., n, R) cases x runs of one method, none NaN.
        second: (..., n, R') the same cases by the other; R' may differ from R.

    Returns:
        Arrays (...).

    Example:
        >>> second = np.array([[0.91], [0.78], [0.85], [0.66], [0.80], [0.88]])
        >>> first = second + np.array([[0.01], [0.03], [0.02], [0.06], [0.02], [0.03]])
        >>> interval = difference_interval(first, second)
        >>> f"{interval.estimate:.3f}, {interval.low:.3f} to {interval.high:.3f}, p = {interval.p:.2f}"
        '0.028, 0.010 to 0.046, p = 0.01'
    """
    parts = _Parts.of(first, second)
    reach = stats.t.ppf((1 + LEVEL) / 2, parts.freedom) * np.sqrt(parts.total)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(parts.mean == 0, 0.0, parts.mean / np.sqrt(parts.cases + parts.runs))
    p = np.asarray(2 * stats.t.sf(np.abs(t), parts.freedom))
    return Interval(parts.mean, parts.mean - reach, parts.mean + reach, p)


def bootstrap_interval(first: Array, second: Array | None = None, resamples: int = 9999, seed: int = 0) -> Interval:
    """Bootstrap interval of a mean, or of a paired difference: BCa over cases, or two-level with several runs.

    For comparison with what others report; the other two intervals cover better (see the module).

    Args:
        first: (n, R) cases x runs of one method, none NaN.
        second: (n, R') of the other method; None for the mean of `first`.
        resamples: number of resamples.
        seed: of the resampling.

    Example:
        >>> dice = np.array([0.93, 0.91, 0.9, 0.94, 0.88, 0.92, 0.55, 0.93])[:, None]
        >>> interval = bootstrap_interval(dice)
        >>> f"{interval.estimate:.2f}, {interval.low:.2f} to {interval.high:.2f}"
        '0.87, 0.72 to 0.92'
    """
    methods = [first] if second is None else [first, -second]
    cases = np.sum([values.mean(axis=-1) for values in methods], axis=0)
    rng, nan = np.random.default_rng(seed), np.array(np.nan)
    mean = np.asarray(cases.mean())
    if len(cases) < 2:
        return Interval(mean, nan, nan, nan)
    if np.ptp(cases) == 0:
        return Interval(mean, mean, mean, nan)
    if all(values.shape[1] == 1 for values in methods):
        found = stats.bootstrap(
            (cases,),
            np.mean,
            n_resamples=resamples,
            confidence_level=LEVEL,
            method="BCa",
            rng=rng,
            batch=1000,
        ).confidence_interval
        return Interval(mean, np.asarray(found.low), np.asarray(found.high), nan)
    n = len(cases)
    chosen = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    means = np.zeros(resamples)
    for values in methods:
        runs = values.shape[1]
        weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples) / runs
        means += ((chosen @ values) * weights).sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, np.asarray(low), np.asarray(high), nan)


class _Parts(NamedTuple):
    """What an interval is made of, arrays (...)."""

    mean: Array
    cases: Array  # variance of the mean that the choice of cases brings
    runs: Array  # and that of runs
    total: Array  # both, what is in both of them counted once
    freedom: Array  # degrees of freedom; NaN for a single case

    @classmethod
    def of(cls, first: Array, second: Array | None = None) -> "_Parts":
        """Of the mean of (..., n, R), or of the difference to (..., n, R')."""
        methods = [first] if second is None else [first, second]
        means = first.mean(axis=-1) - (0 if second is None else second.mean(axis=-1))
        mean, n = np.asarray(means.mean(axis=-1)), means.shape[-1]
        if n < 2:
            return cls(mean, *[np.full_like(mean, np.nan)] * 4)
        cases = np.asarray(means.var(axis=-1, ddof=1) / n)
        runs_freedom = sum(values.shape[-1] - 1 for values in methods)
        if runs_freedom == 0:
            return cls(mean, cases, np.zeros_like(cases), cases, np.full_like(mean, n - 1))
        of_runs, residual = np.zeros_like(cases), np.zeros_like(cases)
        for values in methods:  # sums of squares: of the runs' means, and of what neither case nor run explains
            by_run = values.mean(axis=-2, keepdims=True)
            centre = by_run.mean(axis=-1, keepdims=True)
            of_runs += ((by_run - centre) ** 2).sum(axis=(-2, -1))
            residual += ((values - values.mean(axis=-1, keepdims=True) - by_run + centre) ** 2).sum(axis=(-2, -1))
        share = sum(1 / values.shape[-1] for values in methods) / runs_freedom
        runs, both = share * of_runs, share * residual / ((n - 1) * n)
        weight = runs / _positive(cases + runs)
        freedom = 1 / ((1 - weight) / (n - 1) + weight / runs_freedom)
        return cls(mean, cases, runs, cases + np.maximum(0, runs - both), freedom)


def _skewness(means: Array) -> Array:
    """Of the standardised mean of n values (..., n): theirs, over sqrt(n)."""
    n = means.shape[-1]
    centred = means - means.mean(axis=-1, keepdims=True)
    variance = np.asarray((centred**2).sum(axis=-1) / max(n - 1, 1))
    return np.asarray((centred**3).mean(axis=-1) / _positive(variance) ** 1.5 / np.sqrt(n))


def _cubic(parts: _Parts, skew: Array) -> Interval:
    """Hall's interval: x + skew x^2 / 3 + skew^2 x^3 / 27 + skew / 6 of the studentised mean x is nearly t."""
    reach = stats.t.ppf((1 + LEVEL) / 2, parts.freedom)
    skew = np.where(np.abs(skew) < 1e-6, 1e-6, skew)  # the limit is the t interval
    low, high = (
        parts.mean - 3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1) * np.sqrt(parts.total) for t in (reach, -reach)
    )
    return Interval(parts.mean, low, high, np.full_like(parts.mean, np.nan))


def _positive(values: Array) -> Array:
    """As a divisor of what is 0 where it is 0."""
    return np.asarray(np.maximum(values, 1e-150))
