"""From case tables to what may be said: means with intervals, methods compared over the same cases, ranks.

- The unit of inference is the patient, which mostly is the case: cases of one patient resemble each other, so they are
  averaged first. Runs (seeds) of a method are averaged for the estimate, and their spread lengthens the interval (see
  `adawac.evaluation.intervals`). Where both methods have a single run, interval and p are of these trained networks;
  where one has, its seeds are taken to differ as the other's. Either way there is no verdict on methods: what lies
  between two seeds of the one is not known.
- What counts, and the one mean that is formed of it, is said in `adawac.evaluation.counted` and `.pairing`: all methods
  given together are in view, so that each difference is that of two means.
- Verdicts are corrected for their number by Holm: the means of classes over all that are in view, and the classes over
  all classes in view. A class gets a verdict only where its mean has one, so that a study in which nothing differs
  gives any verdict at all in at most 5 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
from scipy import stats

from adawac.errors import ConfigError, DataError
from adawac.evaluation.case_table import CaseRow, higher_is_better, limits
from adawac.evaluation.intervals import ENUMERATED, LEVEL, SAMPLED, mean_interval, paired_test
from adawac.evaluation.pairing import SharedCases

Verdict = Literal["better", "worse", "no significant difference", "not significant after correction", "single run"]
"""What is said of a method. After correction: alone p would be below 0.05, among all that are in view it is not enough.

A single run on either side says nothing of methods.
"""


@dataclass(frozen=True)
class Estimate:
    """A mean of one method.

    Attributes:
        class_name: of the class; `MEAN_OF_CLASSES`, or "<any>" where the metric is measured so.
        mean: NaN if no case counts.
        low: lower end of its 95 % interval, within what the metric can be; NaN where n is below 2.
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

    The rule of the verdict: they differ where p, corrected by Holm, is below 0.05, a class only where the mean of the
    classes does. None is given where a method has a single run.

    Attributes:
        method: name.
        reference: name of the other method.
        metric: that was compared.
        class_name: as in `Estimate`.
        difference: mean of the method - mean of the reference; NaN if no case counts.
        low: lower end of its 95 % interval; infinite where fewer than 6 patients bound nothing.
        high: upper end.
        p: of the same test: below 0.05 exactly where the interval does not hold 0.
        p_holm: corrected over the family, see `corrected`.
        family: how many comparisons that is.
        n: patients.
        runs: of the method, and of the reference.
        left_out: cases that do not count.
        verdict: on the method, with the direction of the metric; None where no patient counts, or where it is only to
            be looked at.
    """

    method: str
    reference: str
    metric: str
    class_name: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    family: int
    n: int
    runs: tuple[int, int]
    left_out: tuple[str, ...]
    verdict: Verdict | None


@dataclass(frozen=True)
class Ranking:
    """Methods by their mean rank over patients: a description, not a second verdict.

    Runs are averaged, and their spread plays no part: all is said of these trained networks. Where seeds differ as in
    `docs/results`, p is below 0.05 for 11 to 93 % of seven equal methods with three runs each, 12 patients.

    Attributes:
        ranks: method -> mean rank, 1 is best, best first.
        p: of Friedman's test that all networks are equal.
        n: patients.
        left_out: cases that do not count.
    """

    ranks: Mapping[str, float]
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
) -> dict[str, list[Estimate]]:
    """As `estimate`, of several methods over the pairs of class and case that count in all of them.

    Args:
        rows_by_method: name of the method -> its case table, of any number of runs.
        metric: name in the case table.
        group: of slices or cases.

    Raises:
        DataError: as `compare`.
    """
    table = SharedCases.of(rows_by_method, metric, group)
    return estimates(table, table.names)


def estimates(table: SharedCases, names: Sequence[str]) -> dict[str, list[Estimate]]:
    """Of each method the means of these classes, or of `MEAN_OF_CLASSES`, in their order."""
    least, most = limits(table.metric)
    found: dict[str, list[Estimate]] = {method: [] for method in table.methods}
    for name in names:
        chosen = table.select(name)
        for method, mean, levels in zip(table.methods, chosen.means, chosen.levels, strict=True):
            low, high = map(float, mean_interval(levels)[1:3]) if len(levels) else (np.nan, np.nan)
            low, high = float(np.maximum(low, least)), float(np.minimum(high, most))  # NaN stays NaN
            found[method].append(Estimate(name, mean, low, high, len(levels), levels.shape[1], chosen.left_out))
    return found


def compare(
    rows_by_method: Mapping[str, Sequence[CaseRow]],
    reference: str,
    metric: str = "dice",
    group: str = "all",
) -> list[Comparison]:
    """Every other method against the reference: of the mean of classes first, then of each class.

    Args:
        rows_by_method: name of the method -> its case table, of any number of runs.
        reference: name of the method to compare with.
        metric: name in the case table, one with a direction.
        group: of slices or cases.

    Raises:
        ConfigError: if there is no such reference, or neither more nor less of the metric is better.
        DataError: if methods or runs have different cases (naming them) or empty-mask policies, a value comes twice, or
            nobody has this metric in this group.

    Example:
        >>> erm = [0.91, 0.87, 0.94, 0.62, 0.81, 0.85, 0.79, 0.90]
        >>> def table(values):
        ...     rows = [CaseRow("0", "", f"ct{i}", "", "liver", "all", "dice", v, "skip") for i, v in enumerate(values)]
        ...     return rows + [row._replace(run="1") for row in rows]
        >>> adawac = [value + 0.02 + 0.001 * i for i, value in enumerate(erm)]
        >>> _, liver = compare({"erm": table(erm), "adawac": table(adawac)}, "erm")
        >>> f"{liver.difference:.4f}, {liver.low:.4f} to {liver.high:.4f}, p = {liver.p:.3f}: {liver.verdict}"
        '0.0235, 0.0213 to 0.0257, p = 0.008: better'
    """
    if reference not in rows_by_method:
        raise ConfigError(f"reference {reference!r} is no method here; choose one of {', '.join(rows_by_method)}")
    higher_is_better(metric)
    table = SharedCases.of(rows_by_method, metric, group)
    pairs = corrected(list(differences(table, reference, table.names).values()))
    return [comparison for pair in pairs for comparison in pair]


def differences(table: SharedCases, reference: str, names: Sequence[str]) -> dict[str, list[Comparison]]:
    """Of each other method the comparisons of these classes, in their order, without correction and verdict."""
    least, most = limits(table.metric)
    span = most - least
    theirs = table.methods.index(reference)
    found: dict[str, list[Comparison]] = {method: [] for method in table.methods if method != reference}
    for name in names:
        chosen = table.select(name)
        for method, pair in found.items():
            mine = table.methods.index(method)
            first, second = chosen.scores[mine], chosen.scores[theirs]
            _, low, high, p = map(float, paired_test(first, second, chosen.weights))
            low, high = (end if np.isinf(end) else float(np.clip(end, -span, span)) for end in (low, high))
            numbers = (chosen.means[mine] - chosen.means[theirs], low, high, p, np.nan)
            runs, n = (first.shape[1], second.shape[1]), len(chosen.weights)
            pair.append(Comparison(method, reference, table.metric, name, *numbers, 0, n, runs, chosen.left_out, None))
    return found


def corrected(pairs: Sequence[Sequence[Comparison]]) -> list[tuple[Comparison, ...]]:
    """Correct all comparisons in view for their number, and give their verdicts; the one place for both.

    Two families: the means of classes, and the classes. Without a p (no patient) a comparison does not count.

    Args:
        pairs: for each pair of methods on each training subset: the mean of classes, then each class.

    Returns:
        The same with `p_holm`, `family` and `verdict`.

    Example:
        >>> def table(run, gain):
        ...     return [CaseRow(run, "", f"{i}", "", "liver", "all", "dice", 0.8 + gain * i, "skip") for i in range(7)]
        >>> rows = {name: table("0", gain) + table("1", gain) for name, gain in (("erm", 0), ("a", 1e-2), ("b", 2e-2))}
        >>> mean, liver = compare({name: rows[name] for name in ("erm", "a")}, "erm")
        >>> together = corrected([(mean, liver), compare({name: rows[name] for name in ("erm", "b")}, "erm")])
        >>> mean.p, mean.p_holm, mean.family, together[0][0].p_holm, together[0][0].family
        (0.03125, 0.03125, 1, 0.0625, 2)
    """
    means = _holm_of([mean for mean, *_ in pairs])
    classes = iter(_holm_of([each for _, *of_pair in pairs for each in of_pair]))
    found = []
    for mean, (_, *of_pair) in zip(means, pairs, strict=True):
        mean = replace(mean, verdict=_verdict(mean, mean))
        mine = islice(classes, len(of_pair))
        found.append((mean, *(replace(each, verdict=_verdict(each, mean)) for each in mine)))
    return found


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
        Friedman (1937), The use of ranks to avoid the assumption of normality, JASA 32.
    """
    if len(rows_by_method) < 3:
        raise ConfigError(f"ranks need three methods, found {', '.join(rows_by_method)}; use `compare` for two")
    higher = higher_is_better(metric)
    table = SharedCases.of(rows_by_method, metric, group, lost)
    chosen = table.select(table.names[0])
    means = np.stack([each.mean(axis=1) for each in chosen.scores], axis=1).round(_DIGITS)
    if len(means) < 2:
        raise DataError(f"{group}/{metric}: ranks need 2 patients with values, found {len(means)}; evaluate more cases")
    ranks = stats.rankdata(-means if higher else means, axis=1)
    p = stats.friedmanchisquare(*means.T).pvalue if (ranks != ranks[:, :1]).any() else 1.0
    order = sorted(zip(ranks.mean(axis=0).tolist(), table.methods, strict=True), key=lambda pair: pair[0])
    return Ranking({name: rank for rank, name in order}, float(p), len(means), chosen.left_out)


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


def least_p(n: int) -> float:
    """The least p that `paired_test` can find in n patients: when all differences have one sign.

    Of more patients than `ENUMERATED` a sample of signs is gone through, which tells no smaller p than its size allows.

    Example:
        >>> least_p(5), least_p(6), least_p(20) < least_p(21) == least_p(40)
        (0.0625, 0.03125, True)
    """
    return min(1.0, 2.0 ** (1 - n)) if n <= ENUMERATED else 2 / SAMPLED


def _holm_of(comparisons: Sequence[Comparison]) -> list[Comparison]:
    p = [each.p for each in comparisons]
    family = int(np.count_nonzero(~np.isnan(p)))
    return [replace(each, p_holm=q, family=family) for each, q in zip(comparisons, holm(p), strict=True)]


def _verdict(found: Comparison, mean: Comparison) -> Verdict | None:
    """Of a comparison whose mean of classes is `mean`."""
    if not found.n:
        return None
    if min(found.runs) == 1:
        return "single run"
    if not max(found.p_holm, mean.p_holm) < 1 - LEVEL:
        return "not significant after correction" if found.p < 1 - LEVEL else "no significant difference"
    return "better" if (found.difference > 0) == higher_is_better(found.metric) else "worse"


_DIGITS = 12
"""Ties of ranks are read to this many decimals, so that rounding of means decides nothing."""
