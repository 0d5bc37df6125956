"""What the header of an NRRD or a MetaImage file says, read as strictly as they are usually written.

The strictness is what keeps a file from naming others, or from reading differently to two programs.
"""

import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError

MOST_HEADER = 1 << 20
"""Bytes of a header: 3D Slicer writes some 600 for every segment."""

_ALIASES = {
    **{"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "centerings": "centers"},
    **{"axismins": "axis mins", "axismaxs": "axis maxs"},
}

_META_LINE, _NRRD_LINE = re.compile(r"([^\s=:][^=:]*?)[ \t]*=[ \t]*(.*)"), re.compile(r"([^\s=:#][^=:]*?): *(.*)")


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes:
        shape: (x, y, z).
        channels: numbers a voxel.
        channel_axis: where these stand among the file's axes, the fastest first.
        dtype: of a number, with its byte order.
        encoding: how voxels are stored.
        data: the file that holds them.
        skip: bytes of it before they begin; -1: they end the file.
        columns: (3, 3) from a voxel to the next along x, y and z, pointing Left, Posterior, Superior.
        origin: (3,) centre of the first voxel.
        unit: of lengths, as the header names it, and mm to one of it.
        notes: what is odd about it.
    """

    shape: tuple[int, int, int]
    channels: int
    channel_axis: int
    dtype: np.dtype[np.generic]
    encoding: Literal["raw", "zlib", "gzip"]
    data: Path
    skip: int
    columns: NDArray[np.float64]
    origin: NDArray[np.float64]
    unit: tuple[str, float] = ("mm", 1.0)
    notes: tuple[str, ...] = ()

    def start(self, size: int) -> int:
        """The byte at which so many bytes of voxels begin.

        Raises:
            EOFError: if the file is too short for them.
        """
        there = self.data.stat().st_size
        start = there - size if self.skip < 0 else self.skip
        if start < 0 or (self.encoding == "raw" and start + size > there):
            raise EOFError(f"{size} bytes of voxels are due but {there - max(start, 0)} there")
        return start


def unreadable(path: Path, what: str) -> DataError:
    """The error of a header that makes no sense."""
    return DataError(
        f"{path}: the file is unreadable, cut short or corrupt ({what}); copy it again, or export it with ITK's writers"
    )


def header_fields(path: Path, start: bytes, meta: bool) -> tuple[dict[str, str], int]:
    """Fields by their names, and how many bytes they take.

    Args:
        path: of the file.
        start: what it begins with, up to `MOST_HEADER` bytes.
        meta: whether it is a MetaImage.

    Raises:
        DataError: if that is no header, or one that does not end.
    """
    fields: dict[str, str] = {}
    lines = BytesIO(start)
    if not meta and not re.fullmatch(rb"NRRD000[1-5]\r?\n?", lines.readline()):
        raise unreadable(path, "it does not begin as NRRD does")
    for raw in lines:
        if not raw.endswith(b"\n") and len(start) == MOST_HEADER:
            break
        line = os.fsdecode(raw.removesuffix(b"\n").removesuffix(b"\r"))
        if not meta and not line:
            return fields, lines.tell()
        if not meta and (line.startswith("#") or ":=" in line):
            continue
        match = (_META_LINE if meta else _NRRD_LINE).fullmatch(line.rstrip(" \t"))
        if match is None:
            raise unreadable(path, f"{line[:40]!r} is no field of a header")
        key, value = match.groups()
        key = key if meta else _ALIASES.get(key.lower(), key.lower())
        if key in fields and key != "Comment":
            raise unreadable(path, f"{key} stands there twice")
        fields[key] = value
        if meta and key == "ElementDataFile":
            return fields, lines.tell()
    if meta or len(start) == MOST_HEADER:
        raise unreadable(path, f"its header does not end within {MOST_HEADER} bytes")
    return fields, len(start)
