"""Medical Segmentation Decathlon: the old generation of dataset.json, with a list of training pairs."""

import re
from collections.abc import Iterable
from functools import partial
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any

from adawac.data.layouts.base import Case, Collection
from adawac.data.layouts.files import check_exist, crossed, inside, parse_labels, read_json, sorted_cases, whole
from adawac.data.layouts.nifti import NiftiLayout, modality_of, recognised
from adawac.data.modality import Modalities
from adawac.errors import DataError
from adawac.io.images import passed_over, stem
from adawac.io.readers import ending_of


class MSD(NiftiLayout):
    """The folder of one Decathlon task, or of an nnU-Net v1 raw data set.

        root/dataset.json       modality, labels, training
        root/imagesTr/<case>.nii.gz     channels last where there are several
        root/labelsTr/<case>.nii.gz

    Entries of `validation` and `test` are taken in (as splits "val" and "test") where they name a label, too; a list of
    images is one of channels, as in MONAI's data lists. nnU-Net v1 keeps
    `imagesTr/<case>_0000.nii.gz`, one file a channel, under the name without the number.

    Args:
        listing: name of the list, such as `dataset_0.json`.

    References:
        Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13, 4128 (2022).
    """

    def __init__(self, listing: str = "dataset.json") -> None:
        self.listing = listing

    def matches(self, root: Path) -> bool:
        """Whether `root` holds a dataset.json with a `training` list."""
        path = root / self.listing
        return path.is_file() and "training" in read_json(path)

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`."""
        source = root / self.listing
        dataset = read_json(source)
        names, ignore_value = parse_labels(dataset.get("labels"), source)
        channels = _channels(dataset, source)
        others = [("val", each) for each in _entries(dataset, "validation", source)]
        others += [("test", each) for each in _entries(dataset, "test", source)]
        held_out = [(part, each) for part, each in others if isinstance(each, dict) and "label" in each]
        bare = [_image(each) for part, each in others if (part, each) not in held_out]
        training = [("train" if held_out else None, each) for each in _entries(dataset, "training", source)]
        entries = [*training, *held_out]
        numbered = all(stem(Path(_image(each))).endswith("_0000") for _, each in entries)
        read = partial(_case, root, channels=len(channels), source=source, numbered=numbered)
        cases = sorted_cases([read(each, split=part) for part, each in entries], root)
        known_by = "its names of channels"
        modality: Modalities
        if channels:
            modality = modality_of(channels)
        else:  # nothing is said of them
            number, modality, known_by = recognised(
                self, [case for case in cases if all(p.exists() for p in case.images)]
            )
            channels = tuple(f"channel_{i}" for i in range(number)) if number > 1 else ("image",)
        collection = Collection(
            name=str(dataset.get("name") or root.name),
            cases=cases,
            labels=names,
            channels=channels,
            modality=modality,
            ignore_value=ignore_value,
            known_by=known_by,
            passed_over=(
                *(*_passed_over(cases), *_folds(training, source), *crossed(cases, source)),
                *_other_number(dataset.get("numTraining"), len(training), source),
            ),
            unannotated=tuple(path for name in bare if name and (path := inside(root, name, source)).exists()),
        )
        check_exist(collection)
        return collection


def _channels(dataset: dict[str, Any], source: Path) -> tuple[str, ...]:
    """Names of the channels, also in the word of nnU-Net v2; none where nothing is said of them."""
    if (key := next((key for key in ("modality", "channel_names") if key in dataset), None)) is None:
        return ()
    modality = dataset[key]
    if not isinstance(modality, dict) or not all(str(key).isdecimal() for key in modality) or not modality:
        raise DataError(f'{source}: `{key}` must name the channels, such as {{"0": "CT"}}, but is {modality!r}')
    return tuple(str(modality[key]) for key in sorted(modality, key=int))


def _entries(dataset: dict[str, Any], key: str, source: Path) -> list[Any]:
    entries = dataset.get(key, [])
    if not isinstance(entries, list):
        raise DataError(f"{source}: `{key}` must be a list of cases but is {type(entries).__name__}; correct the file")
    return entries


def _image(entry: Any) -> str:
    """The image's path of an entry `{"image": ..., "label": ...}`, or of the path alone; of a list the first."""
    image = entry.get("image", "") if isinstance(entry, dict) else entry
    return str(image[0] if isinstance(image, list) and image else image).replace("\\", "/")


def _case(root: Path, entry: Any, channels: int, source: Path, numbered: bool, split: Any = None) -> Case:
    """A case of an entry; where all entries are `numbered`, the `_0000` at their ends is the first channel's number."""
    if isinstance(entry, str):
        named = entry.replace("imagesTr", "labelsTr")
        entry = {"image": entry, "label": re.sub(r"_0000(?=\.)", "", named) if numbered else named}
    if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
        raise DataError(f"{source}: an entry of `training` needs `image` and `label` but is {entry!r}; complete it")
    label = inside(root, str(entry["label"]), source)
    if isinstance(entry["image"], list):
        return Case(stem(label), tuple(inside(root, str(each), source) for each in entry["image"]), (label,), split)
    image = inside(root, str(entry["image"]), source)
    name = stem(image).removesuffix("_0000") if numbered else stem(image)
    files: tuple[Path, ...] = (image,)
    if numbered or not image.exists():  # nnU-Net v1 lists a case once but keeps a file for each channel
        each = (image.with_name(f"{name}_{i:04d}{ending_of(image)}") for i in count())
        # Where nothing is said of channels, as many as there are.
        numbers = tuple(islice(each, channels) if channels else takewhile(Path.exists, each))
        files = numbers if numbers and numbers[0].exists() else files
    return Case(name, files, (label,), split)


def _folds(entries: Iterable[tuple[Any, Any]], source: Path) -> tuple[str, ...]:
    """A line where entries name folds, as MONAI's Auto3DSeg reads them."""
    if any(isinstance(entry, dict) and "fold" in entry for _, entry in entries):
        return (f"{source}: `fold` of its entries is not read; say with data.split what validates, such as FoldSplit",)
    return ()


def _other_number(due: Any, listed: int, source: Path) -> tuple[str, ...]:
    """A line where a list is longer or shorter than it says."""
    said = f"{source}: `numTraining` is {due}, but {listed} cases are listed in `training`: is the list whole?"
    return (said,) * (whole(due) not in (None, listed))


def _passed_over(cases: Iterable[Case]) -> tuple[str, ...]:
    """What lies beside the files that are listed, and is not on the list."""
    listed = {path for case in cases for path in (*case.images, *case.label)}
    folders = sorted({path.parent for path in listed if path.parent.is_dir()})
    return tuple(filter(None, (passed_over(folder, listed) for folder in folders)))
