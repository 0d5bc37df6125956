"""The training grid: a box of the native plane, resampled to a fixed size, and the way back.

Every case gets a `Placement`, an axis-aligned box in native pixels. Resizing a whole plane, cropping to the body and
resampling to a fixed spacing with crop and pad are all the same operation with another box. Interpolation along an axis
is one small matrix, so that the way there is two matrix products, for a label as for its image; and so is the way back
where native pixels are the coarser ones, while between finer ones it reads directly.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adawac.errors import ConfigError, DataError

BODY_MARGIN = 0.02
"""The body's box is widened by this share of its extent on each side."""

MIXED = 255
"""No class: that of a pixel is yet to be found."""

ROUNDING = 1e-5
"""Shares of pixels that differ by less, relative to the largest, are equal: float32 rounds them as it sums."""


@dataclass(frozen=True)
class Placement:
    """Where the training grid of one case lies in its native plane.

    Attributes:
        plane: (H, W) of the native plane.
        size: (h, w) of the training grid.
        box: (top, bottom, left, right) edges in native pixels; beyond the plane it is padded.

    Example:
        >>> place = Placement(plane=(4, 4), size=(2, 2), box=(0.0, 4.0, 0.0, 4.0))
        >>> place.to_grid(torch.arange(16.0).reshape(1, 1, 4, 4)).shape
        torch.Size([1, 1, 2, 2])
        >>> place.to_native(torch.ones(1, 1, 2, 2)).shape
        torch.Size([1, 1, 4, 4])
    """

    plane: tuple[int, int]
    size: tuple[int, int]
    box: tuple[float, float, float, float]

    def to_grid(self, image: Tensor) -> Tensor:
        """Resample an image (..., H, W) to (..., h, w), linear and antialiased; padding takes the image's minimum."""
        top, bottom, left, right = self.box
        rows = interpolation_matrix(self.plane[0], top, bottom, self.size[0])
        columns = interpolation_matrix(self.plane[1], left, right, self.size[1])
        floor = image.amin()
        return rows.to(image) @ (image - floor) @ columns.to(image).T + floor

    def label_to_grid(self, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample a label (..., H, W) to (..., h, w) by the weights that resample the image; padding is background.

        Each class, the ignored one included, has a share of every pixel of the grid. In each slice it takes as many
        pixels as its shares add up to, at least one, those of its largest shares: so it stays where it is in the image
        and keeps its area, where the mere majority would wear away what is thinner than a pixel of the grid. Equal
        shares are taken together or not at all, so that no side is preferred. What two classes take goes to the one of
        the larger share, of equal ones to the rarer; what none takes, to the largest share.

        Example:
            >>> place = Placement(plane=(1, 8), size=(1, 4), box=(0.0, 1.0, 0.0, 8.0))
            >>> place.label_to_grid(np.array([[0, 0, 2, 2, 2, 2, 0, 0]], dtype=np.uint8))
            array([[0, 2, 2, 0]], dtype=uint8)
        """
        top, bottom, left, right = self.box
        rows = interpolation_matrix(self.plane[0], top, bottom, self.size[0]).numpy()
        columns = interpolation_matrix(self.plane[1], left, right, self.size[1]).numpy()
        box = self.native_span(0, 0, self.size[0]), self.native_span(1, 0, self.size[1])
        planes = label.reshape(-1, *self.plane)
        reduced = np.stack([_reduce(plane, rows, columns, box) for plane in planes])
        inside = np.logical_and.outer(rows.any(axis=1), columns.any(axis=1))
        return (reduced * inside).reshape(*label.shape[:-2], *self.size)

    def native_span(self, axis: int, first: int, end: int) -> slice:
        """Native rows (axis 0) or columns (axis 1) whose centres lie in pixels `first` to `end` of the training grid.

        Example:
            >>> Placement(plane=(4, 4), size=(2, 2), box=(0.0, 4.0, -1.0, 5.0)).native_span(1, 1, 2)
            slice(2, 4, None)
        """
        low, high = self.box[2 * axis], self.box[2 * axis + 1]
        edges = [low + (high - low) * pixel / self.size[axis] - 0.5 for pixel in (first, end)]
        start, stop = (min(max(0, math.ceil(edge)), self.plane[axis]) for edge in edges)
        return slice(start, stop)

    def to_native(self, scores: Tensor) -> Tensor:
        """Resample scores (n, K, h, w) to (n, K, H, W), linear and antialiased; native pixels outside the box get 0."""
        top, bottom, left, right = self.box
        if self._finer:
            points, inside = self._points()
            points = points.to(scores).expand(len(scores), -1, -1, -1)
            return _read_between(scores, points).mul_(inside.to(scores.device))
        rows = _back(self.plane[0], top, bottom, self.size[0])
        columns = _back(self.plane[1], left, right, self.size[1])
        with torch.autocast(scores.device.type, enabled=False):
            return rows.to(scores) @ scores @ columns.to(scores).T

    def classes_to_native(self, scores: Tensor) -> NDArray[np.uint8]:
        """The class of the highest of `to_native(scores)`, the first of equals, without resampling most of them.

        A native pixel between pixels of one class is of that class, whose score is the highest wherever they are mixed.

        Args:
            scores: (n, K, h, w), K at most 255.

        Returns:
            (n, H, W) class indices; 0 outside of the box.

        Example:
            >>> place = Placement(plane=(1, 4), size=(1, 2), box=(0.0, 1.0, 0.0, 4.0))
            >>> place.classes_to_native(torch.tensor([[[[0.9, 0.0]], [[0.1, 1.0]]]]))
            array([[[0, 0, 1, 1]]], dtype=uint8)
        """
        if not self._finer:
            return _highest(self.to_native(scores))
        coarse = _highest(scores)
        padded = np.pad(coarse, ((0, 0), (0, 1), (0, 1)), mode="edge")
        coarse[(padded[:, 1:, :-1] != coarse) | (padded[:, :-1, 1:] != coarse) | (padded[:, 1:, 1:] != coarse)] = MIXED
        points, inside = self._points()
        x, y = points[0, :, 0], points[:, 0, 1]
        first = [
            (((at.float() + 1) * side - 1) / 2).clip(0, side - 1).int()
            for at, side in zip((y, x), self.size, strict=True)
        ]
        native: NDArray[np.uint8] = coarse.take(first[0].numpy(), 1).take(first[1].numpy(), 2) * inside.byte().numpy()
        for number, one in enumerate(native):
            mixed = one == MIXED
            if mixed.any():
                some = torch.from_numpy(points.numpy()[mixed])[None, None].to(scores)
                one[mixed] = _highest(_read_between(scores[number : number + 1], some))[0, 0]
        return native

    @property
    def _finer(self) -> bool:
        """Whether native pixels are at most as large as the grid's, so that nothing can be aliased on the way back."""
        top, bottom, left, right = self.box
        return bottom - top >= self.size[0] and right - left >= self.size[1]

    def _points(self) -> tuple[Tensor, Tensor]:
        """Centres (H, W, 2) of native pixels, x and y from -1 to 1 over the box, and which (H, W) lie in it."""
        top, bottom, left, right = self.box
        y = 2 * (torch.arange(self.plane[0], dtype=torch.float64) + 0.5 - top) / (bottom - top) - 1
        x = 2 * (torch.arange(self.plane[1], dtype=torch.float64) + 0.5 - left) / (right - left) - 1
        inside = (y[:, None].abs() <= 1) & (x.abs() <= 1)
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1), inside


@dataclass(frozen=True)
class Grid:
    """How volumes are brought to planes of one size.

    Args:
        size: (h, w) pixels of the training grid.
        spacing: (row, column) millimetres per pixel of the training grid, with crop and pad around the centre; None
            resizes the whole box, whatever its spacing.
        body: take the box around the body, not around the whole plane: small organs fill more pixels.

    Example:
        >>> image = np.zeros((1, 2, 8, 8), dtype=np.float32)
        >>> Grid(size=(4, 4)).place(image, None, "a").box
        (0.0, 8.0, 0.0, 8.0)
        >>> Grid(size=(4, 4), spacing=(1.0, 1.0)).place(image, (3.0, 2.0, 2.0), "a").box
        (3.0, 5.0, 3.0, 5.0)
    """

    size: tuple[int, int] = (224, 224)
    spacing: tuple[float, float] | None = None
    body: bool = False

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ConfigError(f"data.size is {self.size}; both sides must be at least 1 pixel")
        if self.spacing is not None and min(self.spacing) <= 0:
            raise ConfigError(f"data.spacing is {self.spacing}; give millimetres above 0, or null to resize")

    def place(self, image: NDArray[np.float32], spacing: tuple[float, float, float] | None, case: str) -> Placement:
        """Find the box of a case.

        Args:
            image: (C, S, H, W), intensities after windowing, so that air is the minimum.
            spacing: (slice, row, column) in mm, None where unknown.
            case: its id, for errors.

        Raises:
            DataError: if a fixed spacing is asked of a case whose own is unknown.
        """
        plane = (image.shape[2], image.shape[3])
        box = body_box(image) if self.body else (0.0, float(plane[0]), 0.0, float(plane[1]))
        if self.spacing is None:
            return Placement(plane, self.size, box)
        if spacing is None:
            raise DataError(
                f"case {case}: its layout records no spacing, so it cannot be brought to {self.spacing} mm; "
                "set data.spacing to null and give data.size"
            )
        edges: list[float] = []
        for axis in range(2):
            centre = (box[2 * axis] + box[2 * axis + 1]) / 2
            extent = self.size[axis] * self.spacing[axis] / spacing[1 + axis]
            edges += [centre - extent / 2, centre + extent / 2]
        return Placement(plane, self.size, (edges[0], edges[1], edges[2], edges[3]))


def body_box(image: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Box (top, bottom, left, right) around everything brighter than air, with a small margin.

    A row or column counts if in its fullest slice at least 2 % of it lie above a tenth of the image's range, so that
    noise and the edge of a table do not widen the box.

    Args:
        image: (C, S, H, W); air is the minimum.

    Example:
        >>> image = np.zeros((1, 1, 100, 100), dtype=np.float32)
        >>> image[:, :, 40:60, 20:70] = 1.0
        >>> body_box(image)
        (39.6, 60.4, 19.0, 71.0)
    """
    plane = image.shape[2:]
    low, high = float(image.min()), float(np.quantile(image[:, :, ::4, ::4], 0.99))
    mask = (image > low + 0.1 * (high - low)).any(axis=0)
    edges: list[float] = []
    for axis in range(2):
        filled = np.flatnonzero(mask.mean(axis=2 - axis).max(axis=0) >= 0.02)
        if filled.size == 0:
            return 0.0, float(plane[0]), 0.0, float(plane[1])
        first, last = float(filled[0]), float(filled[-1] + 1)
        margin = BODY_MARGIN * (last - first)
        edges += [max(0.0, first - margin), min(float(plane[axis]), last + margin)]
    return edges[0], edges[1], edges[2], edges[3]


def _read_between(scores: Tensor, points: Tensor) -> Tensor:
    """Linear interpolation of (n, K, h, w) at points (n, ..., 2); on a CPU faster than by matrices."""
    with torch.autocast(scores.device.type, enabled=False):
        return F.grid_sample(scores, points, padding_mode="border", align_corners=False)


def _highest(scores: Tensor) -> NDArray[np.uint8]:
    """The class (n, ...) of the highest of scores (n, K, ...), the first of equals."""
    # As argmax gives it, in a tenth of its time on a CPU.
    return scores.max(1).indices.to(torch.uint8).cpu().numpy()


@lru_cache(maxsize=256)
def interpolation_matrix(source: int, start: float, stop: float, target: int) -> Tensor:
    """Linear interpolation along one axis as a matrix.

    Pixel i of the target covers the i-th part of [start, stop] in source pixels. The triangle filter widens with the
    pixel where the target is coarser, so that nothing is aliased. Targets whose centre lies outside the source are 0.

    Args:
        source: pixels of the source.
        start: first edge of the target, in source pixels.
        stop: last edge of the target, in source pixels.
        target: pixels of the target.

    Returns:
        (target, source) float32.

    Example:
        >>> interpolation_matrix(2, 0.0, 2.0, 4)[1]
        tensor([0.7500, 0.2500])
    """
    step = (stop - start) / target
    centre = start + step * (torch.arange(target, dtype=torch.float64) + 0.5)
    pixel = torch.arange(source, dtype=torch.float64) + 0.5
    weight = (1 - (centre[:, None] - pixel).abs() / max(1.0, step)).clamp(min=0)
    inside = (centre >= 0) & (centre <= source)
    total = weight.sum(dim=1, keepdim=True)
    return (weight / torch.where(total > 0, total, torch.ones_like(total)) * inside[:, None]).float()


def _reduce(
    plane: NDArray[np.uint8], rows: NDArray[np.float32], columns: NDArray[np.float32], box: tuple[slice, slice]
) -> NDArray[np.uint8]:
    """A plane (H, W) of a label on the grid, by the matrices (h, H) and (w, W); classes are those in the box."""
    inside = plane[box] if plane[box].size else plane[_extent(rows, 0), _extent(columns, 0)]  # it is within a pixel
    counts = np.bincount(inside.ravel())
    *rarer, most = np.argsort(counts, kind="stable")[np.count_nonzero(counts == 0) :]
    reduced = np.full((len(rows), len(columns)), most, dtype=np.uint8)
    best, rest = np.zeros(reduced.shape, dtype=np.float32), np.ones(reduced.shape, dtype=np.float32)
    for index in rarer:
        mask: NDArray[np.bool_] = plane == index
        y, x = _extent(mask, 1), _extent(mask, 0)
        here = _extent(rows[:, y], 1), _extent(columns[:, x], 1)
        share = rows[here[0], y] @ mask[y, x].astype(np.float32) @ columns[here[1], x].T
        rest[here] -= share
        wins = share + 2 * (share >= _threshold(share))  # what a class takes comes before what it does not
        better = wins > best[here] + ROUNDING
        reduced[here][better], best[here][better] = index, wins[better]
    reduced[rest + (rest >= _threshold(rest)) > best - ROUNDING] = most
    return reduced


def _extent(values: NDArray[Any], across: int) -> slice:
    """From the first to the last row or column of a matrix that holds more than zeros."""
    found = np.flatnonzero(values.any(axis=across))
    return slice(found[0], found[-1] + 1)


def _threshold(share: NDArray[np.float32]) -> float:
    """Least share of the pixels that a class takes, whose number comes nearest to the sum of its shares."""
    values = np.sort(share, axis=None)
    first = np.flatnonzero(np.diff(values, prepend=-np.inf) > ROUNDING * values[-1])  # of each run of equal shares
    number = len(values) - first
    return float(values[first[np.abs(number - values.sum(dtype=np.float64)).argmin()]])


def _back(plane: int, start: float, stop: float, size: int) -> Tensor:
    """Matrix (plane, size) from the grid to the native plane."""
    scale = size / (stop - start)
    return interpolation_matrix(size, -start * scale, (plane - start) * scale, plane)
