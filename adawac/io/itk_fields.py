"""Fields of NRRD and MetaImage headers: what their values may be, and what they say twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adawac.errors import DataError
from adawac.io.dimensions import no_volume

_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres", "?", "", "???"), 1.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometers"), 0.001),
    **{"cm": 10.0, "m": 1000.0, "meter": 1000.0, "meters": 1000.0, "nm": 1e-6},
}


def integers(value: str) -> tuple[int, ...]:
    """Whole numbers between blanks."""
    return tuple(int(number) for number in value.split())


def first_of(name: str, values: list[float], number: int = 3) -> list[float]:
    """The first of a field's numbers, as many as are due."""
    if len(values) < number:
        raise ValueError(f"{name} is {_listed(values)}")
    return values[:number]


def dimensions(path: Path, sizes: tuple[int, ...], across: int | None) -> tuple[tuple[int, int, int], int]:
    """(x, y, z), and the size of an axis across them; 1 where there is none."""
    shape = tuple(size for axis, size in enumerate(sizes) if axis != across)
    if len(shape) == 2 and across is not None:
        raise ValueError(f"of its sizes {sizes} that of axis {across} is none of space")
    if len(shape) != 3:
        raise no_volume(path, sizes)
    if min(sizes) < 1:
        raise ValueError(f"sizes are {sizes}")
    return (shape[0], shape[1], shape[2]), 1 if across is None else sizes[across]


def number_of(path: Path, types: Mapping[str, str], name: str, big: bool) -> np.dtype[np.generic]:
    """The type of a voxel's number, by the name that a header gives it."""
    if name not in types:
        raise DataError(f"{path}: voxels must be integers or floats but are {name!r}; convert the file")
    return np.dtype((">" if big else "<") + types[name])


def flag(fields: Mapping[str, str], name: str, default: bool = False) -> bool:
    """A field that is true or false."""
    value = fields.get(name, str(default)).lower()
    if value not in ("true", "false"):
        raise ValueError(f"{name} is {value!r}")
    return value == "true"


def apart(rows: Sequence[Sequence[float | str]]) -> None:
    """Refuse a fourth axis that is not at right angles to those of space: it would turn them."""
    if len(rows) == 4 and any(float(value) for value in (*(row[3] for row in rows[:3] if len(row) > 3), *rows[3][:3])):
        raise ValueError(f"its fourth axis is one of space: {rows}")


def check_sizes(path: Path, text: str) -> None:
    """Refuse what are no three lengths: ITK would take 1 mm, or turn the axis round."""
    sizes = floats(text)
    if len(sizes) != 3 or not all(size > 0 for size in sizes):
        raise DataError(
            f"{path}: the header must say how large voxels are, by three numbers above 0, but says "
            f"{repr(text) if text else 'nothing'}; write the spacing of the scan into it"
        )


def floats(text: str) -> list[float]:
    """Numbers between blanks or commas."""
    return [float(number) for number in text.replace(",", " ").split()]


def agree(path: Path, stated: Mapping[str, list[float]]) -> list[float]:
    """What a header says of one thing under several names, if anything; two things are refused."""
    (one, its), *others = stated.items() if stated else [("", [])]
    for other, theirs in others:
        if len(its) != len(theirs) or any(
            abs(a - b) > 0.01 * max(abs(a), 1e-6) for a, b in zip(its, theirs, strict=True)
        ):
            raise DataError(
                f"{path}: the header says two things of the grid: {one} is {_listed(its)} but {other} is "
                f"{_listed(theirs)}; correct the one that is wrong"
            )
    return its


def _listed(numbers: list[float]) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


def unit_of(path: Path, names: list[str]) -> tuple[str, float]:
    """The unit of lengths, and mm to one of it."""
    name = names[0].strip()
    if len({each.strip() for each in names}) > 1 or name.lower() not in _MM:
        raise DataError(f"{path}: the header's unit is {', '.join(names)}, but mm are read; export the file in mm")
    return name, _MM[name.lower()]


def bytes_before(length: int, more: int) -> int:
    """What lies before the voxels: a header, and more; -1: they end the file."""
    if more < -1:
        raise ValueError(f"{more} bytes are to be skipped")
    return -1 if more == -1 else length + more
