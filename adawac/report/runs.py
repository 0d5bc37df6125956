"""What goes into a report: runs of methods, each with its case table and what is known of its making."""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from adawac.data.sampling.draw_summary import DrawSummary
from adawac.errors import DataError, some_of, together
from adawac.evaluation import ANY_CLASS, MEAN_OF_CLASSES, TRAINING_UNITS, CaseRow
from adawac.evaluation.predictions import Predict
from adawac.evaluation.summary import predicted_how
from adawac.runs.config_diff import changed
from adawac.runs.folder import RunFolder
from adawac.runs.resume import settings_of
from adawac.runs.slice_weights import SliceWeights

log = logging.getLogger(__name__)

OF_A_METHOD = (
    "model.network", "model.weighting", "model.supervised", "model.consistency", "model.augmentation", "model.teacher",
    "model.optimizer", "model.schedule", "model.dice_ratio", "model.init_from", "data.subset", "data.sampling",
    "data.size", "data.spacing", "data.patch", "data.neighbours", "data.batch_size", "data.unlabelled",
    "trainer.max_epochs", "trainer.max_steps", "trainer.accumulate_grad_batches", "trainer.limit_train_batches",
)  # fmt: skip
"""Settings that are the same in all seeds of a method, with what lies within them."""


@dataclass(frozen=True)
class MethodRun:
    """One run of a method, or one folder of predictions, and what was measured of it.

    Attributes:
        method: its name, the same over seeds.
        subset: what it was trained on, such as "full" or "sparse_mix"; "" where nothing is known.
        name: of the run, no other has it.
        rows: its case table, in which run, method and subset are as above.
        images_seen: training slices drawn, repetitions counted; None where not recorded.
        network_passes: images seen, times views; None where not recorded.
        weights: of the training slices at the end, where the method has such.
        suspects: label-sparse slices that stayed hard, as CASE:SLICE, the hardest first; None where not recorded.
        made: how it came to be, in words: where it lies, versions, device.
        axis: direction along which its case table cuts the volumes into slices; "" where not recorded.
        unit: what it was trained on, such as "slice" or "patch"; "" where not recorded.
        training: names of the cases it was trained on; empty where not recorded.
        seen: names of test cases that it, or one of an ensemble, was trained on; as far as `training` does not say it.
        chosen: names of cases that its checkpoint, or one of an ensemble, was chosen on; empty where not recorded.
        related: test cases that seem to be of patients of whom it was trained on another case.
        draws: how often its training slices were drawn; None where not recorded.
        annotated: training slices with a label, and without any; None where not recorded.
        doubts: what was warned of when it was read with the others, for whoever reads the report.
        pass_of: settings that say what a network pass costs; empty where not known.
        predict: predicts a case anew, to draw it; None where nothing is there to predict with.
    """

    method: str
    subset: str
    name: str
    rows: Sequence[CaseRow] = field(repr=False)
    images_seen: int | None = None
    network_passes: int | None = None
    weights: SliceWeights | None = None
    suspects: tuple[str, ...] | None = None
    made: Mapping[str, str] = field(default_factory=dict)
    axis: str = ""
    unit: str = ""
    training: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    draws: DrawSummary | None = None
    annotated: tuple[int, int] | None = None
    doubts: tuple[str, ...] = ()
    pass_of: Mapping[str, str] = field(default_factory=dict, repr=False)
    predict: Predict | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Let the rows, whose names may be those of another report or of none, say whose they are in this one."""
        rows = [row._replace(run=self.name, method=self.method, subset=self.subset) for row in self.rows]
        object.__setattr__(self, "rows", rows)

    @property
    def cases(self) -> set[str]:
        """Ids of its test cases."""
        return {row.case for row in self.rows}

    @property
    def organs(self) -> set[str]:
        """Classes that were measured."""
        return {row.class_name for row in self.rows} - {ANY_CLASS}

    @property
    def checkpoint(self) -> str:
        """Hash of the checkpoint that predicted; "" where it is not known."""
        return self.rows[0].checkpoint_hash if self.rows else ""

    @property
    def numbers(self) -> dict[str, frozenset[tuple[str, str, str, str]]]:
        """Case -> all that was measured of its prediction, to tell whether two are the same."""
        found = together(
            (row.case, (row.class_name, row.group, row.metric, f"{row.value:.9g}"))
            for row in self.rows
            if row.metric != TRAINING_UNITS
        )
        return {case: frozenset(numbers) for case, numbers in found.items()}

    @property
    def best_dice(self) -> float:
        """Dice of the class that is found best, the mean over the cases that hold it; NaN where that is not known.

        Example:
            >>> row = CaseRow("0", "erm", "a", "a", "liver", "all", "dice", 0.9, "penalise")
            >>> MethodRun("erm", "", "0", [row, row._replace(metric="reference_voxels", value=8.0)]).best_dice
            0.9
        """
        whole = {(row.class_name, row.case, row.metric): row.value for row in self.rows if row.group == "all"}
        dice = together(
            (name, value)
            for (name, case, metric), value in whole.items()
            if metric == "dice" and whole.get((name, case, "reference_voxels"), 0) > 0
        )
        return max((fmean(values) for values in dice.values()), default=math.nan)


def on_shared_cases(
    runs: Sequence[MethodRun], references: Iterable[str] = ()
) -> tuple[list[MethodRun], tuple[str, ...]]:
    """The runs on the cases that all of them have, and the names of the others, each with the run that lacks it.

    Args:
        runs: with their case tables.
        references: test cases that there are, whether any run has them or not.

    Raises:
        DataError: if no case is in all of them.

    Example:
        >>> row = CaseRow("0", "erm", "a", "a", "liver", "all", "dice", 0.9, "skip")
        >>> more = [row, row._replace(case="b")]
        >>> runs = [MethodRun("erm", "", "0", [row]), MethodRun("pair", "", "1", more)]
        >>> kept, left_out = on_shared_cases(runs, ["a", "b", "c"])
        >>> [len(run.rows) for run in kept], left_out
        ([1, 1], ('case b: not in 0', 'case c: not in 0, 1'))
    """
    shared = set.intersection(*(run.cases for run in runs))
    if not shared:
        raise DataError("no case is in all runs; evaluate all methods on the same cases")
    left_out = [
        f"case {case}: not in {', '.join(run.name for run in runs if case not in run.cases)}"
        for case in sorted(set(references).union(*(run.cases for run in runs)) - shared)
    ]
    kept = [replace(run, rows=[row for row in run.rows if row.case in shared]) for run in runs]
    return kept, tuple(left_out)


def nouns(runs: Sequence[MethodRun]) -> tuple[str, str]:
    """What runs were trained on, singular and plural: slices, unless all that say so say something else.

    Example:
        >>> nouns([MethodRun("erm", "", "0", [], unit="patch")]), nouns([MethodRun("erm", "", "0", [])])
        (('patch', 'patches'), ('slice', 'slices'))
    """
    return ("patch", "patches") if {run.unit for run in runs if run.unit} == {"patch"} else ("slice", "slices")


def predicted_unlike(runs: Sequence[MethodRun]) -> str:
    """That predictions were not made alike, where case tables say so; empty where they were, or nothing is known."""
    rows = together((run.method, row) for run in runs for row in run.rows)
    alike = len({row.predicted_with for run in runs for row in run.rows} - {""}) < 2
    return "" if alike else f"Predictions were not made alike: {predicted_how(rows)}."


def warn_of_other_files(rows: Iterable[CaseRow]) -> list[str]:
    """Warn of cases whose files changed between two tests, what their labels were then is not known; what was said."""
    files = {(row.case, row.data_hash) for row in rows if row.checkpoint_hash and row.data_hash}
    if others := [case for case, hashes in Counter(case for case, _ in files).items() if hashes > 1]:
        said = (
            f"{some_of(sorted(others))}: image or label was another file when one run was tested than when another "
            "was; test all runs again"
        )
        log.warning(said)
        return [said]
    return []


def unlike(runs: Sequence[MethodRun]) -> tuple[str, ...]:
    """What keeps methods from being compared fairly beside compute: other training cases, other ways to predict.

    Example:
        >>> one = MethodRun("erm", "", "0", [], training=("a",))
        >>> unlike([one, replace(one, method="pair", name="1", training=("a", "b"))])
        ('Methods were not trained on the same cases: erm on 1, pair on 2.',)
    """
    doubts = dict.fromkeys(f"{doubt}." for run in runs for doubt in run.doubts)
    return tuple(filter(None, (_trained_unlike(runs), predicted_unlike(runs), _same_under_two_names(runs), *doubts)))


def _trained_unlike(runs: Sequence[MethodRun]) -> str:
    """Whose training cases differ on any training subset; seeds and folds may differ where those of all methods do."""
    for here in together((run.subset, run) for run in runs if run.training).values():
        methods = together((run.method, frozenset(run.training)) for run in here)
        if len(set(map(frozenset, methods.values()))) > 1:
            said = (
                f"{method} on {' or '.join(map(str, sorted(set(map(len, sets)))))}" for method, sets in methods.items()
            )
            return f"Methods were not trained on the same cases: {', '.join(said)}."
    return ""


def check_seeds(runs: Sequence[MethodRun]) -> list[str]:
    """Refuse runs of one method, which count as its seeds, that have one seed; say where they differ in more than it.

    Two trainings of the same settings, seed and data are one training done twice, which would say that seeds hardly
    differ. So do predictions that are measured alike in every number, unless they are known to be of two checkpoints.

    Returns:
        What was said of those that differ in more.

    Raises:
        DataError: naming them.
    """
    told: list[str] = []
    first: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
    twice: dict[tuple[str, str, str], list[str]] = {}
    for run in runs:
        place = Path(run.made.get("from", ""))
        if not (place.is_dir() and (config := RunFolder(place).config)):
            continue
        settings = settings_of(config)
        if "seed_everything" in settings:
            made_of = json.dumps([settings, RunFolder(place).record.get("data")], sort_keys=True)
            twice.setdefault((run.method, run.subset, made_of), []).append(run.name)
        name, before = first.setdefault((run.method, run.subset), (run.name, config))
        found = {key: values for key, values in changed(before, config, ...).items() if key.startswith(OF_A_METHOD)}
        if said := "; ".join(f"{key} {was}, {now}" for key, (was, now) in found.items() if ... not in (was, now)):
            told.append(
                f"{name} and {run.name} count as seeds of {run.method}, but their settings differ ({said}); "
                "METHOD=PATH tells them apart"
            )
            log.warning(told[-1])
    if problems := [
        f"runs {', '.join(names)} of {method}: trained with the same settings, seed and data, so they are one training "
        f"done {len(names)} times and not {len(names)} seeds; give one, or train with another --seed_everything"
        for (method, _, _), names in twice.items()
        if len(names) > 1
    ] + _same_predictions(runs):
        raise DataError.from_problems(problems)
    return told


def _same_predictions(runs: Sequence[MethodRun]) -> list[str]:
    """A line for runs of one method whose predictions are the same in all cases that both have."""
    return [
        f"runs {one.name}, {other.name} of {one.method}: every number of every case is the same, so they are "
        "the same predictions and not 2 seeds; give one of them"
        for one, other in _measured_alike(runs)
        if one.method == other.method and not (one.checkpoint and other.checkpoint)
    ]


def _measured_alike(runs: Sequence[MethodRun]) -> list[tuple[MethodRun, MethodRun]]:
    """Pairs on one subset whose numbers are the same in all cases that both have; not those of two checkpoints."""
    pairs = [
        (one, other)
        for one, other in combinations(runs, 2)
        if one.subset == other.subset
        and one.name != other.name  # one that is given twice is told so
        and (not (one.checkpoint and other.checkpoint) or one.checkpoint == other.checkpoint)
    ]
    numbers = {run.name: run.numbers for pair in pairs for run in pair}

    def alike(mine: Mapping[str, object], theirs: Mapping[str, object]) -> bool:
        shared = mine.keys() & theirs.keys()
        return bool(shared) and all(mine[case] == theirs[case] for case in shared)

    return [(one, other) for one, other in pairs if alike(numbers[one.name], numbers[other.name])]


def _same_under_two_names(runs: Sequence[MethodRun]) -> str:
    """Methods that differ in nothing at all, which is no finding; empty where there are none."""
    pairs = dict.fromkeys(
        (one.method, other.method) for one, other in _measured_alike(runs) if one.method != other.method
    )
    said = some_of([f"{one} and {other}" for one, other in pairs])
    return f"The same predictions under two names, number for number: {said}." if pairs else ""


def check_runs(runs: Sequence[MethodRun]) -> None:
    """Refuse runs that cannot stand side by side, with all that differs in one error.

    Raises:
        DataError: a run without rows or without Dice, two runs of one name or of one checkpoint, other test cases,
            other organs, or other empty-mask policies.
    """
    problems = [f"run {run.name}: its case table is empty; test it again" for run in runs if not run.rows]
    problems += [
        f"run {run.name}: its case table has no Dice over all slices, the least of a report; write it with `case_rows`"
        for run in runs
        if run.rows and not any((row.metric, row.group) == ("dice", "all") for row in run.rows)
    ]
    problems += [
        f"run {name}: comes {times} times; give each run once, or rename its folder"
        for name, times in Counter(run.name for run in runs).items()
        if times > 1
    ]
    problems += [
        f"run {run.name}: its case table has rows of {some_of(none)}, which is no organ and "
        "counts in no mean; leave them out"
        for run in runs
        if (none := [name for name in run.organs if name.casefold() in ("background", MEAN_OF_CLASSES)])
    ]
    everybody = set().union(*(run.cases for run in runs))
    for run in runs:
        if run.rows and (missing := sorted(everybody - run.cases)):
            problems.append(
                f"run {run.name}: lacks case {some_of(missing)}, which another has; evaluate all on the same cases, "
                "or give --shared-cases to leave out the others"
            )
    # Of each subset, within which methods are compared.
    organs = together((run.subset, organ) for run in runs for organ in run.organs)
    checkpoints = together(((run.method, run.subset, run.checkpoint), run.name) for run in runs if run.checkpoint)
    problems += [
        f"run {run.name}: has no rows of {some_of(missing)}, which another has, so that means are of other organs; "
        "measure all with the same classes, or keep them apart by METHOD@SUBSET=PATH"
        for run in runs
        if run.rows and (missing := sorted({*organs.get(run.subset, ())} - run.organs))
    ]
    problems += [
        f"runs {', '.join(copies)} of {method}: the same checkpoint is one run, not {len(copies)} seeds; give it once"
        for (method, _, _), copies in checkpoints.items()
        if len(set(copies)) > 1
    ]
    policies = {row.policy for run in runs for row in run.rows}
    if len(policies) > 1:
        problems.append(
            f"the runs' empty-mask policies are {', '.join(sorted(policies))}; test all with the same --model.policy"
        )
    if problems:
        raise DataError.from_problems(problems)
