"""Where images and labels of an unknown folder seem to lie, as patterns that find them: tried before they are told."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from shlex import quote
from time import monotonic

from adawac.errors import some_of, together
from adawac.io.dimensions import MOST_CHANNELS
from adawac.io.image_cases import named_by
from adawac.io.images import OF_SYSTEMS
from adawac.io.readers import reader_of

OF_LABELS = re.compile(
    r"label|mask|seg|annot|truth|lesion|manual|contour|(?:^|[^a-z])(?:gt|roi|msk|wmh)", re.IGNORECASE
)
"""Names of files and folders of labels."""

MOST_FILES = 4000
"""That are looked at."""

LONGEST = 5.0
"""Seconds that are spent on it: a folder of everything holds too much to be tried."""

_NUMBER = re.compile(r"(?<![^A-Za-z][tT])(?<!\d)\d+(?:[.-]\d+)*")
"""In names, but for those of sequences: t1, T2w."""

LEAST_NAME = 2
"""Letters that a folder's name has more of, if a file's name says it again."""

DEEPEST = 6
"""Parts of a path."""


def proposed(root: Path) -> str:
    """Options of `--layout Folders` with patterns that find images and labels of the same cases; empty if none do.

    Numbers in names are taken for what tells cases apart.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("Case01.mhd", "Case01_segmentation.mhd", "Case02.mhd", "Case02_segmentation.mhd"):
        ...         Path(folder, name).touch()
        ...     print(proposed(Path(folder)))
        --layout.images 'Case*.mhd' --layout.labels 'Case*_segmentation.mhd'
    """
    try:
        files = list(islice(_files(root, DEEPEST), MOST_FILES))
    except OSError:  # a folder that may not be read
        return ""
    forms = _alike({path: path.relative_to(root).parts for path in files})
    deeper: dict[str, list[Path]] = {}  # sites, whose folders are called by words, or lie deeper than those of others
    for depth in range(1, DEEPEST):
        ends = {path: _unsaid(parts)[-depth:] for path in files if len(parts := path.relative_to(root).parts) > depth}
        deeper |= {f"**/{re.sub(r'[*]+', '*', form)}": its for form, its in _alike(ends).items() if len(its) > 1}
    named, until = {form: paths for form, paths in forms.items() if "*" in form}, monotonic() + LONGEST
    matched = [*_matched(root, named, until), *_matched(root, deeper, until)]
    if not matched:
        return ""
    found, said = max(matched, key=lambda each: len(each[0]))  # what leaves the fewest cases out
    others = {path: path.relative_to(root).parts for path in files if path not in found}
    left = _alike({path: its for path, its in others.items() if OF_LABELS.search("/".join(its))})
    return said + f" (it leaves out {some_of([*left])})" * bool(left)


def _unsaid(parts: tuple[str, ...]) -> tuple[str, ...]:
    """A path whose file's name says no folder again: `*_T2w.nii.gz` in `sub-amu01/anat`, not `sub-amu01_T2w.nii.gz`."""
    *folders, name = parts
    for folder in folders:
        name = name.replace(folder, "*") if len(folder) > LEAST_NAME else name
    return (*folders, name)


def _alike(named: Mapping[Path, tuple[str, ...]]) -> dict[str, list[Path]]:
    """Files by the pattern of the last parts of their paths, which are the same but for numbers."""
    alike = together((_NUMBER.sub("*", "/" + "/".join(parts)), path) for path, parts in named.items())
    return {_form(["/".join(named[path]) for path in paths]): paths for paths in alike.values()}


def _matched(root: Path, forms: Mapping[str, list[Path]], until: float) -> Iterator[tuple[set[Path], str]]:
    """Files of labels that patterns find, and options with them and with those of all images that these cases have."""
    of_labels = ((Path(form).parent.as_posix(), form) for form in filter(OF_LABELS.search, forms))
    for parent, each in together((form if parent == "**" else parent, form) for parent, form in of_labels).items():
        place = parent if len(each) > 1 and "*" in parent else each[0]  # masks an organ, or label maps
        paths = {path for form in each for path in forms[form]}
        if monotonic() > until:
            return
        for said, shorter in ((place, str), (place, _without_folders), (_without_folders(place), _without_folders)):
            labels = [name for name, _ in named_by(root, said)]
            images: dict[tuple[Path, ...], str] = {}
            for form, its in forms.items() if len(set(labels)) == len(labels) else ():
                beside = paths.isdisjoint(its) and not OF_LABELS.search(Path(form).name)
                if monotonic() < until and len(its) == len(labels) and beside and tuple(its) not in images:
                    found = [name for name, path in named_by(root, shorter(form)) if path not in paths]
                    if sorted(found) == sorted(labels):
                        images[tuple(its)] = shorter(form)
            if 0 < len(images) <= MOST_CHANNELS:
                first, *more = images.values()
                listed = json.dumps([first, *more]) if more else first
                yield paths, f"--layout.images {quote(listed)} --layout.labels {quote(said)}"
                break


def _form(paths: list[str]) -> str:
    """The pattern of paths that differ in numbers alone; numbers that all share are kept."""
    first, *_ = parts = [re.split(f"({_NUMBER.pattern})", f"/{path}") for path in paths]
    shared = [len({each[place] for each in parts}) == 1 for place in range(len(first))]
    return "".join(part if same else "*" for part, same in zip(first, shared, strict=True))[1:]


def _without_folders(form: str) -> str:
    """A pattern by whose folders no case is called."""
    folder, slash, name = form.rpartition("/")
    return re.sub(r"(\*\*/|\*)", r"?\1", folder + slash) + name


def _files(folder: Path, deep: int) -> Iterator[Path]:
    """Image files, those of a folder before those of the folders in it."""
    inner = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in OF_SYSTEMS:
            continue
        if path.is_dir():
            inner.append(path)
        elif reader_of(path):
            yield path
    for path in inner if deep > 1 else ():
        yield from _files(path, deep - 1)
