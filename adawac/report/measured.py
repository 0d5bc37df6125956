"""Means and comparisons in a report, of those methods in which the metric was measured."""

from collections.abc import Iterable, Mapping, Sequence

from adawac.evaluation import CaseRow, Comparison, Estimate, compare, estimate_methods

Rows = Mapping[str, Sequence[CaseRow]]
"""Method -> case table of all its runs."""

Lost = Mapping[str, str]
"""Class -> why it counts in no mean."""


def means(rows: Rows, metric: str, group: str, lost: Lost) -> dict[str, Estimate]:
    """Method -> estimate of the mean of classes; of those methods in which the metric was measured."""
    if not (measured := having(rows, metric, group)):
        return {}
    return {method: found[0] for method, found in estimate_methods(measured, metric, group, lost).items()}


def having(rows: Rows, metric: str, group: str) -> dict[str, Sequence[CaseRow]]:
    """The methods in which the metric was measured."""
    return {method: each for method, each in rows.items() if has(each, metric, group)}


def has(rows: Iterable[CaseRow], metric: str, group: str) -> bool:
    """Whether a metric was measured in a group."""
    return any(row.metric == metric and row.group == group for row in rows)


def of_class(rows: Rows, metric: str, class_name: str) -> Rows:
    """Of this metric the rows of this class alone, so that no other is tested."""
    return {
        method: [row for row in each if row.metric != metric or row.class_name == class_name]
        for method, each in rows.items()
    }


def by_method(rows: Rows, reference: str, metric: str, group: str, lost: Lost) -> dict[str, tuple[Comparison, ...]]:
    """As `compare`, by method; of those methods in which the metric was measured."""
    rows = having(rows, metric, group)
    if reference not in rows:
        return {}
    found: dict[str, list[Comparison]] = {}
    for comparison in compare(rows, reference, metric, group, lost):
        found.setdefault(comparison.method, []).append(comparison)
    return {method: tuple(comparisons) for method, comparisons in found.items()}
