"""Volumes and their grids: NIfTI in, one canonical orientation inside, NIfTI on the file's own grid out.

Inside the package every volume is an array (C, Z, Y, X) whose axes point Superior, Posterior and Left, so
that an axial slice shown with `imshow` stands upright with the patient's left on the right.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel import orientations
from numpy.typing import NDArray
from zlib_ng import gzip_ng

from adawac.errors import DataError
from adawac.io.atomic import atomic_write
from adawac.io.canonical import Geometry, from_canonical, to_canonical
from adawac.io.dimensions import ONE_HOT, check_channels_last, no_volume, said_of_times
from adawac.io.limits import check_voxels
from adawac.io.nifti_files import load_nifti, scaling_of
from adawac.io.nifti_grid import grid_of

_FEW = 50
"""Values of a label map, of more than which nobody would ask whether they are multiples of one."""

_TIMES = {8: "s", 16: "ms", 24: "us"}
_NO_GRID = np.diag([-1.0, -1.0, 1.0, 1.0])  # file axes Left, Posterior, Superior: canonical, transposed


@dataclass(frozen=True, eq=False)
class Volume:
    """A canonical array and its grid.

    Attributes:
        array: (C, Z, Y, X).
        geometry: its grid; `geometry.shape` is (Z, Y, X).
        notes: what is odd about the file, which was read all the same.
        names: of label values, where the file itself says them.
    """

    array: NDArray[Any]
    geometry: Geometry
    notes: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.shape[1:] != self.geometry.shape:
            raise DataError(
                f"an array of shape {self.array.shape} (channels, slices, rows, columns) has a grid of shape "
                f"{self.geometry.shape}; change both together"
            )

    @classmethod
    def of_file(cls, array: NDArray[Any], geometry: Geometry, notes: tuple[str, ...] = ()) -> "Volume":
        """Canonical volume of what a file holds.

        Args:
            array: in the file's own axis order, three-dimensional, or four-dimensional with the channels last.
            geometry: of the file; its affine must be known.
            notes: see there.
        """
        if array.ndim == 3:
            array = array[..., None]
        if array.dtype.kind == "f":
            array = array.astype(np.float32, copy=False)
        assert geometry.affine is not None  # whoever reads a file has said so
        canonical = np.moveaxis(orientations.apply_orientation(array, to_canonical(geometry.affine)), -1, 0)
        native = canonical.dtype.newbyteorder("=")
        return cls(np.ascontiguousarray(canonical, dtype=native), geometry, notes)

    @classmethod
    def of_array(cls, array: NDArray[Any], spacing: Sequence[float] | None = None) -> "Volume":
        """Canonical volume of an array that is canonical already: its axes point Superior, Posterior and Left.

        Args:
            array: (Z, Y, X), or with channels (C, Z, Y, X).
            spacing: (z, y, x) in mm; None where it is unknown.

        Raises:
            DataError: if the array has another number of dimensions, holds no numbers, or the spacing is no three
                positive lengths.

        Example:
            >>> Volume.of_array(np.zeros((4, 8, 8)), (5.0, 0.8, 0.8)).geometry.spacing
            (5.0, 0.8, 0.8)
        """
        check_voxels("the array", array.shape, array.dtype)
        if array.ndim not in (3, 4) or 0 in array.shape:
            remedy = "give a slice as array[None]" if array.ndim == 2 else "give one volume"
            raise DataError(f"a volume has shape (Z, Y, X) or (C, Z, Y, X) but this has {array.shape}; {remedy}")
        array = array if array.ndim == 4 else array[None]
        z, y, x = array.shape[1:]
        if spacing is None:
            return cls(array, Geometry((z, y, x)))
        if len(spacing) != 3 or not all(math.isfinite(step) and step > 0 for step in spacing):
            raise DataError(f"spacing is {tuple(spacing)}; give (z, y, x) in mm, such as (5.0, 0.8, 0.8)")
        return cls(array, Geometry.of_affine((x, y, z), _NO_GRID * [*reversed(spacing), 1.0]))


def read_nifti(path: Path | str) -> Volume:
    """Read a NIfTI file into the canonical orientation.

    Args:
        path: `.nii`, `.nii.gz`, or the `.hdr` of a pair; three-dimensional, or four-dimensional with the channels last;
            of a file of vectors, as SimpleITK writes it (x, y, z, 1, channels), these are the channels.

    Returns:
        Volume (C, Z, Y, X): integers as stored where the header scales nothing, else float32.

    Raises:
        DataError: if the file is missing, unreadable, cut short, corrupt, not a NIfTI, of another number of
            dimensions or empty; or if its affine is singular, of impossible spacing, or not what else its header says.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> geometry = Geometry.of_affine((3, 4, 5), np.diag([2.0, 2.0, 5.0, 1.0]))
        >>> with TemporaryDirectory() as folder:
        ...     write_label_nifti(Path(folder, "a.nii.gz"), np.ones((5, 4, 3), np.uint8), geometry)
        ...     volume = read_nifti(Path(folder, "a.nii.gz"))
        >>> volume.array.shape, volume.geometry.spacing
        ((1, 5, 4, 3), (5.0, 2.0, 2.0))
    """
    path = Path(path)
    header, array = load_nifti(path)
    array = _channels_last(array)
    if array.ndim not in (3, 4):
        raise no_volume(path, array.shape)
    if 0 in array.shape:
        raise DataError(f"{path}: no axis may be empty but the shape is {array.shape}; export the file again")
    if int(header["dim"][0]) == 4:
        check_channels_last(path, array.shape)
    geometry, notes = grid_of(header, array.shape[:3], path)
    times: tuple[str, ...] = ()
    if array.ndim == 4:
        unit = _TIMES.get(int(header["xyzt_units"]) & 56, "")
        times = said_of_times(path, array.shape[3], float(header["pixdim"][4]), unit)
    return Volume.of_file(array, geometry, (*notes, *times, *_said_of_scaling(header, path)))


def _said_of_scaling(header: Any, path: Path) -> tuple[str, ...]:
    """A note where a header turns intensities upside down."""
    slope = (scaling_of(header, path) or (1.0, 0.0))[0]
    said = f"{path}: its scl_slope is {slope:.4g}, which turns values upside down: is it meant so?"
    return (said,) * (slope < 0)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """Without axes of length 1 behind the third, which stand for a time, or end the shape of a single volume."""
    if array.ndim == 5 and array.shape[3] == 1:
        array = array[:, :, :, 0]
    while array.ndim > 4 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def write_label_nifti(path: Path | str, label: NDArray[Any], geometry: Geometry, said: str = "") -> None:
    """Write a label on the file's own grid: its orientation, shape, affine and header codes, in mm.

    The file appears whole or not at all, and the same input gives the same bytes. Where the geometry has no
    affine the axes are taken as canonical with a spacing of 1, so that `read_nifti` gives the array back.

    Args:
        path: `.nii` or `.nii.gz`; an existing file is replaced.
        label: (Z, Y, X) integers; stored as uint8, or as int16 or int32 where values demand it.
        geometry: the grid the label belongs to.
        said: put into the header as its description, at most 79 letters of ASCII.

    Raises:
        DataError: if the label has another shape than the grid, or the file name another ending.
    """
    path = Path(path)
    _check_target(path, label.shape, geometry)
    low, high = int(label.min()), int(label.max())
    dtype = next(t for t in (np.uint8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    image = _nifti_of(label.astype(dtype), geometry)
    image.header["descrip"] = said
    content: bytes = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip_ng.compress(content, compresslevel=6, mtime=0)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def write_probabilities_nifti(path: Path | str, probabilities: NDArray[np.floating], geometry: Geometry) -> None:
    """Write class probabilities on the file's own grid, the classes along the last axis: (X, Y, Z, K) float32.

    As `write_label_nifti`, but a class after the other, so that no second copy is held.

    Args:
        path: `.nii.gz`; an existing file is replaced.
        probabilities: (K, Z, Y, X); NIfTI knows no half precision.
        geometry: the grid they belong to.

    Raises:
        DataError: if they have another shape than the grid, or the file name another ending.
    """
    path = Path(path)
    _check_target(path, probabilities.shape[1:], geometry)
    image = _nifti_of(np.moveaxis(probabilities, 0, -1), geometry)
    image.set_data_dtype(np.float32)
    with (
        atomic_write(path) as unfinished,
        unfinished.open("wb") as file,
        gzip_ng.GzipNGFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as stream,
    ):
        image.to_stream(stream)


def _check_target(path: Path, shape: tuple[int, ...], geometry: Geometry) -> None:
    if shape != geometry.shape:
        raise DataError(
            f"{path}: a label must have its grid's shape {geometry.shape} but has {shape}; "
            "bring it back to the native grid first"
        )
    if not path.name.endswith((".nii", ".nii.gz")):
        raise DataError(f"{path}: a NIfTI file is named .nii or .nii.gz; rename it")


def _nifti_of(array: NDArray[Any], geometry: Geometry) -> nib.Nifti1Image:
    """Image of a canonical array (Z, Y, X) or (Z, Y, X, K) with the file's own orientation, affine and header codes."""
    affine = _NO_GRID if geometry.affine is None else geometry.affine
    turned = orientations.apply_orientation(array, from_canonical(affine))
    half = turned.dtype == np.float16  # unknown to NIfTI
    image = nib.Nifti1Image(turned, None, nib.Nifti1Header() if half else None)  # with an affine, it would choose codes
    qform_code, sform_code = geometry.codes
    image.header.set_sform(affine, sform_code)
    image.header.set_qform(affine if geometry.qform is None else geometry.qform, qform_code)
    image.header.set_xyzt_units("mm")
    return image


def as_label(volume: Volume, name: str) -> Volume:
    """Check that a volume can be a label, and make its values integers.

    Args:
        volume: (1, Z, Y, X) of integers, or of floats within 0.001 of one (scaled or resaved labels).
        name: what to call it in messages, such as its file name.

    Raises:
        DataError: if there are several channels, or values that are fractional, not finite or too large for floats.
    """
    array = volume.array
    if len(array) != 1:
        hot = f", of an axis of classes {ONE_HOT.format(-1)}" if _is_one_hot(array) else ""
        raise DataError(f"{name}: a label has one channel but this has {len(array)}; export one label map a case{hot}")
    if array.dtype.kind in "iu":
        return volume
    whole = np.rint(array)
    with np.errstate(invalid="ignore"):  # inf - inf
        wrong = ~(np.abs(array - whole) <= 1e-3)  # written so that NaN is wrong, too
    if wrong.any():
        raise DataError(
            f"{name}: label values must be whole numbers but {int(wrong.sum())} voxels are not, "
            f"such as {float(array[wrong][0]):.4g}; {_remedy(array, wrong)}"
        )
    if (largest := float(np.abs(whole).max())) >= 1 << 24:
        raise DataError(f"{name}: floats hold no label value of {largest:.0f} exactly; export the label as integers")
    return replace(volume, array=whole.astype(np.int32))


def _remedy(array: NDArray[np.floating], wrong: NDArray[np.bool_]) -> str:
    """What to do about label values that are no whole numbers."""
    if np.isnan(array[wrong]).all():
        return "write 0 there, if they are background"
    values = np.unique(array[np.isfinite(array)])
    step = float(np.abs(values[values != 0]).min())
    if np.allclose(values / step, np.rint(values / step), atol=1e-3) and len(values) <= _FEW:
        return (
            f"as all are multiples of {step:.4g}, set the header's factor (scl_slope) to 1 if it is that, or export "
            "again with nearest-neighbour interpolation"
        )
    if values[0] >= 0 and values[-1] <= 1:
        return "if they are probabilities, write a class's value where its own is above 0.5"
    return "export again with nearest-neighbour interpolation"


def _is_one_hot(array: NDArray[Any]) -> bool:
    """Whether each voxel has 1 in one channel, that of the background among them, and 0 in the others."""
    held = array.astype(bool)
    return bool((held == array).all() and (held.sum(0) == 1).all())
