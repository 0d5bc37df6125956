"""What was recognised in a data set, the choice that follows from it, and how to make another."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.data.arrangement import in_air, reversed_order
from adawac.data.classes import LAST_VALUES
from adawac.data.fingerprint import Measured
from adawac.data.layouts.base import Collection
from adawac.data.modality import Modality, kinds_of
from adawac.data.naming import side_pairs
from adawac.data.patients import describe_patients
from adawac.data.preprocessing import AXES
from adawac.data.recognition import MOSTLY_AIR, kind_of_values, may_be_raw, scan_axis
from adawac.errors import counted, some_of, together

OUTLIER = 2.5
"""How many times larger or smaller than the median a spacing is that stands out."""

FEW = 0.1
"""Share of the cases that hold a class, below which these are few."""

SPECK = 10
"""Voxels of a class in all cases together, below which it is most likely a slip."""

_WORDS: Mapping[Modality, str] = {
    "ct": "CT, windowed in HU",
    "mr": "MR or the like, normalised per volume",
    "prescaled": "scaled already, left alone",
}


class Finding(NamedTuple):
    """A line of the overview.

    Attributes:
        topic: what it is about.
        found: what was found, and what is made of it.
        setting: what to change for another choice, by its name in `adawac fit`; empty where nothing is chosen.
    """

    topic: str
    found: str
    setting: str = ""


class Seen(NamedTuple):
    """What the rules look at, see `overview`."""

    layout: str
    collection: Collection
    measured: Mapping[str, Measured]
    classes: Sequence[str]
    patients: Mapping[str, str]


def overview(
    layout: str,
    collection: Collection,
    measured: Mapping[str, Measured],
    classes: Sequence[str],
    patients: Mapping[str, str],
) -> list[Finding]:
    """What data give away of themselves, in about ten lines.

    Args:
        layout: name of the layout.
        collection: what it found.
        measured: sound case -> what it is like, at least one.
        classes: K names, background first.
        patients: case -> whom it shows.
    """
    seen = Seen(layout, collection, measured, classes, patients)
    return [finding for rule in RULES for finding in rule(seen)]


def _choices(seen: Seen) -> Iterator[Finding]:
    """What is always chosen."""
    pairs = side_pairs(seen.classes[1:])
    sides = ", ".join(f"{one} and {other}" for one, other in pairs.items())
    yield Finding("layout", seen.layout, "data.layout")
    yield Finding("intensities", _intensities(seen.collection, seen.measured), "data.modality")
    yield Finding("slices", *_slices(seen.measured))
    yield Finding("patients", describe_patients(seen.patients), "data.patient_pattern")
    yield Finding("left, right", sides or "no class names with sides", "data.mirror_pairs" if sides else "")


def _background(seen: Seen) -> Iterator[Finding]:
    """A background of another name, or that some cases do not hold."""
    if seen.classes[0] != "background":
        yield Finding("background", f"the value 0, which is called {seen.classes[0]}")
    full = [case for case, its in seen.measured.items() if its.voxels.any() and not its.voxels[:, 0].any()]
    if 0 < len(full) < len(seen.measured):
        yield Finding("background", f"none in {some_of(full)}: there, too, the background must be 0")


def _last_values(seen: Seen) -> Iterator[Finding]:
    """Values that may mean that nothing is labelled, or a mask."""
    for value in LAST_VALUES:
        if (name := f"class_{value}") in seen.classes[2:]:
            odd = [case for case, its in seen.measured.items() if its.voxels[:, seen.classes.index(name)].any()]
            said = f"in {some_of(odd)}, beside smaller values: is it to be ignored, or a mask of 0 and {value}?"
            yield Finding(f"value {value}", said, "data.ignore_label")


def _instances(seen: Seen) -> Iterator[Finding]:
    """Values without names that count what each case has, such as lesions, and stand for no classes."""
    names = list(seen.classes[1:])
    if len(names) < 3 or names != [f"class_{value}" for value in range(1, len(names) + 1)]:
        return
    held = [np.flatnonzero(its.voxels[:, 1:].any(axis=0)) for its in seen.measured.values()]
    if len({len(each) for each in held}) > 2 and all((each == np.arange(len(each))).all() for each in held):
        said = f"each case holds the values from 1 on, up to {len(names)}: if they count lesions or the like, join them"
        yield Finding("instances", f"{said}, or write 1 for all", "data.merge")


def _same_labels(seen: Seen) -> Iterator[Finding]:
    """Labels that several patients share."""
    alike = together((its.digest.label, case) for case, its in seen.measured.items() if its.voxels[:, 1:].any())
    copies = [" and ".join(cases) for cases in alike.values() if len({seen.patients[case] for case in cases}) > 1]
    if copies:
        yield Finding("same label", f"voxel for voxel, of {some_of(copies)}: has each image its own?")


def _turned_copies(seen: Seen) -> Iterator[Finding]:
    """Images of several patients that differ by a turn or a mirror."""
    alike = together((its.profile, case) for case, its in seen.measured.items())
    groups = [cases for cases in alike.values() if len({seen.patients[case] for case in cases}) > 1]
    other = [cases for cases in groups if len({seen.measured[case].digest.image for case in cases}) > 1]
    if copies := [" and ".join(cases) for cases in other]:
        said = f"but turned or mirrored, of {some_of(copies)}: leave copies out (views are drawn while it trains)"
        yield Finding("same image", f"{said}, or say that they are of one patient", "data.patient_pattern")


def _odd_spacings(seen: Seen) -> Iterator[Finding]:
    """Spacings that stand out."""
    if odd := _outliers(seen.measured):
        yield Finding("spacing", f"others than most: {some_of(odd)}", "data.spacing")


def _not_annotated(seen: Seen) -> Iterator[Finding]:
    """Images without labels, and slices that are ignored from edge to edge."""
    if paths := seen.collection.unannotated:
        noun = "1 image has" if len(paths) == 1 else f"{len(paths)} images have"
        places = some_of(sorted({str(path.parent) for path in paths}))
        yield Finding("no label", f"{noun} none, in {places}: not trained on", "data.unlabelled and model.teacher")
    ignored = sum(int(np.count_nonzero(~case.voxels.any(axis=1))) for case in seen.measured.values())
    if ignored:
        total = sum(len(case.voxels) for case in seen.measured.values())
        said = f"{ignored} of {total} slices are wholly ignored: nothing is learnt from them"
        yield Finding("no label", said, "data.sampling WithUnlabelled and model.teacher")


def _rare_classes(seen: Seen) -> Iterator[Finding]:
    """Classes of few cases, and of few voxels in all."""
    cases = sum((case.voxels.any(axis=0).astype(int) for case in seen.measured.values()), np.zeros(1, int))
    voxels = sum((case.voxels.sum(axis=0) for case in seen.measured.values()), np.zeros(1, int))
    held = list(zip(seen.classes, cases.tolist(), voxels.tolist(), strict=True))[1:]
    most = FEW * len(seen.measured)
    if few := [f"{name} in {n} of {len(seen.measured)} cases" for name, n, _ in held if 0 < n <= most]:
        yield Finding("rare classes", some_of(few), "data.drop or data.merge")
    if specks := [f"{name} ({counted(size, 'voxel')})" for name, _, size in held if 0 < size < SPECK]:
        yield Finding("tiny classes", f"{some_of(specks)}: of a slip?", "data.drop")


def _arrangement(seen: Seen) -> Iterator[Finding]:
    """Cases whose classes lie the other way round."""
    places = {case: its.places for case, its in seen.measured.items()}
    if turned := reversed_order(places, seen.classes, side_pairs(seen.classes[1:])):
        said = some_of([f"{case} ({pair})" for case, pair in turned.items()])
        asked = "is the label mirrored, are values swapped, or does a header turn it?"
        yield Finding("arrangement", f"the other way round than in nearly all others: {said}: {asked}")


def _air(seen: Seen) -> Iterator[Finding]:
    """Cases whose classes lie in air, or that hold none."""
    if odd := in_air(_medians(seen.collection, seen.measured, len(seen.classes))):
        yield Finding("air", f"where classes lie in {some_of(odd)}, unlike in others: is the label shifted or turned?")
    if odd := _without_air(seen.collection, seen.measured):
        yield Finding("air", f"none in {some_of(odd)}, unlike in most: are they windowed, or upside down?")


RULES: tuple[Callable[[Seen], Iterator[Finding]], ...] = (
    _choices, _background, _last_values, _instances, _same_labels, _turned_copies, _odd_spacings, _not_annotated,
    _rare_classes, _arrangement, _air,
)  # fmt: skip
"""Each says what it finds; in the order in which it is read."""


def _intensities(collection: Collection, measured: Mapping[str, Measured]) -> str:
    kinds = kinds_of(collection.modality, len(collection.channels))
    named = dict.fromkeys(kinds)
    if len(named) == 1:
        said = _WORDS[kinds[0]]
    else:
        said = "; ".join(f"{name}: {_WORDS[kind]}" for name, kind in zip(collection.channels, kinds, strict=True))
    values = [np.concatenate([case.sample[c] for case in measured.values()]) for c in range(len(kinds))]
    others = [(name, its) for name, kind, its in zip(collection.channels, kinds, values, strict=True) if kind != "ct"]
    said += f" (by {collection.known_by})"
    if doubt := [name for name, its in others if kind_of_values(its) == "ct"]:
        said += f"; but {', '.join(doubt)} may be CT: air is below -200"
    if doubt := [name for name, its in others if may_be_raw(its)]:
        said += f"; but {', '.join(doubt)} may be CT without its offset of -1024: if so, subtract 1024 from the images"
    return said


def _medians(collection: Collection, measured: Mapping[str, Measured], classes: int) -> dict[str, NDArray[np.float32]]:
    """Median HU of each class in the first channel of CT, by case; none where there is none."""
    kinds = kinds_of(collection.modality, len(collection.channels))
    if "ct" not in kinds:
        return {}
    channel = kinds.index("ct")
    found = {}
    for case, its in measured.items():
        held = [its.foreground[channel, its.owner == k] for k in range(classes)]
        found[case] = np.array([_middle(each) for each in held], np.float32)
    return found


def _middle(values: NDArray[np.float32]) -> float:
    """The upper median, without the time that `np.median` takes to begin; NaN of none."""
    return np.partition(values, values.size // 2)[values.size // 2] if values.size else np.nan


def _without_air(collection: Collection, measured: Mapping[str, Measured]) -> list[str]:
    """CT that never goes down to the HU of air, where most does."""
    kinds = kinds_of(collection.modality, len(collection.channels))
    ct = [channel for channel, kind in enumerate(kinds) if kind == "ct"]
    without = [case for case, its in measured.items() if any(its.sample[c].min() > MOSTLY_AIR for c in ct)]
    return without if 2 * len(without) < len(measured) else []


def _slices(measured: Mapping[str, Measured]) -> tuple[str, str]:
    """Along which axis the slices were scanned, and how far they lie apart."""
    axes = {
        case: scan_axis(found.spacing, found.shape) for case, found in measured.items() if found.spacing is not None
    }
    if not axes:
        return "the files do not say how far voxels lie apart", ""
    counts = Counter(axes.values()).most_common()
    axis = counts[0][0]
    these = [measured[case].spacing for case, its in axes.items() if its == axis]
    middle = np.median(np.array(these, dtype=float), axis=0)
    if axis is None:
        said = f"voxels are nearly cubes of {' x '.join(f'{mm:.3g}' for mm in middle)} mm: no direction of the scan"
    else:
        row, column = (mm for place, mm in enumerate(middle) if place != axis)
        said = f"scanned {AXES[axis]}, {middle[axis]:.3g} mm apart, pixels of {row:.3g} x {column:.3g} mm"
    said += f" (medians of {counted(len(these), 'case')})"
    others = [case for case, its in axes.items() if its != axis]
    words = sorted({"no direction" if axes[case] is None else AXES[axes[case] or 0] for case in others})
    return said + (f"; otherwise ({', '.join(words)}): {some_of(others)}" if others else ""), "data.axis"


def _outliers(measured: Mapping[str, Measured]) -> list[str]:
    """Cases whose spacing is another than most have."""
    spacings = {case: found.spacing for case, found in measured.items() if found.spacing is not None}
    if len(spacings) < 3:
        return []
    table = np.array(list(spacings.values()))
    ratio = table / np.median(table, axis=0)
    odd = (np.maximum(ratio, 1 / ratio) > OUTLIER).any(axis=1)
    return [
        f"{case} ({' x '.join(f'{mm:.3g}' for mm in spacing)} mm)"
        for case, spacing, out in zip(spacings, table.tolist(), odd, strict=True)
        if out
    ]
