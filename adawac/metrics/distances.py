"""HD95, ASSD and surface Dice of volumes, each measured in the spacing of its own."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from adawac.errors import DataError, in_case
from adawac.metrics.cases import CaseMetric, Names, Record, is_one, samples
from adawac.metrics.overlap import AnyArray, slice_counts
from adawac.metrics.surface import (
    HD95,
    TOLERANCE,
    SurfaceDistances,
    check_definition,
    check_tolerance,
    class_distances,
)


class DistanceMetric(CaseMetric):
    """Base class: a number formed of the distances between the surfaces of each class, of whole volumes."""

    @abstractmethod
    def _measure(self, distances: SurfaceDistances) -> float:
        """The number of one class of one volume."""

    def update(
        self,
        preds: AnyArray,
        target: AnyArray,
        case: Names,
        spacing: AnyArray | None = None,
        *,
        patient: Names | None = None,
    ) -> None:
        """Measure a volume, or each of a batch.

        A case that is given again, by this process or another, counts once.

        Args:
            preds: (Z, Y, X) class indices of one case, or (B, Z, Y, X) of B of them.
            target: class indices of the same shape, or `ignore_index`.
            case: id of the volume; for a batch one id a sample.
            spacing: (3,) size of a voxel in mm in the order of the array; or (3, 3) steps or a (4, 4) affine, see
                `voxel_steps`; for a batch one a sample. None: distances are in voxels.
            patient: whom the case shows; None: each case another patient.

        Raises:
            DataError: if these do not fit together, are no class indices, or a part of a volume is given as the whole.
        """
        found = list(samples(preds, target, case, patient))
        spacings = [spacing] if spacing is None or is_one(case) else list(spacing)  # type: ignore[arg-type]
        if spacing is None:
            spacings *= len(found)
        if len(spacings) != len(found):
            raise DataError(f"spacing: {len(spacings)} given for {len(found)} volumes; give one for each of a batch")
        records = []
        for sample, given in zip(found, spacings, strict=True):
            with in_case(sample.case):
                reference, values = self._found(sample.preds, sample.target, given)
            records.append(sample._replace(piece=0).record(reference, values))  # once, whoever gives it
        self._add(records)

    def _found(
        self, preds: AnyArray, target: AnyArray, spacing: AnyArray | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Voxels of all K classes in the target of one volume, and the values of those that are measured."""
        counts = slice_counts(preds, target, self.num_classes, self.ignore_index).total()
        distances = class_distances(preds, target, self.classes, spacing, self.ignore_index)
        values = np.array([self._measure(each) for each in distances])
        return counts.reference, values if counts.labelled else np.full_like(values, np.nan)

    def of_volume(self, preds: AnyArray, target: AnyArray, spacing: AnyArray | None) -> Tensor:
        """(number of classes,) float32, the values of one volume; the state is not touched."""
        return self._tensor(self._found(preds, target, spacing)[1])

    def _values(self, record: Record) -> NDArray[np.float64]:
        return np.array(record.values, dtype=np.float64)

    def _held(self, record: Record) -> NDArray[np.bool_]:
        return np.asarray(np.array(record.target)[self.classes] > 0)


class VolumeHD95(DistanceMetric):
    """95th percentile of the Hausdorff distance of each class of each volume, and its mean as `VolumeDice` forms it.

    Args:
        num_classes: K, background included.
        definition: "pooled" (medpy, hence the paper) or "max" (MONAI, DeepMind).
        **kwargs: classes, policy, ignore_index and reduction as of `VolumeDice`; those of `torchmetrics.Metric`.

    Raises:
        ConfigError: if an argument is none of those.

    Example:
        >>> import torch
        >>> hd95 = VolumeHD95(num_classes=2)
        >>> hd95.update(torch.tensor([[[1, 0, 0]]]), torch.tensor([[[0, 0, 1]]]), "ct_7", spacing=(3.0, 1.0, 0.5))
        >>> hd95.compute()  # mm
        tensor(1.)
    """

    higher_is_better = False

    def __init__(self, num_classes: int, definition: HD95 = "pooled", **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        self.definition = check_definition(definition)

    def _measure(self, distances: SurfaceDistances) -> float:
        return distances.hd95(self.definition, self.policy)


class VolumeASSD(DistanceMetric):
    """Average symmetric surface distance of each class of each volume, and its mean as `VolumeDice` forms it.

    Args:
        num_classes: K, background included.
        **kwargs: classes, policy, ignore_index and reduction as of `VolumeDice`; those of `torchmetrics.Metric`.

    Raises:
        ConfigError: if an argument is none of those.

    Example:
        >>> import torch
        >>> assd = VolumeASSD(num_classes=2)
        >>> assd.update(torch.tensor([[[1, 0, 0]]]), torch.tensor([[[0, 0, 1]]]), "ct_7")
        >>> assd.compute()  # voxels
        tensor(2.)
    """

    higher_is_better = False

    def _measure(self, distances: SurfaceDistances) -> float:
        return distances.assd(self.policy)


class VolumeNSD(DistanceMetric):
    """Normalised surface Dice of each class of each volume, and its mean as `VolumeDice` forms it.

    Args:
        num_classes: K, background included.
        tolerance: in mm (in voxels where no spacing is given), 0 or more.
        **kwargs: classes, policy, ignore_index and reduction as of `VolumeDice`; those of `torchmetrics.Metric`.

    Raises:
        ConfigError: if an argument is none of those.

    Example:
        >>> import torch
        >>> nsd = VolumeNSD(num_classes=2, tolerance=1.0)
        >>> nsd.update(torch.tensor([[[1, 0, 1]]]), torch.tensor([[[0, 0, 1]]]), "ct_7", spacing=(3.0, 1.0, 1.0))
        >>> nsd.compute()  # 2 of 3 surface voxels
        tensor(0.6667)
    """

    higher_is_better = True

    def __init__(self, num_classes: int, tolerance: float = TOLERANCE, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        self.tolerance = check_tolerance(tolerance)

    def _measure(self, distances: SurfaceDistances) -> float:
        return distances.surface_dice(self.tolerance, self.policy)


def volume_hd95(
    preds: AnyArray,
    target: AnyArray,
    num_classes: int,
    spacing: AnyArray | None = None,
    *,
    definition: HD95 = "pooled",
    **kwargs: Any,
) -> Tensor:
    """95th percentile of the Hausdorff distance of each class of a volume.

    Args:
        preds: (Z, Y, X) class indices.
        target: (Z, Y, X) class indices or `ignore_index`.
        num_classes: K, background included.
        spacing: (3,) mm in the order of the array, or as of `voxel_steps`; None measures in voxels.
        definition: "pooled" (medpy, hence the paper) or "max" (MONAI, DeepMind).
        **kwargs: classes, policy and ignore_index as of `volume_dice`.

    Returns:
        (number of classes,) float32, 0 or more; NaN where it is undefined or the policy leaves it out.

    Raises:
        ConfigError: if an argument is none of those.
        DataError: if shapes or spacing do not fit, or these are no class indices.

    Example:
        >>> volume_hd95([[[1, 0, 0]]], [[[0, 0, 1]]], num_classes=2, spacing=(3.0, 1.0, 0.5))
        tensor([1.])
    """
    return VolumeHD95(num_classes, definition, **kwargs).of_volume(preds, target, spacing)


def volume_assd(
    preds: AnyArray, target: AnyArray, num_classes: int, spacing: AnyArray | None = None, **kwargs: Any
) -> Tensor:
    """Average symmetric surface distance of each class of a volume.

    Args:
        preds: (Z, Y, X) class indices.
        target: (Z, Y, X) class indices or `ignore_index`.
        num_classes: K, background included.
        spacing: (3,) mm in the order of the array, or as of `voxel_steps`; None measures in voxels.
        **kwargs: classes, policy and ignore_index as of `volume_dice`.

    Returns:
        (number of classes,) float32, 0 or more; NaN where it is undefined or the policy leaves it out.

    Raises:
        ConfigError: if an argument is none of those.
        DataError: if shapes or spacing do not fit, or these are no class indices.

    Example:
        >>> volume_assd([[[1, 0, 0]]], [[[0, 0, 1]]], num_classes=2)
        tensor([2.])
    """
    return VolumeASSD(num_classes, **kwargs).of_volume(preds, target, spacing)


def volume_nsd(
    preds: AnyArray,
    target: AnyArray,
    num_classes: int,
    spacing: AnyArray | None = None,
    *,
    tolerance: float = TOLERANCE,
    **kwargs: Any,
) -> Tensor:
    """Normalised surface Dice of each class of a volume.

    Args:
        preds: (Z, Y, X) class indices.
        target: (Z, Y, X) class indices or `ignore_index`.
        num_classes: K, background included.
        spacing: (3,) mm in the order of the array, or as of `voxel_steps`; None measures in voxels.
        tolerance: in mm (in voxels where no spacing is given), 0 or more.
        **kwargs: classes, policy and ignore_index as of `volume_dice`.

    Returns:
        (number of classes,) float32, 0 to 1; NaN where it is undefined or the policy leaves it out.

    Raises:
        ConfigError: if an argument is none of those.
        DataError: if shapes or spacing do not fit, or these are no class indices.

    Example:
        >>> volume_nsd([[[1, 0, 1]]], [[[0, 0, 1]]], num_classes=2, spacing=(3.0, 1.0, 1.0), tolerance=1.0)
        tensor([0.6667])
    """
    return VolumeNSD(num_classes, tolerance, **kwargs).of_volume(preds, target, spacing)
