"""What a phantom is painted with: layers of tissue, and the random numbers that make one patient."""

from dataclasses import dataclass

import numpy as np

from adawac.phantom.shapes import Shape, Vec

FAT, AIR = -100.0, -980.0
"""Hounsfield units of the two tissues that are the same in everybody."""


@dataclass(frozen=True)
class Layer:
    """One shape filled with one tissue, over whatever was painted before.

    Attributes:
        shape: where.
        hu: mean intensity in Hounsfield units.
        label: class of its voxels; None keeps the class underneath (a vessel within the liver is liver).
        texture: standard deviation of the tissue's own mottling, HU.
        blur: extra width of its edge in mm.
    """

    shape: Shape
    hu: float
    label: int | None = 0
    texture: float = 0.0
    blur: float = 0.0


@dataclass(frozen=True)
class Habitus:
    """What differs between patients as a whole.

    Attributes:
        fat: mean thickness of the subcutaneous fat, mm.
        top: z of the highest labelled slice, mm (about the dome of the liver).
        bottom: z of the lowest labelled slice, mm (about the aortic bifurcation).
        contrast: strength of the portal venous phase, 0 to 1.
    """

    fat: float
    top: float
    bottom: float
    contrast: float


class Draw:
    """Random numbers of one patient, as anatomists say them: a mean, give or take."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def near(self, mean: float, spread: float) -> float:
        """Uniform in mean +- spread."""
        return float(self.rng.uniform(mean - spread, mean + spread))

    def point(self, x: float, y: float, z: float, spread: float = 4.0) -> Vec:
        """A position in mm, each coordinate +- spread."""
        return self.near(x, spread), self.near(y, spread), self.near(z, spread)

    def radii(self, x: float, y: float, z: float, share: float = 0.1) -> Vec:
        """Semi-axes in mm, each +- share of itself."""
        return self.near(x, share * x), self.near(y, share * y), self.near(z, share * z)

    def enhanced(self, low: float, high: float, contrast: float) -> float:
        """HU of a tissue between weak (low) and strong (high) contrast, with some freedom of its own."""
        return low + (high - low) * float(np.clip(contrast + self.near(0, 0.25), 0, 1))
