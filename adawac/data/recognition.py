"""What data give away of themselves: CT or MR, and the axis along which slices were scanned."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adawac.data.modality import Modality
from adawac.data.padding import RAW_TISSUE, lowest_tissue

AIR = -200.0
"""HU below which every CT has voxels; intensities that never go there are no Hounsfield units."""

SCALED = 0.01
"""What intensities between 0 and 1 go beyond: others are of a small unit, such as diffusion in mm2/s."""

MOSTLY_AIR = -500.0
"""HU that half of what lies below `AIR` goes below: air of -1000, lungs; or all of it has one value, of a window's end.
MR that goes below 0 does so with a tail."""

NONE = 0.001
"""Share of voxels between a single value such as -1024 and 0, below which it is padding of what is no CT."""

RAW_AIR = 300.0
"""What air and most of the lungs lie below in CT whose offset was left out."""

LEAST_BODY, MOST_TISSUE = 0.05, 0.6
"""Share of voxels above `RAW_AIR`, and of these in `RAW_TISSUE`, from which such CT is asked about: of each of 40 CT
of heads and necks three quarters lie there, while tissues of MR spread over a wider range."""

ANISOTROPIC = 1.5
"""How many times longer a voxel is along the scan than across it, where slices are told from a volume of cubes."""


def kind_of_values(values: NDArray[np.generic]) -> Modality:
    """What intensities can be: CT has air, scaled ones lie between 0 and nearly 1, MR is all else.

    A single value below all others is padding and tells nothing.

    Example:
        >>> [kind_of_values(np.array(values)) for values in ([-1024, -900, 300], [0, 40, 900], [0.0, 0.5, 1.0])]
        ['ct', 'mr', 'prescaled']
        >>> [kind_of_values(np.array([padding, 0, 1000, 3000])) for padding in (-2000, -1024)]  # raw numbers, padded
        ['mr', 'mr']
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "mr"
    low, high = float(finite.min()), float(finite.max())
    if low < AIR and lowest_tissue(finite, low) < 0:
        middle = float(np.median(finite[finite < AIR]))
        padded = np.mean((finite > low) & (finite < 0)) < NONE
        return "ct" if (middle < MOSTLY_AIR or middle == low) and not padded else "mr"
    return "prescaled" if 0 <= low < high <= 1 and high > SCALED else "mr"


def may_be_raw(values: NDArray[np.floating | np.integer]) -> bool:
    """Whether intensities look like CT whose offset was left out: air near 24 in the place of -1000, tissue near 1024.

    Example:
        >>> may_be_raw(np.array([0, 24, 30, 920, 1050, 1080, 1600])), may_be_raw(np.array([0, 24, 500, 900, 1300]))
        (True, False)
    """
    if values.min(initial=0) < AIR:
        return False
    body = values[values > RAW_AIR]
    tissue = np.count_nonzero((body > RAW_TISSUE[0]) & (body < RAW_TISSUE[1]))
    return bool(body.size > LEAST_BODY * values.size and tissue > MOST_TISSUE * body.size)


def kind_of_tag(tag: str) -> Modality | None:
    """The same by the Modality of DICOM headers; None where there is none.

    Example:
        >>> kind_of_tag("CT"), kind_of_tag("MR"), kind_of_tag("")
        ('ct', 'mr', None)
    """
    return None if not tag else "ct" if tag.upper() == "CT" else "mr"


def scan_axis(spacing: Sequence[float], shape: Sequence[int]) -> int | None:
    """The axis along which slices were scanned: the other two are those whose pixels are nearest to squares.

    Args:
        spacing: (z, y, x) in mm.
        shape: (Z, Y, X); of two axes that would do, slices are fewer.

    Returns:
        Index of the axis; None of cubes, or nearly so.

    Example:
        >>> scan_axis((5.0, 0.8, 0.8), (20, 256, 256)), scan_axis((0.8, 0.8, 3.0), (256, 256, 30))
        (0, 2)
        >>> scan_axis((1.0, 3.0, 3.0), (90, 64, 64))  # thin slices of large pixels: two axes are equally long
        0
        >>> scan_axis((1.0, 1.0, 1.0), (36, 50, 35)) is None
        True
    """
    if max(spacing) < ANISOTROPIC * min(spacing):
        return None

    def unlike(axis: int) -> tuple[float, int]:
        one, other = (spacing[i] for i in range(3) if i != axis)
        return round(abs(math.log(one / other)), 2), shape[axis]

    return min(range(3), key=unlike)
