"""Methods that are looked at together, so that all means and differences of them are over the same pairs."""

from collections.abc import Mapping, Sequence

from adawac.evaluation.case_table import CaseRow
from adawac.evaluation.counted import LeftOut, left_out_of
from adawac.evaluation.pairing import SharedCases
from adawac.evaluation.statistics import Comparison, Estimate, differences, estimates

SHOWN = {
    ("dice", "all"): "Dice",
    ("hd95_mm", "all"): "HD95 in mm",
    ("hd95_voxel", "all"): "HD95 in voxels",
    ("dice", "dense"): "Dice on label-dense slices",
    ("recall", "dense"): "recall on label-dense slices",
}
"""Metrics of which means are shown, of whole volumes or of label-dense slices, and their names in words."""


class InView:
    """Case tables of methods; each metric, once asked for, is one table of all that have it.

    Attributes:
        rows: name of the method -> its case table, of any number of runs.
        lost: class -> why it counts in no mean; None: what the rows say, see `lost_classes`.
    """

    def __init__(self, rows: Mapping[str, Sequence[CaseRow]], lost: Mapping[str, str] | None = None) -> None:
        self.rows, self.lost = rows, lost
        self._tables: dict[tuple[str, str], SharedCases] = {}

    def having(self, metric: str, group: str) -> dict[str, Sequence[CaseRow]]:
        """The methods in which the metric was measured in the group."""
        return {
            method: rows
            for method, rows in self.rows.items()
            if any((row.metric, row.group) == (metric, group) for row in rows)
        }

    def shared(self, metric: str, group: str) -> SharedCases:
        """These methods over the same cases.

        Raises:
            DataError: see `SharedCases.of`.
        """
        if (metric, group) not in self._tables:
            self._tables[metric, group] = SharedCases.of(self.having(metric, group), metric, group, self.lost)
        return self._tables[metric, group]

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What does not count in the means of Dice over all slices, nor in the others that are shown, and why."""
        return left_out_of({said: self.shared(*of).left_out for of, said in SHOWN.items() if self.having(*of)})

    def means(self, metric: str, group: str, name: str = "") -> dict[str, Estimate]:
        """Method -> mean of this class, or of classes; of those methods in which the metric was measured."""
        if not self.having(metric, group):
            return {}
        table = self.shared(metric, group)
        return {method: mean for method, [mean] in estimates(table, [name or table.names[0]]).items()}

    def differences(self, reference: str, metric: str, group: str, name: str = "") -> dict[str, Comparison]:
        """Method -> the same against the reference, where any case counts; without correction and verdict."""
        if reference not in self.having(metric, group):
            return {}
        table = self.shared(metric, group)
        found = differences(table, reference, [name or table.names[0]])
        return {method: each for method, [each] in found.items() if each.n}
