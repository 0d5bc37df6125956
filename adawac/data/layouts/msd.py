"""Medical Segmentation Decathlon: the old generation of dataset.json, with a list of training pairs."""

from pathlib import Path
from typing import Any

from adawac.data.layouts.base import Case, Collection
from adawac.data.layouts.files import check_exist, inside, parse_labels, read_json, sorted_cases
from adawac.data.layouts.nifti import NiftiLayout, modality_of
from adawac.errors import DataError
from adawac.io.images import stem


class MSD(NiftiLayout):
    """The folder of one Decathlon task, or of an nnU-Net v1 raw data set.

        root/dataset.json       modality, labels, training
        root/imagesTr/<case>.nii.gz     channels last where there are several
        root/labelsTr/<case>.nii.gz

    Entries of `test` are taken in (as split "test") where they name a label, too. nnU-Net v1 keeps
    `imagesTr/<case>_0000.nii.gz`, one file a channel, under the name without the number.

    References:
        Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13, 4128 (2022).
    """

    def matches(self, root: Path) -> bool:
        """Whether `root` holds a dataset.json with a `training` list."""
        path = root / "dataset.json"
        return path.is_file() and "training" in read_json(path)

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`."""
        source = root / "dataset.json"
        dataset = read_json(source)
        labels = dataset.get("labels")
        if not isinstance(labels, dict) or not labels:
            raise DataError(f'{source}: `labels` must name the classes, such as {{"0": "background"}}; add them')
        names, ignore_value = parse_labels(labels, source)
        channels = _channels(dataset, source)
        test = [
            _case(root, entry, len(channels), source, "test")
            for entry in _entries(dataset, "test", source)
            if isinstance(entry, dict) and "label" in entry
        ]
        part = "train" if test else None
        train = [_case(root, entry, len(channels), source, part) for entry in _entries(dataset, "training", source)]
        cases = sorted_cases([*train, *test], root)
        collection = Collection(
            name=str(dataset.get("name", root.name)),
            cases=cases,
            labels=names,
            channels=channels,
            modality=modality_of(channels),
            ignore_value=ignore_value,
        )
        check_exist(collection)
        return collection


def _channels(dataset: dict[str, Any], source: Path) -> tuple[str, ...]:
    modality = dataset.get("modality", {"0": "CT"})
    if not isinstance(modality, dict) or not all(str(key).isdecimal() for key in modality) or not modality:
        raise DataError(f'{source}: `modality` must name the channels, such as {{"0": "CT"}}, but is {modality!r}')
    return tuple(str(modality[key]) for key in sorted(modality, key=int))


def _entries(dataset: dict[str, Any], key: str, source: Path) -> list[Any]:
    entries = dataset.get(key, [])
    if not isinstance(entries, list):
        raise DataError(f"{source}: `{key}` must be a list of cases but is {type(entries).__name__}; correct the file")
    return entries


def _case(root: Path, entry: Any, channels: int, source: Path, split: Any = None) -> Case:
    """A case of an entry `{"image": ..., "label": ...}`, or of the image's path alone."""
    if isinstance(entry, str):
        entry = {"image": entry, "label": entry.replace("imagesTr", "labelsTr")}
    if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
        raise DataError(f"{source}: an entry of `training` needs `image` and `label` but is {entry!r}; complete it")
    image = inside(root, str(entry["image"]), source)
    label = inside(root, str(entry["label"]), source)
    files: tuple[Path, ...] = (image,)
    if not image.exists():  # nnU-Net v1 lists a case once but keeps a file for each channel
        numbered = tuple(image.with_name(f"{stem(image)}_{i:04d}.nii.gz") for i in range(channels))
        files = numbered if numbered[0].exists() else files
    return Case(stem(image), files, (label,), split)
