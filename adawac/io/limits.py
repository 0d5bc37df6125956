"""How large a file may claim to be, and reading just so much: bounded by the header before any voxel is read."""

import math
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from nibabel.volumeutils import apply_read_scaling
from numpy.typing import DTypeLike, NDArray
from zlib_ng import zlib_ng

from adawac.errors import ConfigError, DataError, one_line

MOST_VOXELS = 1 << 30
"""Voxels of one file, all channels together: a CT of 2000 slices of 512 x 512 has half as many."""

SETTING = "ADAWAC_MAX_VOXELS"
"""Environment variable with another ceiling, for those who trust their files and have the memory."""

MOST_BESIDES = 1 << 26
"""Bytes that a file may hold before and after its voxels: header extensions, padding."""

_BYTES = 4
"""For a voxel of the ceiling: a file of twice as many bytes a voxel may have half as many."""

_CHUNK = 1 << 20


class Stream(Protocol):
    """What bytes are read from; fewer than asked for mean that it has ended."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""


class Inflated:
    """What a zlib or gzip stream holds, unpacked as far as it is asked for.

    Args:
        stream: stands at the first compressed byte.

    Example:
        >>> import io, zlib
        >>> Inflated(io.BytesIO(zlib.compress(b"voxels"))).read(3)
        b'vox'
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._inflate = zlib_ng.decompressobj(wbits=47)

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end, when the check sum has been compared.

        Raises:
            EOFError: if the stream ends before that.
        """
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(1 << 16)
            if part := self._inflate.decompress(packed, size):
                return part
            if not packed:
                raise EOFError("the compressed voxels are cut short")
        return b""


def check_voxels(name: str, shape: Sequence[int], dtype: DTypeLike = np.uint8) -> None:
    """Refuse what are no numbers, and more voxels or bytes than anyone scans.

    Args:
        name: what to call the file in the message.
        shape: as whoever reads the voxels takes it, not as the header writes it.
        dtype: of a voxel.

    Raises:
        DataError: if voxels are neither integers nor floats, a size is negative, or there are more than the ceiling,
            or than four bytes for each of it.
        ConfigError: if the environment variable `SETTING` is no number.

    Example:
        >>> check_voxels("scan.nii.gz", (512, 512, 2000))
        >>> check_voxels("scan.nii.gz", (30000, 30000, 30000))
        Traceback (most recent call last):
        adawac.errors.DataError: scan.nii.gz: the header claims 2.7e+13 voxels, shape (30000, 30000, 30000), but at \
most 1.1e+09 are read; crop or resample the volume, or set ADAWAC_MAX_VOXELS if you trust the file
        >>> check_voxels("scan.h5", (1024, 1024, 1024), np.float64)
        Traceback (most recent call last):
        adawac.errors.DataError: scan.h5: the header claims 8.6e+09 bytes, shape (1024, 1024, 1024) of float64, but \
at most 4.3e+09 are read; crop or resample the volume, or set ADAWAC_MAX_VOXELS if you trust the file
    """
    setting = os.environ.get(SETTING, str(MOST_VOXELS))
    if not setting.isdecimal():
        raise ConfigError(f"{SETTING} is {setting!r}; give a number of voxels, such as {MOST_VOXELS}")
    dtype = np.dtype(dtype)
    if dtype.kind not in "biuf":
        raise DataError(f"{name}: voxels must be integers or floats but are {dtype}; convert the file")
    shape = tuple(map(int, shape))
    if min(shape, default=0) < 0:
        raise DataError(f"{name}: no axis may have a negative size but the shape is {shape}; copy it again")
    remedy = f"are read; crop or resample the volume, or set {SETTING} if you trust the file"
    voxels, most = math.prod(shape), int(setting)
    if voxels > most:
        raise DataError(
            f"{name}: the header claims {voxels:.2g} voxels, shape {shape}, but at most {most:.2g} {remedy}"
        )
    if voxels * dtype.itemsize > most * _BYTES:
        raise DataError(
            f"{name}: the header claims {voxels * dtype.itemsize:.2g} bytes, shape {shape} of {dtype}, but at most "
            f"{most * _BYTES:.2g} {remedy}"
        )


def too_large(name: object, error: MemoryError) -> DataError:
    """What to say of a file that is none too large for the ceiling, but is for this machine."""
    return DataError(
        f"{name}: the image does not fit into the memory ({one_line(error)}); crop or resample it, or take a machine "
        "with more"
    )


def read_voxels(
    stream: Stream, count: int, dtype: DTypeLike, scaling: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Read voxels and not a byte more, in pieces, so that no second copy is held.

    Args:
        stream: stands at the first voxel.
        count: of voxels, see `check_voxels`.
        dtype: of a stored voxel.
        scaling: slope and intercept of a NIfTI file.

    Returns:
        (count,) integers as stored, in the machine's byte order; else float32.

    Raises:
        EOFError: if the stream ends before.

    Example:
        >>> import io, zlib
        >>> read_voxels(io.BytesIO(bytes([1, 0, 2, 0])), 2, "<i2").tolist()
        [1, 2]
    """
    dtype = np.dtype(dtype)
    whole = dtype.kind != "f" and scaling is None
    voxels = np.empty(count, dtype.newbyteorder("=") if whole else np.float32)
    step = _CHUNK // dtype.itemsize
    for start in range(0, count, step):
        part = voxels[start : start + step]
        raw = np.frombuffer(read_exactly(stream, len(part) * dtype.itemsize), dtype)
        with np.errstate(over="ignore"):  # of float64: infinite as float32
            part[:] = raw if scaling is None else apply_read_scaling(raw, *map(np.float64, scaling))
    return voxels


def read_exactly(stream: Stream, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: if there are fewer.
    """
    parts, missing = [], size
    while missing:
        if not (part := stream.read(min(missing, _CHUNK))):
            raise EOFError(f"{missing} of {size} bytes are missing")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def read_rest(stream: Stream, most: int = MOST_BESIDES) -> bool:
    """Read to the end, where check sums are compared; False where there are more bytes than `most`."""
    while most >= 0:
        if not (part := stream.read(_CHUNK)):
            return True
        most -= len(part)
    return False
