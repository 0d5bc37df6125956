"""What is wrong with a data set, all of it at once: every case read once, copies found, and what no case holds."""

import math
import os
import warnings
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from adawac.data.case_names import AUTO
from adawac.data.classes import Classes
from adawac.data.fingerprint import Fingerprint, Measured, measure
from adawac.data.layouts import Collection, Layout, detect
from adawac.data.modality import Modalities
from adawac.data.overview import Finding, overview
from adawac.data.patients import SuggestedPatients, patients_in
from adawac.data.reading import Digest
from adawac.data.split import PARTS, Split
from adawac.data.splits import AutoSplit, SplitRule
from adawac.errors import AdaWACError, ConfigError, DataError
from adawac.errors.problems import grouped
from adawac.io.given import given_path
from adawac.io.terminal import Track


@dataclass(frozen=True, repr=False)
class Checkup:
    """What a data set is like, and all that is wrong with it.

    Attributes:
        bad: problems of cases, which `skip_bad` goes on without; a line each, with its remedy.
        whole: problems of the data set as a whole, which remain without those cases.
        measured: sound case -> what it is like.
        classes: K class names, background first.
        fingerprint: of the sound training cases, as whoever reads settings off it shall not have seen the others; None
            where none has a labelled voxel.
        patients: case -> whom it shows, of all that have a label.
        notes: what is odd, and no problem.
        recognised: what was found in the data, see `overview`.
    """

    bad: tuple[str, ...]
    whole: tuple[str, ...]
    measured: Mapping[str, Measured]
    classes: tuple[str, ...]
    fingerprint: Fingerprint | None
    patients: Mapping[str, str]
    notes: tuple[str, ...]
    recognised: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """All of them, of cases first."""
        return (*self.bad, *self.whole)

    def __repr__(self) -> str:
        problems = f"problems:\n  {joined}\n" if (joined := "\n  ".join(grouped(self.problems))) else "no problems"
        return f"Checkup({len(self.measured)} sound cases, {problems})"


def check(
    root: str | os.PathLike[str],
    layout: Layout | None = None,
    split: SplitRule | None = None,
    patient_pattern: str | None = AUTO,
    modality: Modalities | None = None,
    ignore_label: int | None = None,
    track: Track[None] | None = None,
) -> Checkup:
    """Read every case once and find all problems.

    Args:
        root: folder of the data set.
        layout: how it lies on disk; None finds out.
        split: which cases train, validate and test; None as `SegmentationData` does.
        patient_pattern: see `SegmentationData`.
        modality: of the intensities; None takes what the layout says.
        ignore_label: see `SegmentationData`.
        track: wraps an iterable of a given length, to show progress.

    Raises:
        DataError: the folder as a whole makes no sense: no known layout, or a description that cannot be read.
    """
    root = given_path(root, "check: root", "give the folder of a data set").resolve()
    if split is not None and not isinstance(split, SplitRule):
        raise ConfigError(f"check: split is {split!r}; give a rule of adawac.data.splits, such as FoldSplit(fold=0)")
    layout = detect(root, layout)
    collection, unlisted = layout.sound(root)
    bad: list[str] = [*unlisted]
    whole: list[str] = []
    collection = collection.told(modality, ignore_label)
    try:
        names = Classes.from_labels(collection.labels, collection.ignore_value).names
    except DataError as error:
        raise DataError.from_problems([*bad, *error.problems]) from None
    labelled = [case for case in collection.cases if case.label]
    measured, unsound = measure(layout, collection, labelled, track, collection.modality)
    bad += unsound.values()

    parts, patients = Split(train=tuple(case.id for case in labelled)), {case.id: case.id for case in labelled}
    try:
        patients = patients_in(labelled, patient_pattern)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            parts = (split or AutoSplit()).split(root, labelled, patients)
        whole += [f"{warning.message}; add them to the file, or take the cases away" for warning in heard]
    except AdaWACError as error:
        whole += error.problems if isinstance(error, DataError) else [str(error)]
    bad += duplicates({case: found.digest for case, found in measured.items()}, patients, parts).values()
    training = {case: measured[case] for case in parts.train if case in measured}
    whole += absent(names, training)
    notes = (*collection.passed_over, *parts.notes, *(note for found in measured.values() for note in found.notes))
    if ignore_label is not None:
        notes += _of_ignored(ignore_label, collection, measured)
    validation = [measured[case] for case in parts.val if case in measured]
    if validation and not sum(found.voxels[:, 1:].sum() for found in validation):
        whole.append(
            f"none of {len(validation)} validation cases holds any class, so val/dice tells nothing and no epoch "
            "is the best; move labelled cases into val"
        )
    fingerprint = None
    with suppress(DataError):  # said already: nothing could be read, or no class is held by any case
        fingerprint = Fingerprint.of_measured(collection, list(training.values()))
    found = overview(type(layout).__name__, collection, measured, names, patients) if measured else ()
    return Checkup(tuple(bad), tuple(whole), measured, names, fingerprint, patients, notes, tuple(found))


def _of_ignored(value: int, collection: Collection, measured: Mapping[str, Measured]) -> tuple[str, ...]:
    """What is odd about a label value that somebody wants to be ignored."""
    if (name := collection.labels.get(value)) not in (None, f"class_{value}"):
        return (f"label value {value} is {name} in the data set, and is ignored as was said",)
    if all(found.voxels.sum() == math.prod(found.shape) for found in measured.values()):
        return (f"no voxel has the label value {value}, which is to be ignored: is it another?",) * bool(measured)
    return ()


def absent(classes: tuple[str, ...], train: Mapping[str, Measured]) -> list[str]:
    """A line for every class that no training case holds: it cannot be learned, and is left out of all means.

    For the background, too: labels that never hold it were most likely numbered from 1.
    """
    if not train:
        return []
    voxels = sum(found.voxels.sum(axis=0) for found in train.values())
    none = [
        f"no voxel of {len(train)} training cases is background (0), so that every slice is full of classes; if the "
        "background has another value, write the label files anew with 0 in its place"
    ]
    return none * (not voxels[0]) + [
        f"class {name}: none of {len(train)} training cases holds it, so it cannot be learned; drop it with data.drop, "
        "or move a case that holds it into train"
        for name, count in zip(classes[1:], voxels[1:], strict=True)
        if not count
    ]


def duplicates(digests: Mapping[str, Digest], patients: Mapping[str, str], split: Split) -> dict[str, str]:
    """Images that lie under several names: counted twice, and known from training where they are tested on.

    Cases of one patient may share an image, such as when two readers labelled it, if somebody has said that they are.

    Args:
        digests: of the cases that could be read.
        patients: patient of every case.
        split: where the cases lie.

    Returns:
        A line for every case whose image an earlier one has.
    """
    part = {case: name for name in PARTS for case in getattr(split, name)}
    if isinstance(patients, SuggestedPatients):
        patients = {case: case for case in patients}
    seen: dict[str, list[str]] = defaultdict(list)
    problems = {}
    for case, digest in digests.items():
        copies = [other for other in seen[digest.image] if patients[other] != patients[case]]
        if copies:
            first = copies[0]
            where = f"{part.get(first, 'in no part')} and {part.get(case, 'in no part')}"
            problems[case] = (
                f"case {case}: its image is that of case {first}, voxel for voxel ({where}); remove one of them, or "
                "say with patient_pattern that they are of one patient"
            )
        seen[digest.image].append(case)
    return problems
