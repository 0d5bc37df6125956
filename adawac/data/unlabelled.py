"""Images that nobody annotated, to be trained on beside annotated volumes."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adawac.data.layouts.base import Case
from adawac.data.patients import patients_beside
from adawac.data.reading import Digest
from adawac.data.split import Split
from adawac.data.store import VolumeStore
from adawac.errors import DataError, did_you_mean_file, some_of
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
            f"data.unlabelled: {'no folder but a file is' if folder.exists() else 'there is no folder'} {folder}"
            f"{did_you_mean_file(folder)} give the one with images that have no label"
        )
    found = find_images(folder, places)
    files = {name: tuple(file for path in channels for file in files_of(path)) for name, channels in found.items()}
    return {f"{PREFIX}{name}": Case(f"{PREFIX}{name}", images) for name, images in files.items()}


def of_no_held_out(
    cases: Mapping[str, Case], labelled: Sequence[Case], split: Split, patients: Mapping[str, str], pattern: str | None
) -> dict[str, Case]:
    """Unlabelled cases that are no files of labelled ones, of patients who neither validate nor test.

    Another frame or another export of a test case would be known from training as well as the case itself. Whom an
    image shows is told by names and headers.

    Args:
        cases: id and case.
        labelled: the data set's.
        split: of these.
        patients: of these, see `adawac.data.patients.patients_in`.
        pattern: by which they were found.
    """
    files = {case.images[0].resolve() for case in labelled}
    cases = _without_copies(cases, {id_ for id_, case in cases.items() if case.images[0].resolve() in files})
    plain = [replace(case, id=id_.removeprefix(PREFIX)) for id_, case in cases.items()]
    known = patients_beside(plain, labelled, patients, pattern)
    held = {patients[case] for case in (*split.val, *split.test)}
    out = [f"{PREFIX}{name}" for name, patient in known.items() if patient in held]
    if out:
        log.warning(
            "data.unlabelled: %d of %d images are of patients who validate or test, by their names or headers, and are "
            "left out: %s; rename them if they are not",
            len(out),
            len(cases),
            some_of(out),
        )
    return {id_: case for id_, case in cases.items() if id_ not in set(out)}


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
    return _without_copies(sound, {id_ for id_ in sound if digests[id_].image in known})


def _without_copies(cases: Mapping[str, Case], copies: Collection[str]) -> dict[str, Case]:
    """Those that are no copies, and a word of the others."""
    if copies:
        say = log.info if len(copies) < len(cases) else log.warning  # nothing is left of what was asked for
        say("data.unlabelled: %d of %d images are of labelled cases: left out", len(copies), len(cases))
    return {id_: case for id_, case in cases.items() if id_ not in copies}
