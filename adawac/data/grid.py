"""The training grid: a box of the native plane, resampled to a fixed size, and the way back.

Every case gets a `Placement`, an axis-aligned box in native pixels. Resizing a whole plane, cropping to the body and
resampling to a fixed spacing with crop and pad are all the same operation with another box. Interpolation along an axis
is one small matrix, so that the way there is two matrix products; and so is the way back where native pixels are the
coarser ones, while between finer ones it reads directly.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adawac.errors import ConfigError, DataError

BODY_MARGIN = 0.02
"""The body's box is widened by this share of its extent on each side."""


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
        """Resample a label (..., H, W) to (..., h, w) by its nearest pixel; padding is background."""
        top, bottom, left, right = self.box
        rows, row_inside = nearest_index(self.plane[0], top, bottom, self.size[0])
        columns, column_inside = nearest_index(self.plane[1], left, right, self.size[1])
        return label[..., rows[:, None], columns] * (row_inside[:, None] & column_inside)

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
        if bottom - top >= self.size[0] and right - left >= self.size[1]:  # nothing can be aliased
            return self._read_between(scores)
        rows = _back(self.plane[0], top, bottom, self.size[0])
        columns = _back(self.plane[1], left, right, self.size[1])
        return rows.to(scores) @ scores @ columns.to(scores).T

    def _read_between(self, scores: Tensor) -> Tensor:
        """Linear interpolation at the centres of native pixels; on a CPU faster than by matrices."""
        top, bottom, left, right = self.box
        y = 2 * (torch.arange(self.plane[0], dtype=torch.float64) + 0.5 - top) / (bottom - top) - 1
        x = 2 * (torch.arange(self.plane[1], dtype=torch.float64) + 0.5 - left) / (right - left) - 1
        inside = (y[:, None].abs() <= 1) & (x.abs() <= 1)
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).to(scores).expand(len(scores), -1, -1, -1)
        native = F.grid_sample(scores, points, padding_mode="border", align_corners=False)
        return native.mul_(inside.to(scores.device))


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


def nearest_index(source: int, start: float, stop: float, target: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Source pixel that holds the centre of each target pixel, and whether there is one."""
    centre = start + (stop - start) / target * (np.arange(target) + 0.5)
    index = np.floor(centre).astype(np.int64)
    inside = (index >= 0) & (index < source)
    return np.clip(index, 0, source - 1), inside


def _back(plane: int, start: float, stop: float, size: int) -> Tensor:
    """Matrix (plane, size) from the grid to the native plane."""
    scale = size / (stop - start)
    return interpolation_matrix(size, -start * scale, (plane - start) * scale, plane)
