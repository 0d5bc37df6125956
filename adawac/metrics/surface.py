"""Exact distances between the surfaces of two masks, and what is formed from them."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, find_objects
from scipy.spatial import KDTree
from torch import Tensor

from adawac.errors import ConfigError, DataError
from adawac.metrics.empty import EmptyPolicy, empty_rule
from adawac.metrics.overlap import AnyArray, label_array
from adawac.types import IGNORE_INDEX

HD95 = Literal["pooled", "max"]
"""`pooled`: 95th percentile over both directions together (medpy); `max`: the larger directed one (MONAI)."""

TOLERANCE = 2.0
"""Of the surface Dice, in mm (in voxels where the spacing is unknown)."""

Metric = Callable[[NDArray[np.float64], NDArray[np.float64]], np.floating | float]
"""Of the distances in either direction."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distance of every surface voxel of one mask to the nearest surface voxel of the other.

    Where both masks hold voxels but ignored ones hide the whole surface of one of them, nobody knows where it ends:
    every metric is undefined, NaN under each policy, and the case is left out of the means.

    Attributes:
        pred_to_target: (n,) float64, one a surface voxel of the prediction; inf where the target has none.
        target_to_pred: (m,) float64, one a surface voxel of the target; inf where the prediction has none.
        diagonal: longest diagonal of the volume, in the same unit.
        unit: "mm", or "voxel" where the spacing is unknown; belongs in the name of every metric.
        empty: whether the prediction and whether the target holds no voxel that counts.

    Example:
        >>> pred, target = np.zeros((1, 1, 9), bool), np.zeros((1, 1, 9), bool)
        >>> pred[0, 0, 2], target[0, 0, 5] = True, True
        >>> distances = surface_distances(pred, target, spacing=(5.0, 1.0, 0.5))
        >>> distances.hd95("pooled"), distances.surface_dice(tolerance=2.0), distances.unit
        (1.5, 1.0, 'mm')
        >>> surface_distances(pred, target & False).hd() == (1 + 1 + 81) ** 0.5  # missed: the diagonal
        True
    """

    pred_to_target: NDArray[np.float64]
    target_to_pred: NDArray[np.float64]
    diagonal: float
    unit: Literal["mm", "voxel"]
    empty: tuple[bool, bool]

    def hd95(self, definition: HD95 = "pooled", policy: EmptyPolicy = "penalise") -> float:
        """95th percentile of the Hausdorff distance, by one of the two definitions in use.

        Args:
            definition: "pooled" (medpy, hence the paper) or "max" (MONAI, DeepMind).
            policy: what empty masks are worth.

        Raises:
            ConfigError: if the definition is neither.
        """
        if check_definition(definition) == "pooled":
            return self._distance(lambda a, b: np.percentile(np.concatenate([a, b]), 95), policy)
        return self._distance(lambda a, b: max(np.percentile(a, 95), np.percentile(b, 95)), policy)

    def hd(self, policy: EmptyPolicy = "penalise") -> float:
        """Hausdorff distance: the largest distance in either direction."""
        return self._distance(lambda a, b: max(a.max(), b.max()), policy)

    def assd(self, policy: EmptyPolicy = "penalise") -> float:
        """Average symmetric surface distance: the mean over both directions pooled (medpy, MONAI)."""
        return self._distance(lambda a, b: np.concatenate([a, b]).mean(), policy)

    def surface_dice(self, tolerance: float = TOLERANCE, policy: EmptyPolicy = "penalise") -> float:
        """Normalised surface Dice: share of both surfaces that lies within a tolerance of the other one, 0 to 1.

        Args:
            tolerance: in `unit`, 0 or more; a distance equal to it but for rounding lies within.
            policy: what empty masks are worth: what they are worth in Dice.

        Raises:
            ConfigError: if the tolerance is negative or no number.

        References:
            Nikolov et al. (2021), J. Med. Internet Res. 23(7):e26151. Their code weighs elements of a surface drawn
            between the voxels by area; here every surface voxel counts once, as MONAI does unless told otherwise. A
            tolerance below a voxel is strict so: of organs of two patients of OpenKBP (2.5 x 4.4 x 4.4 mm) 0.16 lies
            within 2 mm, 0.24 with areas; were the voxels 1 x 0.8 x 0.8 mm, 0.54 and 0.59.
        """
        check_tolerance(tolerance)
        rule, limit = empty_rule(policy), tolerance * (1 + 1e-9)
        return self._value(
            lambda a, b: (np.count_nonzero(a <= limit) + np.count_nonzero(b <= limit)) / (a.size + b.size),
            both_empty=rule.both_overlap,
            one_empty=rule.one_overlap,
        )

    def _distance(self, metric: Metric, policy: EmptyPolicy) -> float:
        rule = empty_rule(policy)
        return self._value(metric, rule.both_distance, rule.one_distance * self.diagonal)

    def _value(self, metric: Metric, both_empty: float, one_empty: float) -> float:
        if any(self.empty):
            return both_empty if all(self.empty) else one_empty
        if self.pred_to_target.size == 0 or self.target_to_pred.size == 0:
            return math.nan
        return float(metric(self.pred_to_target, self.target_to_pred))


def check_definition(definition: HD95) -> HD95:
    """Refuse what is no definition of HD95.

    Raises:
        ConfigError: if it is neither "pooled" nor "max".
    """
    if definition not in ("pooled", "max"):
        raise ConfigError(f"HD95 definition {definition!r} is unknown; choose 'pooled' or 'max'")
    return definition


def check_tolerance(tolerance: float) -> float:
    """Refuse what is no tolerance of a surface Dice.

    Raises:
        ConfigError: if it is negative, infinite or NaN.
    """
    if isinstance(tolerance, str) or not 0 <= tolerance < math.inf:
        raise ConfigError(f"surface Dice: the tolerance is {tolerance!r}; give a distance of 0 or more, such as 2")
    return tolerance


def surface_distances(
    pred: ArrayLike, target: ArrayLike, spacing: ArrayLike | None = None, ignored: ArrayLike | None = None
) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks, once, for all the metrics formed from them.

    A nearest-neighbour tree over the surface voxels gives the same distances as a distance transform of the
    volume; its cost does not grow with the empty space that one stray voxel puts into the bounding box. And the voxels
    may lie on any grid, such as one that a tilted gantry has sheared.

    Args:
        pred: (Z, Y, X) mask, or of any other number of axes.
        target: mask of the same shape.
        spacing: size of a voxel in mm along each axis, in array order; or, for axes that are not at right angles,
            (3, 3) steps as of `voxel_steps`; None measures in voxels.
        ignored: mask of the same shape, voxels of which nobody knows what they are: they belong to neither mask,
            and where a mask meets them it has no surface; see `surface_voxels`. None for none.

    Raises:
        DataError: if the shapes differ or the spacing does not fit.

    Example:
        >>> pred, target = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
        >>> pred[0, 2:], target[0, 4:] = True, True
        >>> unknown = np.arange(9)[None] >= 6  # both run into it: that is no agreement
        >>> surface_distances(pred, target, ignored=unknown).target_to_pred.tolist()
        [0.0, 0.0]
        >>> steps = [[1.0, 0.0], [0.5, 2.0]]  # columns (1, 0.5) and (0, 2)
        >>> pred, target = np.diag([True, False]), np.diag([False, True])
        >>> surface_distances(pred, target, steps).hd() == (1 + 2.5**2) ** 0.5
        True
    """
    labels = np.asarray(target, dtype=bool).astype(np.uint8)
    if ignored is not None:
        if np.shape(ignored) != labels.shape:
            raise DataError(f"ignored has shape {np.shape(ignored)} but target has {labels.shape}; mark every voxel")
        labels[np.asarray(ignored, dtype=bool)] = IGNORE_INDEX
    return next(class_distances(np.asarray(pred, dtype=bool), labels, [1], spacing))


def class_distances(
    preds: AnyArray,
    target: AnyArray,
    classes: Sequence[int],
    spacing: AnyArray | None = None,
    ignore_index: int | None = IGNORE_INDEX,
) -> Iterator[SurfaceDistances]:
    """Distances between the surfaces of each class of a volume, from which every surface metric follows.

    Args:
        preds: (Z, Y, X) class indices.
        target: (Z, Y, X) class indices or `ignore_index`.
        classes: indices of those to measure.
        spacing: as of `surface_distances`; None measures in voxels.
        ignore_index: value of the target along whose voxels no surface runs; None for none.

    Raises:
        DataError: if the shapes differ, the spacing does not fit, or a volume is not of integers.

    Example:
        >>> labels = np.array([[[0, 1, 2]]])
        >>> [distances.hd() for distances in class_distances(labels, labels, classes=[1, 2])]
        [0.0, 0.0]
    """
    preds, target = label_array(preds, "preds"), label_array(target, "target")
    spacing = spacing.detach().cpu().numpy() if isinstance(spacing, Tensor) else spacing
    steps = None if spacing is None else voxel_steps(spacing, target.ndim)
    if preds.shape != target.shape:
        raise DataError(
            f"preds have shape {preds.shape} but target has {target.shape}; predict on the grid of the label"
        )
    ignored = None if ignore_index is None else target == ignore_index
    ignored = ignored if ignored is not None and ignored.any() else None
    mm = np.eye(target.ndim) if steps is None else steps
    corners = np.array(list(itertools.product((-1, 1), repeat=target.ndim))) * target.shape
    diagonal = float(np.linalg.norm(corners @ mm.T, axis=1).max())
    whole = tuple(slice(0, length) for length in target.shape)  # of the background, which boxes are not found of
    boxes = [
        [whole, *find_objects(np.asarray(labels, np.uint8 if labels.dtype == bool else labels.dtype))]
        for labels in (preds, target)
    ]
    for k in classes:
        (ours, no_pred), (theirs, no_target) = (
            _surface_in(labels, k, of_it[k] if k < len(of_it) else None, ignored)
            for labels, of_it in zip((preds, target), boxes, strict=True)
        )
        yield SurfaceDistances(
            pred_to_target=_nearest(ours @ mm.T, theirs @ mm.T),
            target_to_pred=_nearest(theirs @ mm.T, ours @ mm.T),
            diagonal=diagonal,
            unit="voxel" if steps is None else "mm",
            empty=(no_pred, no_target),
        )


def _surface_in(
    labels: NDArray[np.generic], k: int, box: tuple[slice, ...] | None, ignored: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], bool]:
    """Surface voxels of a class that lies in a box, and whether no voxel of it counts."""
    if box is None:
        return np.empty((0, labels.ndim), dtype=np.int64), True
    box = tuple(slice(max(0, axis.start - 1), axis.stop + 1) for axis in box)  # with what is ignored beside it
    mask, unknown = labels[box] == k, None if ignored is None else ignored[box]
    mask = mask if unknown is None else mask & ~unknown
    return surface_voxels(mask, unknown) + np.array([axis.start for axis in box], np.int64), not mask.any()


def voxel_steps(spacing: ArrayLike, axes: int = 3) -> NDArray[np.float64]:
    """Steps from one voxel to the next as columns, of a spacing or of such steps themselves.

    Args:
        spacing: (axes,) size of a voxel along each axis in mm; or (axes, axes), whose column j leads in mm from a voxel
            to the next along array axis j, in any right-angled frame; or the (axes + 1, axes + 1) affine of an array
            whose axis j is that of its column j.
        axes: number of axes of the array.

    Returns:
        (axes, axes) float64; its determinant is, but for the sign, the volume of a voxel.

    Raises:
        DataError: if the spacing is no such array of finite numbers, or a voxel has no volume.

    Example:
        >>> voxel_steps((5.0, 2.0), axes=2).tolist()
        [[5.0, 0.0], [0.0, 2.0]]
        >>> voxel_steps([[0.0, 2.0, -30.0], [5.0, 0.0, 12.0], [0.0, 0.0, 1.0]], axes=2).tolist()  # an affine
        [[0.0, 2.0], [5.0, 0.0]]
    """
    try:
        size = np.asarray(spacing, dtype=np.float64)
    except (TypeError, ValueError):  # no numbers: said below
        size = np.empty(0)
    if size.shape == (axes + 1, axes + 1) and (size[-1] == np.eye(axes + 1)[-1]).all():
        size = size[:-1, :-1]
    steps = np.diag(size) if size.shape == (axes,) and (size > 0).all() else size
    if steps.shape != (axes, axes) or not np.isfinite(steps).all() or not abs(np.linalg.det(steps)) > 0:
        raise DataError(
            f"spacing {spacing!r} must be {axes} positive numbers (mm, in array order), or as many steps in as many "
            "columns, or an affine; correct the header, or pass None to measure in voxels"
        )
    return steps


def surface_voxels(mask: NDArray[np.bool_], ignored: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Positions of a mask's voxels with a face neighbour that is known to lie outside of it.

    Beyond the volume is outside. An ignored neighbour says nothing: no surface runs along a region nobody labelled.

    Args:
        mask: (Z, Y, X) bool, or of any other number of axes; without ignored voxels.
        ignored: mask of the same shape; None for none.

    Returns:
        (n, number of axes) int64, in the order of the array.

    Example:
        >>> len(surface_voxels(np.ones((3, 3, 3), bool)))  # all but the centre
        26
        >>> mask = np.array([False, True, True, False])
        >>> surface_voxels(mask, ignored=np.array([False, False, False, True])).tolist()
        [[1]]
    """
    filled = mask if ignored is None else mask | ignored
    return np.argwhere(mask & ~binary_erosion(filled, border_value=0))


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(others) == 0:
        return np.full(len(points), np.inf)
    # Points of a lattice need no balancing: the plain tree is built faster and queried as fast.
    tree = KDTree(others, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(points)[0], dtype=np.float64)
