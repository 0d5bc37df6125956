"""NRRD and MetaImage files (`.nrrd`, `.nhdr`, `.mha`, `.mhd`)."""

from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from zlib_ng import gzip_ng, zlib_ng

from adawac.errors import DataError, one_line
from adawac.io.canonical import Geometry
from adawac.io.content import check_kind
from adawac.io.itk_header import MOST_HEADER, Header, header_fields, unreadable
from adawac.io.limits import Inflated, Stream, check_voxels, read_rest, read_voxels
from adawac.io.metaimage import metaimage_header
from adawac.io.nrrd import nrrd_header, segment_names
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine
from adawac.io.volumes import Volume

META, NRRD = (".mha", ".mhd"), (".nrrd", ".nhdr")
"""Endings of file names: what a file is called decides what it may be."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def read_itk(path: Path) -> Volume:
    """Read a file into the canonical orientation; what a voxel holds several numbers of are channels.

    Args:
        path: of a file that ends as those of `META` or `NRRD` do.

    Returns:
        Volume (C, Z, Y, X): integers as stored, or float32.

    Raises:
        DataError: if the file is missing, unreadable, cut short, not three-dimensional, of complex numbers, or points
            to data outside of its folder; or if its grid makes no sense.
    """
    header = read_header(path)
    shape, channels = header.shape, header.channels
    check_voxels(str(path), (*shape, channels), header.dtype)
    try:
        with header.data.open("rb") as stream:
            stream.seek(header.start(channels * int(np.prod(shape, dtype=np.int64)) * header.dtype.itemsize))
            voxels = _voxels(stream, header)
    except (OSError, EOFError, zlib_ng.error) as error:  # type: ignore[misc]  # as in `volumes`
        raise DataError(
            f"{path}: the file is unreadable, cut short or corrupt ({one_line(error)}); copy it again"
        ) from error
    unit, scale = header.unit
    geometry = geometry_of_lps(path, shape, scale * header.columns, scale * header.origin, unit)
    return replace(Volume.of_file(voxels, geometry, header.notes), names=segment_names(path))


def read_header(path: Path) -> Header:
    """Read the header of a file that ends as those of `META` or `NRRD` do.

    Raises:
        DataError: if it cannot be read, is of no volume, or names anything but a file in its own folder.
    """
    meta = path.suffix.lower() in META
    check_kind(path, ("MetaImage" if meta else "NRRD",))
    try:
        with path.open("rb") as file:
            start = file.read(MOST_HEADER)
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}); correct the path or restore it"
        ) from error
    fields, length = header_fields(path, start, meta)
    if (name := fields.get("ElementDataFile" if meta else "data file")) is None or (meta and name.upper() == "LOCAL"):
        data = path
    else:
        data, length = path.parent / name, 0
        if name.split()[:1] == ["LIST"] or "%" in name or Path(name).name != name or not data.is_file():
            renamed = path.with_suffix(Path(name).suffix).name
            anew = f", write {renamed} there if it was renamed" if (path.parent / renamed).is_file() else ""
            raise DataError(
                f"{path}: its voxels must lie in one file of the same folder, but the header names {name!r}; "
                f"restore that file{anew}, or export header and voxels as one (.mha, .nrrd)"
            )
    try:
        return (metaimage_header if meta else nrrd_header)(path, fields, data, length)
    except (KeyError, ValueError) as error:
        what = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
        raise unreadable(path, what) from error


def _voxels(stream: BinaryIO, header: Header) -> NDArray[Any]:
    """(x, y, z, channel) of a stream that stands at its first voxel or at their compression."""
    count = header.channels * int(np.prod(header.shape, dtype=np.int64))
    unpacked: Stream = stream
    if header.encoding != "raw":
        unpacked = Inflated(stream) if header.encoding == "zlib" else gzip_ng.GzipNGFile(fileobj=stream)
    voxels = read_voxels(unpacked, count, header.dtype)
    if header.encoding != "raw" and not read_rest(unpacked, 0):
        raise EOFError("more voxels are compressed than the header names")
    sizes = list(header.shape)
    sizes.insert(header.channel_axis, header.channels)
    return np.moveaxis(voxels.reshape(sizes, order="F"), header.channel_axis, -1)


def data_files(path: Path) -> tuple[Path, ...]:
    """The files beside a header that hold its voxels; none where it holds them itself.

    Raises:
        DataError: if the header is missing, or names anything but a file in its own folder.
    """
    header = read_header(path)
    return () if header.data == path else (header.data,)


def geometry_of_lps(
    name: Path, shape: tuple[int, ...], columns: NDArray[np.float64], origin: NDArray[np.float64], unit: str = "mm"
) -> Geometry:
    """Geometry in the convention of ITK and DICOM, whose axes point Left, Posterior, Superior.

    Args:
        name: of the file or folder, for errors.
        shape: (x, y, z) as stored.
        columns: (3, 3) from one voxel to the next along x, y and z, in mm.
        origin: (3,) centre of the first voxel in mm.
        unit: that the header names, for errors.

    Raises:
        DataError: if the axes do not span a space, or a spacing is impossible.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = _LPS_TO_RAS @ columns, _LPS_TO_RAS @ origin
    try:
        geometry = Geometry.of_affine(shape, affine)
    except DataError as error:
        remedy = "export the image again" if unit == "mm" else f"correct the header's unit, which is {unit}"
        raise DataError(f"{name}: {error}; {remedy}") from error
    sheared = largest_cosine(columns) > SHEAR_TOLERANCE  # a tilted gantry: NIfTI's qform cannot say so
    return replace(geometry, codes=(0, 1) if sheared else (1, 1))
