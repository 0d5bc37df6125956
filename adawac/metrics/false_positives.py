"""What is found on slices that hold nothing: there, Dice says nothing."""

from typing import Any

import torch
from torch import Tensor

from adawac.metrics.dice import CountMetric, alarms
from adawac.metrics.overlap import AnyArray, slice_counts
from adawac.types import IGNORE_INDEX


class FalsePositiveSlices(CountMetric):
    """Share of label-sparse slices on which any foreground is predicted: there, Dice says nothing.

    Over all slices of all cases that have a voxel that counts and no foreground in the target; each slice counts once.

    Args:
        num_classes: K, background included.
        ignore_index: value of the target that is left out; None for none.
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> share = FalsePositiveSlices(num_classes=2)
        >>> share.update(torch.tensor([[[0, 1]], [[0, 0]]]), torch.tensor([[[0, 0]], [[0, 0]]]), case="ct_7")
        >>> share.compute()
        tensor(0.5000)
    """

    higher_is_better = False

    def __init__(self, num_classes: int, *, ignore_index: int | None = IGNORE_INDEX, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def compute(self) -> Tensor:
        """() float32, 0 to 1; NaN where there are no label-sparse slices."""
        found = self._cases()
        slices = sum(case.target[-1] for case in found)
        return self._scalar(sum(case.values[-1] for case in found) / slices if slices else float("nan"))


def false_positive_slices(
    preds: AnyArray, target: AnyArray, num_classes: int, *, ignore_index: int | None = IGNORE_INDEX
) -> Tensor:
    """Share of the label-sparse slices of a volume on which any foreground is predicted.

    Args:
        preds: (Z, Y, X) class indices, slices first.
        target: (Z, Y, X) class indices or `ignore_index`.
        num_classes: K, background included.
        ignore_index: value of the target that is left out; None for none.

    Returns:
        () float32, 0 to 1; NaN where the volume has no such slices.

    Raises:
        DataError: if the shapes differ, or these are no class indices.

    Example:
        >>> false_positive_slices([[[1, 1]], [[0, 1]], [[0, 0]]], [[[1, 1]], [[0, 0]], [[0, 0]]], num_classes=2)
        tensor(0.5000)
    """
    counts = slice_counts(preds, target, num_classes, ignore_index)
    sparse = counts.sparse.sum()
    return torch.tensor(alarms(counts).sum() / sparse if sparse else float("nan"), dtype=torch.float32)
