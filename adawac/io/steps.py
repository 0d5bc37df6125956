"""Steps from a voxel to the next: what distances, volumes and sizes of pixels follow from, at whatever angles."""

import numpy as np
from numpy.typing import NDArray

SHEAR_TOLERANCE = 1e-4
"""Largest cosine between two axes that still counts as a right angle: headers round, by some 1e-7 in float32 and up to
1e-5 in decimals. A gantry tilted by half a degree gives 9e-3."""


def largest_cosine(steps: NDArray[np.float64]) -> float:
    """Cosine of the angle between those two steps that lie closest together; 0 where all are at right angles.

    Args:
        steps: (3, n) in mm, as columns.

    Example:
        >>> round(largest_cosine(np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])), 3)
        0.707
    """
    unit = steps / np.linalg.norm(steps, axis=0)
    return float(np.abs(unit.T @ unit - np.eye(unit.shape[1])).max())


def spacing_of(steps: NDArray[np.float64]) -> tuple[float, float, float]:
    """Lengths of three steps in mm, without the noise of float32 headers (0.699999988 is 0.7).

    Example:
        >>> spacing_of(np.array([[0.0, 0.699999988, 0.0], [0.0, 0.0, -0.7], [3.0, 0.0, 0.0]]))
        (3.0, 0.7, 0.7)
    """
    first, second, third = np.linalg.norm(steps, axis=0).round(6).tolist()
    return first, second, third
