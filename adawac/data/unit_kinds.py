"""What a unit of a volume is: which boxes a volume is divided into, and what the network is shown of each."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adawac.errors import ConfigError
from adawac.types import IGNORE_INDEX

if TYPE_CHECKING:
    from adawac.data.prepared_case import PreparedCase


Predict = Callable[[Tensor], Tensor]
"""Inputs (N, C, ...) of the network in, class probabilities (N, K, ...) out."""


class UnitKind(ABC):
    """One kind of unit. All else, from the batch to the weights, is the same for every kind.

    Attributes:
        spatial_dims: 2 for units that the network sees as planes, 3 for volumes.
        parts: boxes of the volume that the network is shown of a unit, as further channels.
        overlap: share of a side that neighbouring units have in common.
        noun: what a unit is called, singular and plural.
    """

    spatial_dims: ClassVar[int]
    noun: ClassVar[tuple[str, str]]
    parts: int = 1
    overlap: float = 0.0

    def in_channels(self, channels: int) -> int:
        """Channels that the network is shown, where an image has so many: of each, its parts in the order of slices."""
        return channels * self.parts

    @abstractmethod
    def size(self, plane: tuple[int, int]) -> tuple[int, int, int]:
        """Slices, rows and columns of a unit, on a training grid of (h, w) pixels.

        Raises:
            ConfigError: if there is no such unit on that grid.
        """

    def input_size(self, plane: tuple[int, int]) -> tuple[int, ...]:
        """Size of what the network is shown: (h, w), or (d, h, w)."""
        return self.size(plane)[-self.spatial_dims :]

    def starts(self, shape: tuple[int, int, int]) -> NDArray[np.int32]:
        """(n, 3) first voxels of all units of a volume (S, h, w), in the order of slices, rows, columns."""
        sizes = self.size(shape[1:])
        axes = [_spread(extent, length, self.overlap) for extent, length in zip(shape, sizes, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    @abstractmethod
    def key(self, start: NDArray[np.int32]) -> int | str:
        """Name, within its volume, of the unit that starts at a voxel (3,)."""

    def part_starts(self, start: NDArray[np.int32], depth: NDArray[np.int32]) -> NDArray[np.int32]:
        """First voxels (n, parts, 3) of the parts of units.

        Args:
            start: (n, 3) first voxel of each unit.
            depth: (n,) slices of its volume.
        """
        return start[:, None]

    @abstractmethod
    def cut(self, array: Any, start: NDArray[np.int32]) -> Any:
        """One part out of a volume.

        Args:
            array: (..., S, h, w) on the training grid, of NumPy or torch.
            start: (3,) first voxel.

        Returns:
            (..., h, w), perhaps a view, or (..., d, h, w).
        """

    @abstractmethod
    def cut_label(self, label: NDArray[np.uint8], start: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The label (h, w) or (d, h, w) of the unit that starts at a voxel, out of a volume's (S, h, w)."""

    @abstractmethod
    def voxels(self, case: "PreparedCase") -> NDArray[np.int64]:
        """(n, K) voxels of each class on the native grid, in every unit of a case."""

    @abstractmethod
    def probabilities(self, predict: Predict, image: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Predict a whole volume.

        Args:
            predict: of inputs made of its units.
            image: (C, S, h, w) on the training grid.
            batch_size: slices a forward pass, at least 1; patches as many as have so many slices together.

        Yields:
            (b, K, h, w) of the next b slices.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `unit_kind` makes the kind again."""


@dataclass(frozen=True)
class SliceUnit(UnitKind):
    """A slice, shown with its neighbours as further channels ("2.5D") where more than one is asked for.

    Args:
        neighbours: slices that are shown, the slice in their middle; odd. At the ends of a volume the last one is
            repeated.

    Raises:
        ConfigError: if `neighbours` is even or below 1.

    Example:
        >>> volume = np.arange(4.0).reshape(1, 4, 1, 1)
        >>> kind = SliceUnit(neighbours=3)
        >>> [kind.cut(volume, part).item() for part in kind.part_starts(np.array([[3, 0, 0]]), np.array([4]))[0]]
        [2.0, 3.0, 3.0]
    """

    neighbours: int = 1

    spatial_dims: ClassVar[int] = 2
    noun: ClassVar[tuple[str, str]] = ("slice", "slices")

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.neighbours % 2 == 0:
            raise ConfigError(
                f"data.neighbours is {self.neighbours}; give an odd number of slices, of which the middle one is "
                "labelled: 1 (2D), 3, 5, ..."
            )

    @property
    def parts(self) -> int:  # type: ignore[override]  # here it depends
        """Slices that are shown."""
        return self.neighbours

    def size(self, plane: tuple[int, int]) -> tuple[int, int, int]:
        """One slice."""
        return 1, *plane

    def key(self, start: NDArray[np.int32]) -> int | str:
        """Number of the slice."""
        return int(start[0])

    def part_starts(self, start: NDArray[np.int32], depth: NDArray[np.int32]) -> NDArray[np.int32]:
        """The neighbours, the last slice repeated."""
        steps = np.arange(self.neighbours, dtype=np.int32) - self.neighbours // 2
        parts = np.repeat(start[:, None], self.neighbours, axis=1)
        parts[..., 0] = np.clip(start[:, None, 0] + steps, 0, depth[:, None] - 1)
        return parts

    def cut(self, array: Any, start: NDArray[np.int32]) -> Any:
        """A slice."""
        return array[..., start[0], :, :]

    def cut_label(self, label: NDArray[np.uint8], start: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The slice in the middle."""
        middle: NDArray[np.uint8] = self.cut(label, start)
        return middle

    def voxels(self, case: "PreparedCase") -> NDArray[np.int64]:
        """Of every slice, as they were counted when the case was prepared."""
        return case.voxels

    def probabilities(self, predict: Predict, image: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Slice by slice, each with its neighbours."""
        shown = self.part_starts(self.starts((image.shape[1], 1, 1)), np.array([image.shape[1]]))[..., 0]
        for first in range(0, len(shown), batch_size):
            slices = image[:, shown[first : first + batch_size]]  # (C, b, neighbours, h, w)
            yield predict(slices.movedim(1, 0).flatten(1, 2))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"neighbours": self.neighbours}


@dataclass(frozen=True)
class PatchUnit(UnitKind):
    """A patch of the volume ("3D"), on a fixed grid that covers it with as few patches as can be, evenly spread.

    A volume of fewer slices than a patch is continued by its last one, where the label is ignored.

    Args:
        patch: slices, rows and columns.
        overlap: share of each side that neighbouring patches have in common at least, 0 to below 1.

    Raises:
        ConfigError: if a side is below 1, or the overlap no such share.

    Example:
        >>> PatchUnit((2, 4, 4)).starts((3, 4, 6)).tolist()
        [[0, 0, 0], [0, 0, 2], [1, 0, 0], [1, 0, 2]]
    """

    patch: tuple[int, int, int]
    overlap: float = 0.0

    spatial_dims: ClassVar[int] = 3
    noun: ClassVar[tuple[str, str]] = ("patch", "patches")

    def __post_init__(self) -> None:
        if len(self.patch) != 3 or min(self.patch) < 1:
            raise ConfigError(
                f"data.patch is {self.patch}; give slices, rows and columns of at least 1, such as [16, 64, 64]"
            )
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"data.overlap is {self.overlap}; give a share of a patch from 0 to below 1, such as 0.5")

    def size(self, plane: tuple[int, int]) -> tuple[int, int, int]:
        """The patch, unless it is larger than the plane."""
        if self.patch[1] > plane[0] or self.patch[2] > plane[1]:
            raise ConfigError(
                f"data.patch is {self.patch}, but the training grid has {plane[0]} rows and {plane[1]} columns "
                "(data.size); give a patch that fits"
            )
        return self.patch

    def key(self, start: NDArray[np.int32]) -> int | str:
        """First slice, row and column, such as `16-0-32`."""
        return "-".join(map(str, start.tolist()))

    def cut(self, array: Any, start: NDArray[np.int32]) -> Any:
        """A patch, the last slice repeated where there are no more."""
        (first, top, left), (depth, height, width) = start, self.patch
        slices = np.minimum(np.arange(first, first + depth), array.shape[-3] - 1)
        return array[..., slices, top : top + height, left : left + width]  # a copy, by the list of slices

    def cut_label(self, label: NDArray[np.uint8], start: NDArray[np.int32]) -> NDArray[np.uint8]:
        """A patch, to be ignored where there are no more slices."""
        patch: NDArray[np.uint8] = self.cut(label, start)
        patch[len(label) - start[0] :] = IGNORE_INDEX
        return patch

    def voxels(self, case: "PreparedCase") -> NDArray[np.int64]:
        """Of every patch, those native voxels whose centres lie in it; without any, what the network is shown of it.

        The latter are patches of padding, which is background.
        """
        _, height, width = self.patch
        counts = []
        for first, top, left in self.starts(case.shape).tolist():
            rows = case.placement.native_span(0, top, top + height)
            columns = case.placement.native_span(1, left, left + width)
            patch = case.native_label[first : first + self.patch[0], rows, columns]
            if (patch == IGNORE_INDEX).all():  # or there is none
                patch = self.cut_label(case.label, np.array([first, top, left], dtype=np.int32))
            counts.append(np.bincount(patch.ravel(), minlength=256)[: case.voxels.shape[1]])
        return np.stack(counts)

    def probabilities(self, predict: Predict, image: Tensor, batch_size: int) -> Iterator[Tensor]:
        """On the grid of training, averaged where patches overlap; if asked to, by a Gaussian about each centre.

        Windows that lie otherwise are another thing to the network: on a fixed grid an organ in the middle of the plane
        is always seen in a corner.
        """
        _, depth, height, width = image.shape
        starts = self.starts((depth, height, width))
        patches = max(1, batch_size // self.patch[0])
        weight = self._weight()
        total: Tensor | None = None
        count = image.new_zeros(1, depth, height, width)
        for first in range(0, len(starts), patches):
            chosen = starts[first : first + patches]
            found = predict(torch.stack([self.cut(image, start) for start in chosen])).to(image.device)
            if total is None:
                total = found.new_zeros(found.shape[1], depth, height, width)
            for start, one in zip(chosen.tolist(), found, strict=True):
                box = (slice(None), *(slice(at, at + side) for at, side in zip(start, self.patch, strict=True)))
                total[box] += (one * weight)[:, : depth - start[0]]
                count[box] += weight[: depth - start[0]]
        assert total is not None  # no volume is without patches
        yield from torch.split((total / count).movedim(1, 0), batch_size)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"patch": list(self.patch)} | ({"overlap": self.overlap} if self.overlap else {})

    def _weight(self) -> Tensor:
        """(d, h, w), what each voxel of a patch counts: with an overlap a Gaussian, sigma an eighth of a side."""
        places = [(torch.arange(side) + 0.5) / side - 0.5 for side in self.patch]
        bells = [torch.exp(-32 * place**2 * (self.overlap > 0)) for place in places]
        return torch.einsum("z,y,x->zyx", *bells).clamp(min=1e-3)


def unit_kind(neighbours: int = 1, patch: Sequence[int] | None = None, overlap: float = 0.0) -> UnitKind:
    """The kind that settings ask for.

    Args:
        neighbours: see `SliceUnit`.
        patch: see `PatchUnit`; None for slices.
        overlap: of patches.

    Raises:
        ConfigError: if both are asked for, or slices that overlap.

    Example:
        >>> unit_kind(**unit_kind(neighbours=5).to_json()).in_channels(2)
        10
        >>> unit_kind(**unit_kind(patch=(16, 64, 64)).to_json())
        PatchUnit(patch=(16, 64, 64), overlap=0.0)
    """
    if patch is None and overlap:
        raise ConfigError(f"data.overlap is {overlap}, but slices share no voxel; leave it out, or give data.patch")
    if patch is None:
        return SliceUnit(neighbours)
    if neighbours != 1:
        raise ConfigError(
            f"data.neighbours is {neighbours} and data.patch is {tuple(patch)}; a patch holds its neighbouring slices "
            "itself, so give one of the two"
        )
    return PatchUnit(tuple(patch), overlap)  # type: ignore[arg-type]  # it counts them


SINGLE_SLICE = SliceUnit()
"""The unit of 2D training."""


def _spread(extent: int, length: int, overlap: float) -> NDArray[np.int32]:
    """First positions of the fewest stretches of a length that cover an extent and overlap so far, evenly spread."""
    further = max(0, extent - length)
    number = 1 + math.ceil(further / max(1, math.floor(length * (1 - overlap))))
    starts: NDArray[np.float64] = np.linspace(0, further, number).round()
    return starts.astype(np.int32)
