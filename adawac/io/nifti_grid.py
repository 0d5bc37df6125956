"""Where a NIfTI file says that its voxels lie: it says so up to three times, and what it says is compared."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from adawac.errors import DataError
from adawac.io.canonical import Geometry
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine

_UNITS = {1: ("meter", 1000.0), 3: ("micron", 0.001)}
"""NIfTI's codes of units that are not mm; 0, for unknown, is taken for mm."""

SPACING_TOLERANCE = 0.01
"""By which share two statements of a spacing may differ: headers round to three digits."""


def grid_of(header: nib.Nifti1Header, shape: tuple[int, ...], path: Path) -> tuple[Geometry, tuple[str, ...]]:
    """The grid, and a note where qform and sform put it into different places.

    Args:
        header: of the file.
        shape: (x, y, z) as stored.
        path: of the file, for errors.

    Raises:
        DataError: if the affine is singular or of impossible spacing, or its voxels have another size than `pixdim`.
    """
    unit, scale = _UNITS.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))
    codes = (int(header["qform_code"]), int(header["sform_code"]))
    stated = np.abs(header["pixdim"][1:4].astype(float)) * scale
    known = np.isfinite(stated) & (stated > 0)
    if not codes[1] and not known.all():
        raise DataError(
            f"{path}: the header does not say how large voxels are: pixdim is {_mm(stated)}; write the spacing of the "
            "scan into it"
        )
    try:
        qform = _in_mm(header.get_qform(), scale) if codes[0] else None
        affine = _in_mm(header.get_best_affine(), scale)
        geometry = Geometry.of_affine(shape, affine, qform, codes)
    except (HeaderDataError, ValueError) as error:
        raise DataError(f"{path}: the quaternion of its qform is no rotation; correct the header's qform") from error
    except DataError as error:
        said = "sform or qform" if unit == "mm" else f"unit, which is {unit}, or its sform or qform"
        raise DataError(f"{path}: {error}; correct the header's {said}") from error
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if (np.abs(sizes - stated)[known] > SPACING_TOLERANCE * sizes[known]).any():
        raise DataError(
            f"{path}: the header says two things of a voxel: {_mm(sizes)} mm by its sform, {_mm(stated)} mm by its "
            "pixdim; correct the one that is wrong (the scan's protocol, or another export of it, says which)"
        )
    if not any(codes):
        said = "its header has neither qform nor sform: which side is left is a guess, and so are all places"
        return geometry, (f"{path}: {said}",)
    if qform is None or not codes[1] or largest_cosine(affine[:3, :3]) > SHEAR_TOLERANCE:  # qform knows no shear
        return geometry, ()
    apart = Geometry.of_affine(shape, qform).difference(geometry)
    return geometry, (f"{path}: its qform {apart.replace('due', 'of its sform')}, which is taken",) if apart else ()


def _in_mm(affine: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """A header's matrix as float64, its three rows scaled to mm."""
    scaled = np.array(affine, dtype=np.float64)
    scaled[:3] *= scale
    return scaled


def _mm(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
