"""NRRD and MetaImage files (`.nrrd`, `.nhdr`, `.mha`, `.mhd`): SimpleITK, which is an extra, says what their grids are.

It sees a header that is written here, of checked fields, and neither the file nor a name in it; voxels are read here.
"""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from zlib_ng import gzip_ng, zlib_ng

from adawac.errors import ConfigError, DataError, one_line
from adawac.io.canonical import Geometry
from adawac.io.itk_headers import Header, read_header, segment_names
from adawac.io.limits import Inflated, Stream, check_voxels, read_rest, read_voxels
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine
from adawac.io.volumes import Volume

_SIDES = re.compile(r"^space: *(left|right|LPS|RAS|LAS)", re.IGNORECASE | re.MULTILINE)
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def simpleitk() -> Any:
    """The library, silenced: what it warns of is checked here.

    Raises:
        ConfigError: naming the extra, where it is not installed.
    """
    try:
        library = import_module("SimpleITK")
    except ImportError as error:
        raise ConfigError(
            "DICOM, NRRD, MHA and MHD are read by SimpleITK, which is not installed; pip install 'adawac[dicom]'"
        ) from error
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


def header_reader(path: Path, image_io: str) -> Any:
    """SimpleITK's reader of a file, which has read what the header says.

    Args:
        path: of the file.
        image_io: class of ITK that reads it, such as "GDCMImageIO".

    Raises:
        RuntimeError: the header cannot be read.
        ConfigError: SimpleITK is not installed.
    """
    reader = simpleitk().ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def read_itk(path: Path) -> Volume:
    """Read a file into the canonical orientation; what a voxel holds several numbers of are channels.

    Args:
        path: of one of the endings of `HEADERS`.

    Returns:
        Volume (C, Z, Y, X): integers as stored, or float32.

    Raises:
        DataError: if the file is missing, unreadable, cut short, not three-dimensional, of complex numbers, or points
            to data outside of its folder; or if its grid makes no sense.
        ConfigError: if SimpleITK is not installed.
    """
    header = read_header(path)
    shape, channels = header.shape, header.channels
    check_voxels(str(path), (*shape, channels), header.dtype)
    try:
        with TemporaryDirectory() as folder:
            reader = header_reader(header.write(Path(folder)), header.reader)
        if reader.GetSize() != shape:
            raise RuntimeError(f"{reader.GetSize()} voxels")
        with header.data.open("rb") as stream:
            stream.seek(header.start(channels * int(np.prod(shape, dtype=np.int64)) * header.dtype.itemsize))
            voxels = _voxels(stream, header)
    except (RuntimeError, OSError, EOFError, zlib_ng.error) as error:  # type: ignore[misc]  # as in `volumes`
        reason = last_line(error) if isinstance(error, RuntimeError) else one_line(error)
        raise DataError(f"{path}: the file is unreadable, cut short or corrupt ({reason}); copy it again") from error
    unit, scale = header.unit
    columns = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing() * scale
    geometry = geometry_of_lps(path, shape, columns, scale * np.array(reader.GetOrigin()), unit)
    guessed = header.ending == ".nrrd" and not _SIDES.search(header.text)
    side = (f"{path}: its header names no space of left and right: which side is left is a guess",) * guessed
    return replace(Volume.of_file(voxels, geometry, (*side, *header.notes)), names=segment_names(path))


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


def last_line(error: BaseException) -> str:
    """What an ITK error says at its end: the reason; before it stand places in ITK's source and in memory."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else type(error).__name__
