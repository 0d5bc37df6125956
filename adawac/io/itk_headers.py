"""Headers of NRRD and MetaImage, read as strictly as they are usually written.

The strictness is what keeps a file from naming others, or from reading differently to two programs.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError
from adawac.io.content import check_kind
from adawac.io.dimensions import check_channels_last, said_of_times
from adawac.io.itk_fields import (
    agree,
    apart,
    bytes_before,
    check_sizes,
    dimensions,
    first_of,
    flag,
    floats,
    integers,
    number_of,
    unit_of,
)

META, NRRD = (".mha", ".mhd"), (".nrrd", ".nhdr")
"""Endings of file names: what a file is called decides what it may be."""

MOST_HEADER = 1 << 20
"""Bytes of a header: 3D Slicer writes some 600 for every segment."""

_META_TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
_NRRD_TYPES = {
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
_NRRD_ALIASES = {
    **{"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "centerings": "centers"},
    **{"axismins": "axis mins", "axismaxs": "axis maxs"},
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

_META_LINE, _NRRD_LINE = re.compile(r"([^\s=:][^=:]*?)[ \t]*=[ \t]*(.*)"), re.compile(r"([^\s=:#][^=:]*?): *(.*)")

_SEGMENT = re.compile(rb"^(Segment\d+)_(Name|LabelValue):=(.*?)\r?$", re.MULTILINE)


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
    fields, length = _fields(path, start, meta)
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
        return (_meta if meta else _nrrd)(path, fields, data, length)
    except (KeyError, ValueError) as error:
        what = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
        raise _unreadable(path, what) from error


def segment_names(path: Path) -> dict[int, str]:
    """Label values and the names that 3D Slicer gives them in the header of a segmentation; none of other files."""
    with path.open("rb") as file:
        header = file.read(MOST_HEADER).partition(b"\n\n")[0]
    told: dict[bytes, dict[bytes, str]] = {}
    for segment, key, value in _SEGMENT.findall(header):
        told.setdefault(segment, {})[key] = value.decode(errors="replace").strip()
    values = {its.get(b"LabelValue", ""): its.get(b"Name", "") for its in told.values()}
    return {int(value): name for value, name in values.items() if value.isdecimal() and name}


def _unreadable(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: the file is unreadable, cut short or corrupt ({what}); copy it again, or export it with ITK's writers"
    )


def _fields(path: Path, start: bytes, meta: bool) -> tuple[dict[str, str], int]:
    """Fields by their names, and how many bytes they take."""
    fields: dict[str, str] = {}
    lines = BytesIO(start)
    if not meta and not re.fullmatch(rb"NRRD000[1-5]\r?\n?", lines.readline()):
        raise _unreadable(path, "it does not begin as NRRD does")
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
            raise _unreadable(path, f"{line[:40]!r} is no field of a header")
        key, value = match.groups()
        key = key if meta else _NRRD_ALIASES.get(key.lower(), key.lower())
        if key in fields and key != "Comment":
            raise _unreadable(path, f"{key} stands there twice")
        fields[key] = value
        if meta and key == "ElementDataFile":
            return fields, lines.tell()
    if meta or len(start) == MOST_HEADER:
        raise _unreadable(path, f"its header does not end within {MOST_HEADER} bytes")
    return fields, len(start)


def _meta(path: Path, fields: Mapping[str, str], data: Path, length: int) -> Header:
    sizes = integers(fields["DimSize"])
    shape, volumes = dimensions(path, sizes, 3 if len(sizes) == 4 else None)
    if fields["NDims"] != str(len(sizes)) or not flag(fields, "BinaryData", default=True):
        raise ValueError("it must have NDims = 3, or 4 with channels last, and BinaryData = True")
    big = flag(fields, "BinaryDataByteOrderMSB") or flag(fields, "ElementByteOrderMSB")
    dtype = number_of(path, _META_TYPES, fields["ElementType"].removesuffix("_ARRAY"), big)
    slope, offset = (fields.get(f"ElementToIntensityFunction{part}") for part in ("Slope", "Offset"))
    if (float(slope or 1), float(offset or 0)) != (1, 0):
        raise DataError(
            f"{path}: the header makes intensities of its values by a slope of {slope} and an offset of {offset}, "
            "which programs read or do not; write the intensities themselves"
        )
    numbers = int(fields.get("ElementNumberOfChannels", "1"))
    if numbers < 1 or min(numbers, volumes) > 1:
        raise ValueError(f"ElementNumberOfChannels is {numbers}")
    steps = fields.get("ElementSpacing", fields.get("ElementSize", "")).split()
    times: tuple[str, ...] = ()
    if len(sizes) == 4:
        check_channels_last(path, sizes)
        times = said_of_times(path, volumes, float(steps[3]) if len(steps) == 4 else 1, "units")
        steps = steps[:3]
    check_sizes(path, " ".join(steps))

    def stated(names: tuple[str, ...], default: Sequence[float]) -> NDArray[np.float64]:
        """What fields of one meaning say of the axes of space."""
        said = {name: [float(part) for part in fields[name].split()] for name in names if name in fields}
        for name, values in said.items():
            if len(sizes) == 4 and len(default) == 9:
                rows = [values[row : row + 4] for row in range(0, 16, 4)]
                apart(rows)
                values = [value for row in rows[:3] for value in row[:3]]
            said[name] = first_of(name, values, len(default))
        return np.array(agree(path, said) or default)

    spacing = stated(("ElementSpacing", "ElementSize"), (1, 1, 1))
    origin = stated(("Offset", "Position", "Origin"), (0, 0, 0))
    rows = stated(("TransformMatrix", "Rotation", "Orientation"), (1, 0, 0, 0, 1, 0, 0, 0, 1)).reshape(3, 3)
    unit = unit_of(path, [fields.get("DistanceUnits", "mm")])
    skip = bytes_before(length, int(fields.get("HeaderSize", "0")))
    encoding: Literal["zlib", "raw"] = "zlib" if flag(fields, "CompressedData") else "raw"
    channels, axis = (volumes, 3) if volumes > 1 else (numbers, 0)
    return Header(shape, channels, axis, dtype, encoding, data, skip, rows.T * spacing, origin, unit, times)


def _nrrd(path: Path, fields: Mapping[str, str], data: Path, length: int) -> Header:
    sizes = integers(fields["sizes"])
    if fields["dimension"] != str(len(sizes)):
        raise ValueError(f"dimension is {fields['dimension']!r} but sizes are {sizes}")
    kinds = fields.get("kinds", " ".join(["domain"] * len(sizes))).split()
    vectors = re.findall(r"\([^()]*\)|none", fields.get("space directions", ""))
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
    axis = across[0] if across else len(sizes)
    shape, channels = dimensions(path, sizes, across[0] if across else None)
    steps = vectors or fields.get("spacings", "").split()
    step = floats("".join(steps[axis : axis + 1]).replace("none", "").strip("()"))
    told = bool(across) and kinds[axis].lower() == "time"
    times = said_of_times(path, channels, math.hypot(*step) if step else 1, "units", told)
    dtype = number_of(path, _NRRD_TYPES, fields["type"].lower(), fields.get("endian", "little").lower() == "big")
    if dtype.itemsize > 1 and fields["endian"].lower() not in ("little", "big"):
        raise ValueError(f"endian is {fields['endian']!r}")
    encodings: dict[str, Literal["raw", "gzip"]] = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
    if (encoding := encodings.get(fields["encoding"].lower())) is None:
        raise DataError(
            f"{path}: its voxels are stored as {fields['encoding']}, but raw and gzip are read; export it anew"
        )
    if int(fields.get("line skip", "0")):
        raise ValueError("lines are to be skipped")

    def in_space(name: str, missing: str = "") -> list[str]:
        """Words of a field that has one an axis, without that of the channels."""
        return [part for place, part in enumerate(fields.get(name, missing).split()) if place != axis]

    space = re.sub("-time$", "", fields.get("space", "").lower())
    if space not in (*_SPACES, *_OF_NO_SIDE):
        raise ValueError(f"space is {fields['space']!r}")
    spacings = [value for value in floats(" ".join(in_space("spacings"))) if value == value]
    mins, maxs = (floats(" ".join(in_space(name))) for name in ("axis mins", "axis maxs"))
    if vectors:
        if not fields.keys() & {"space", "space dimension"} or any(value == value for value in (*mins, *maxs)):
            raise ValueError("space directions stand there without a space, or beside axis mins or maxs")
        directions = [floats(vector.strip("()")) for place, vector in enumerate(vectors) if place != axis]
        apart([*directions, *(floats(vector.strip("()")) for vector in vectors[axis : axis + 1] if vector != "none")])
        lengths = [math.hypot(*vector) for vector in directions]
        agree(path, {"spacings": spacings, "space directions": lengths} if len(spacings) == len(lengths) else {})
        columns = np.array([first_of("space directions", vector) for vector in directions]).T
        origin = np.array(first_of("space origin", floats(fields.get("space origin", "(0,0,0)").strip("()"))))
    else:
        check_sizes(path, " ".join(map(str, spacings)))
        if fields.keys() & {"space", "space dimension", "space origin"}:
            raise ValueError("a space stands there without space directions")
        columns = np.diag(spacings)
        first = [_HALF_A_VOXEL[each.lower()] for each in in_space("centers", " ".join(["cell"] * len(sizes)))]
        origin = np.array(first_of("axis mins", mins)) + columns @ first_of("centers", first) if mins else np.zeros(3)
    skip = bytes_before(length, int(fields.get("byte skip", "0")))
    unit = unit_of(path, re.findall(r'"([^"]*)"', fields.get("space units", ""))[:3] or ["mm"])
    side = (f"{path}: its header names no space of left and right: which side is left is a guess",)
    notes = (*side * (space in _OF_NO_SIDE), *times)
    signs = np.array(_SPACES.get(space, (1, 1, 1)))
    origin = signs * np.where(np.isnan(origin).all(), 0, origin)  # NaN: it is not known
    return Header(shape, channels, axis, dtype, encoding, data, skip, signs[:, None] * columns, origin, unit, notes)
