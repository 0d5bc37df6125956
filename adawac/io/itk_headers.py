"""Headers of NRRD and MetaImage: read as strictly as they are usually written, and written anew for SimpleITK.

The strictness is what keeps a file from naming others, or from reading differently to two programs.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from adawac.errors import DataError
from adawac.io.content import check_kind

HEADERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""SimpleITK's reader of each ending: what a file is called decides what it may be."""

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
_META_GRID = (
    *("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation"),
    *("CenterOfRotation", "AnatomicalOrientation"),
)
_NRRD_GRID = (
    *("space", "space dimension", "space directions", "space origin", "spacings", "axis mins", "axis maxs"),
    *("centers", "kinds", "measurement frame"),
)
_NRRD_ALIASES = {
    **{"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "centerings": "centers"},
    **{"axismins": "axis mins", "axismaxs": "axis maxs"},
}
_DOMAINS = ("domain", "space", "time", "none", "???")
_META_SYNONYMS = (
    *(("ElementSpacing", "ElementSize"), ("Offset", "Position", "Origin")),
    ("TransformMatrix", "Rotation", "Orientation"),
)
_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres", "?", "", "???"), 1.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometers"), 0.001),
    **{"cm": 10.0, "m": 1000.0, "meter": 1000.0, "meters": 1000.0, "nm": 1e-6},
}
_META_LINE, _NRRD_LINE = re.compile(r"([^\s=:][^=:]*?)[ \t]*=[ \t]*(.*)"), re.compile(r"([^\s=:#][^=:]*?): *(.*)")
_PLAIN = re.compile(r"[\w.,()+\-\" ?]*", re.ASCII)


_SEGMENT = re.compile(rb"^(Segment\d+)_(Name|LabelValue):=(.*?)\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes:
        reader: SimpleITK's.
        shape: (x, y, z).
        channels: numbers a voxel.
        channel_axis: where these stand among the file's axes, the fastest first.
        dtype: of a number, with its byte order.
        encoding: how voxels are stored.
        data: the file that holds them.
        skip: bytes of it before they begin; -1: they end the file.
        text: the header anew, its voxels to follow it.
        ending: of the file that it belongs into.
        unit: of lengths, as the header names it, and mm to one of it.
    """

    reader: str
    shape: tuple[int, int, int]
    channels: int
    channel_axis: int
    dtype: np.dtype[np.generic]
    encoding: Literal["raw", "zlib", "gzip"]
    data: Path
    skip: int
    text: str
    ending: str
    unit: tuple[str, float] = ("mm", 1.0)

    def write(self, folder: Path) -> Path:
        """A file of the header alone."""
        path = folder / f"header{self.ending}"
        path.write_text(self.text, encoding="ascii")
        return path

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
    """Read the header of a file of one of the endings of `HEADERS`.

    Raises:
        DataError: if it cannot be read, is of no volume, or names anything but a file in its own folder.
    """
    meta = HEADERS[path.suffix.lower()] == "MetaImageIO"
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
            raise DataError(
                f"{path}: its voxels must lie in one file of the same folder, but the header names {name!r}; restore "
                "that file, or export header and voxels as one (.mha, .nrrd)"
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
    place = 0
    if not meta:
        first = start.partition(b"\n")[0]
        if not re.fullmatch(rb"NRRD000[1-5]\r?", first):
            raise _unreadable(path, "it does not begin as NRRD does")
        place = len(first) + 1
    while place < len(start):
        raw, newline, _ = start[place:].partition(b"\n")
        if not newline and len(start) == MOST_HEADER:
            break
        place += len(raw) + 1
        line = os.fsdecode(raw.removesuffix(b"\r"))
        if not meta and (not line or line.startswith("#") or ":=" in line):
            if not line:
                return fields, place
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
            return fields, place
    if meta or len(start) == MOST_HEADER:
        raise _unreadable(path, f"its header does not end within {MOST_HEADER} bytes")
    return fields, place


def _numbers(value: str) -> tuple[int, ...]:
    return tuple(int(number) for number in value.split())


def _grid(fields: Mapping[str, str], names: tuple[str, ...], sign: str) -> list[str]:
    """Lines of the fields that say where voxels lie, nothing but numbers and words in them."""
    for name in names:
        if name in fields and not _PLAIN.fullmatch(fields[name]):
            raise ValueError(f"{name} is {fields[name]!r}")
    return [f"{name}{sign}{fields[name]}" for name in names if name in fields]


def _dimensions(path: Path, sizes: tuple[int, ...], due: int = 3) -> tuple[int, int, int]:
    if len(sizes) != due:
        raise DataError(f"{path}: a volume has 3 dimensions but this has shape {sizes}; export one volume a file")
    if min(sizes) < 1:
        raise ValueError(f"sizes are {sizes}")
    return sizes[0], sizes[1], sizes[2]


def _number_of(path: Path, types: Mapping[str, str], name: str, big: bool) -> np.dtype[np.generic]:
    if name not in types:
        raise DataError(f"{path}: voxels must be integers or floats but are {name!r}; convert the file")
    return np.dtype((">" if big else "<") + types[name])


def _flag(fields: Mapping[str, str], name: str, default: bool = False) -> bool:
    value = fields.get(name, str(default)).lower()
    if value not in ("true", "false"):
        raise ValueError(f"{name} is {value!r}")
    return value == "true"


def _meta(path: Path, fields: Mapping[str, str], data: Path, length: int) -> Header:
    shape = _dimensions(path, _numbers(fields["DimSize"]))
    if fields["NDims"] != "3" or not _flag(fields, "BinaryData", default=True):
        raise ValueError("it must have NDims = 3 and BinaryData = True")
    big = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    dtype = _number_of(path, _META_TYPES, fields["ElementType"].removesuffix("_ARRAY"), big)
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    if channels < 1:
        raise ValueError(f"ElementNumberOfChannels is {channels}")
    lines = [
        *("ObjectType = Image", "NDims = 3", "BinaryData = True", "CompressedData = False"),
        *(f"BinaryDataByteOrderMSB = {big}", f"DimSize = {shape[0]} {shape[1]} {shape[2]}"),
        *_grid(fields, _META_GRID, " = "),
        *(f"ElementNumberOfChannels = {channels}", f"ElementType = {fields['ElementType'].removesuffix('_ARRAY')}"),
        "ElementDataFile = LOCAL",
    ]
    skip = _skip(length, int(fields.get("HeaderSize", "0")))
    encoding: Literal["zlib", "raw"] = "zlib" if _flag(fields, "CompressedData") else "raw"
    text = "\n".join(lines) + "\n"
    _check_sizes(path, fields.get("ElementSpacing", fields.get("ElementSize", "")))
    for names in _META_SYNONYMS:
        _agree(path, {name: _floats(fields[name]) for name in names if name in fields})
    unit = _unit(path, [fields.get("DistanceUnits", "mm")])
    return Header(HEADERS[path.suffix.lower()], shape, channels, 0, dtype, encoding, data, skip, text, ".mha", unit)


def _nrrd(path: Path, fields: Mapping[str, str], data: Path, length: int) -> Header:
    sizes = _numbers(fields["sizes"])
    if fields["dimension"] != str(len(sizes)):
        raise ValueError(f"dimension is {fields['dimension']!r} but sizes are {sizes}")
    kinds = fields.get("kinds", " ".join(["domain"] * len(sizes))).split()
    across = [axis for axis, kind in enumerate(kinds) if kind.lower() not in _DOMAINS]
    if len(kinds) != len(sizes) or len(across) > 1:
        raise ValueError(f"kinds are {kinds}")
    if any("complex" in kind for kind in kinds):
        raise DataError(f"{path}: voxels must be integers or floats but are complex; convert the file")
    channel_axis = across[0] if across else len(sizes)
    shape = _dimensions(path, tuple(size for axis, size in enumerate(sizes) if axis not in across))
    channels = sizes[across[0]] if across else 1
    if channels < 1:
        raise ValueError(f"sizes are {sizes}")
    dtype = _number_of(path, _NRRD_TYPES, fields["type"].lower(), fields.get("endian", "little").lower() == "big")
    if dtype.itemsize > 1 and fields["endian"].lower() not in ("little", "big"):
        raise ValueError(f"endian is {fields['endian']!r}")
    encodings: dict[str, Literal["raw", "gzip"]] = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
    if (encoding := encodings.get(fields["encoding"].lower())) is None:
        raise DataError(
            f"{path}: its voxels are stored as {fields['encoding']}, but raw and gzip are read; export it anew"
        )
    if int(fields.get("line skip", "0")):
        raise ValueError("lines are to be skipped")
    directions = [_floats(vector) for vector in re.findall(r"\(([^()]*)\)", fields.get("space directions", ""))]
    stated = [value for value in _floats(fields.get("spacings", "")) if value == value]
    if not directions:
        _check_sizes(path, " ".join(map(str, stated)))
    if directions and "spacings" in fields:
        lengths = [math.hypot(*vector) for vector in directions]
        _agree(path, {"spacings": stated, "space directions": lengths} if len(stated) == len(lengths) else {})
        fields = {name: value for name, value in fields.items() if name != "spacings"}  # ITK takes one of them
    lines = [
        *("NRRD0005", f"type: {fields['type']}", f"dimension: {len(sizes)}"),
        *_grid(fields, _NRRD_GRID[:2], ": "),
        *("sizes: " + " ".join(map(str, sizes)), *_grid(fields, _NRRD_GRID[2:], ": ")),
        *("endian: " + ("big" if dtype.byteorder == ">" else "little"), "encoding: raw", "", ""),
    ]
    skip = _skip(length, int(fields.get("byte skip", "0")))
    text, reader = "\n".join(lines), HEADERS[path.suffix.lower()]
    unit = _unit(path, re.findall(r'"([^"]*)"', fields.get("space units", "")) or ["mm"])
    return Header(reader, shape, channels, channel_axis, dtype, encoding, data, skip, text, ".nrrd", unit)


def _check_sizes(path: Path, text: str) -> None:
    """Refuse what are no three lengths: ITK would take 1 mm, or turn the axis round."""
    sizes = _floats(text)
    if len(sizes) != 3 or not all(size > 0 for size in sizes):
        raise DataError(
            f"{path}: the header must say how large voxels are, by three numbers above 0, but says "
            f"{repr(text) if text else 'nothing'}; write the spacing of the scan into it"
        )


def _floats(text: str) -> list[float]:
    return [float(number) for number in text.replace(",", " ").split()]


def _agree(path: Path, stated: Mapping[str, list[float]]) -> None:
    """Refuse a header that says two things of one."""
    (one, its), *others = stated.items() if stated else [("", [])]
    for other, theirs in others:
        if len(its) != len(theirs) or any(
            abs(a - b) > 0.01 * max(abs(a), 1e-6) for a, b in zip(its, theirs, strict=True)
        ):
            raise DataError(
                f"{path}: the header says two things of the grid: {one} is {_listed(its)} but {other} is "
                f"{_listed(theirs)}; correct the one that is wrong"
            )


def _listed(numbers: list[float]) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


def _unit(path: Path, names: list[str]) -> tuple[str, float]:
    """The unit of lengths, and mm to one of it."""
    name = names[0].strip()
    if len({each.strip() for each in names}) > 1 or name.lower() not in _MM:
        raise DataError(f"{path}: the header's unit is {', '.join(names)}, but mm are read; export the file in mm")
    return name, _MM[name.lower()]


def _skip(length: int, more: int) -> int:
    if more < -1:
        raise ValueError(f"{more} bytes are to be skipped")
    return -1 if more == -1 else length + more
