"""Dice of volumes that come whole, slice by slice or in batches; and by group."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adawac.errors import ConfigError, DataError, in_case
from adawac.metrics.cases import CaseMetric, Names, Record, RecordMetric, Reduction, Sample, chosen_classes, samples
from adawac.metrics.empty import EmptyPolicy
from adawac.metrics.overlap import AnyArray, OverlapCounts, slice_counts
from adawac.types import IGNORE_INDEX

Slices = Literal["all", "dense"]
"""Of which slices Dice is: of all of them, or of those whose target holds any foreground (label-dense)."""


class CountMetric(RecordMetric):
    """What is counted of a case: voxels of all and of the label-dense slices, and what is found on label-sparse ones.

    Metrics of one set of arguments have the same state, which a `torchmetrics.MetricCollection` keeps once.
    """

    num_classes: int
    ignore_index: int | None

    def update(
        self,
        preds: AnyArray,
        target: AnyArray,
        case: Names,
        *,
        patient: Names | None = None,
        slices: Sequence[int] | Tensor | None = None,
    ) -> None:
        """Count a volume, a part of one, or a batch.

        What is given of a case is added up. With `slices` each slice counts once, however often it is given and by
        whichever process. Without, processes that have the same case must have the same share of it, which counts once.

        Args:
            preds: (Z, Y, X) class indices of one case, slices first; or (B, Y, X) or (B, Z, Y, X), a sample each.
            target: class indices of the same shape, or `ignore_index`.
            case: id of the volume; for a batch one id a sample.
            patient: whom the case shows; None: each case another patient.
            slices: position of each slice in its volume: (Z,), or (B,) of a batch.

        Raises:
            DataError: if these do not fit together, or are no class indices.
        """
        self._count(samples(preds, target, case, patient, slices=slices))

    def _count(self, given: Iterable[Sample]) -> None:
        self._add([_counted(sample, self.num_classes, self.ignore_index) for sample in given])


def _counted(sample: Sample, num_classes: int, ignore_index: int | None) -> Record:
    with in_case(sample.case):
        counts = slice_counts(sample.preds, sample.target, num_classes, ignore_index)
    both = [counts.total(), counts.take(counts.dense).total()]
    target = np.append([of.reference for of in both], counts.sparse.sum())
    values = np.append([[of.true_positive, of.predicted] for of in both], alarms(counts).sum())
    return sample.record(target, values)


def alarms(counts: OverlapCounts) -> NDArray[np.bool_]:
    """(S,) label-sparse slices on which foreground is predicted."""
    return counts.sparse & counts.predicted[:, 1:].any(axis=1)


class VolumeDice(CountMetric, CaseMetric):
    """Dice of each class of each volume, and their mean.

    Voxels are counted, so a volume may come in any number of pieces: Dice is of the volume, never a mean over slices
    or batches. Each case counts once, also where a sampler gives it to two processes to make their shares equal.

    The mean of a class is over patients, that of a patient over its cases, and the mean is that of the classes. A class
    that no target holds is left out.

    Args:
        num_classes: K, background included.
        slices: "all"; or "dense", the slices whose target holds any foreground.
        classes: indices of those that are measured; None for all but background.
        policy: what empty masks are worth: "penalise", "skip" or "paper".
        ignore_index: value of the target that is left out; None for none.
        reduction: "mean" for one number, "classes" for one a class, "cases" for a dict of those by case.
        **kwargs: of `torchmetrics.Metric`.

    Raises:
        ConfigError: if an argument is none of those.

    Example:
        >>> import torch
        >>> dice = VolumeDice(num_classes=2)
        >>> dice.update(torch.tensor([[[1, 1]]]), torch.tensor([[[1, 0]]]), case="ct_7")  # first a slice,
        >>> dice.update(torch.tensor([[[1, 0]]]), torch.tensor([[[1, 0]]]), case="ct_7")  # then another
        >>> dice.compute()  # 2 * 2 / (3 + 2)
        tensor(0.8000)
        >>> labels = torch.tensor([[[1, 0]], [[0, 0]]])
        >>> dice.update(labels, labels, case=["ct_8", "ct_9"])  # a batch; ct_9 is empty: 1 by this policy
        >>> dice.compute()
        tensor(0.9333)
    """

    higher_is_better = True

    def __init__(
        self,
        num_classes: int,
        *,
        slices: Slices = "all",
        classes: Sequence[int] | None = None,
        policy: EmptyPolicy = "penalise",
        ignore_index: int | None = IGNORE_INDEX,
        reduction: Reduction = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_classes, classes=classes, policy=policy, ignore_index=ignore_index, reduction=reduction, **kwargs
        )
        self.slices = _checked(slices)

    def _values(self, record: Record) -> NDArray[np.float64]:
        return _dice(self._counts(record, self.slices), self.policy)[self.classes]

    def _held(self, record: Record) -> NDArray[np.bool_]:
        return np.asarray(self._counts(record, "all").reference[self.classes] > 0)

    def _counts(self, record: Record, slices: Slices) -> OverlapCounts:
        row = int(slices == "dense")
        reference = np.array(record.target[:-1], dtype=np.int64).reshape(2, -1)[row]
        true_positive, predicted = np.array(record.values[:-1], dtype=np.int64).reshape(2, 2, -1)[row]
        return OverlapCounts(true_positive, predicted, reference)


def volume_dice(
    preds: AnyArray,
    target: AnyArray,
    num_classes: int,
    *,
    slices: Slices = "all",
    classes: Sequence[int] | None = None,
    policy: EmptyPolicy = "penalise",
    ignore_index: int | None = IGNORE_INDEX,
) -> Tensor:
    """Dice of each class of a volume, of which `VolumeDice` forms the mean.

    Args:
        preds: (Z, Y, X) class indices, slices first.
        target: (Z, Y, X) class indices or `ignore_index`.
        num_classes: K, background included.
        slices: "all"; or "dense", the slices whose target holds any foreground.
        classes: indices of those that are measured; None for all but background.
        policy: what empty masks are worth.
        ignore_index: value of the target that is left out; None for none.

    Returns:
        (number of classes,) float32, 0 to 1; NaN where no voxel counts.

    Raises:
        ConfigError: if an argument is none of those.
        DataError: if the shapes differ, or these are no class indices.

    Example:
        >>> volume_dice([[[1, 1]], [[0, 1]]], [[[1, 0]], [[0, 0]]], num_classes=2)  # 2 * 1 / (3 + 1)
        tensor([0.5000])
        >>> volume_dice([[[1, 1]], [[0, 1]]], [[[1, 0]], [[0, 0]]], num_classes=2, slices="dense")
        tensor([0.6667])
    """
    counts = slice_counts(preds, target, num_classes, ignore_index)
    chosen = counts.take(counts.dense) if _checked(slices) == "dense" else counts
    values = _dice(chosen.total(), policy)[chosen_classes(num_classes, classes)]
    return torch.as_tensor(values, dtype=torch.float32)


def _checked(slices: Slices) -> Slices:
    if slices not in ("all", "dense"):
        raise ConfigError(f"slices {slices!r} is unknown; choose 'all' or 'dense'")
    return slices


def _dice(counts: OverlapCounts, policy: EmptyPolicy) -> NDArray[np.float64]:
    return counts.where_labelled(counts.dice(policy))


class GroupDice(VolumeDice):
    """Dice of each group of cases or of slices, such as sites or scanners: the mean of `VolumeDice` within the group.

    A group may hold whole cases, or some of their slices: then Dice is of the voxels of a case in that group. A class
    is left out where no target of any group holds it.

    Args:
        num_classes: K, background included.
        slices: "all"; or "dense", the slices whose target holds any foreground.
        classes: indices of those that are measured; None for all but background.
        policy: what empty masks are worth: "penalise", "skip" or "paper".
        ignore_index: value of the target that is left out; None for none.
        reduction: "mean" or "classes".
        **kwargs: of `torchmetrics.Metric`.

    Raises:
        ConfigError: if an argument is none of those.

    Example:
        >>> import torch
        >>> dice = GroupDice(num_classes=2)
        >>> target = torch.tensor([[[1, 1]]])
        >>> dice.update(target, target, case="ct_7", group="Aachen")
        >>> dice.update(torch.tensor([[[1, 0]]]), target, case="ct_8", group="Bonn")
        >>> {group: round(value.item(), 2) for group, value in dice.compute().items()}
        {'Aachen': 1.0, 'Bonn': 0.67}
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        if self.reduction == "cases":
            raise ConfigError("GroupDice: reduction 'cases' has no groups; choose 'mean' or 'classes', or VolumeDice")

    def update(  # type: ignore[override]  # one argument more
        self,
        preds: AnyArray,
        target: AnyArray,
        case: Names,
        group: Names,
        *,
        patient: Names | None = None,
        slices: Sequence[int] | Tensor | None = None,
    ) -> None:
        """Count a volume, a part of one, or a batch, as `VolumeDice` does.

        Args:
            preds: (Z, Y, X) class indices of one case, slices first; or (B, Y, X) or (B, Z, Y, X), a sample each.
            target: class indices of the same shape, or `ignore_index`.
            case: id of the volume; for a batch one id a sample.
            group: name or index of its group; or one a sample: of a batch, or of a volume given with `slices`.
            patient: whom the case shows; None: each case another patient.
            slices: position of each slice in its volume: (Z,), or (B,) of a batch.

        Raises:
            DataError: if these do not fit together, or are no class indices.
        """
        self._count(samples(preds, target, case, patient, group, slices))

    def compute(self) -> dict[str, Tensor]:
        """Group -> float32 (), or (number of classes,) by `reduction`; groups in order of their names.

        Raises:
            DataError: if the same piece of a case was given twice with another target.
        """
        cases = self._cases()
        lost = self._lost(cases)
        groups = sorted({case.group for case in cases})
        return {group: self._mean([case for case in cases if case.group == group], lost) for group in groups}


def group_dice(
    preds: Sequence[AnyArray], target: Sequence[AnyArray], group: Sequence[str | int], num_classes: int, **kwargs: Any
) -> dict[str, Tensor]:
    """Dice of each group of volumes.

    Args:
        preds: of each volume (Z, Y, X) class indices, slices first; their shapes may differ.
        target: of each volume class indices of the same shape, or `ignore_index`.
        group: of each volume the name or index of its group.
        num_classes: K, background included.
        **kwargs: of `GroupDice`.

    Returns:
        Group -> () float32, in order of their names.

    Raises:
        ConfigError: if an argument is none of those of `GroupDice`.
        DataError: if there are not as many of each, or what belongs together does not fit.

    Example:
        >>> group_dice([[[[1, 1]]], [[[1, 0]]]], [[[[1, 1]]], [[[1, 1]]]], ["Aachen", "Bonn"], num_classes=2)
        {'Aachen': tensor(1.), 'Bonn': tensor(0.6667)}
    """
    if not len(preds) == len(target) == len(group):
        raise DataError(f"{len(preds)} preds, {len(target)} targets and {len(group)} groups; give one of each a volume")
    metric = GroupDice(num_classes, sync_on_compute=False, **kwargs)
    for case, volume in enumerate(zip(preds, target, strict=True)):
        metric.update(*volume, case, group[case])
    return metric.compute()
