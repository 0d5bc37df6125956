"""The case table: one tidy row per (run, method, case, class, group of slices, metric)."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from adawac.errors import ConfigError, DataError, in_case
from adawac.metrics import (
    TOLERANCE,
    EmptyPolicy,
    OverlapCounts,
    SurfaceDistances,
    class_distances,
    slice_counts,
    voxel_steps,
)
from adawac.metrics.overlap import label_array
from adawac.types import IGNORE_INDEX

ANY_CLASS = "<any>"
"""Class of the rows that look at all foreground classes together."""

VOXEL_VOLUME = "voxel_mm3"
"""Metric of the rows that say how large a voxel of the case is."""


TRAINING_UNITS = "training_units"
"""Metric of the rows that say how many slices or patches that the run was trained on hold the class."""

COUNTS = (
    "predicted_voxels", "reference_voxels", "false_positive_voxels", "false_positive_slices", "slices", TRAINING_UNITS,
    VOXEL_VOLUME,
)  # fmt: skip
"""Metrics that are 0 or more, beside distances and shares."""

POSITION_METRICS = ("dice", "recall", "precision", "predicted_voxels", "reference_voxels")
"""What is measured along the volume: every further metric would add a row a class and stretch to each case."""

Metric = Callable[[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64] | None], float]
"""A class as predicted and as it is, (S, H, W) each, and (3, 3) mm between voxels or None, to a number."""


class CaseRow(NamedTuple):
    """One number of one case.

    Attributes:
        run: name of the run that predicted.
        method: name of the method, the same over its seeds.
        case: id of the volume.
        patient: whom the volume shows.
        class_name: name of the class as in the data, or `ANY_CLASS`; the column is called "class".
        group: slices on the native grid: "all", "dense" (label-dense), "sparse" (label-sparse) or "ignored" (no voxel
            of the slice counts); or a group of slices or of cases that `adawac.evaluation.group_rows` adds.
        metric: name of the metric, with the unit where it has one: "dice", "hd95_mm".
        value: NaN where it is undefined or left out.
        policy: what empty masks are worth, see `adawac.metrics.EmptyRule`.
        checkpoint_hash: of the checkpoint that predicted, see `adawac.runs.provenance`; this and the next two are ""
            where it is not known.
        config_hash: of the run's config.yaml.
        data_hash: of the case's files on disk, images first, then labels.
        subset: what the run was trained on, where the table is of several runs; "" where it is not known.
        predicted_with: settings of the prediction, see `adawac.evaluation.predicted_with`; "" where they are not known.
    """

    run: str
    method: str
    case: str
    patient: str
    class_name: str
    group: str
    metric: str
    value: float
    policy: EmptyPolicy
    checkpoint_hash: str = ""
    config_hash: str = ""
    data_hash: str = ""
    subset: str = ""
    predicted_with: str = ""


class MadeBy(NamedTuple):
    """Who made a prediction: known before it is measured, so that its rows are born with it.

    Attributes:
        run: name of the run; this and the next three as in `CaseRow`.
        method: name of the method.
        checkpoint_hash: of the checkpoint that predicts, if one does.
        config_hash: of the run's configuration, if there is one.
        units: class -> slices or patches that it was trained on and that hold the class; None where not known.
        predicted_with: settings of the prediction, as in `CaseRow`.
    """

    run: str = ""
    method: str = ""
    checkpoint_hash: str = ""
    config_hash: str = ""
    units: Mapping[str, int] | None = None
    predicted_with: str = ""


NOBODY = MadeBy()
"""Nothing is known of who predicted."""


def position_groups(count: int = 5) -> tuple[str, ...]:
    """Names of equal stretches of the volume, from its first slice to its last.

    Example:
        >>> position_groups(2)
        ('position 1 of 2', 'position 2 of 2')
    """
    return tuple(f"position {i} of {count}" for i in range(1, count + 1))


def check_metric(name: str, metric: Metric) -> None:
    """Refuse, before anything is measured, a metric of somebody's own that cannot be called as it will be.

    Raises:
        ConfigError: naming it.
    """
    due = "give a function of a class's prediction, its reference and the steps in mm"
    if not callable(metric):
        raise ConfigError(f"metric {name!r} is a {type(metric).__name__}; {due}")
    try:
        signature(metric).bind(None, None, None)
    except TypeError as error:
        raise ConfigError(f"metric {name!r} cannot be called with three arguments ({error}); {due}") from None
    except ValueError:  # one in C, which does not say
        return


def _number(name: str, value: object) -> float:
    """The number that a metric of somebody's own gives; NaN where it says that there is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        said = " ".join(repr(value).split())[:60]
        raise ConfigError(f"metric {name!r} gives {said} for a class; give a number, NaN where there is none") from None


def case_rows(
    case: str,
    patient: str,
    preds: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    spacing: ArrayLike | None,
    class_names: Sequence[str],
    policy: EmptyPolicy = "penalise",
    surface: bool = True,
    *,
    made_by: MadeBy = NOBODY,
    data_hash: str = "",
    positions: int = 5,
    ignore_index: int | None = IGNORE_INDEX,
    tolerances: Sequence[float] = (TOLERANCE,),
    metrics: Mapping[str, Metric] | None = None,
) -> list[CaseRow]:
    """Everything that is measured of one predicted volume, as finished rows.

    - In "all" and "dense", of every foreground class: dice, iou, recall, precision, volume_error, missed and
      false_alarm (0 or 1), all NaN where the volume has no such slice, or none with a voxel that counts;
      predicted_voxels, reference_voxels.
    - In "all", of every foreground class: hd95 (pooled), hd95_max, hd and assd, ending in _mm or _voxel, and the
      surface Dice of each tolerance, named like nsd_2mm or nsd_2voxel. No surface runs along ignored voxels; NaN
      where they hide the whole surface of an organ that is there in both volumes.
    - In "sparse", where Dice says nothing: false_positive_voxels and false_positive_slices, of every
      foreground class and of any of them.
    - In each group: slices, their number; those of "dense", "sparse" and "ignored" add up to "all". In "all", where the
      spacing is known: voxel_mm3, the volume of a voxel.
    - In each of `position_groups`, the stretches of the volume that slice centres lie in: dice, recall, precision,
      predicted_voxels and reference_voxels of every foreground class. A stretch does not count its wholly ignored
      slices; where it has no others, all is NaN.

    Args:
        case: id of the volume.
        patient: whom it shows.
        preds: (S, H, W) class indices on the native grid, slices first.
        target: (S, H, W) class indices or `ignore_index`.
        spacing: of the voxels in mm, in the order of the array, or (3, 3) steps of a grid whose axes are not at right
            angles, see `adawac.metrics.voxel_steps`; None if unknown.
        class_names: K names, background first.
        policy: what empty masks are worth.
        surface: whether to measure surface distances too.
        made_by: who predicted.
        data_hash: of the case's files, "" where not known.
        positions: number of stretches, at least 1; 5 are fifths.
        ignore_index: target value that is left out of every metric; None for none.
        tolerances: of the surface Dice, in mm (in voxels if the spacing is unknown).
        metrics: further ones by name, measured of every foreground class in "all"; ignored voxels belong to neither
            mask.

    Raises:
        ConfigError: if a tolerance is negative, there are no stretches, or a further metric has the name of another.
        DataError: naming the case, if preds, target, spacing or class names do not fit.

    Example:
        >>> preds, target = np.array([[[1, 1]], [[0, 1]]]), np.array([[[1, 1]], [[0, 0]]])
        >>> rows = case_rows("ct_7", "p3", preds, target, None, ["background", "liver"], surface=False)
        >>> [(row.group, row.value) for row in rows if row.metric == "dice" and not row.group.startswith("position")]
        [('all', 0.8), ('dense', 1.0)]
        >>> [(row.class_name, row.value) for row in rows if row.metric == "false_positive_slices"]
        [('liver', 1.0), ('<any>', 1.0)]
    """
    if ANY_CLASS in class_names or len(set(class_names)) < len(class_names):
        raise DataError(
            f"case {case}: class names must differ from each other and from {ANY_CLASS!r}, "
            f"found {list(class_names)}; rename the class"
        )
    if positions < 1:
        raise ConfigError(f"position groups: count is {positions}; give at least 1 stretch")
    run, method, checkpoint, config, _, predicted = made_by
    hashes = checkpoint, config, data_hash

    def rows(group: str, names: Sequence[str], metrics: Mapping[str, ArrayLike]) -> list[CaseRow]:
        return [
            CaseRow(run, method, case, patient, name, group, metric, value, policy, *hashes, predicted_with=predicted)
            for metric, values in metrics.items()
            for name, value in zip(names, np.asarray(values, dtype=np.float64).tolist(), strict=True)
        ]

    foreground = class_names[1:]
    with in_case(case):
        steps = None if spacing is None else voxel_steps(spacing)
        preds, target = label_array(preds, "preds"), label_array(target, "target")
        counts = slice_counts(preds, target, len(class_names), ignore_index)
        table = rows("all", foreground, _overlap_values(counts, policy))
        if surface:
            found = list(class_distances(preds, target, range(1, len(class_names)), steps, ignore_index))
            distances = _surface(found, "voxel" if steps is None else "mm", policy, tolerances)
            seen = counts.labelled.any()
            table += rows("all", foreground, {name: np.where(seen, all_, np.nan) for name, all_ in distances.items()})
        counted = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
        taken = {row.metric for row in table}
        for name, metric in (metrics or {}).items():
            if name in taken:
                raise ConfigError(f"metric {name!r} is one of the case table's own; rename the function")
            pairs = (((preds == k) & counted, (target == k) & counted) for k in range(1, len(class_names)))
            table += rows("all", foreground, {name: [_number(name, metric(*pair, steps)) for pair in pairs]})
    dense, sparse = counts.dense, counts.sparse
    table += rows("dense", foreground, _overlap_values(counts.take(dense), policy))
    false_positives = counts.take(sparse).predicted[:, 1:]
    table += rows("sparse", foreground, _false_positives(false_positives))
    table += rows("sparse", [ANY_CLASS], _false_positives(false_positives.sum(axis=1, keepdims=True)))
    groups = {"all": np.ones_like(dense), "dense": dense, "sparse": sparse, "ignored": ~counts.labelled}
    for group, slices in groups.items():
        table += rows(group, [ANY_CLASS], {"slices": [slices.sum()]})
    if steps is not None:
        first, second, third = steps.T
        table += rows("all", [ANY_CLASS], {VOXEL_VOLUME: [abs(np.cross(first, second) @ third)]})
    stretch = (2 * np.arange(len(dense)) + 1) * positions // max(2 * len(dense), 1)
    for number, group in enumerate(position_groups(positions)):
        inside = counts.labelled & (stretch == number)
        measured = _overlap_values(counts.take(inside), policy)
        table += rows(group, [ANY_CLASS], {"slices": [inside.sum()]})
        table += rows(group, foreground, {metric: measured[metric] for metric in POSITION_METRICS})
    return table


def is_share(metric: str) -> bool:
    """Whether a metric runs from 0, the worst, to 1, the best, by its name in the case table."""
    return metric in ("dice", "iou", "recall", "precision") or metric.startswith("nsd_")


def limits(metric: str) -> tuple[float, float]:
    """Between which numbers a metric lies, by its name in the case table.

    Example:
        >>> limits("dice"), limits("hd95_mm"), limits("volume_error")
        ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    if is_share(metric) or metric in ("missed", "false_alarm"):
        return 0.0, 1.0
    return (0.0 if metric in COUNTS or is_distance(metric) else -np.inf), np.inf


def is_distance(metric: str) -> bool:
    """Whether a metric is a distance between surfaces, by its name in the case table."""
    return metric.removesuffix("_mm").removesuffix("_voxel") in ("hd95", "hd95_max", "hd", "assd")


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better, by its name in the case table.

    Args:
        metric: name in the case table.

    Raises:
        ConfigError: if neither more nor less of it is better, as of a signed error, or its name is unknown.

    Example:
        >>> higher_is_better("dice"), higher_is_better("nsd_2mm"), higher_is_better("hd95_mm")
        (True, True, False)
    """
    if is_share(metric):
        return True
    counts = ("missed", "false_alarm", "false_positive_voxels", "false_positive_slices")
    if metric in counts or is_distance(metric):
        return False
    raise ConfigError(
        f"metric {metric!r}: neither more nor less of it is better; choose one with a direction, as dice or hd95_mm"
    )


def _overlap_values(counts: OverlapCounts, policy: EmptyPolicy) -> dict[str, ArrayLike]:
    """Metrics of the foreground classes over a group of slices; NaN where no voxel of the group counts.

    Args:
        counts: (S, K) of the slices in the group.
        policy: what empty masks are worth.

    Returns:
        Name of the metric -> (K - 1,) its values.
    """
    total = counts.total()
    metrics = {
        "dice": total.dice(policy),
        "iou": total.iou(policy),
        "recall": total.recall(policy),
        "precision": total.precision(policy),
        "volume_error": total.volume_error(policy),
        "missed": total.missed,
        "false_alarm": total.false_alarm,
    }
    return {
        **{name: total.where_labelled(values)[1:] for name, values in metrics.items()},
        "predicted_voxels": total.predicted[1:],
        "reference_voxels": total.reference[1:],
    }


def _surface(
    distances: Sequence[SurfaceDistances], unit: str, policy: EmptyPolicy, tolerances: Sequence[float]
) -> dict[str, ArrayLike]:
    """Surface distances and surface Dice of each foreground class."""
    return {
        f"hd95_{unit}": [each.hd95("pooled", policy) for each in distances],
        f"hd95_max_{unit}": [each.hd95("max", policy) for each in distances],
        f"hd_{unit}": [each.hd(policy) for each in distances],
        f"assd_{unit}": [each.assd(policy) for each in distances],
        **{f"nsd_{t:g}{unit}": [each.surface_dice(t, policy) for each in distances] for t in tolerances},
    }


def _false_positives(voxels: NDArray[np.int64]) -> dict[str, ArrayLike]:
    """Voxels and slices predicted as foreground, from voxels (label-sparse slices, classes)."""
    return {"false_positive_voxels": voxels.sum(axis=0), "false_positive_slices": (voxels > 0).sum(axis=0)}
