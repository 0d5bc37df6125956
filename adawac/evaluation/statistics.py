"""From case tables to what may be said: means with intervals, methods compared over the same cases, ranks.

- The unit of inference is the patient, which mostly is the case: cases of one patient resemble each other, so they are
  averaged first. Runs (seeds) of a method are averaged for the estimate, and their spread lengthens the interval (see
  `adawac.evaluation.intervals`). With one run each, all that is said is said of these trained models, not of methods.
- What counts, and the one mean that is formed of it, is said in `adawac.evaluation.counted` and `.pairing`: all methods
  given together are in view, so that each difference is that of two means.
- Classes are tested each and corrected by Holm; the mean of the classes is one more comparison, the first, for itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from adawac.errors import ConfigError, DataError
from adawac.evaluation.case_table import CaseRow, higher_is_better
from adawac.evaluation.intervals import LEVEL, Array, Interval, difference_interval, mean_interval
from adawac.evaluation.pairing import SharedCases

Verdict = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class Estimate:
    """A mean of one method.

    Attributes:
        class_name: of the class; `MEAN_OF_CLASSES`, or "<any>" where the metric is measured so.
        mean: NaN if no case counts.
        low: lower end of its 95 % interval; NaN where n is below 2.
        high: upper end.
        n: patients (cases, where each is of another patient).
        runs: of the method.
        left_out: cases that do not count.
    """

    class_name: str
    mean: float
    low: float
    high: float
    n: int
    runs: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A method against a reference over the same cases.

    The rule of the verdict: the two are told apart if Holm's corrected p is below 0.05. Each p that goes into the
    correction is the larger of two: of the t test that the interval belongs to, so that the interval cannot contain 0,
    and of Wilcoxon's signed ranks, so that a few extreme cases do not decide. It is 1 where the two point in opposite
    directions. (Signed ranks cannot reach 0.05 with fewer than 6 patients: fewer are never told apart.)

    Attributes:
        method: name.
        reference: name of the other method.
        class_name: as in `Estimate`.
        difference: mean of the method - mean of the reference; NaN if no case counts.
        low: lower end of its 95 % interval; NaN where n is below 2.
        high: upper end.
        p_mean: of the t test.
        p_rank: of Wilcoxon's signed ranks of the means over runs.
        p_holm: the larger of the two, corrected over the classes of this pair of methods.
        n: patients.
        runs: of the method, and of the reference.
        left_out: cases that do not count.
        verdict: on the method, with the direction of the metric.
    """

    method: str
    reference: str
    class_name: str
    difference: float
    low: float
    high: float
    p_mean: float
    p_rank: float
    p_holm: float
    n: int
    runs: tuple[int, int]
    left_out: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Ranking:
    """Methods by their mean rank over patients.

    Runs are averaged, and their spread plays no part: all is said of these trained models. Where seeds differ as in
    `docs/results`, p is below 0.05 for 11 to 93 % of seven equal methods with three runs each, 12 patients.

    Attributes:
        ranks: method -> mean rank, 1 is best, best first.
        critical_difference: mean ranks that are further apart differ (Nemenyi, level 0.05 over all pairs).
        p: of Friedman's test that all methods are equal; where it is not below 0.05, no pair should be looked at.
        n: patients.
        left_out: cases that do not count.
    """

    ranks: Mapping[str, float]
    critical_difference: float
    p: float
    n: int
    left_out: tuple[str, ...]


def estimate(rows: Sequence[CaseRow], metric: str = "dice", group: str = "all") -> list[Estimate]:
    """Means over cases with 95 % intervals: of the mean of classes first, then of each class.

    Args:
        rows: case table of one method, of any number of runs.
        metric: name in the case table.
        group: of slices or cases.

    Raises:
        DataError: if the table lacks the metric or group, or does not fit together (see `compare`).

    Example:
        >>> dice = {"a": 0.91, "b": 0.87, "c": 0.94, "d": float("nan")}
        >>> rows = [CaseRow("0", "erm", c, c, "liver", "all", "dice", value, "skip") for c, value in dice.items()]
        >>> mean, liver = estimate(rows)
        >>> f"{liver.class_name}: {liver.mean:.2f}, {liver.low:.2f} to {liver.high:.2f}", liver.n, liver.left_out
        ('liver: 0.91, 0.81 to 0.99', 3, ('d',))
    """
    return estimate_methods({"rows": rows}, metric, group)["rows"]


def estimate_methods(
    rows_by_method: Mapping[str, Sequence[CaseRow]],
    metric: str = "dice",
    group: str = "all",
    lost: Mapping[str, str] | None = None,
) -> dict[str, list[Estimate]]:
    """As `estimate`, of several methods over the pairs of class and case that count in all of them.

    Args:
        rows_by_method: name of the method -> its case table, of any number of runs.
        metric: name in the case table.
        group: of slices or cases.
        lost: class -> why it counts in no mean; None: what the rows say, see `lost_classes`.

    Raises:
        DataError: as `compare`.
    """
    table = SharedCases.of(rows_by_method, metric, group, lost)
    estimates: dict[str, list[Estimate]] = {method: [] for method in table.methods}
    for name in table.names:
        chosen = table.select(name)
        for method, mean, levels in zip(table.methods, chosen.means, chosen.levels, strict=True):
            found = mean_interval(levels) if len(levels) else _NOTHING
            low, high, (n, runs) = float(found.low), float(found.high), levels.shape
            estimates[method].append(Estimate(name, mean, low, high, n, runs, chosen.left_out))
    return estimates


def compare(
    rows_by_method: Mapping[str, Sequence[CaseRow]],
    reference: str,
    metric: str = "dice",
    group: str = "all",
    lost: Mapping[str, str] | None = None,
) -> list[Comparison]:
    """Every other method against the reference: of the mean of classes first, then of each class.

    Args:
        rows_by_method: name of the method -> its case table, of any number of runs.
        reference: name of the method to compare with.
        metric: name in the case table, one with a direction.
        group: of slices or cases.
        lost: class -> why it counts in no mean; None: what the rows say, see `lost_classes`.

    Raises:
        ConfigError: if there is no such reference, or neither more nor less of the metric is better.
        DataError: if methods or runs have different cases (naming them) or empty-mask policies, a value comes twice, or
            nobody has this metric in this group.

    Example:
        >>> erm = [0.91, 0.87, 0.94, 0.62, 0.81, 0.85, 0.79, 0.90]
        >>> def table(values):
        ...     return [CaseRow("0", "", f"ct{i}", f"ct{i}", "liver", "all", "dice", v, "skip") for i, v in values]
        >>> adawac = [value + 0.02 + 0.001 * i for i, value in enumerate(erm)]
        >>> _, liver = compare({"erm": table(enumerate(erm)), "adawac": table(enumerate(adawac))}, "erm")
        >>> f"{liver.difference:.4f}, {liver.low:.4f} to {liver.high:.4f}, p = {liver.p_holm:.3f}: {liver.verdict}"
        '0.0235, 0.0215 to 0.0255, p = 0.008: better'
    """
    if reference not in rows_by_method:
        raise ConfigError(f"reference {reference!r} is no method here; choose one of {', '.join(rows_by_method)}")
    sign = 1 if higher_is_better(metric) else -1
    table = SharedCases.of(rows_by_method, metric, group, lost)
    selected = [table.select(name) for name in table.names]
    comparisons: list[Comparison] = []
    theirs = table.methods.index(reference)
    for mine, method in enumerate(table.methods):
        if method == reference:
            continue
        tests = [paired_test(chosen.scores[mine], chosen.scores[theirs]) for chosen in selected]
        larger = [float(test.p) for test in tests]
        corrected = [larger[0], *holm(larger[1:])]
        for name, chosen, test, p in zip(table.names, selected, tests, corrected, strict=True):
            difference = chosen.means[mine] - chosen.means[theirs]
            low, high, p_mean = (float(each) for each in test.interval[1:])
            n, runs = len(chosen.weights), (chosen.scores[mine].shape[1], chosen.scores[theirs].shape[1])
            numbers = (difference, low, high, p_mean, float(test.p_rank), p)
            verdict = _verdict(sign * difference, p)
            comparisons.append(Comparison(method, reference, name, *numbers, n, runs, chosen.left_out, verdict))
    return comparisons


def rank_methods(
    rows_by_method: Mapping[str, Sequence[CaseRow]],
    metric: str = "dice",
    group: str = "all",
    lost: Mapping[str, str] | None = None,
) -> Ranking:
    """Rank three or more methods on every patient, by the patient's score (see `Selection`), and average the ranks.

    Args:
        rows_by_method: name of the method -> its case table, of any number of runs.
        metric: name in the case table, one with a direction.
        group: of slices or cases.
        lost: class -> why it counts in no mean; None: what the rows say, see `lost_classes`.

    Raises:
        ConfigError: if there are fewer than three methods, or neither more nor less of the metric is better.
        DataError: as `compare`, or if fewer than two patients have values.

    References:
        Demšar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7.
    """
    if len(rows_by_method) < 3:
        raise ConfigError(f"ranks need three methods, found {', '.join(rows_by_method)}; use `compare` for two")
    higher = higher_is_better(metric)
    table = SharedCases.of(rows_by_method, metric, group, lost)
    chosen = table.select(table.names[0])
    means = np.stack([each.mean(axis=1) for each in chosen.scores], axis=1).round(_DIGITS)
    if len(means) < 2:
        raise DataError(f"{group}/{metric}: ranks need 2 patients with values, found {len(means)}; evaluate more cases")
    n, count = means.shape
    ranks = stats.rankdata(-means if higher else means, axis=1)
    p = stats.friedmanchisquare(*means.T).pvalue if (ranks != ranks[:, :1]).any() else 1.0
    order = sorted(zip(ranks.mean(axis=0).tolist(), table.methods, strict=True), key=lambda pair: pair[0])
    return Ranking({name: rank for rank, name in order}, critical_difference(count, n), float(p), n, chosen.left_out)


def critical_difference(methods: int, n: int) -> float:
    """Nemenyi's: how far mean ranks over n blocks must lie apart, at the level 0.05 over all pairs of methods.

    Example:
        >>> round(critical_difference(4, 14), 2)
        1.25
    """
    studentised = stats.studentized_range.ppf(LEVEL, methods, np.inf) / np.sqrt(2)
    return float(studentised * np.sqrt(methods * (methods + 1) / (6 * n)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's steps; NaN stays NaN and does not count.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, float("nan")])]  # 3 * 0.01, then 2 * 0.03, and not below it
        [0.03, 0.06, 0.06, nan]
    """
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return [float(each) for each in p]


class PairedTest(NamedTuple):
    """Two methods on the same cases, arrays (...); see `Comparison` for the rule."""

    interval: Interval
    p_rank: Array
    p: Array


def paired_test(first: Array, second: Array) -> PairedTest:
    """The t test and signed ranks of first - second; p is the larger of the two, 1 if their directions differ.

    Args:
        first: (..., n, R) units x runs of one method, none NaN.
        second: (..., n, R') the same units by the other.

    Example:
        >>> second = np.array([[0.91], [0.78], [0.85], [0.66], [0.80], [0.88]])
        >>> paired_test(second + 0.01 * np.arange(1, 7)[:, None], second).p_rank.item()  # 2 / 2^6
        0.03125
    """
    if first.shape[-2] == 0:
        return PairedTest(_NOTHING, *[np.full(first.shape[:-2], np.nan)] * 2)
    interval = difference_interval(first, second)
    differences = (first.mean(axis=-1) - second.mean(axis=-1)).round(_DIGITS)
    sizes = np.abs(differences)
    direction = (np.sign(differences) * stats.rankdata(sizes, axis=-1)).sum(axis=-1)
    agree = direction * interval.estimate > 0
    p_rank = _signed_ranks(differences, sizes)
    return PairedTest(interval, p_rank, np.where(agree | np.isnan(interval.p), np.fmax(interval.p, p_rank), 1.0))


def _signed_ranks(differences: Array, sizes: Array) -> Array:
    """Wilcoxon's p (...) of differences (..., n): exact up to 50, normal where sizes are tied or 0.

    The normal one is held at the least that the exact one can be where that is above 0.05: of five equal differences it
    would be 0.037 in place of 0.063, and five patients were told apart.
    """
    order = np.sort(sizes, axis=-1)
    even = (order[..., :1] == 0).any(axis=-1) | (np.diff(order, axis=-1) == 0).any(axis=-1)
    p = np.ones(even.shape)
    if (exact := ~even).any():
        method: Literal["exact", "approx"] = "exact" if sizes.shape[-1] <= 50 else "approx"
        p[exact] = stats.wilcoxon(differences[exact], axis=-1, method=method).pvalue
    if (tied := even & (order[..., -1] > 0)).any():
        p[tied] = stats.wilcoxon(differences[tied], axis=-1, correction=True, method="approx").pvalue
    least = least_p(sizes.shape[-1])
    return np.maximum(p, least) if least >= 1 - LEVEL else p


def least_p(n: int) -> float:
    """The least p that signed ranks of n patients can reach, when all differences have one sign.

    Example:
        >>> least_p(5), least_p(6)
        (0.0625, 0.03125)
    """
    return 2.0 ** (1 - n)


_DIGITS = 12
"""Differences and ties are read to this many decimals, so that rounding of means decides nothing."""

_NOTHING = Interval(*[np.array(np.nan)] * 4)


def _verdict(gain: float, p: float) -> Verdict:
    if not p < 1 - LEVEL:
        return "not told apart"
    return "better" if gain > 0 else "worse"
