"""What a report says, as numbers: computed from case tables here, put into words and rendered elsewhere.

Methods are compared within a training subset, over the same test cases. All statistics are those of
`adawac.evaluation`; what is decided here is which of them answer the reader's question, and over which rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from adawac.errors import ConfigError
from adawac.evaluation import (
    ANY_CLASS,
    SIZE_GROUPS,
    CaseRow,
    Comparison,
    Estimate,
    GroupSummary,
    Metadata,
    Ranking,
    Share,
    compare,
    estimate,
    metadata_rows,
    position_groups,
    rank_methods,
    size_rows,
    summarise,
    summarise_groups,
    voxel_volumes,
)
from adawac.evaluation.coverage import Coverage
from adawac.metrics import EmptyPolicy, policy_note
from adawac.report.blocks import Picture
from adawac.report.runs import MethodRun, check_runs
from adawac.weighting.slice_weights import SliceWeights

PREFERRED_REFERENCES = ("pair", "erm")
"""Pair trains at the compute of the methods with two views; ERM at half of it."""


@dataclass(frozen=True)
class MethodResult:
    """One method on one training subset.

    Attributes:
        name: of the method.
        runs: their names.
        cases: number of test cases.
        dice: mean of classes first, then each class.
        dense: Dice of the mean of classes on label-dense slices; None where it was not measured.
        recall: the same of recall on label-dense slices.
        hd95: of the mean of classes; None where it was not measured.
        unit: of the distances, "mm" or "voxel".
        missed: organs in the reference and nowhere predicted, over cases and runs.
        false_alarms: organs predicted and nowhere in the reference.
        false_slices: label-sparse slices with any foreground predicted.
        ignored_slices: slices that are wholly ignored, of all cases.
        false_voxels: voxels predicted as foreground on label-sparse slices, per case and run.
        images_seen: of each run that recorded it.
        network_passes: of each run that recorded it.
        weights: of each run that has weights per slice.
    """

    name: str
    runs: tuple[str, ...]
    cases: int
    dice: tuple[Estimate, ...]
    dense: Estimate | None
    recall: Estimate | None
    hd95: Estimate | None
    unit: str
    missed: Share
    false_alarms: Share
    false_slices: Share
    ignored_slices: int
    false_voxels: float
    images_seen: tuple[int, ...]
    network_passes: tuple[int, ...]
    weights: tuple[SliceWeights, ...]


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


@dataclass(frozen=True)
class SubsetResult:
    """All methods that were trained on one subset.

    Attributes:
        name: of the subset; "" where nothing is known of it.
        methods: in the order in which they were given.
        comparisons: method -> against the reference, mean of classes first; empty without the reference.
        false_slices: method -> false-positive slices per volume against the reference.
        ranking: of three or more methods, over two or more patients; else None.
        families: groups of slices and of cases; those of slices only where all runs cut the volumes alike.
        cuts: how the volumes are cut into slices -> methods; empty where all runs cut them alike.
        units: what was trained on, "slice" or "patch" -> methods; empty where it is the same for all.
    """

    name: str
    methods: tuple[MethodResult, ...]
    comparisons: Mapping[str, tuple[Comparison, ...]]
    false_slices: Mapping[str, Comparison]
    ranking: Ranking | None
    families: tuple[Family, ...]
    cuts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Attributes:
        title: of the report.
        reference: method that the others are compared with.
        policy: what empty masks are worth.
        runs: everything that went in.
        subsets: what came out.
        patients: a sentence on whom the cases show; empty where every case is a patient of its own.
        command: what was typed to make the report; "" where it was not typed.
        versions: package -> version that made the report.
        left_out: cases that were not taken, each with the reason.
        unfinished: runs that are missing -> why.
        coverage: what a simulation of the intervals found; empty with a single patient.
        coverage_of: (patients, runs) that were simulated.
        pictures: worst cases.
        no_pictures: why there are none.
    """

    title: str
    reference: str
    policy: EmptyPolicy
    runs: Sequence[MethodRun]
    subsets: Sequence[SubsetResult]
    patients: str = ""
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    unfinished: Mapping[str, str] = field(default_factory=dict)
    coverage: Sequence[Coverage] = ()
    coverage_of: tuple[int, int] = (0, 0)
    pictures: Sequence[Picture] = ()
    no_pictures: str = ""

    @property
    def policy_note(self) -> str:
        """The empty-mask policy in words."""
        return policy_note(self.policy)

    @property
    def methods(self) -> list[str]:
        """All methods, in the order in which they were given."""
        return list(dict.fromkeys(run.method for run in self.runs))


def choose_reference(methods: Sequence[str], wanted: str | None = None) -> str:
    """The method that all others are compared with.

    Args:
        methods: their names.
        wanted: which; None takes Pair if it is there, else ERM, else the first.

    Raises:
        ConfigError: if there is no such method.

    Example:
        >>> choose_reference(["AdaWAC", "ERM"]), choose_reference(["nnU-Net", "mine"])
        ('ERM', 'nnU-Net')
    """
    if wanted is not None:
        if wanted not in methods:
            raise ConfigError(
                f"--reference {wanted}: no such method; choose one of {', '.join(dict.fromkeys(methods))}"
            )
        return wanted
    found = [method for name in PREFERRED_REFERENCES for method in methods if method.casefold() == name]
    return found[0] if found else methods[0]


def subset_results(
    runs: Sequence[MethodRun], reference: str, metadata: Sequence[Metadata] = ()
) -> tuple[SubsetResult, ...]:
    """Compare the methods on each training subset.

    Args:
        runs: all runs, of any number of methods, subsets and seeds.
        reference: name of the method to compare with.
        metadata: columns that group the cases.

    Raises:
        DataError: if the runs do not fit together, or metadata lack a case.
    """
    check_runs(runs)
    subsets: dict[str, dict[str, list[MethodRun]]] = {}
    for run in runs:
        subsets.setdefault(run.subset, {}).setdefault(run.method, []).append(run)
    return tuple(_subset_result(name, methods, reference, metadata) for name, methods in subsets.items())


def _subset_result(
    name: str, methods: Mapping[str, Sequence[MethodRun]], reference: str, metadata: Sequence[Metadata]
) -> SubsetResult:
    rows = {method: _renamed(runs) for method, runs in methods.items()}
    compared = rows if reference in rows else {}
    together = [run for each in methods.values() for run in each]
    cuts = _cuts(together)
    enough = len(rows) > 2 and len({row.patient or row.case for each in rows.values() for row in each}) > 1
    return SubsetResult(
        name=name,
        methods=tuple(_method_result(method, rows[method], runs) for method, runs in methods.items()),
        comparisons=_by_method(compared, reference, "dice", "all"),
        false_slices={
            method: found[0]
            for method, found in _by_method(
                {} if cuts else compared, reference, "false_positive_slices", "sparse", ANY_CLASS
            ).items()
        },
        ranking=rank_methods(rows) if enough else None,
        families=tuple(_families(rows, reference, metadata, by_position=not cuts)),
        cuts=cuts,
        units=_unlike((run.unit, run.method) for run in together if run.unit),
    )


def _cuts(runs: Sequence[MethodRun]) -> Mapping[str, tuple[str, ...]]:
    """How each run's case table cuts the volumes into slices -> methods; empty where all are cut alike."""
    counts = [
        {
            (row.case, row.group): row.value
            for row in run.rows
            if row.metric == "slices" and row.group in ("all", "dense")
        }
        for run in runs
    ]
    known = {key: {each[key] for each in counts if key in each} for one in counts for key in one}
    if not (unlike := {case for (case, _), values in known.items() if len(values) > 1}):
        return {}
    case = min(unlike)
    return _unlike(
        (f"{run.axis or 'unknown'} (case {case}: {all_:.0f} slices, {dense:.0f} label-dense)", run.method)
        for run, found in zip(runs, counts, strict=True)
        if (all_ := found.get((case, "all"))) is not None and (dense := found.get((case, "dense"))) is not None
    )


def _unlike(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Kind -> the methods that are of it, of pairs of both; empty where there is only one kind."""
    methods: dict[str, dict[str, None]] = {}
    for kind, method in pairs:
        methods.setdefault(kind, {})[method] = None
    return {kind: tuple(found) for kind, found in methods.items()} if len(methods) > 1 else {}


def _renamed(runs: Sequence[MethodRun]) -> list[CaseRow]:
    """The rows of all runs of a method, each under the name of its run."""
    return [row._replace(run=run.name, method=run.method) for run in runs for row in run.rows]


def _method_result(name: str, rows: Sequence[CaseRow], runs: Sequence[MethodRun]) -> MethodResult:
    summary = summarise(rows)
    unit = "voxel" if any(row.metric == "hd95_voxel" for row in rows) else "mm"
    return MethodResult(
        name=name,
        runs=tuple(run.name for run in runs),
        cases=len({row.case for row in rows}),
        dice=tuple(_estimates(rows, "dice", "all")),
        dense=_first(_estimates(rows, "dice", "dense")),
        recall=_first(_estimates(rows, "recall", "dense")),
        hd95=_first(_estimates(rows, f"hd95_{unit}", "all")),
        unit=unit,
        missed=summary.missed,
        false_alarms=summary.false_alarms,
        false_slices=summary.false_positive_slices,
        ignored_slices=summary.ignored_slices,
        false_voxels=summary.total("false_positive_voxels", "sparse", ANY_CLASS) / (summary.cases * summary.runs),
        images_seen=tuple(run.images_seen for run in runs if run.images_seen is not None),
        network_passes=tuple(run.network_passes for run in runs if run.network_passes is not None),
        weights=tuple(run.weights for run in runs if run.weights is not None),
    )


def _estimates(rows: Sequence[CaseRow], metric: str, group: str) -> list[Estimate]:
    """As `estimate`, empty where the metric was not measured."""
    return estimate(rows, metric, group) if _has(rows, metric, group) else []


def _first(estimates: Sequence[Estimate]) -> Estimate | None:
    """That of the mean of classes."""
    return estimates[0] if estimates else None


def _has(rows: Iterable[CaseRow], metric: str, group: str) -> bool:
    return any(row.metric == metric and row.group == group for row in rows)


def _by_method(
    rows: Mapping[str, Sequence[CaseRow]], reference: str, metric: str, group: str, class_name: str | None = None
) -> dict[str, tuple[Comparison, ...]]:
    """As `compare`, by method; of those methods in which the metric was measured."""
    if class_name is not None:
        rows = {
            method: [row for row in each if row.metric != metric or row.class_name == class_name]
            for method, each in rows.items()
        }
    rows = {method: each for method, each in rows.items() if _has(each, metric, group)}
    if reference not in rows:
        return {}
    found: dict[str, list[Comparison]] = {}
    for comparison in compare(rows, reference, metric, group):
        found.setdefault(comparison.method, []).append(comparison)
    return {method: tuple(comparisons) for method, comparisons in found.items()}


# --- groups -----------------------------------------------------------------------------------------------------------


def _families(
    rows: Mapping[str, Sequence[CaseRow]], reference: str, metadata: Sequence[Metadata], by_position: bool
) -> Iterable[Family]:
    """Every family of groups of which the rows tell anything."""
    positions = position_groups()
    labelled = {method: _where_labelled(each, positions) for method, each in rows.items()}
    if by_position and all(_has(each, "dice", positions[0]) for each in labelled.values()):
        note = (
            "The volume in fifths, first slice to last; Dice of the organs that the reference has there, so that empty "
            "slices decide nothing."
        )
        yield _family("Position along the volume", note, positions, labelled, reference)
    together = [row for each in rows.values() for row in each]
    if _has(together, "reference_voxels", "all"):
        sized: dict[str, list[CaseRow]] = {method: [] for method in rows}
        for row in size_rows(together):
            sized[row.method].append(row)
        size = "volume" if voxel_volumes(together) else "number of voxels (not every spacing is known)"
        note = f"For each organ, thirds of the test cases by its {size} in the reference, smallest first."
        yield _family("Organ size", note, SIZE_GROUPS[:3], sized, reference)
    for column in metadata:
        grouped = {method: metadata_rows(each, column) for method, each in rows.items()}
        yield _family(
            column.column, f"Test cases by {column.column}, from the metadata.", column.groups, grouped, reference
        )


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


def _family(
    title: str,
    note: str,
    groups: Sequence[str],
    rows: Mapping[str, Sequence[CaseRow]],
    reference: str,
) -> Family:
    differences: dict[str, dict[str, Comparison]] = {method: {} for method in rows if method != reference}
    for group in groups:
        for method, comparisons in _by_method(rows if reference in rows else {}, reference, "dice", group).items():
            if comparisons[0].n:
                differences[method][group] = comparisons[0]
    summaries = {method: summarise_groups(each, groups) for method, each in rows.items()}
    return Family(title, note, tuple(groups), summaries, differences if reference in rows else {})
