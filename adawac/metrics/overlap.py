"""Voxel counts per slice and class, and the overlap metrics that any group of slices yields from them."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from adawac.errors import ConfigError, DataError
from adawac.metrics.empty import EmptyPolicy, empty_rule
from adawac.types import IGNORE_INDEX

AnyArray: TypeAlias = ArrayLike | Tensor
"""An array, nested sequences of numbers, or a tensor on any device."""


@dataclass(frozen=True)
class OverlapCounts:
    """Voxels of each class; metrics are formed from counts, so they can be added first over any slices.

    Attributes:
        true_positive: (..., K) int64, voxels predicted as the class that are the class.
        predicted: (..., K) int64, voxels predicted as the class.
        reference: (..., K) int64, voxels of the class in the target.

    Example:
        >>> preds, target = np.array([[[0, 1, 1]], [[0, 1, 0]]]), np.array([[[0, 1, 0]], [[0, 0, 0]]])
        >>> counts = slice_counts(preds, target, num_classes=2)
        >>> counts.dense
        array([ True, False])
        >>> counts.total().dice()[1].item()  # 2 * 1 / (3 + 1)
        0.5
        >>> counts.take(counts.dense).total().precision()[1].item()
        0.5
    """

    true_positive: NDArray[np.int64]
    predicted: NDArray[np.int64]
    reference: NDArray[np.int64]

    def take(self, slices: NDArray[np.bool_]) -> "OverlapCounts":
        """Counts of a group of slices, chosen by an (S,) mask."""
        return OverlapCounts(self.true_positive[slices], self.predicted[slices], self.reference[slices])

    def total(self) -> "OverlapCounts":
        """Sum over slices, (S, K) to (K,)."""
        return OverlapCounts(self.true_positive.sum(axis=0), self.predicted.sum(axis=0), self.reference.sum(axis=0))

    @property
    def dense(self) -> NDArray[np.bool_]:
        """(...) True where the target holds any foreground voxel (label-dense)."""
        return np.asarray(self.reference[..., 1:].any(axis=-1))

    @property
    def sparse(self) -> NDArray[np.bool_]:
        """(...) True where the target holds background alone (label-sparse)."""
        return self.labelled & ~self.dense

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(...) True where any voxel counts; a wholly ignored slice is neither label-dense nor label-sparse."""
        return np.asarray(self.reference.any(axis=-1))

    @property
    def missed(self) -> NDArray[np.bool_]:
        """(..., K) True where the class is in the target and nowhere predicted."""
        return np.asarray((self.reference > 0) & (self.predicted == 0))

    @property
    def false_alarm(self) -> NDArray[np.bool_]:
        """(..., K) True where the class is predicted and nowhere in the target."""
        return np.asarray((self.reference == 0) & (self.predicted > 0))

    def where_labelled(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """(..., K) values, NaN where no voxel counts: nothing is known there, whatever the policy."""
        return np.where(self.labelled[..., None], values, np.nan)

    def dice(self, policy: EmptyPolicy = "penalise") -> NDArray[np.float64]:
        """(..., K) Dice, 2 TP / (predicted + reference), 0 to 1."""
        return self._ratio(2 * self.true_positive, self.predicted + self.reference, policy)

    def iou(self, policy: EmptyPolicy = "penalise") -> NDArray[np.float64]:
        """(..., K) intersection over union, 0 to 1."""
        return self._ratio(self.true_positive, self.predicted + self.reference - self.true_positive, policy)

    def recall(self, policy: EmptyPolicy = "penalise") -> NDArray[np.float64]:
        """(..., K) share of the target's voxels that is found, 0 to 1."""
        return self._ratio(self.true_positive, self.reference, policy)

    def precision(self, policy: EmptyPolicy = "penalise") -> NDArray[np.float64]:
        """(..., K) share of the predicted voxels that is right, 0 to 1."""
        return self._ratio(self.true_positive, self.predicted, policy)

    def volume_error(self, policy: EmptyPolicy = "penalise") -> NDArray[np.float64]:
        """(..., K) signed relative error, (predicted - reference) / reference, from -1 (missed).

        Undefined, hence NaN, for a false alarm under every policy; 0 where both are empty unless the policy
        leaves such cases out.
        """
        error = (self.predicted - self.reference) / np.maximum(self.reference, 1)
        both_empty = 0.0 * empty_rule(policy).both_overlap  # NaN stays NaN
        return np.where(self.reference > 0, error, np.where(self.predicted > 0, np.nan, both_empty))

    def _ratio(self, part: NDArray[np.int64], whole: NDArray[np.int64], policy: EmptyPolicy) -> NDArray[np.float64]:
        rule = empty_rule(policy)
        no_pred, no_reference = self.predicted == 0, self.reference == 0
        return np.select(
            [no_pred & no_reference, no_pred | no_reference],
            [rule.both_overlap, rule.one_overlap],
            default=part / np.maximum(whole, 1),
        )


def check_num_classes(num_classes: int) -> int:
    """Refuse what is no number of classes.

    Raises:
        ConfigError: if it is not a whole number.
    """
    if not isinstance(num_classes, int | np.integer) or num_classes < 1:
        raise ConfigError(f"num_classes is {num_classes!r}; give a whole number, background included, such as 2")
    return num_classes


def slice_counts(
    preds: AnyArray, target: AnyArray, num_classes: int, ignore_index: int | None = IGNORE_INDEX
) -> OverlapCounts:
    """Count true positives, predicted and reference voxels of every slice and class in one pass.

    Args:
        preds: (S, H, W) integers in [0, num_classes).
        target: (S, H, W) integers in [0, num_classes), or `ignore_index`.
        num_classes: K, background included.
        ignore_index: target value whose voxels are left out of every count; None for none.

    Returns:
        Counts of shape (S, K).

    Raises:
        DataError: if the shapes differ, a volume is not of integers, or a value lies outside the classes.

    Example:
        >>> preds, target = np.array([[[0, 1], [2, 2]]]), np.array([[[0, 1], [1, 255]]])
        >>> counts = slice_counts(preds, target, num_classes=3)
        >>> counts.true_positive.tolist(), counts.predicted.tolist(), counts.reference.tolist()
        ([[1, 1, 0]], [[1, 1, 1]], [[1, 2, 0]])
    """
    preds, target = label_array(preds, "preds"), label_array(target, "target")
    if preds.shape != target.shape:
        raise DataError(
            f"preds have shape {preds.shape} but target has {target.shape}; predict on the grid of the label"
        )
    if target.ndim != 3:
        raise DataError(
            f"preds and target have shape {target.shape}, but class indices of a case have (slices, H, W); leave out "
            "the axis of a single channel ([:, 0] of a batch), or take the argmax over the channels of masks"
        )
    check_num_classes(num_classes)
    confusion = np.empty((len(target), num_classes, num_classes), dtype=np.int64)
    for row, (pred, reference) in enumerate(zip(preds, target, strict=True)):  # a slice fits the cache, a volume not
        if ignore_index is not None and not (kept := reference != ignore_index).all():
            pred, reference = pred[kept], reference[kept]
        _check_values(pred, num_classes, f"preds, slice {row}")
        _check_values(reference, num_classes, f"target, slice {row}")
        joint = reference.astype(np.intp) * num_classes + pred.astype(np.intp)
        confusion[row] = np.bincount(joint.ravel(), minlength=num_classes**2).reshape(num_classes, num_classes)
    return OverlapCounts(
        true_positive=confusion.diagonal(axis1=1, axis2=2).copy(),
        predicted=confusion.sum(axis=1),
        reference=confusion.sum(axis=2),
    )


def label_array(labels: AnyArray, name: str) -> NDArray[np.generic]:
    """A label volume as a NumPy array, from wherever it lies.

    Args:
        labels: integers, as an array or as a tensor on any device.
        name: what the volume is called in the error.

    Raises:
        DataError: if the values are not integers.

    Example:
        >>> import torch
        >>> label_array(torch.tensor([0, 2]), "preds").tolist()
        [0, 2]
    """
    array = numpy_array(labels)
    if array.dtype.kind not in "iub":
        raise DataError(
            f"{name} have dtype {array.dtype}, but class indices are integers; take the argmax of the logits, "
            "or .long() of what are indices already"
        )
    return array


def numpy_array(given: AnyArray) -> NDArray[Any]:
    """On the host, in NumPy; bfloat16, which NumPy lacks, as float32."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() and given.dtype != torch.float64 else given
        return np.asarray(given.numpy())
    return np.asarray(given)


def _check_values(values: NDArray[np.generic], num_classes: int, name: str) -> None:
    if values.size == 0:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= num_classes:
        found = low if low < 0 else high
        ignored = f", or give ignore_index={found} to leave it out" if name.startswith("target") else ""
        raise DataError(
            f"{name}: class indices must be 0 to {num_classes - 1}, found {found}; list this class (num_classes "
            f"counts the background, too){ignored}"
        )
