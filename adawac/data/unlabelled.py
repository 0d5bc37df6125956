"""Images that nobody annotated, to be trained on beside annotated volumes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from adawac.data.layouts.base import Case
from adawac.data.reading import Digest
from adawac.data.store import VolumeStore
from adawac.errors import DataError, did_you_mean_file
from adawac.io.image_cases import find_images
from adawac.io.images import files_of

log = logging.getLogger(__name__)

PREFIX = "unlabelled/"
"""Begins their ids, which no case of a layout does."""


def unlabelled_cases(folder: Path, places: Sequence[str] = ()) -> dict[str, Case]:
    """The images of a folder as cases without a label.

    Args:
        folder: of image files and folders of DICOM slices, or a pattern, see `adawac.io.image_cases.find_images`.
        places: see there.

    Returns:
        Id and case, such as `unlabelled/pt_17`.

    Raises:
        DataError: if there is no such folder, or it holds no image.
    """
    if not folder.is_dir() and "*" not in str(folder):
        raise DataError(
            f"data.unlabelled: there is no folder {folder}{did_you_mean_file(folder)} give the one with images that "
            "have no label"
        )
    found = find_images(folder, places)
    files = {name: tuple(file for path in channels for file in files_of(path)) for name, channels in found.items()}
    return {f"{PREFIX}{name}": Case(f"{PREFIX}{name}", images) for name, images in files.items()}


def of_others(cases: Mapping[str, Case], store: VolumeStore, labelled: Mapping[str, Digest]) -> dict[str, Case]:
    """Unlabelled cases whose image no labelled case has: those of test cases would be known from training.

    Args:
        cases: id and case; those that could not be prepared are left out.
        store: where they lie.
        labelled: digest of every labelled case.
    """
    known = {digest.image for digest in labelled.values()}
    sound = {id_: case for id_, case in cases.items() if store.holds(case)}
    digests = store.digests(list(sound.values()))
    others = {id_: case for id_, case in sound.items() if digests[id_].image not in known}
    if copies := len(sound) - len(others):
        log.info("data.unlabelled: %d of %d images are of labelled cases: left out", copies, len(sound))
    return others
