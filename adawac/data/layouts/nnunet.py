"""nnU-Net v2: the new generation of dataset.json, with one file for every channel."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from adawac.data.layouts.base import Case, Collection, ListingError
from adawac.data.layouts.files import (
    OR_NOBODY,
    beside,
    check_exist,
    crossed,
    inside,
    parse_labels,
    read_json,
    sorted_cases,
    whole,
)
from adawac.data.layouts.nifti import NiftiLayout, modality_of
from adawac.errors import DataError, some_of
from adawac.io.images import list_files, passed_over, stem
from adawac.io.readers import FreeSurfer, Nifti

ENDINGS = (*Nifti.endings, *FreeSurfer.endings, ".nrrd", ".mha")
"""What `file_ending` may be: formats whose files hold header and voxels."""


class NNUNet(NiftiLayout):
    """A raw data set of nnU-Net v2.

        root/dataset.json       channel_names, labels, numTraining, file_ending
        root/imagesTr/<case>_0000.nii.gz    one file a channel
        root/labelsTr/<case>.nii.gz
        root/imagesTs, root/labelsTs    taken in as split "test" where both are there

    Where dataset.json has `dataset`, the files that it names are taken instead of imagesTr and labelsTr.
    A label named `ignore` is left out of losses and metrics. Region labels (lists of values) are refused.

    References:
        Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
        segmentation", Nature Methods 18, 203-211 (2021).
    """

    def matches(self, root: Path) -> bool:
        """Whether `root` holds a dataset.json with `channel_names`."""
        path = root / "dataset.json"
        return path.is_file() and "channel_names" in read_json(path)

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`."""
        source = root / "dataset.json"
        dataset = read_json(source)
        names, ignore_value = parse_labels(dataset.get("labels"), source)
        channels = _channels(dataset.get("channel_names"), source)
        ending = "." + str(dataset.get("file_ending") or ".nii.gz").lstrip(".")
        if ending.lower() not in ENDINGS:
            raise DataError(f"{source}: `file_ending` must be one of {ENDINGS} but is {ending!r}; convert the files")
        has_test = (root / "imagesTs").is_dir() and (root / "labelsTs").is_dir()
        problems: list[str] = []
        use = "train" if has_test else None
        if listed := dataset.get("dataset"):
            train = _listed(root, listed, len(channels), use, source)
        else:
            train = _cases(root, "Tr", len(channels), ending, use, problems)
        parts = [part for part, looked_at in (("Tr", not listed), ("Ts", has_test)) if looked_at]
        due = dataset.get("numTraining")
        if not train and not listed and not problems and (others := passed_over(root / "imagesTr", [])):
            problems.append(f"{source}: `file_ending` is {ending!r}, but no file ends so ({others}); correct it")
        if due is not None and whole(due) != len(train) and not problems:
            problems.append(
                f"{source}: `numTraining` is {due} but {len(train)} cases "
                f"{'are listed' if listed else 'lie in imagesTr'}; complete the folder or correct the number"
            )
        test = _cases(root, "Ts", len(channels), ending, "test", problems) if has_test else []
        if problems and not train + test:
            raise DataError.from_problems(problems)
        collection = Collection(
            name=str(dataset.get("name") or root.name),
            cases=sorted_cases([*train, *test], root),
            labels=names,
            channels=channels,
            modality=modality_of(channels),
            ignore_value=ignore_value,
            known_by="its names of channels",
            passed_over=beside([root / f"{kind}{part}" for part in parts for kind in ("images", "labels")], (ending,))
            + crossed(train, source),
            unannotated=(*_unannotated(root, "Tr", ending), *_unannotated(root, "Ts", ending)),
        )
        if problems:
            raise ListingError(problems, collection)
        check_exist(collection)
        return collection


def _channels(names: Any, source: Path) -> tuple[str, ...]:
    if not isinstance(names, dict) or not names:
        raise DataError(f'{source}: `channel_names` must be a mapping, not {names!r}; write {{"0": "CT"}}')
    if sorted(names, key=str) != sorted(map(str, range(len(names)))):
        raise DataError(
            f"{source}: `channel_names` are numbered from 0 without a gap but are {list(names)}; correct them"
        )
    return tuple(str(names[str(i)]) for i in range(len(names)))


def _listed(root: Path, listed: Any, channels: int, split: Any, source: Path) -> list[Case]:
    """Cases whose files dataset.json itself names, as `dataset`: {"case": {"images": [...], "label": ...}}."""
    try:
        named = [(case_id, [*map(str, entry["images"])], str(entry["label"])) for case_id, entry in listed.items()]
    except (AttributeError, KeyError, TypeError):
        example = '{"case": {"images": ["a.nii.gz"], "label": "b.nii.gz"}}'
        raise DataError(f"{source}: `dataset` must name files of cases; write {example}") from None
    if wrong := [case_id for case_id, images, _ in named if len(images) != channels]:
        raise DataError(f"{source}: {channels} channels are named but {some_of(wrong)} has another number; correct it")
    return [
        Case(case_id, tuple(inside(root, image, source) for image in images), (inside(root, label, source),), split)
        for case_id, images, label in named
    ]


def _cases(root: Path, part: str, channels: int, ending: str, split: Any, problems: list[str]) -> list[Case]:
    """Cases of imagesTr / labelsTr or imagesTs / labelsTs that have every channel and label; says what others lack."""
    images, labels = root / f"images{part}", root / f"labels{part}"
    for folder in (images, labels):
        if not folder.is_dir():
            raw = "give the folder of nnUNet_raw, not of nnUNet_preprocessed"
            remedy = raw if (root / "gt_segmentations").is_dir() else "complete the data set"
            raise DataError(f"{folder}: the folder does not exist; {remedy}")
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in list_files(images, (ending,)):
        match = re.fullmatch(r"(.+)_(\d{4})", stem(path))
        if match:
            found[match[1]][int(match[2])] = path
        else:
            problems.append(f"{path}: images are named <case>_0000{ending}, channel last; rename it")
    label_of = {stem(path): path for path in list_files(labels, (ending,))}
    for case_id, files in found.items():
        if sorted(files) != list(range(channels)):
            problems.append(
                f"case {case_id}: dataset.json names {channels} channels but {images} has numbers "
                f"{sorted(files)}; complete the files or correct `channel_names`"
            )
        if case_id not in label_of:
            problems.append(
                f"case {case_id}: {labels / (case_id + ending)} does not exist; restore the label{OR_NOBODY}"
            )
    problems += [
        f"case {case_id}: {path} has no image in {images}; restore the image or remove the label"
        for case_id, path in label_of.items()
        if case_id not in found
    ]
    return [
        Case(case_id, tuple(files[i] for i in range(channels)), (label_of[case_id],), split)
        for case_id, files in found.items()
        if sorted(files) == list(range(channels)) and case_id in label_of
    ]


def _unannotated(root: Path, part: str, ending: str) -> list[Path]:
    """First channels that have no label."""
    images, labels = root / f"images{part}", root / f"labels{part}"
    firsts = list_files(images, (f"_0000{ending}",)) if images.is_dir() else []
    labelled = {stem(path) for path in list_files(labels, (ending,))} if labels.is_dir() else set()
    return [path for path in firsts if stem(path).removesuffix("_0000") not in labelled]
