"""Read cases with every check that bad data must meet before training starts."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.data.classes import Classes
from adawac.data.layouts.base import Case, Layout
from adawac.data.modality import Modality
from adawac.errors import DataError
from adawac.io.terminal import Track
from adawac.io.volumes import Volume

POSSIBLE_HU = (-10_000.0, 50_000.0)
"""No scanner writes Hounsfield units beyond: padding goes down to -8192, metal on the extended scale up to 30710."""


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


def read_case(
    layout: Layout,
    case: Case,
    classes: Classes,
    in_channels: int | None = None,
    modality: Modality | None = None,
) -> tuple[Volume, Volume | None]:
    """Read and check a case's image and label.

    Args:
        layout: how the data set lies on disk.
        case: the volume to read.
        classes: how label values become class indices.
        in_channels: channels the image must have; None for any number.
        modality: what the intensities must be able to be; None for anything.

    Returns:
        image: (C, Z, Y, X) float32, intensities as on disk.
        label: (1, Z, Y, X) uint8 class indices, `IGNORE_INDEX` where ignored; None where the case has none.

    Raises:
        DataError: naming the case, the rule, the value and the remedy: an unreadable file, NaN or infinite
            voxels, a wrong number of channels, a constant image, no Hounsfield units where they are due, a label on
            another grid, of fractional values or of values that stand for no class.
    """
    try:
        image = layout.read_image(case)
        array = image.array.astype(np.float32, copy=False)
        _check_image(array, in_channels, modality)
        image = Volume(array, image.geometry)
        if not case.label:
            return image, None
        label = layout.read_label(case)
        if difference := label.geometry.difference(image.geometry):
            raise DataError(f"label {difference}, as the image has it; re-export the label on the image's grid")
        return image, Volume(classes.encode(label.array), image.geometry)
    except DataError as error:
        raise DataError(f"case {case.id}: {error}") from error


def for_every_case(
    do: Callable[[Case], None], cases: Sequence[Case], track: Track[None] | None = None
) -> dict[str, str]:
    """Do something with every case, in a thread a core; what is stopped begins no further case.

    Args:
        do: raises a `DataError` where the case has a problem.
        cases: those to do it with.
        track: shows progress.

    Returns:
        The problem of every case that has one, in the order of `cases`.
    """
    problems: dict[str, str] = {}

    def attempt(case: Case) -> None:
        try:
            do(case)
        except DataError as error:
            problems[case.id] = str(error)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        done = pool.map(attempt, cases)
        try:
            for _ in track(done, len(cases)) if track and cases else done:
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {case.id: problems[case.id] for case in cases if case.id in problems}


def _check_image(array: NDArray[np.float32], in_channels: int | None, modality: Modality | None) -> None:
    if in_channels is not None and len(array) != in_channels:
        raise DataError(
            f"image has {len(array)} channels but {in_channels} are due; correct the channel names or the file"
        )
    if not np.isfinite(array.sum(dtype=np.float64)):  # one pass; the mask is only made when it is needed
        raise DataError(
            f"{array.size - np.isfinite(array).sum()} of {array.size} voxels are NaN or infinite but intensities must "
            "be finite; repair or export the image again"
        )
    lows, highs = array.min(axis=(1, 2, 3)).tolist(), array.max(axis=(1, 2, 3)).tolist()
    for channel, (low, high) in enumerate(zip(lows, highs, strict=True)):
        of_channel = f" of channel {channel}" if len(array) > 1 else ""
        if low == high:
            raise DataError(
                f"every voxel{of_channel} is {low:.6g} but an image shows something; export the image again"
            )
        if modality == "ct" and (low >= 0 or low < POSSIBLE_HU[0] or high > POSSIBLE_HU[1]):
            raise DataError(
                f"intensities{of_channel} go from {low:.6g} to {high:.6g}, which no Hounsfield units do (air has "
                "-1000, water 0); rescale the image to HU, or set data.modality (of `adawac check`: --modality) to "
                "`mr` or `prescaled`"
            )


def _digest(array: NDArray[np.generic]) -> str:
    return blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
