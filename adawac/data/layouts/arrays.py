"""What layouts of h5 and npz files share: arrays without a grid, one file a volume or one file a slice."""

import io
import itertools
import math
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from adawac.data.layouts.base import Case, Layout
from adawac.errors import DataError, readable, some_of
from adawac.io.canonical import Geometry
from adawac.io.dimensions import said_of_slices
from adawac.io.images import list_files
from adawac.io.limits import check_voxels, read_exactly, read_rest, read_voxels, too_large
from adawac.io.volumes import Volume, as_label

MOST_HEADER = 1 << 16
"""Bytes of what describes an array in an npz file; NumPy writes about a hundred."""

_HEADERS = Lock()
"""Headers of npy files are parsed as Python, at which threads of Python 3.11 fail now and then (gh-106905)."""


class ArrayLayout(Layout):
    """A layout whose files hold arrays `image` and `label`, axes as they are; the spacing is unknown."""

    def read_image(self, case: Case) -> Volume:
        """Read a case's image, see `Layout.read_image`."""
        return _read(case.images, "image")

    def read_label(self, case: Case) -> Volume:
        """Read a case's label, see `Layout.read_label`."""
        first, last = case.label[0], case.label[-1]
        return as_label(_read(case.label, "label"), str(first) if first == last else f"{first} to {last.name}")


def base_of(places: Iterable[Path], folders: Iterable[str]) -> Path | None:
    """The first place that holds any of the folders."""
    return next((place for place in places if any((place / folder).is_dir() for folder in folders)), None)


def by_name(folder: Path, ending: str) -> dict[str, Path]:
    """Files of a folder by their names without the ending; none where there is no such folder."""
    return {path.name[: -len(ending)]: path for path in list_files(folder, (ending,))} if folder.is_dir() else {}


def stacks(
    files: Mapping[str, Path],
    form: str,
    wrong: Callable[[str, Path], str],
    without: Container[str] = (),
    whole: bool = True,
) -> dict[str, tuple[Path, ...]]:
    """Files of the slices of every volume, in the order of their numbers.

    Args:
        files: by their names.
        form: what a name looks like: of the case, and a number.
        wrong: what to say of a name that does not.
        without: cases that are left out.
        whole: refuse volumes whose slices are not numbered without a gap.

    Raises:
        DataError: for a name or numbers that are wrong.
    """
    slices: dict[str, dict[int, Path]] = defaultdict(dict)
    for name, path in files.items():
        if (match := re.fullmatch(form, name)) is None:
            raise DataError(wrong(name, path))
        if match[1] not in without:
            slices[match[1]][int(match[2])] = path
    for case_id, numbered in slices.items() if whole else ():
        _check_numbering(case_id, sorted(numbered))
    return {case_id: tuple(numbered[i] for i in sorted(numbered)) for case_id, numbered in slices.items()}


def _check_numbering(case_id: str, numbers: Sequence[int]) -> None:
    """Refuse a volume whose slices are not numbered without a gap.

    Args:
        case_id: name of the volume.
        numbers: of its slices, ascending.

    Raises:
        DataError: naming the missing slices.
    """
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing or numbers[0] > 1:
        missing = [*range(numbers[0]), *missing]
        raise DataError(
            f"case {case_id}: slices are numbered from 0 or 1 without a gap but {missing} are missing; "
            "restore their files"
        )


def _read(paths: Sequence[Path], key: str) -> Volume:
    """Stack slices (H, W), or take a volume (slices, H, W), into a Volume (1, slices, H, W)."""
    arrays = []
    for path in paths:
        array = _load(path, key)
        due = (2,) if len(paths) > 1 else (2, 3)
        if array.ndim not in due or 0 in array.shape:
            raise DataError(
                f"{path}: {key!r} must be numbers of {' or '.join(map(str, due))} dimensions but is "
                f"{array.dtype} of shape {array.shape}; export it again"
            )
        check_voxels(str(path), (len(paths), *array.shape), array.dtype)  # all files of the case together
        arrays.append(array if array.ndim == 3 else array[None])
    for (first, one), (second, other) in itertools.pairwise(zip(paths, arrays, strict=True)):
        if one.shape != other.shape:
            raise DataError(
                f"{second}: slices of a volume share one shape but {key!r} has {other.shape[1:]} and that of "
                f"{first.name} has {one.shape[1:]}; export the volume again"
            )
    stacked = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    slices, rows, columns = stacked.shape
    said = said_of_slices(slices, rows, columns) if key == "image" and len(paths) == 1 else ""
    return Volume(stacked[None], Geometry((slices, rows, columns)), (f"{paths[0]}: {said}",) if said else ())


def _load(path: Path, key: str) -> NDArray[Any]:
    """One array of an h5 or npz file; whatever goes wrong is a DataError."""
    try:
        with readable(path):
            return _from_npz(path, key) if path.suffix.lower() == ".npz" else _from_h5(path, key)
    except MemoryError as error:
        raise too_large(path, error) from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file does not exist; restore it") from error
    except KeyError as error:
        there = f" (it holds {some_of(error.args[0])})" if error.args[0] else ""
        raise DataError(f"{path}: there must be an array {key!r} but there is none; export it again{there}") from error
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{path}: the file is unreadable, cut short or corrupt ({error}); copy it again") from error


def _from_npz(path: Path, key: str) -> NDArray[Any]:
    """An array of an npz file, never a pickle, and only as large as its header may say."""
    with zipfile.ZipFile(path) as archive:
        if (name := f"{key}.npy") not in archive.namelist():
            raise KeyError([name.removesuffix(".npy") for name in archive.namelist()])
        entry = archive.getinfo(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
            raise ValueError(f"{entry.filename} is compressed as NumPy never does")
        with archive.open(entry) as stream:
            start = read_exactly(stream, 8)
            length = read_exactly(stream, 2 if start[6] == 1 else 4)
            if (size := int.from_bytes(length, "little")) > MOST_HEADER:
                raise ValueError(f"its header claims {size} bytes")
            header = io.BytesIO(start + length + read_exactly(stream, size))
            version = np.lib.format.read_magic(header)
            npy = np.lib.format
            with _HEADERS:
                shape, by_columns, dtype = (
                    npy.read_array_header_1_0(header) if version == (1, 0) else npy.read_array_header_2_0(header)
                )
            check_voxels(str(path), shape, dtype)
            voxels = read_voxels(stream, math.prod(shape), dtype)
            if not read_rest(stream):
                raise ValueError("more bytes than voxels")
    return voxels.reshape(shape, order="F" if by_columns else "C")


def _from_h5(path: Path, key: str) -> NDArray[Any]:
    """An array that the h5 file itself holds: nothing is read that the file only points to."""
    with h5py.File(path, "r") as content:
        if (link := content.get(key, getlink=True)) is None:
            raise KeyError([*content])
        if isinstance(link, h5py.ExternalLink):
            raise _points_elsewhere(path, key, f"a link to {link.filename!r}")
        array = content[key]
        if not isinstance(array, h5py.Dataset):
            raise KeyError([f"{key}/{name}" for name in array])
        if array.file.filename != content.filename:  # by way of a link to a group that is a link to another file
            raise _points_elsewhere(path, key, f"a link to {array.file.filename!r}")
        if array.is_virtual:
            raise _points_elsewhere(path, key, "virtual, made of other files' parts")
        if array.external:
            raise _points_elsewhere(path, key, f"stored outside, in {array.external[0][0]!r}")
        check_voxels(str(path), array.shape or (), array.dtype)
        if array.chunks:
            _check_chunks(array, path, key)
        return np.asarray(array.astype(np.float32)[()] if array.dtype.kind == "f" else array)


def _check_chunks(array: h5py.Dataset, path: Path, key: str) -> None:
    """Refuse chunks larger than any volume, and compressed ones that unpack to more: HDF5 would make room for it."""
    check_voxels(str(path), array.chunks, array.dtype)
    if array.compression != "gzip":  # what unpacks to a thousand times its size
        return
    size = math.prod(array.chunks) * array.dtype.itemsize
    stored: list[tuple[int, ...]] = []
    array.id.chunk_iter(lambda chunk: stored.append(chunk.chunk_offset))
    for offset in stored:
        skipped, packed = array.id.read_direct_chunk(offset)
        if not skipped and len(zlib.decompressobj().decompress(packed, size + 8)) > size + 4:  # a check sum beside
            raise DataError(f"{path}: a chunk of {key!r} unpacks to more than its {size} bytes; export it again")


def _points_elsewhere(path: Path, key: str, how: str) -> DataError:
    return DataError(
        f"{path}: the array {key!r} must lie in the file itself but is {how}; copy the array into the file"
    )
