"""The fingerprint of a data set: what its volumes and labels are like, measured in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adawac.data.arrangement import places
from adawac.data.classes import Classes
from adawac.data.layouts.base import Case, Collection, Layout
from adawac.data.modality import Modalities, kinds_of
from adawac.data.naming import side_pairs
from adawac.data.reading import Digest, for_every_case, profile_of, read_case
from adawac.data.recognition import scan_axis
from adawac.data.store import count_voxels
from adawac.errors import DataError
from adawac.io.terminal import Track
from adawac.io.volumes import Volume
from adawac.types import IGNORE_INDEX

SAMPLE = 10_000
"""Voxels drawn from each case for percentiles, and foreground voxels; as many as nnU-Net draws."""

SAMPLES = 10_000_000
"""Of all cases together: of thousands each gives fewer, so that memory does not grow."""

WINDOW_MARGIN = 100.0
"""HU that a window reaches beyond the classes, so that the tissue around them keeps its contrast, too."""


@dataclass(frozen=True)
class Spread:
    """Median and range over the cases, for each of the axes (Z, Y, X)."""

    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, rows: ArrayLike) -> "Spread":
        """Spread of (cases, axes) numbers.

        Example:
            >>> Spread.of([(90, 512, 512), (110, 512, 512), (130, 256, 512)]).low
            (90.0, 256.0, 512.0)
        """
        table = np.asarray(rows, dtype=np.float64)
        median, low, high = np.median(table, axis=0), table.min(axis=0), table.max(axis=0)
        return cls(tuple(median.tolist()), tuple(low.tolist()), tuple(high.tolist()))


@dataclass(frozen=True)
class Percentiles:
    """The 0.5th, 50th and 99.5th percentile of intensities as on disk."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "Percentiles":
        """Percentiles of at least one value."""
        low, median, high = np.percentile(values, [0.5, 50.0, 99.5]).tolist()
        return cls(low, median, high)


@dataclass(frozen=True)
class ClassFacts:
    """What is known of a foreground class.

    Attributes:
        name: of the class.
        cases: that hold it.
        slices: that hold it.
        voxels: of it.
        intensities: 5th and 95th percentile over all channels; None where no voxel was drawn.
    """

    name: str
    cases: int
    slices: int
    voxels: int
    intensities: tuple[float, float] | None


@dataclass(frozen=True)
class Fingerprint:
    """What the volumes and labels of a data set are like.

    Attributes:
        num_cases: measured.
        num_slices: of all cases, cut as they were scanned; axial ones where no direction stands out.
        channels: names of the image's channels.
        modality: kind of intensities, of all channels or of each.
        classes: foreground classes in the order of their indices.
        shape: voxels.
        spacing: mm; None where a case's is unknown, and with it the orientation.
        reach: mm of the box around a volume's centre that holds every labelled voxel; None likewise.
        intensities: percentiles of each channel.
        dense: share of the slices that hold any class, 0 to 1, of those that are not wholly ignored.
        dense_thirds: the same for the first (such as the lowest), middle and last third of the volumes; NaN where all
            slices of a third are wholly ignored.
        ignored: slices that are wholly ignored.
        window: (lowest, highest) HU that suit the classes; None if no channel is of Hounsfield units.
        side_pairs: pairs of left and right classes, by name.
    """

    num_cases: int
    num_slices: int
    channels: tuple[str, ...]
    modality: Modalities
    classes: tuple[ClassFacts, ...]
    shape: Spread
    spacing: Spread | None
    reach: Spread | None
    intensities: tuple[Percentiles, ...]
    dense: float
    dense_thirds: tuple[float, float, float]
    ignored: int
    window: tuple[int, int] | None
    side_pairs: Mapping[str, str]

    @classmethod
    def of_measured(cls, collection: Collection, measured: Sequence["Measured"]) -> "Fingerprint":
        """Fingerprint of cases that have been measured.

        Raises:
            DataError: there is no case, or no labelled voxel.
        """
        names = Classes.from_labels(collection.labels, collection.ignore_value).names
        if not measured:
            raise DataError(f"{collection.name}: no case has a label, but training needs some; add label files")
        voxels = np.concatenate([case.voxels for case in measured])
        if not voxels[:, 1:].any():
            raise DataError(
                f"{collection.name}: none of {len(measured)} labels holds a voxel of {list(names[1:])}; check "
                "that the label files are the right ones"
            )
        samples = np.concatenate([case.sample for case in measured], axis=1)
        foreground = np.concatenate([case.foreground for case in measured], axis=1)
        owner = np.concatenate([case.owner for case in measured])
        classes = tuple(
            ClassFacts(
                name=name,
                cases=sum(bool(case.voxels[:, k].any()) for case in measured),
                slices=int(np.count_nonzero(voxels[:, k])),
                voxels=int(voxels[:, k].sum()),
                intensities=_inner(foreground[:, owner == k]),
            )
            for k, name in enumerate(names)
            if k > 0
        )
        kinds = kinds_of(collection.modality, len(collection.channels))
        hounsfield = foreground[[kind == "ct" for kind in kinds]]
        ranges = [_inner(hounsfield[:, owner == k]) for k in range(1, len(names))]
        dense, labelled = np.asarray(voxels[:, 1:].any(axis=1)), np.asarray(voxels.any(axis=1))
        # by the centres of slices, so that a volume that is turned round has its thirds turned round
        counts = [len(case.voxels) for case in measured]
        third = np.concatenate([(2 * np.arange(count) + 1) * 3 // (2 * count) for count in counts])
        first, middle, last = (_share(dense[labelled & (third == part)]) for part in range(3))
        spacings = [case.spacing for case in measured if case.spacing is not None]
        spaced = len(spacings) == len(measured)
        return cls(
            num_cases=len(measured),
            num_slices=len(voxels),
            channels=collection.channels,
            modality=collection.modality,
            classes=classes,
            shape=Spread.of([case.shape for case in measured]),
            spacing=Spread.of(spacings) if spaced else None,
            reach=Spread.of(np.multiply([case.reach for case in measured], spacings)) if spaced else None,
            intensities=tuple(Percentiles.of(channel) for channel in samples),
            dense=_share(dense[labelled]),
            dense_thirds=(first, middle, last),
            ignored=int(np.count_nonzero(~labelled)),
            window=suggest_window(known) if (known := [each for each in ranges if each]) else None,
            side_pairs=side_pairs(names[1:]),
        )


def suggest_window(ranges: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """A window in HU for classes of given intensities.

    The typical class decides: the median over the classes of either end of its range, widened by
    `WINDOW_MARGIN` and rounded outwards to 5 HU. nnU-Net takes percentiles of the pooled foreground, but then
    one mandible leaves six soft organs a tenth of the contrast; bone that is cut off is still the brightest.

    Args:
        ranges: 5th and 95th percentile of every class, HU.

    Example:
        >>> suggest_window([(2, 33), (-97, 57), (38, 1416)])  # brainstem, parotid gland, mandible
        (-100, 160)
    """
    low, high = np.median(np.asarray(ranges), axis=0)
    return int(5 * np.floor((low - WINDOW_MARGIN) / 5)), int(5 * np.ceil((high + WINDOW_MARGIN) / 5))


@dataclass(frozen=True)
class Measured:
    """What one case is like.

    Attributes:
        shape: (Z, Y, X).
        spacing: mm or None.
        reach: voxels along (Z, Y, X) of the box around the centre that holds all labels.
        voxels: (S, K) of every class in every slice, cut as it was scanned.
        sample: (C, n) intensities anywhere.
        foreground: (C, m) intensities where a class lies.
        owner: (m,) class index of these voxels.
        places: where classes lie, see `adawac.data.arrangement`.
        digest: of all voxels, to find copies by.
        profile: of the first channel, to find copies by that are turned or mirrored within slices or from end to end.
        notes: what is odd about it, a line each.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    reach: tuple[int, ...]
    voxels: NDArray[np.int64]
    sample: NDArray[np.float32]
    foreground: NDArray[np.float32]
    owner: NDArray[np.uint8]
    places: NDArray[np.float32]
    digest: Digest
    profile: str
    notes: tuple[str, ...] = ()

    @property
    def cut_spacing(self) -> tuple[float, ...] | None:
        """Mm between slices, rows and columns of the cut; None where unknown."""
        if self.spacing is None:
            return None
        first = _scanned(self.spacing, self.shape)
        return self.spacing[first], *(step for axis, step in enumerate(self.spacing) if axis != first)


def measure(
    layout: Layout,
    collection: Collection,
    cases: Sequence[Case],
    track: Track[None] | None = None,
    modality: Modalities | None = None,
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Read every case once, in threads.

    Args:
        layout: how the data set lies on disk.
        collection: what the layout found.
        cases: those to measure.
        track: wraps an iterable of a given length, to show progress.
        modality: what intensities must be able to be; None for anything.

    Returns:
        What was measured of every sound case, and the problem of every other, both in the order of `cases`.
    """
    classes = Classes.from_labels(collection.labels, collection.ignore_value)
    sample = min(SAMPLE, -(-SAMPLES // max(len(cases), 1)))
    measured: dict[str, Measured] = {}

    def one(case: Case) -> None:
        notes: list[str] = []
        image, label = read_case(layout, case, classes, len(collection.channels), modality, notes.append)
        if label is None:
            raise DataError(f"case {case.id}: it has no label, but training needs one; leave the case out")
        measured[case.id] = replace(_measure(image, label, len(classes), sample), notes=tuple(notes))

    problems = for_every_case(one, cases, track)
    return {case.id: measured[case.id] for case in cases if case.id in measured}, problems


def _measure(image: Volume, label: Volume, num_classes: int, sample: int) -> Measured:
    intensities = image.array.reshape(len(image.array), -1)
    flat = label.array.reshape(-1)
    held = (label.array[0] > 0) & (label.array[0] != IGNORE_INDEX)
    inside = np.flatnonzero(held)
    rng = np.random.default_rng(0)  # a stride could fall in step with the rows
    chosen = inside[_some(inside.size, sample, rng)]
    first = _scanned(image.geometry.spacing, image.geometry.shape)
    return Measured(
        shape=image.geometry.shape,
        spacing=image.geometry.spacing,
        reach=_reach(held),
        voxels=count_voxels(np.moveaxis(label.array[0], first, 0), num_classes),
        sample=intensities[:, _some(flat.size, sample, rng)],
        foreground=intensities[:, chosen],
        owner=flat[chosen],
        places=places(np.unravel_index(chosen, image.geometry.shape), flat[chosen], num_classes),
        digest=Digest.quick(image, label),
        profile=profile_of(image),
    )


def _some(count: int, most: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """All places where there are few, drawn ones of many: of a small class every voxel counts."""
    return np.arange(count) if count <= most else rng.integers(count, size=most)


def _scanned(spacing: tuple[float, float, float] | None, shape: Sequence[int]) -> int:
    """The axis along which a volume was scanned; 0 where no direction stands out."""
    return 0 if spacing is None else scan_axis(spacing, shape) or 0


def _reach(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Sides of the smallest box around the centre of a volume that holds a mask; 0 of an empty one."""
    face = np.asarray(mask.any(axis=0))  # so that the volume is gone through twice, and not three times
    sides = []
    for along in (mask.any(axis=(1, 2)), face.any(axis=1), face.any(axis=0)):
        held = np.flatnonzero(along)
        sides.append(int(max(along.size - 2 * held[0], 2 * (held[-1] + 1) - along.size)) if held.size else 0)
    return tuple(sides)


def _inner(values: NDArray[np.float32]) -> tuple[float, float] | None:
    """5th and 95th percentile."""
    if not values.size:
        return None
    low, high = np.percentile(values, [5.0, 95.0]).tolist()
    return low, high


def _share(flags: NDArray[np.bool_]) -> float:
    """Share of True; NaN of nothing."""
    return float(flags.mean()) if flags.size else float("nan")
