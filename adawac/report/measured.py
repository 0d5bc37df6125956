"""Means and comparisons in a report, of those methods in which the metric was measured."""

from adawac.evaluation import Comparison, Estimate, InView
from adawac.evaluation.statistics import differences, estimates


def means_in(view: InView, metric: str, group: str, name: str = "") -> dict[str, Estimate]:
    """Method -> mean of this class, or of classes."""
    if not view.having(metric, group):
        return {}
    table = view.shared(metric, group)
    return {method: mean for method, [mean] in estimates(table, [name or table.names[0]]).items()}


def differences_in(view: InView, reference: str, metric: str, group: str, name: str = "") -> dict[str, Comparison]:
    """Method -> against the reference, the mean of this class, or of classes, where any case counts; no verdicts."""
    if reference not in view.having(metric, group):
        return {}
    table = view.shared(metric, group)
    found = differences(table, reference, [name or table.names[0]])
    return {method: each for method, [each] in found.items() if each.n}
