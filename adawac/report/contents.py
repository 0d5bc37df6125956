"""What a report says, as numbers: computed from case tables here, put into words and rendered elsewhere.

Methods are compared within a training subset, over the same pairs of class and test case; a class that one run of the
report could not learn counts nowhere in it. All statistics are those of `adawac.evaluation`; what is decided here is
which of them answer the reader's question, and over which rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from adawac.data.sampling.draw_summary import DrawSummary
from adawac.errors import ConfigError, did_you_mean, together
from adawac.evaluation import (
    ANY_CLASS,
    Comparison,
    Estimate,
    InView,
    LeftOut,
    Metadata,
    Ranking,
    Share,
    corrected,
    lost_classes,
    rank_methods,
    summarise,
)
from adawac.evaluation.statistics import differences, estimates
from adawac.metrics import EmptyPolicy, policy_note
from adawac.report.blocks import Picture
from adawac.report.families import Family, families
from adawac.report.runs import MethodRun, check_runs
from adawac.runs.slice_weights import SliceWeights

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
        unit: of the distances, "mm" or "voxel"; where both were measured, that of more cases.
        missed: organs in the reference and nowhere predicted, over cases and runs.
        false_alarms: organs predicted and nowhere in the reference.
        false_slices: label-sparse slices with any foreground predicted.
        ignored_slices: slices that are wholly ignored, of all cases.
        false_voxels: voxels predicted as foreground on label-sparse slices of a case, by the one mean.
        images_seen: of each run that recorded it.
        network_passes: of each run that recorded it.
        weights: of each run that has weights per slice.
        draws: of each run that recorded them.
        annotated: training slices with a label, and without any, of each run that recorded them.
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
    draws: tuple[DrawSummary, ...] = ()
    annotated: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class SubsetResult:
    """All methods that were trained on one subset.

    Attributes:
        name: of the subset; "" where nothing is known of it.
        methods: in the order in which they were given.
        comparisons: method -> against the reference, mean of classes first; empty without the reference.
        false_slices: method -> false-positive slices per volume against the reference.
        ranking: of three or more methods, over two or more patients that count; else None.
        families: groups of slices and of cases; those of slices only where all runs cut the volumes alike.
        left_out: what does not count in the means over whole volumes and label-dense slices, and why.
        cuts: how the volumes are cut into slices -> methods; empty where all runs cut them alike.
        units: what was trained on, "slice" or "patch" -> methods; empty where it is the same for all.
        view: case tables of the methods.
    """

    name: str
    view: InView = field(repr=False)
    methods: tuple[MethodResult, ...]
    comparisons: Mapping[str, tuple[Comparison, ...]]
    false_slices: Mapping[str, Comparison]
    ranking: Ranking | None
    families: tuple[Family, ...]
    left_out: tuple[LeftOut, ...] = ()
    cuts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """All that a report shows.

    Attributes:
        title: of the report.
        reference: method that the others are compared with.
        policy: what empty masks are worth.
        runs: everything that went in.
        subsets: what came out.
        left_out: cases that were not taken, each with the reason.
        unfinished: runs that are missing -> why.
        command: what was typed to make the report; "" where it was not typed.
        versions: package -> version that made the report.
        patients: a sentence on whom the cases show; empty where every case is a patient of its own.
        pictures: worst cases.
        no_pictures: why there are none.
    """

    title: str
    reference: str
    policy: EmptyPolicy
    runs: Sequence[MethodRun]
    subsets: Sequence[SubsetResult]
    left_out: Sequence[str] = ()
    unfinished: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    patients: str = field(default="", repr=False)
    pictures: Sequence[Picture] = field(default=(), repr=False)
    no_pictures: str = field(default="", repr=False)

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
                f"--reference {wanted}: no such method{did_you_mean(wanted, methods)} "
                f"choose one of {', '.join(dict.fromkeys(methods))}"
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
    subsets = together((run.subset, run) for run in runs)
    lost = lost_classes(row for run in runs for row in run.rows)
    found = [_subset_result(name, here, reference, metadata, lost) for name, here in subsets.items()]
    # Verdicts on organs and their mean, corrected for all that are in view; what else is compared gets none.
    pairs = iter(corrected([each for subset in found for each in subset.comparisons.values()]))
    return tuple(
        replace(subset, comparisons={method: next(pairs) for method in subset.comparisons}) for subset in found
    )


def _subset_result(
    name: str,
    runs: Sequence[MethodRun],
    reference: str,
    metadata: Sequence[Metadata],
    lost: Mapping[str, str],
) -> SubsetResult:
    methods = together((run.method, run) for run in runs)
    view = InView(together((run.method, row) for run in runs for row in run.rows), lost)
    dice = view.shared("dice", "all")
    cuts = _cuts(runs)
    false_slices = reference, "false_positive_slices", "sparse", ANY_CLASS
    enough = len(methods) > 2 and len(dice.select(dice.names[0]).weights) > 1
    compared = differences(dice, reference, dice.names) if reference in methods else {}
    return SubsetResult(
        name=name,
        view=view,
        methods=tuple(_method_results(view, methods)),
        comparisons={method: tuple(found) for method, found in compared.items()},
        false_slices={} if cuts else view.differences(*false_slices),
        ranking=rank_methods(view.rows, lost=lost) if enough else None,
        families=tuple(families(view, reference, metadata, by_position=not cuts)),
        left_out=view.left_out,
        cuts=cuts,
        units=_unlike((run.unit, run.method) for run in runs if run.unit),
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
    other_axis = len({run.axis for run in runs} - {""}) > 1  # of a cube both have as many slices
    if not (unlike := {case for (case, _), values in known.items() if len(values) > 1 or other_axis}):
        return {}
    case = min(unlike)
    return _unlike(
        (f"{run.axis or 'unknown'} (case {case}: {all_:.0f} slices, {dense:.0f} label-dense)", run.method)
        for run, found in zip(runs, counts, strict=True)
        if (all_ := found.get((case, "all"))) is not None and (dense := found.get((case, "dense"))) is not None
    )


def _unlike(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Kind -> the methods that are of it, of pairs of both; empty where there is only one kind."""
    methods = together(pairs)
    return {kind: tuple(dict.fromkeys(found)) for kind, found in methods.items()} if len(methods) > 1 else {}


def _method_results(view: InView, methods: Mapping[str, Sequence[MethodRun]]) -> Iterable[MethodResult]:
    table = view.shared("dice", "all")
    dice = estimates(table, table.names)
    dense, recall = (view.means(metric, "dense") for metric in ("dice", "recall"))
    false_voxels = view.means("false_positive_voxels", "sparse", ANY_CLASS)
    hd95 = {unit: view.means(f"hd95_{unit}", "all") for unit in ("mm", "voxel")}
    for name, runs in methods.items():
        summary = summarise(view.rows[name])
        unit = min(hd95, key=lambda unit: -hd95[unit][name].n if name in hd95[unit] else 0)
        yield MethodResult(
            name=name,
            runs=tuple(run.name for run in runs),
            cases=summary.cases,
            dice=tuple(dice[name]),
            dense=dense.get(name),
            recall=recall.get(name),
            hd95=hd95[unit].get(name),
            unit=unit,
            missed=summary.missed,
            false_alarms=summary.false_alarms,
            false_slices=summary.false_positive_slices,
            ignored_slices=summary.ignored_slices,
            false_voxels=false_voxels[name].mean if name in false_voxels else math.nan,
            images_seen=tuple(run.images_seen for run in runs if run.images_seen is not None),
            network_passes=tuple(run.network_passes for run in runs if run.network_passes is not None),
            weights=tuple(run.weights for run in runs if run.weights is not None),
            draws=tuple(run.draws for run in runs if run.draws is not None),
            annotated=tuple(run.annotated for run in runs if run.annotated is not None),
        )
