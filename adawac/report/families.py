"""Groups of slices and of cases in a report: positions along the volume, organ sizes, columns of metadata."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adawac.evaluation import (
    SIZE_GROUPS,
    CaseRow,
    Comparison,
    GroupSummary,
    InView,
    Metadata,
    group_summaries,
    metadata_rows,
    position_groups,
    size_rows,
    voxel_volumes,
)


@dataclass(frozen=True)
class Family:
    """Groups that belong together, such as the quintiles of slice position.

    Attributes:
        title: what the groups are groups of.
        note: how they are formed and what is measured.
        groups: their names.
        summaries: method -> Dice in each group.
        differences: method -> against the reference in each group that has cases, mean of classes.
    """

    title: str
    note: str
    groups: tuple[str, ...]
    summaries: Mapping[str, GroupSummary]
    differences: Mapping[str, Mapping[str, Comparison]]


def families(view: InView, reference: str, metadata: Sequence[Metadata], by_position: bool) -> Iterable[Family]:
    """Every family of groups of which the rows tell anything."""
    positions = position_groups()
    labelled = {method: _where_labelled(each, positions) for method, each in view.rows.items()}
    if by_position and len(view.having("dice", positions[0])) == len(view.rows):
        note = (
            "The volume in fifths, first slice to last; Dice of the organs that the reference has there, so that empty "
            "slices decide nothing."
        )
        yield _family("Position along the volume", note, positions, InView(labelled, view.lost), reference)
    together = [row for each in view.rows.values() for row in each]
    if view.having("reference_voxels", "all"):
        sized: dict[str, list[CaseRow]] = {method: [] for method in view.rows}
        for row in size_rows(together):
            sized[row.method].append(row)
        size = "volume" if voxel_volumes(together) else "number of voxels (not every spacing is known)"
        note = (
            f"For each organ, thirds of the test cases by its {size} in the reference, smallest first, equal together."
        )
        yield _family("Organ size", note, SIZE_GROUPS[:3], InView(sized, view.lost), reference)
    for column in metadata:
        grouped = {method: metadata_rows(each, column) for method, each in view.rows.items()}
        note = f"Test cases by {column.column}, from the metadata."
        yield _family(column.column, note, column.groups, InView(grouped, view.lost), reference)


def _where_labelled(rows: Iterable[CaseRow], groups: Sequence[str]) -> list[CaseRow]:
    """The rows of these groups, without the values of classes that the reference does not have there."""
    rows = [row for row in rows if row.group in groups]
    empty = {
        (row.run, row.case, row.group, row.class_name)
        for row in rows
        if row.metric == "reference_voxels" and not row.value > 0
    }
    return [
        row._replace(value=math.nan) if (row.run, row.case, row.group, row.class_name) in empty else row for row in rows
    ]


def _family(title: str, note: str, groups: Sequence[str], view: InView, reference: str) -> Family:
    found = {group: view.differences(reference, "dice", group) for group in groups}
    others = [method for method in view.rows if method != reference and reference in view.rows]
    differences = {method: {group: of[method] for group, of in found.items() if method in of} for method in others}
    return Family(title, note, tuple(groups), group_summaries(view.rows, groups, lost=view.lost), differences)
