"""What layouts share when they look around in folders."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from adawac.data.layouts.base import Case, Collection, ListingError
from adawac.errors import DataError, readable, some_of
from adawac.io.images import list_files, passed_over, stem

OR_NOBODY = ", or, if nobody annotated it, go on without its case (--skip-bad) and give its folder as data.unlabelled"
"""What else can be done about an image without a label."""


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key in which pt_4 comes before pt_13.

    Example:
        >>> sorted(["pt_13", "pt_4", "pt_4b"], key=natural_key)
        ['pt_4', 'pt_4b', 'pt_13']
    """
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


def sorted_cases(cases: Iterable[Case], root: Path) -> tuple[Case, ...]:
    """Cases in natural order.

    Raises:
        DataError: if there are none, or if two have one id.
    """
    ordered = sorted(cases, key=lambda case: natural_key(case.id))
    if not ordered:
        raise DataError(f"{root}: no case was found; check that the download is complete")
    for one, other in itertools.pairwise(ordered):
        if one.images == other.images:
            raise DataError(f"case {one.id}: {root} lists {one.images[0].name} twice; take one of them off the list")
        if one.id == other.id:
            raise DataError(
                f"case {one.id}: ids must be unique but {one.images[0]} and {other.images[0]} "
                "share this one; rename one"
            )
    return tuple(ordered)


def check_exist(collection: Collection) -> None:
    """Raise a `ListingError` of the files that are named but not there."""
    missing = {
        case.id: [path for path in dict.fromkeys((*case.images, *case.label)) if not path.is_file()]
        for case in collection.cases
    }
    problems = [
        f"case {id_}: {path} does not exist; restore the file or take the case off the list"
        for id_, paths in missing.items()
        for path in paths
    ]
    if problems:
        raise ListingError(problems, replace(collection, cases=tuple(c for c in collection.cases if not missing[c.id])))


def crossed(cases: Sequence[Case], source: Path) -> tuple[str, ...]:
    """A line where lists give cases the labels that are called like others: they were most likely sorted apart.

    Args:
        cases: as listed.
        source: the list.
    """
    called = {_first_image(case): case.id for case in cases}
    odd = [
        f"{path.name} to {_first_image(case)}"
        for case in cases
        for path in case.label[:1]
        if stem(path) in called and stem(path) != _first_image(case)
    ]
    return (f"{source}: gives the label {some_of(odd)}, though other images are called so: is it right?",) * bool(odd)


def _first_image(case: Case) -> str:
    return stem(case.images[0]).removesuffix("_0000")


def inside(root: Path, relative: str, source: Path) -> Path:
    """A path that a data set's own file names, held inside the data set.

    Args:
        root: folder of the data set.
        relative: path as written, with slashes of either kind; an absolute one must be of a file in `root`.
        source: the file that names it.

    Raises:
        DataError: if the path leads out of `root`.
    """
    path = PurePosixPath(relative.replace("\\", "/"))
    if path.is_relative_to(root.absolute().as_posix()):
        path = path.relative_to(root.absolute().as_posix())
    if path.is_absolute() or ".." in path.parts or ":" in str(path):
        raise DataError(
            f"{source}: {relative!r} must be a path inside the data set and relative to it, without '..'; correct it"
        )
    return root / path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: if the file is unreadable or holds something else.
    """
    try:
        with readable(path):
            content = parse_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:  # the last where brackets are nested without end
        raise DataError(f"{path}: this is not readable JSON ({error}); correct or restore the file") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: a JSON object is due but this is a {type(content).__name__}; correct the file")
    return content


def parse_json(text: bytes) -> Any:
    """What JSON says, in any of Unicode's encodings.

    Raises:
        ValueError: if it is none, or has a name twice in one object.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose last value of a name would hide the others."""
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"{name!r} stands there {count} times")
    return dict(pairs)


def is_region(entry: Any) -> bool:
    """Whether what stands for a class in dataset.json are several values."""
    return isinstance(entry, (list, tuple)) and len(entry) != 1


def parse_labels(labels: Any, source: Path) -> tuple[dict[int, str], int | None]:
    """Labels of either generation of dataset.json: `{"1": "liver"}` or `{"liver": 1}`, whose numbers may be in quotes.

    Returns:
        Class name of every label value, and the value of the class named `ignore`, if there is one.

    Raises:
        DataError: for region labels (lists of values), values that are no integers, a value named twice, or no mapping.
    """
    if not isinstance(labels, Mapping) or not labels:
        raise DataError(f'{source}: `labels` must be a mapping, not {labels!r}; write {{"background": 0, "liver": 1}}')
    named: dict[int, str] = {}
    for key, entry in labels.items():
        if is_region(entry):
            raise DataError(
                f"{source}: label {key!r} is a region {list(entry)}, but a voxel has one class here; "
                "give every value a name of its own and use `merge` to join classes"
            )
        entry = entry[0] if isinstance(entry, (list, tuple)) else entry  # a region of one value
        value, name = (key, entry) if isinstance(entry, str) and whole(key) is not None else (entry, key)
        if (number := whole(value)) is None:
            raise DataError(f"{source}: label {key!r}: {entry!r} has no whole number; write {{name: value}}")
        if number in named:
            raise DataError(f"{source}: label value {number} is both {named[number]!r} and {name!r}; keep one")
        named[number] = name
    ignored = [value for value, name in named.items() if str(name).lower() == "ignore"]
    ignore_value = ignored[0] if ignored else None
    return {value: name for value, name in sorted(named.items()) if value != ignore_value}, ignore_value


def whole(value: Any) -> int | None:
    """A whole number, or one that is written so; None of anything else."""
    try:
        number = float(value)
        return int(number) if number.is_integer() else None
    except (TypeError, ValueError, OverflowError):
        return None


def beside(folders: Sequence[Path], endings: tuple[str, ...]) -> tuple[str, ...]:
    """Lines that name what lies in folders and does not end so."""
    there = [folder for folder in folders if folder.is_dir()]
    return tuple(filter(None, (passed_over(folder, list_files(folder, endings)) for folder in there)))
