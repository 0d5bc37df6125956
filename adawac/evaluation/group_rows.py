"""Groups of slices or of cases as rows of the case table, and how far the worst of them lies behind.

Stretches of the volume are measured with the case, see `case_rows`; groups of cases are copies of the rows of "all"
under the group's name. A group that nobody falls into keeps its name and its place, with n = 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adawac.data.layouts.files import natural_key
from adawac.errors import DataError, did_you_mean, some_of
from adawac.evaluation.case_table import ANY_CLASS, VOXEL_VOLUME, CaseRow, higher_is_better
from adawac.evaluation.counted import lost_classes
from adawac.evaluation.pairing import MEAN_OF_CLASSES, SharedCases
from adawac.io.case_column import KEYS, as_called, column_of, meant_by, read_lines

SIZE_GROUPS = ("size 1 of 3", "size 2 of 3", "size 3 of 3", "organ absent")
"""Thirds of the test set by the organ's size, smallest first, and the cases that do not have it."""


def size_rows(rows: Iterable[CaseRow]) -> list[CaseRow]:
    """Rows of "all" once more under `SIZE_GROUPS`: for each class, thirds of the cases by its size in the reference.

    Sizes are volumes where the spacing of every case is known, else numbers of voxels; see `voxel_volumes`.

    Args:
        rows: case table of any number of methods and runs over the whole test set.

    Raises:
        DataError: if `reference_voxels` is missing, or two runs differ about a size.

    Example:
        >>> def case(name, voxels, dice):
        ...     row = CaseRow("0", "erm", name, name, "liver", "all", "dice", dice, "skip")
        ...     return [row, row._replace(metric="reference_voxels", value=voxels)]
        >>> rows = case("a", 900, 0.9) + case("b", 100, 0.5) + case("c", 300, 0.8)
        >>> [(row.group, row.value) for row in size_rows(rows) if row.metric == "dice"]
        [('size 3 of 3', 0.9), ('size 1 of 3', 0.5), ('size 2 of 3', 0.8)]
    """
    rows = [row for row in rows if row.group == "all"]
    volumes = voxel_volumes(rows) or {}
    rows = [row for row in rows if row.class_name != ANY_CLASS]
    sizes: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.metric == "reference_voxels":
            size = row.value * volumes.get(row.case, 1.0)
            if sizes.setdefault(row.class_name, {}).setdefault(row.case, size) != size:
                raise DataError(
                    f"case {row.case}: runs differ about the size of {row.class_name} in the reference; evaluate all "
                    "runs with the same labels"
                )
    groups = {name: _thirds(by_case) for name, by_case in sizes.items()}
    for row in rows:
        if row.case not in groups.get(row.class_name, {}):
            raise DataError(
                f"case {row.case}: no reference_voxels of {row.class_name}; write the table with `case_rows`"
            )
    return [row._replace(group=groups[row.class_name][row.case]) for row in rows]


def voxel_volumes(rows: Iterable[CaseRow]) -> dict[str, float] | None:
    """Case -> mm^3 of a voxel; None unless the table says it of every case.

    Args:
        rows: case table of any number of methods and runs.
    """
    rows = list(rows)
    found = {row.case: row.value for row in rows if (row.group, row.metric) == ("all", VOXEL_VOLUME)}
    return found if found.keys() == {row.case for row in rows} else None


def _thirds(sizes: Mapping[str, float]) -> dict[str, str]:
    """Case -> group; equal sizes fall into the same one."""
    present = [size for size in sizes.values() if size > 0]
    edges = np.quantile(present, [1 / 3, 2 / 3]) if present else np.zeros(2)
    return {
        case: SIZE_GROUPS[int(np.searchsorted(edges, size))] if size > 0 else SIZE_GROUPS[3]
        for case, size in sizes.items()
    }


class Metadata(NamedTuple):
    """A column of a metadata table.

    Attributes:
        column: its name, such as site.
        key: "case" or "patient", what its lines are about.
        values: case or patient -> value.
    """

    column: str
    key: str
    values: Mapping[str, str]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all groups in the table, whether the test set has such cases or not; numbers by their size."""
        return tuple(f"{self.column}: {value}" for value in sorted(set(self.values.values()), key=natural_key))

    def of(self, due: Iterable[str]) -> dict[str, str]:
        """The value of each case (or patient), whatever its file is called.

        Raises:
            DataError: naming those that have none.
        """
        wanted = set(due)
        values = {as_called(name, wanted): value for name, value in self.values.items()} | dict(self.values)
        if missing := sorted(wanted - values.keys()):
            meant = meant_by(missing, wanted, values)
            raise DataError(f"metadata: no {self.column} for {self.key} {some_of(missing)}{meant} fill it in for each")
        return values


def read_metadata(path: Path, column: str) -> Metadata:
    r"""Read a column, such as site or scanner, of a CSV file with a line for each case or each patient.

    Args:
        path: CSV file with a header, a column `case` or `patient`, and the one asked for. Empty fields say nothing.
        column: which column names the groups.

    Raises:
        ConfigError: if the file is not readable.
        DataError: if it lacks the columns, or has two values for a case.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "sites.csv"
        ...     _ = path.write_text("case,site\nct_1,Aachen\nct_2,Bonn\n")
        ...     read_metadata(path, "site").groups
        ('site: Aachen', 'site: Bonn')
    """
    header, lines = read_lines(path)
    key = next((name for name in KEYS if name in header), None)
    if key is None or column not in header:
        meant = ";" if column in header else did_you_mean(column, header)
        raise DataError(
            f"{path}: needs a column case or patient, and {column!r}, found {', '.join(header) or 'no header'}{meant} "
            "add it"
        )
    return Metadata(column, key, column_of(path, lines, key, column))


def metadata_header(path: Path) -> tuple[str, ...]:
    """Names of the columns of a metadata table.

    Raises:
        ConfigError: if the file is not readable.
    """
    return read_lines(path)[0]


def metadata_rows(rows: Iterable[CaseRow], metadata: Metadata) -> list[CaseRow]:
    """Rows of "all" once more under `<column>: <value>` of their case or patient.

    Args:
        rows: case table of any number of methods and runs.
        metadata: as read by `read_metadata`; for patients as groups, `Metadata("patient", "patient", {p: p, ...})`.

    Raises:
        DataError: naming the cases that the metadata lack.
    """
    rows = [row for row in rows if row.group == "all"]
    values = metadata.of(str(getattr(row, metadata.key)) for row in rows)
    return [row._replace(group=f"{metadata.column}: {values[getattr(row, metadata.key)]}") for row in rows]


class GroupMean(NamedTuple):
    """One group.

    Attributes:
        name: of the group.
        mean: of classes, or of one class, as `adawac.evaluation.pairing` forms it; NaN where n is 0.
        n: cases that count.
        left_out: cases in the group that do not.
        patients: whom the cases show that count.
    """

    name: str
    mean: float
    n: int
    left_out: int
    patients: int = 0


@dataclass(frozen=True)
class GroupSummary:
    """One metric of one method over groups.

    Attributes:
        groups: all that were asked for, in that order, those with n = 0 too.
        mean: of the groups with cases, each worth the same.
        worst: the group of the worst mean; None where fewer than two groups have cases.
        gap: between the best and the worst group, 0 or more; NaN likewise.
    """

    groups: tuple[GroupMean, ...]
    mean: float
    worst: GroupMean | None
    gap: float


def summarise_groups(
    rows: Iterable[CaseRow], groups: Sequence[str], metric: str = "dice", class_name: str | None = None
) -> GroupSummary:
    """Mean, worst group and gap of one method.

    Args:
        rows: its case table, with the rows of these groups.
        groups: names, such as `position_groups()`, `SIZE_GROUPS` or `Metadata.groups`.
        metric: name in the case table, one with a direction.
        class_name: of one class; None for the mean over foreground classes.

    Raises:
        ConfigError: if neither more nor less of the metric is better.
        DataError: if the rows do not fit together, see `SharedCases.of`.

    Example:
        >>> row = CaseRow("0", "erm", "a", "a", "liver", "site: Bonn", "dice", 0.9, "skip")
        >>> rows = [row, row._replace(case="b", group="site: Aachen", value=0.6)]
        >>> summary = summarise_groups(rows, ["site: Aachen", "site: Bonn", "site: Celle"])
        >>> round(summary.mean, 3), summary.worst.name, round(summary.gap, 3), summary.groups[2].n
        (0.75, 'site: Aachen', 0.3, 0)
    """
    [summary] = group_summaries({"": list(rows)}, groups, metric, class_name).values()
    return summary


def group_summaries(
    rows_by_method: Mapping[str, Sequence[CaseRow]],
    groups: Sequence[str],
    metric: str = "dice",
    class_name: str | None = None,
    lost: Mapping[str, str] | None = None,
) -> dict[str, GroupSummary]:
    """As `summarise_groups`, of several methods over the pairs of class and case that count in all of them.

    Args:
        rows_by_method: name of the method -> its case table, with the rows of these groups.
        groups: names.
        metric: name in the case table, one with a direction.
        class_name: of one class; None for the mean over foreground classes.
        lost: class -> why it counts in no mean; None: what the rows say, see `lost_classes`.
    """
    sign = 1 if higher_is_better(metric) else -1
    if lost is None:
        lost = lost_classes(row for rows in rows_by_method.values() for row in rows)
    chosen = {
        method: [
            row
            for row in rows
            if row.metric == metric and (row.class_name == class_name if class_name else row.class_name != ANY_CLASS)
        ]
        for method, rows in rows_by_method.items()
    }
    found: dict[str, list[GroupMean]] = {method: [] for method in rows_by_method}
    for name in groups:
        inside = {row.case for rows in chosen.values() for row in rows if row.group == name}
        shared = SharedCases.of(chosen, metric, name, lost).select(class_name or MEAN_OF_CLASSES) if inside else None
        n, patients = (0, 0) if shared is None else (shared.cases, len(shared.patients))
        means = [float("nan")] * len(chosen) if shared is None else shared.means
        for method, mean in zip(chosen, means, strict=True):
            found[method].append(GroupMean(name, mean, n, len(inside) - n, patients))
    return {method: _worst_and_gap(means, sign) for method, means in found.items()}


def _worst_and_gap(groups: Sequence[GroupMean], sign: int) -> GroupSummary:
    present = sorted((group for group in groups if group.n), key=lambda group: sign * group.mean)
    if not present:
        return GroupSummary(tuple(groups), float("nan"), None, float("nan"))
    mean_of_groups = float(np.mean([group.mean for group in present]))
    if len(present) == 1:  # nothing to lie behind
        return GroupSummary(tuple(groups), mean_of_groups, None, float("nan"))
    return GroupSummary(tuple(groups), mean_of_groups, present[0], abs(present[-1].mean - present[0].mean))
