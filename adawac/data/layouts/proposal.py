"""Where images and labels of an unknown folder seem to lie, as patterns that find them: tried before they are told."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from shlex import quote

from adawac.io.dimensions import MOST_CHANNELS
from adawac.io.image_cases import named_by
from adawac.io.images import OF_SYSTEMS
from adawac.io.readers import reader_of

OF_LABELS = re.compile(r"label|mask|seg|annot|truth|(?:^|[^a-z])(?:gt|roi|msk)", re.IGNORECASE)
"""Names of files and folders of labels."""

MOST_FILES = 4000
"""That are looked at."""

_NUMBER = re.compile(r"(?<![^A-Za-z][tT])(?<!\d)\d+(?:[.-]\d+)*")
"""In names, but for those of sequences: t1, T2w."""

DEEPEST = 4
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
    alike: dict[str, list[Path]] = defaultdict(list)
    try:
        for path in islice(_files(root, DEEPEST), MOST_FILES):
            alike[_NUMBER.sub("*", f"/{path.relative_to(root).as_posix()}")].append(path)
    except OSError:  # a folder that may not be read
        return ""
    forms = {_form([path.relative_to(root).as_posix() for path in paths]): paths for paths in alike.values()}
    several = [form for form in forms if "*" in form]
    of_labels: dict[str, list[str]] = defaultdict(list)
    for form in filter(OF_LABELS.search, several):
        of_labels[Path(form).parent.as_posix()].append(form)
    for parent, each in of_labels.items():
        place = parent if len(each) > 1 and "*" in parent else each[0]  # masks an organ, or label maps
        labels = dict(named_by(root, place))
        paths = {path for form in each for path in forms[form]}
        for shorter in (lambda form: form, _without_folders):
            images = [
                shorter(form)
                for form in several
                if form not in each
                and {name for name, path in named_by(root, shorter(form)) if path not in paths} == labels.keys()
            ]
            if 0 < len(images) <= MOST_CHANNELS:
                said = images[0] if len(images) == 1 else json.dumps(images)
                return f"--layout.images {quote(said)} --layout.labels {quote(place)}"
    return ""


def _form(paths: list[str]) -> str:
    """The pattern of paths that differ in numbers alone; numbers that all share are kept."""
    first, *_ = parts = [re.split(f"({_NUMBER.pattern})", f"/{path}") for path in paths]
    shared = [len({each[place] for each in parts}) == 1 for place in range(len(first))]
    return "".join(part if same else "*" for part, same in zip(first, shared, strict=True))[1:]


def _without_folders(form: str) -> str:
    """A pattern by whose folders no case is called."""
    folder, slash, name = form.rpartition("/")
    return f"{folder.replace('*', '?*')}{slash}{name}"


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
