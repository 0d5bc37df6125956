"""What is done to a volume before the network sees it, as a recipe that the checkpoint carries."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from adawac.data.grid import Grid, Placement
from adawac.data.image_rules import checked
from adawac.data.modality import Modalities, Modality, current, distinct, kinds_of
from adawac.errors import ConfigError, DataError, in_case
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine, spacing_of

if TYPE_CHECKING:
    from adawac.io.volumes import Volume

Axis = Literal["axial", "coronal", "sagittal"]
AXES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
"""In the order of canonical arrays (Z, Y, X)."""


_REMEDIES: Mapping[Modality, str] = {
    "ct": "the model was trained on CT in HU: rescale the image to HU",
    "prescaled": "scale the image as those that the model was trained on",
}


@dataclass(frozen=True)
class Slices:
    """A volume cut into slices on the training grid.

    Attributes:
        image: (C, S, h, w) float32.
        placement: where the grid lies in the native plane.
        steps: (3, 3) in mm from a NATIVE voxel to the next along (slice, row, column), None where unknown.
        notes: what is odd about the image.
    """

    image: NDArray[np.float32]
    placement: Placement
    steps: NDArray[np.float64] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preprocessing:
    """Intensity, cut and grid: everything that prediction must repeat exactly.

    Args:
        modality: `ct` is windowed in Hounsfield units, `mr` normalised per volume, `prescaled` left alone; a tuple says
            it of each channel.
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

    modality: Modalities
    window: tuple[float, float] = (-125.0, 275.0)
    axis: Axis = "axial"
    grid: Grid = field(default_factory=Grid)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", current(self.modality))
        if self.axis not in AXES:
            raise ConfigError(f"data.axis is {self.axis!r}; choose one of {', '.join(AXES)}")
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

    @property
    def has_ct(self) -> bool:
        """Whether a channel is windowed."""
        return "ct" in distinct(self.modality)

    def intensities(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Window CT to [0, 1]; clip MR to its 0.5th to 99.5th percentile and standardise it, per channel."""
        kinds = kinds_of(self.modality, len(image))
        return np.concatenate([self._of_kind(image[c : c + 1], kind) for c, kind in enumerate(kinds)])

    def _of_kind(self, image: NDArray[np.float32], kind: Modality) -> NDArray[np.float32]:
        if kind == "prescaled":
            return image
        if kind == "ct":
            low, high = self.window
            return ((np.clip(image, low, high) - low) / (high - low)).astype(np.float32)
        low, high = np.quantile(image, [0.005, 0.995])
        clipped = np.clip(image, low, high)
        least = 1e-8 * max(abs(low), abs(high)) or 1.0  # in any unit: of one value, and zeros
        return np.asarray((clipped - clipped.mean()) / max(clipped.std(), least), dtype=np.float32)

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
            DataError: if the image breaks a rule of `image_rules`; or a fixed spacing is asked of a case whose own is
                unknown, or whose pixels are no rectangles.
        """
        kinds = kinds_of(self.modality, len(array))
        with in_case(case):
            array, notes = checked(array.astype(np.float32), kinds, _REMEDIES)
        image = np.ascontiguousarray(self.cut(self.intensities(array)))
        steps = cut_steps(steps, self.axis)
        if self.grid.spacing is not None and steps is not None:
            _check_rectangles(steps, case)
        placement = self.grid.place(image, None if steps is None else spacing_of(steps), case)
        return Slices(placement.to_grid(torch.from_numpy(image)).numpy(), placement, steps, notes)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Preprocessing":
        """Inverse of `to_json`; lists become tuples again."""
        (low, high), grid = plain["window"], plain["grid"]
        (height, width), steps = grid["size"], grid["spacing"]
        spacing = None if steps is None else (steps[0], steps[1])
        return cls(plain["modality"], (low, high), plain["axis"], Grid((height, width), spacing, grid["body"]))


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
