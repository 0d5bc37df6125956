"""The case table: one tidy row per (run, method, case, class, group of slices, metric), as CSV."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from adawac.errors import ConfigError, DataError
from adawac.metrics import EMPTY_RULES, EmptyPolicy, OverlapCounts, slice_counts, surface_distances
from adawac.metrics.overlap import label_array
from adawac.structures import IGNORE_INDEX

ANY_CLASS = "<any>"
"""Class of the rows that look at all foreground classes together."""

COLUMNS = ("run", "method", "case", "patient", "class", "group", "metric", "value", "policy")


class CaseRow(NamedTuple):
    """One number of one case.

    Attributes:
        run: name of the run that predicted.
        method: name of the method, the same over its seeds.
        case: id of the volume.
        patient: whom the volume shows.
        class_name: name of the class as in the data, or `ANY_CLASS`; the column is called "class".
        group: slices on the native grid: "all", "dense" (label-dense) or "sparse" (the others); or a group of
            slices or of cases that `adawac.evaluation.groups` adds.
        metric: name of the metric, with the unit where it has one: "dice", "hd95_mm".
        value: NaN where it is undefined or left out.
        policy: what empty masks are worth, see `adawac.metrics.EmptyRule`.
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


def case_rows(
    case: str,
    patient: str,
    preds: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    spacing: Sequence[float] | None,
    class_names: Sequence[str],
    policy: EmptyPolicy = "penalise",
    surface: bool = True,
    *,
    run: str = "",
    method: str = "",
    ignore_index: int | None = IGNORE_INDEX,
) -> list[CaseRow]:
    """Everything that is measured of one predicted volume.

    - In "all" and "dense", of every foreground class: dice, iou, recall, precision, volume_error, missed and
      false_alarm (0 or 1), all NaN where the volume has no such slice; predicted_voxels, reference_voxels.
    - In "all", of every foreground class: hd95 (pooled), hd95_max, hd and assd, ending in _mm or _voxel.
    - In "sparse", where Dice says nothing: false_positive_voxels and false_positive_slices, of every
      foreground class and of any of them.
    - In each group: slices, their number.

    Args:
        case: id of the volume.
        patient: whom it shows.
        preds: (S, H, W) class indices on the native grid, slices first.
        target: (S, H, W) class indices or `ignore_index`.
        spacing: of the voxels in mm, in the order of the array; None if unknown.
        class_names: K names, background first.
        policy: what empty masks are worth.
        surface: whether to measure surface distances too.
        run: name of the run.
        method: name of the method.
        ignore_index: target value that is left out of every metric; None for none.

    Raises:
        DataError: naming the case, if preds, target, spacing or class names do not fit.

    Example:
        >>> preds, target = np.array([[[1, 1]], [[0, 1]]]), np.array([[[1, 1]], [[0, 0]]])
        >>> rows = case_rows("ct_7", "p3", preds, target, None, ["background", "liver"], surface=False)
        >>> {(row.group, row.metric): row.value for row in rows if row.metric == "dice"}
        {('all', 'dice'): 0.8, ('dense', 'dice'): 1.0}
        >>> [(row.class_name, row.value) for row in rows if row.metric == "false_positive_slices"]
        [('liver', 1.0), ('<any>', 1.0)]
    """
    if ANY_CLASS in class_names or len(set(class_names)) < len(class_names):
        raise DataError(
            f"case {case}: class names must differ from each other and from {ANY_CLASS!r}, "
            f"found {list(class_names)}; rename the class"
        )

    def rows(group: str, names: Sequence[str], metrics: Mapping[str, ArrayLike]) -> list[CaseRow]:
        return [
            CaseRow(run, method, case, patient, name, group, metric, value, policy)
            for metric, values in metrics.items()
            for name, value in zip(names, np.asarray(values, dtype=np.float64).tolist(), strict=True)
        ]

    foreground = class_names[1:]
    try:
        preds, target = label_array(preds, "preds"), label_array(target, "target")
        counts = slice_counts(preds, target, len(class_names), ignore_index)
        table = rows("all", foreground, overlap_values(counts, policy))
        if surface:
            kept = True if ignore_index is None else target != ignore_index
            masks = [((preds == k) & kept, (target == k) & kept) for k in range(1, len(class_names))]
            table += rows("all", foreground, _surface(masks, spacing, policy))
    except DataError as error:
        raise DataError(f"case {case}: {error}") from None
    dense = counts.dense
    table += rows("dense", foreground, overlap_values(counts.take(dense), policy))
    false_positives = counts.take(~dense).predicted[:, 1:]
    table += rows("sparse", foreground, _false_positives(false_positives))
    table += rows("sparse", [ANY_CLASS], _false_positives(false_positives.sum(axis=1, keepdims=True)))
    for group, slices in {"all": len(dense), "dense": dense.sum(), "sparse": (~dense).sum()}.items():
        table += rows(group, [ANY_CLASS], {"slices": [slices]})
    return table


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better, by its name in the case table.

    Args:
        metric: name in the case table.

    Raises:
        ConfigError: if neither more nor less of it is better, as of a signed error, or its name is unknown.

    Example:
        >>> higher_is_better("dice"), higher_is_better("hd95_mm")
        (True, False)
    """
    if metric in ("dice", "iou", "recall", "precision"):
        return True
    counts = ("missed", "false_alarm", "false_positive_voxels", "false_positive_slices")
    if metric in counts or metric.removesuffix("_mm").removesuffix("_voxel") in ("hd95", "hd95_max", "hd", "assd"):
        return False
    raise ConfigError(
        f"metric {metric!r}: neither more nor less of it is better; choose one with a direction, as dice or hd95_mm"
    )


def overlap_values(counts: OverlapCounts, policy: EmptyPolicy) -> dict[str, ArrayLike]:
    """Metrics of the foreground classes over a group of slices; NaN where the group has no slice.

    Args:
        counts: (S, K) of the slices in the group.
        policy: what empty masks are worth.

    Returns:
        Name of the metric -> (K - 1,) its values.
    """
    total, no_slices = counts.total(), len(counts.predicted) == 0
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
        **{name: np.where(no_slices, np.nan, values[1:]) for name, values in metrics.items()},
        "predicted_voxels": total.predicted[1:],
        "reference_voxels": total.reference[1:],
    }


def _surface(
    masks: Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    spacing: Sequence[float] | None,
    policy: EmptyPolicy,
) -> dict[str, ArrayLike]:
    """Surface distances of each pair of masks (prediction, reference)."""
    distances = [surface_distances(pred, target, spacing) for pred, target in masks]
    unit = "voxel" if spacing is None else "mm"
    return {
        f"hd95_{unit}": [each.hd95("pooled", policy) for each in distances],
        f"hd95_max_{unit}": [each.hd95("max", policy) for each in distances],
        f"hd_{unit}": [each.hd(policy) for each in distances],
        f"assd_{unit}": [each.assd(policy) for each in distances],
    }


def _false_positives(voxels: NDArray[np.int64]) -> dict[str, ArrayLike]:
    """Voxels and slices predicted as foreground, from voxels (label-sparse slices, classes)."""
    return {"false_positive_voxels": voxels.sum(axis=0), "false_positive_slices": (voxels > 0).sum(axis=0)}


def write_csv(path: Path, rows: Iterable[CaseRow]) -> None:
    """Write a case table whole or not at all; `read_csv` gives back the same rows to the last bit.

    Args:
        path: the file, replaced if it is there.
        rows: of any number of cases, methods and runs.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> row = CaseRow("run_0", "erm", "ct_7", "p3", 'kidney, "left"', "all", "dice", 1 / 3, "penalise")
        >>> with TemporaryDirectory() as folder:
        ...     write_csv(Path(folder) / "cases.csv", [row])
        ...     read_csv(Path(folder) / "cases.csv") == [row]
        True
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            # Names are quoted whatever is in them; floats are written in their shortest exact form.
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_csv(path: Path) -> list[CaseRow]:
    """Read a case table that `write_csv` wrote; see there for an example.

    Args:
        path: the file.

    Raises:
        DataError: if the file is missing or is no case table, naming the line.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if (header := tuple(next(reader, ()))) != COLUMNS:
                raise DataError(f"{path}: a case table has the columns {COLUMNS}, found {header}; {_REMEDY}")
            return [_parse(fields, f"{path}, line {reader.line_num}") for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not readable as a case table ({error}); {_REMEDY}") from error


_REMEDY = "write the table anew with `adawac.evaluation.write_csv`"


def _parse(fields: list[str], place: str) -> CaseRow:
    if len(fields) != len(COLUMNS):
        raise DataError(f"{place}: {len(fields)} fields where {len(COLUMNS)} are due; {_REMEDY}")
    run, method, case, patient, class_name, group, metric, text, policy = fields
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{place}: the value must be a number, found {text!r}; {_REMEDY}") from None
    if policy not in EMPTY_RULES:
        raise DataError(f"{place}: the policy must be one of {', '.join(EMPTY_RULES)}, found {policy!r}; {_REMEDY}")
    return CaseRow(run, method, case, patient, class_name, group, metric, value, cast(EmptyPolicy, policy))
