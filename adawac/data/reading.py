"""Read cases with every check that bad data must meet before training starts."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from adawac.data.classes import Classes
from adawac.data.image_rules import checked, said_of_empty_slices
from adawac.data.layouts.base import Case, Layout
from adawac.data.modality import Modalities, kinds_of
from adawac.errors import DataError, of_case
from adawac.io.own_code import given_back
from adawac.io.terminal import Track
from adawac.io.volumes import Volume, as_label
from adawac.processes.cluster import Each, in_threads

log = logging.getLogger(__name__)

Note = Callable[[str], None]
"""Takes what is odd about a case that is read all the same."""


class Digest(NamedTuple):
    """What a case's voxels are, in short: the same voxels have the same digest, whatever file they lie in.

    Attributes:
        image: of the intensities in their canonical orientation.
        label: of the class indices; empty where there is no label.
    """

    image: str
    label: str

    @classmethod
    def of(cls, image: Volume, label: Volume | None) -> "Digest":
        """Digest of a case as read."""
        return cls(_digest(image.array), "" if label is None else _digest(label.array))

    @classmethod
    def quick(cls, image: Volume, label: Volume) -> "Digest":
        """Of two check sums, in a tenth of the time: tells the cases of a data set apart, but is not to be kept."""
        return cls(_check_sums(image.array), _check_sums(label.array))


def profile_of(image: Volume) -> str:
    """The sums of an image's slices, in order of size: a copy that is mirrored or turned within the plane has the same.

    Example:
        >>> voxels = np.random.default_rng(0).integers(-1000, 1000, (1, 4, 8, 8)).astype(np.float32)
        >>> turned = np.rot90(voxels[:, ::-1], axes=(2, 3))
        >>> profile_of(Volume.of_array(voxels)) == profile_of(Volume.of_array(turned))
        True
    """
    sums = np.sort(image.array[0].sum(axis=(1, 2), dtype=np.float64))  # exact of whole numbers, in whatever order
    most = float(np.abs(sums).max(initial=0.0)) or 1.0
    return " ".join(f"{each:.7f}" for each in (most, *(sums / most + 0.0)))  # a sum of nearly 0 has digits of chance


def read_case(
    layout: Layout,
    case: Case,
    classes: Classes,
    in_channels: int | None = None,
    modality: Modalities | None = None,
    note: Note | None = None,
) -> tuple[Volume, Volume | None]:
    """Read and check a case's image and label.

    Args:
        layout: how the data set lies on disk.
        case: the volume to read.
        classes: how label values become class indices.
        in_channels: channels the image must have; None for any number.
        modality: what the intensities must be able to be; None for anything.
        note: told what is odd; None logs it.

    Returns:
        image: (C, Z, Y, X) float32, intensities as on disk.
        label: (1, Z, Y, X) uint8 class indices, `IGNORE_INDEX` where ignored; None where the case has none.

    Raises:
        DataError: naming the case, the rule, the value and the remedy: an unreadable file, NaN or infinite
            voxels, a wrong number of channels, a constant image, no Hounsfield units where they are due, a label on
            another grid, of fractional values or of values that stand for no class.
    """
    problems: list[str] = []
    notes: list[str] = []

    def image_of() -> Volume:
        read = given_back(f"{type(layout).__name__}.read_image", layout.read_image(case), Volume)
        if in_channels is not None and len(read.array) != in_channels:
            raise DataError(
                f"image has {len(read.array)} channels but {in_channels} are due; correct the channel names or the file"
                + "".join(f" ({note})" for note in read.notes)
            )
        kinds = () if modality is None else kinds_of(modality, len(read.array))
        array, odd = checked(read.array.astype(np.float32, copy=False), kinds)
        notes.extend((*read.notes, *odd))
        return Volume(array, read.geometry)

    def label_of() -> Volume:
        read = given_back(f"{type(layout).__name__}.read_label", layout.read_label(case), Volume)
        read = as_label(read, "label")
        notes.extend(read.notes)
        if image is not None and (difference := read.geometry.difference(image.geometry)):
            raise DataError(f"label {difference}, as the image has it; re-export the label on the image's grid")
        classes.check_names(read.names)
        encoded = classes.encode(read.array)
        if image is not None and encoded.any() and any(_same(each, read.array[0]) for each in image.array):
            raise DataError("label and image are the same, voxel for voxel; give the scan as image, without its label")
        return Volume(encoded, read.geometry)

    def attempt(part: Callable[[], Volume]) -> Volume | None:
        try:
            return part()
        except DataError as error:
            problems.append(str(error))
            return None

    image = attempt(image_of)
    label = attempt(label_of) if case.label else None
    if image is None or problems:
        raise DataError(f"case {case.id}: {'; also: '.join(dict.fromkeys(problems))}")
    if label is not None:
        notes += said_of_empty_slices(image.array, label.array[0])
    for each in notes:
        (note or log.warning)(f"case {case.id}: {each}")
    return image, None if label is None else Volume(label.array, image.geometry)


def for_every_case(
    do: Callable[[Case], None], cases: Sequence[Case], track: Track[Any] | None = None, each: Each = in_threads
) -> dict[str, str]:
    """Do something with every case; what is stopped begins no further case.

    Args:
        do: raises a `DataError` where the case has a problem.
        cases: those to do it with.
        track: shows progress.
        each: where it is done.

    Returns:
        The problem of every case that has one, in the order of `cases`.
    """
    problems: dict[str, str] = {}
    with closing(each(do, cases)) as done:
        for case, outcome in track(done, len(cases)) if track and cases else done:
            try:
                outcome.result()
            except DataError as error:
                problems[case.id] = of_case(case.id, error)
    return {case.id: problems[case.id] for case in cases if case.id in problems}


def _same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Whether all voxels are equal; a few tell most that are not."""
    few = (slice(None, None, 8),) * one.ndim
    return np.array_equal(one[few], other[few]) and np.array_equal(one, other)


def _digest(array: NDArray[np.generic]) -> str:
    return blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()


def _check_sums(array: NDArray[np.generic]) -> str:
    voxels = np.ascontiguousarray(array).data
    return f"{zlib_ng.crc32(voxels):08x}{zlib_ng.adler32(voxels):08x}"
