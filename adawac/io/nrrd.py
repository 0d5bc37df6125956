"""Headers of NRRD (`.nrrd`, `.nhdr`)."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError
from adawac.io.dimensions import check_channels_last, said_of_times
from adawac.io.itk_fields import (
    agree,
    apart,
    bytes_before,
    check_sizes,
    dimensions,
    first_of,
    floats,
    integers,
    number_of,
    unit_of,
)
from adawac.io.itk_header import MOST_HEADER, Header

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **{"float": "f4", "double": "f8"},
}
_DOMAINS = ("domain", "space", "time", "none", "???")
_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}
"""Signs that turn a space's axes to Left, Posterior, Superior."""

_OF_NO_SIDE = ("", "scanner-xyz", "3d-right-handed", "3d-left-handed")
"""Spaces that do not say which side is left."""

_HALF_A_VOXEL = {"cell": 0.5, "???": 0.5, "none": 0.5, "node": 0.0}
"""From the least position along an axis to the first voxel's centre, by how NRRD says that voxels are centred."""

_SEGMENT = re.compile(rb"^(Segment\d+)_(Name|LabelValue):=(.*?)\r?$", re.MULTILINE)

_Grid = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(3, 3) columns and (3,) origin, as in `Header`."""


def nrrd_header(path: Path, fields: Mapping[str, str], data: Path, length: int) -> Header:
    """What the fields say.

    Args:
        path: of the file, for errors.
        fields: by their names, in small letters.
        data: the file that holds the voxels.
        length: bytes of it before the voxels begin, without those that are to be skipped.

    Raises:
        DataError: if it is of no volume, of voxels that are not read, or says two things.
        KeyError: a field is missing, or its value unknown.
        ValueError: what a field says makes no sense.
    """
    sizes = integers(fields["sizes"])
    if fields["dimension"] != str(len(sizes)):
        raise ValueError(f"dimension is {fields['dimension']!r} but sizes are {sizes}")
    kinds = fields.get("kinds", " ".join(["domain"] * len(sizes))).split()
    vectors = re.findall(r"\([^()]*\)|none", fields.get("space directions", ""))
    across = _axis_of_channels(path, sizes, kinds, vectors)
    shape, channels = dimensions(path, sizes, across)
    axis = len(sizes) if across is None else across
    steps = vectors or fields.get("spacings", "").split()
    step = floats("".join(steps[axis : axis + 1]).replace("none", "").strip("()"))
    told = across is not None and kinds[axis].lower() == "time"
    times = said_of_times(path, channels, math.hypot(*step) if step else 1, "units", told)
    space = re.sub("-time$", "", fields.get("space", "").lower())
    if space not in (*_SPACES, *_OF_NO_SIDE):
        raise ValueError(f"space is {fields['space']!r}")
    columns, origin = (_by_vectors if vectors else _by_spacings)(path, fields, vectors, axis)
    signs = np.array(_SPACES.get(space, (1, 1, 1)))
    origin = signs * np.where(np.isnan(origin).all(), 0, origin)  # NaN: it is not known
    unit = unit_of(path, re.findall(r'"([^"]*)"', fields.get("space units", ""))[:3] or ["mm"])
    side = (f"{path}: its header names no space of left and right: which side is left is a guess",)
    return Header(
        shape=shape,
        channels=channels,
        channel_axis=axis,
        dtype=_number(path, fields),
        encoding=_encoding(path, fields),
        data=data,
        skip=bytes_before(length, int(fields.get("byte skip", "0"))),
        columns=signs[:, None] * columns,
        origin=origin,
        unit=unit,
        notes=(*side * (space in _OF_NO_SIDE), *times),
    )


def _axis_of_channels(path: Path, sizes: tuple[int, ...], kinds: Sequence[str], vectors: Sequence[str]) -> int | None:
    """Which of the file's axes is none of space; None where all are."""
    across = [axis for axis, kind in enumerate(kinds) if kind.lower() not in _DOMAINS]
    across = across or [axis for axis, vector in enumerate(vectors) if vector == "none"]
    across = across or [axis for axis, kind in enumerate(kinds) if kind.lower() == "time"]
    if not across and len(sizes) == 4:
        check_channels_last(path, sizes)
        across = [3]  # as of NIfTI
    if len(kinds) != len(sizes) or len(across) > 1 or (vectors and len(vectors) != len(sizes)):
        raise ValueError(f"kinds are {kinds}, space directions {vectors}")
    if any("complex" in kind for kind in kinds):
        raise DataError(f"{path}: voxels must be integers or floats but are complex; convert the file")
    return across[0] if across else None


def _number(path: Path, fields: Mapping[str, str]) -> np.dtype[np.generic]:
    """The type of a voxel's number."""
    dtype = number_of(path, _TYPES, fields["type"].lower(), fields.get("endian", "little").lower() == "big")
    if dtype.itemsize > 1 and fields["endian"].lower() not in ("little", "big"):
        raise ValueError(f"endian is {fields['endian']!r}")
    return dtype


def _encoding(path: Path, fields: Mapping[str, str]) -> Literal["raw", "gzip"]:
    """How voxels are stored."""
    encodings: dict[str, Literal["raw", "gzip"]] = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
    if (encoding := encodings.get(fields["encoding"].lower())) is None:
        raise DataError(
            f"{path}: its voxels are stored as {fields['encoding']}, but raw and gzip are read; export it anew"
        )
    if int(fields.get("line skip", "0")):
        raise ValueError("lines are to be skipped")
    return encoding


def _in_space(fields: Mapping[str, str], name: str, axis: int, missing: str = "") -> list[str]:
    """Words of a field that has one an axis, without that of the channels."""
    return [part for place, part in enumerate(fields.get(name, missing).split()) if place != axis]


def _by_vectors(path: Path, fields: Mapping[str, str], vectors: Sequence[str], axis: int) -> _Grid:
    """The grid that space directions and an origin span, in the axes of the header's space."""
    ends = (floats(" ".join(_in_space(fields, name, axis))) for name in ("axis mins", "axis maxs"))
    if not fields.keys() & {"space", "space dimension"} or any(value == value for end in ends for value in end):
        raise ValueError("space directions stand there without a space, or beside axis mins or maxs")
    directions = [floats(vector.strip("()")) for place, vector in enumerate(vectors) if place != axis]
    apart([*directions, *(floats(vector.strip("()")) for vector in vectors[axis : axis + 1] if vector != "none")])
    lengths = [math.hypot(*vector) for vector in directions]
    spacings = _spacings(fields, axis)
    agree(path, {"spacings": spacings, "space directions": lengths} if len(spacings) == len(lengths) else {})
    columns = np.array([first_of("space directions", vector) for vector in directions]).T
    return columns, np.array(first_of("space origin", floats(fields.get("space origin", "(0,0,0)").strip("()"))))


def _by_spacings(path: Path, fields: Mapping[str, str], vectors: Sequence[str], axis: int) -> _Grid:
    """The grid of a header without directions: along the axes, from the least position along each."""
    spacings = _spacings(fields, axis)
    check_sizes(path, " ".join(map(str, spacings)))
    if fields.keys() & {"space", "space dimension", "space origin"}:
        raise ValueError("a space stands there without space directions")
    columns = np.diag(spacings)
    mins = floats(" ".join(_in_space(fields, "axis mins", axis)))
    said = _in_space(fields, "centers", axis, " ".join(["cell"] * 4))
    first = [_HALF_A_VOXEL[each.lower()] for each in said]
    return columns, np.array(first_of("axis mins", mins)) + columns @ first_of("centers", first) if mins else np.zeros(
        3
    )


def _spacings(fields: Mapping[str, str], axis: int) -> list[float]:
    """Those that are known."""
    return [value for value in floats(" ".join(_in_space(fields, "spacings", axis))) if value == value]


def segment_names(path: Path) -> dict[int, str]:
    """Label values and the names that 3D Slicer gives them in the header of a segmentation; none of other files."""
    with path.open("rb") as file:
        header = file.read(MOST_HEADER).partition(b"\n\n")[0]
    told: dict[bytes, dict[bytes, str]] = {}
    for segment, key, value in _SEGMENT.findall(header):
        told.setdefault(segment, {})[key] = value.decode(errors="replace").strip()
    values = {its.get(b"LabelValue", ""): its.get(b"Name", "") for its in told.values()}
    return {int(value): name for value, name in values.items() if value.isdecimal() and name}
