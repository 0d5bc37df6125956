"""What is done to a volume before the network sees it, as a recipe that the checkpoint carries."""

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from adawac.data.grid import Grid, Placement
from adawac.data.modality import MODALITIES, Modality, current
from adawac.errors import ConfigError, DataError
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine, spacing_of

if TYPE_CHECKING:
    from adawac.io.volumes import Volume

Axis = Literal["axial", "coronal", "sagittal"]
AXES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
"""In the order of canonical arrays (Z, Y, X)."""


@dataclass(frozen=True)
class Slices:
    """A volume cut into slices on the training grid.

    Attributes:
        image: (C, S, h, w) float32.
        placement: where the grid lies in the native plane.
        steps: (3, 3) in mm from a NATIVE voxel to the next along (slice, row, column), None where unknown.
    """

    image: NDArray[np.float32]
    placement: Placement
    steps: NDArray[np.float64] | None


@dataclass(frozen=True)
class Preprocessing:
    """Intensity, cut and grid: everything that prediction must repeat exactly.

    Args:
        modality: `ct` is windowed in Hounsfield units, `mr` normalised per volume, `prescaled` left alone.
        window: (lowest, highest) HU, brought to 0 and 1; used with `ct` only.
        axis: the direction along which the volume is cut.
        grid: the training grid.

    Example:
        >>> recipe = Preprocessing("ct", window=(-100.0, 300.0))
        >>> recipe.intensities(np.array([[[[-1000.0, 100.0, 900.0]]]], dtype=np.float32)).tolist()
        [[[[0.0, 0.5, 1.0]]]]
        >>> Preprocessing.from_json(recipe.to_json()) == recipe
        True
    """

    modality: Modality
    window: tuple[float, float] = (-125.0, 275.0)
    axis: Axis = "axial"
    grid: Grid = field(default_factory=Grid)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", current(self.modality))
        for name, value, allowed in (("modality", self.modality, MODALITIES), ("axis", self.axis, AXES)):
            if value not in allowed:
                raise ConfigError(f"data.{name} is {value!r}; choose one of {', '.join(allowed)}")
        if self.window[0] >= self.window[1]:
            raise ConfigError(f"data.window is {self.window}; give the lower HU first, for example [-125, 275]")

    @property
    def left_right_in_plane(self) -> bool:
        """Whether slices show the patient's left and right: not where the cut itself runs from left to right."""
        return self.axis != "sagittal"

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring the cut axis of a canonical (C, Z, Y, X) array to the front: (C, S, H, W)."""
        return np.moveaxis(array, 1 + AXES.index(self.axis), 1)

    def uncut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Undo `cut`."""
        return np.moveaxis(array, 1, 1 + AXES.index(self.axis))

    def intensities(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Window CT to [0, 1]; clip MR to its 0.5th to 99.5th percentile and standardise it, per channel."""
        if self.modality == "prescaled":
            return image
        if self.modality == "ct":
            low, high = self.window
            return ((np.clip(image, low, high) - low) / (high - low)).astype(np.float32)
        bounds = np.quantile(image, [0.005, 0.995], axis=(1, 2, 3))[..., None, None, None]
        clipped = np.clip(image, bounds[0], bounds[1])
        mean = clipped.mean(axis=(1, 2, 3), keepdims=True)
        std = clipped.std(axis=(1, 2, 3), keepdims=True)
        return np.asarray((clipped - mean) / np.maximum(std, 1e-8), dtype=np.float32)

    def apply(self, volume: "Volume", case: str) -> Slices:
        """Cut a volume into slices on the training grid.

        Args:
            volume: image as read, (C, Z, Y, X).
            case: its id, for errors.
        """
        return self.slices(volume.array, volume.geometry.steps, case)

    def slices(self, array: NDArray[Any], steps: NDArray[np.float64] | None, case: str) -> Slices:
        """Cut an array into slices on the training grid.

        Args:
            array: image (C, Z, Y, X), as read.
            steps: (3, 3) in mm from a voxel to the next along z, y and x, as columns; None where unknown.
            case: its id, for errors.

        Raises:
            DataError: if a fixed spacing is asked of a case whose own is unknown, or whose pixels are no rectangles.
        """
        image = np.ascontiguousarray(self.cut(self.intensities(array.astype(np.float32))))
        steps = cut_steps(steps, self.axis)
        if self.grid.spacing is not None and steps is not None:
            _check_rectangles(steps, case)
        placement = self.grid.place(image, None if steps is None else spacing_of(steps), case)
        return Slices(placement.to_grid(torch.from_numpy(image)).numpy(), placement, steps)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Preprocessing":
        """Inverse of `to_json`; lists become tuples again."""
        grid = plain["grid"]
        return cls(
            modality=plain["modality"],
            window=(plain["window"][0], plain["window"][1]),
            axis=plain["axis"],
            grid=Grid(
                size=(grid["size"][0], grid["size"][1]),
                spacing=None if grid["spacing"] is None else (grid["spacing"][0], grid["spacing"][1]),
                body=grid["body"],
            ),
        )


def cut_steps(steps: NDArray[np.float64] | None, axis: Axis) -> NDArray[np.float64] | None:
    """`Geometry.steps` in the order (slice, row, column) of a cut along an axis; None where they are unknown."""
    if steps is None:
        return None
    first = AXES.index(axis)
    return steps[:, [first, *(other for other in range(3) if other != first)]]


def _check_rectangles(steps: NDArray[np.float64], case: str) -> None:
    """Rows and columns of the native slices are at right angles, as those of a training grid in mm must be."""
    if (cosine := largest_cosine(steps[:, 1:])) > SHEAR_TOLERANCE:
        raise DataError(
            f"case {case}: rows and columns of its slices meet at {math.degrees(math.acos(cosine)):.4g} degrees, but a "
            "fixed spacing asks for right angles; resample it, cut it along another data.axis (a series with a tilted "
            "gantry is right in its axial slices), or set data.spacing to null"
        )
