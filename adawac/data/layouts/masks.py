"""Labels of a mask an organ: told from label maps, and joined into one, for references and predictions alike."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from adawac.errors import DataError, some_of
from adawac.io.image_cases import named_at
from adawac.io.images import files_of, list_files, read_image, stem
from adawac.io.readers import reader_of
from adawac.io.volumes import Volume, as_label


def labels_in(folder: Path) -> list[Path]:
    """Label maps of a folder; where there are none, its folders with a file or more, which may be masks."""
    return list_files(folder) or sorted(filter(masks_of, folder.iterdir()))


def labels_at(place: Path) -> list[tuple[str, Path]]:
    """Labels of a folder, of a pattern, or a single file, by the names of their cases; none where there is nothing."""
    return named_at(place, labels_in)


def masks_of(path: Path) -> list[Path]:
    """The label files of a folder of a case; none where the path is no folder, or of no case."""
    return list_files(path) if path.is_dir() and not path.name.startswith(".") else []


def label_files(path: Path) -> tuple[Path, ...]:
    """The files whose content makes a label map, or of a folder its masks."""
    return tuple(part for mask in masks_of(path) for part in files_of(mask)) or files_of(path)


def are_masks(places: Iterable[Path], names: Collection[str]) -> bool:
    """Whether folders, one a case, hold a mask an organ: files of several names, or of a class's; else a map each.

    Args:
        places: label maps, which count for nothing, and folders.
        names: of the classes, as far as they are known.
    """
    called = {_plain(_organ(mask)) for place in places for mask in masks_of(place)}
    return len(called) > 1 or not called.isdisjoint(map(_plain, names))


def joined(files: Iterable[Path], names: Mapping[int, str]) -> Volume:
    """One label map of masks, each of 0 and another value; of several at a voxel, the highest value's class counts.

    Args:
        files: the masks of a case; those that are called like no class are not looked at. Capitals and what stands
            between words make no difference, where they make none between classes.
        names: class name of every label value.

    Returns:
        Volume (1, Z, Y, X) of label values; its notes say what overlaps, and what there is no mask of.

    Raises:
        DataError: if no mask is called like a class or two are, they lie on several grids, or one holds several values.
    """
    called = _plain if len({*map(_plain, names.values())}) == len(names) else str
    masks: dict[str, Path] = {}
    for path in filter(reader_of, files):
        if (known := masks.setdefault(called(_organ(path)), path)) is not path:
            raise DataError(f"{path} and {known.name} are masks of one organ; keep one of them")
    folder = next(iter(masks.values())).parent
    due_masks = {value: called(name) for value, name in sorted(names.items()) if value}
    if not (chosen := {value: masks[name] for value, name in due_masks.items() if name in masks}):
        classes = ", ".join(name for value, name in names.items() if value)
        due = f"but none is called like one of the classes {classes}" if classes else "but no class is named"
        held = some_of([*map(_organ, masks.values())])
        raise DataError(
            f"{folder} holds a mask an organ: {held}, {due}; rename the masks, or name the classes like "
            "them as label_names of the layout, such as --layout.label_names '{1: liver, 2: spleen}' (of "
            "`evaluate` with --classes liver,spleen)"
        )
    whole: Volume | None = None
    shared = 0
    for value, path in chosen.items():
        mask = as_label(read_image([path]), str(path))
        inside = mask.array > 0
        if mask.array.min() < 0 or (inside & (mask.array != mask.array.max())).any():
            raise DataError(f"{path}: a mask holds 0 and one value above, but this has several; give a mask an organ")
        if whole is None:
            whole = Volume(np.zeros_like(mask.array, np.int32), mask.geometry)
        elif difference := mask.geometry.difference(whole.geometry):
            raise DataError(f"{path} {difference}; all masks of a case must share one grid: resample it")
        shared += np.count_nonzero(whole.array[inside])
        whole.array[inside] = value
    assert whole is not None  # there is a mask
    said = [f"{folder}: {shared} voxels lie in several masks and count to the last of them"] * bool(shared)
    if missing := [names[value] for value in due_masks.keys() - chosen]:
        said.append(f"{folder}: it has no mask {some_of(missing)}, so that no voxel is of that class")
    return Volume(whole.array, whole.geometry, tuple(said))


def _plain(name: str) -> str:
    """A name without capitals, and with one sign between its words: Left kidney and left_kidney are one."""
    return re.sub(r"[\s_.-]+", "_", name.casefold())


def _organ(mask: Path) -> str:
    """What a mask shows, by its name without that of its folder: liver of `ct_7/ct_7_liver.nii.gz`."""
    return re.sub(rf"^{re.escape(mask.parent.name)}(?:[_\-. ]+|$)", "", stem(mask))
