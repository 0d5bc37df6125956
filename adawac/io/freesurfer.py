"""Volumes of FreeSurfer (`.mgz`, `.mgh`)."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, footer_dtd, header_dtd
from numpy.typing import NDArray
from zlib_ng import gzip_ng, zlib_ng

from adawac.errors import DataError, one_line
from adawac.io.canonical import Geometry
from adawac.io.content import check_kind
from adawac.io.dimensions import said_of_times
from adawac.io.limits import MOST_BESIDES, check_voxels, read_exactly, read_rest, read_voxels
from adawac.io.volumes import Volume

_HEADER, _FOOTER = np.dtype(header_dtd), np.dtype(footer_dtd)
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def read_mgh(path: Path) -> Volume:
    """Read a file into the canonical orientation; its frames are channels.

    Args:
        path: packed by gzip or not, whatever its name says.

    Returns:
        Volume (C, Z, Y, X): integers as stored, or float32.

    Raises:
        DataError: if the file is missing, unreadable, cut short or none of these; or if its grid makes no sense.
    """
    check_kind(path, ())
    try:
        with ExitStack() as stack:
            stream: Any = stack.enter_context(path.open("rb"))
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            if packed:
                stream = stack.enter_context(gzip_ng.GzipNGFile(fileobj=stream))
            header = np.frombuffer(read_exactly(stream, _HEADER.itemsize), _HEADER)[0]
            shape, dtype = _described(header, path)
            read_exactly(stream, DATA_OFFSET - _HEADER.itemsize)
            voxels = read_voxels(stream, math.prod(shape), dtype)
            footer = stream.read(_FOOTER.itemsize)
            if not read_rest(stream):
                raise DataError(
                    f"{path}: over {MOST_BESIDES >> 20} MiB follow the voxels that the header names; export it again"
                )
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file does not exist; correct the path or restore the file") from error
    except (OSError, EOFError, zlib_ng.error) as error:  # type: ignore[misc]  # as in `nifti_files`
        raise DataError(
            f"{path}: the file is unreadable, cut short or corrupt ({one_line(error)}); copy it again"
        ) from error
    geometry, notes = _grid(header, shape[:3], path)
    apart = float(np.frombuffer(footer, _FOOTER)["tr"][0]) if len(footer) == _FOOTER.itemsize else 0.0
    notes += said_of_times(path, shape[3], apart, "ms")
    return Volume.of_file(voxels.reshape(shape, order="F"), geometry, notes)


def _described(header: NDArray[Any], path: Path) -> tuple[tuple[int, ...], str]:
    """Shape (x, y, z, frame) and type of a voxel."""
    if header["version"] != 1:
        raise DataError(f"{path}: this is no volume of FreeSurfer; convert it to .nii.gz (mri_convert)")
    if (dtype := _TYPES.get(int(header["type"]))) is None:
        raise DataError(
            f"{path}: voxels are of FreeSurfer's type {header['type']}, which is none of "
            f"{', '.join(map(str, _TYPES))}; convert it (mri_convert -odt float)"
        )
    shape = tuple(int(size) for size in header["dims"])
    check_voxels(str(path), shape, dtype)
    if 0 in shape:
        raise DataError(f"{path}: no axis may be empty but the shape is {shape}; export the file again")
    return shape, dtype


def _grid(header: NDArray[Any], shape: tuple[int, ...], path: Path) -> tuple[Geometry, tuple[str, ...]]:
    """The grid, and a note where the header has none."""
    columns, centre = header["Mdc"].T.astype(float) * header["delta"], header["Pxyz_c"].astype(float)
    notes: tuple[str, ...] = ()
    if header["goodRASFlag"] <= 0:  # coronal slices, as FreeSurfer takes them then
        if not (header["delta"] > 0).all():
            raise DataError(
                f"{path}: the header does not say how large voxels are; write it anew with mri_convert and their sizes"
            )
        columns = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]) * header["delta"]
        centre = np.zeros(3)
        notes = (f"{path}: its header has no orientation: which side is left is a guess, and so are all places",)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, centre - columns @ (np.array(shape) / 2)
    try:
        return Geometry.of_affine(shape, affine, codes=(0, 1)), notes
    except DataError as error:
        raise DataError(f"{path}: {error}; correct the header, or convert the image anew") from error
