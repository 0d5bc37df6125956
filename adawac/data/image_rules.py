"""What an image must be before anything is made of it: one set of rules, for training and prediction alike."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adawac.data.modality import Modality
from adawac.data.padding import POSSIBLE_HU, few_of, highest_tissue, is_padded_below, lowest_tissue, suspicion
from adawac.errors import DataError, some_of
from adawac.types import IGNORE_INDEX

LEAST_RANGE = 50.0
"""HU between the darkest and the brightest voxel that every CT has, be it by its noise."""

PADDING_HU = -1024.0
"""What padding of CT beyond all possible HU is read as: air."""

SMALLEST, LARGEST = 1e-5, float(np.finfo(np.float16).max)
"""Prepared images are kept in half precision."""

WIDE = 10.0
"""What scaled intensities stay below, be it 0 to 1 or deviations from a mean; others, such as 0 to 255, are noted."""

MOST_LABELS = 16
"""Values up to which an image looks like a label map."""

LEAST_SLICE = 256
"""Pixels of a slice that are not all of one value by chance."""

REMEDIES: Mapping[Modality, str] = {
    "ct": "rescale the image to HU, leave it out if it is no CT, or set data.modality to `mr` or `prescaled`",
    "prescaled": "set data.modality to `mr` to normalise them, or to `ct` to window them",
}
"""What to do where a training image is not of its kind."""


def checked(
    array: NDArray[np.float32], kinds: Sequence[Modality], remedies: Mapping[Modality, str] = REMEDIES
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """An image as it may be trained on or predicted from.

    Args:
        array: (C, Z, Y, X) intensities as on disk.
        kinds: of each channel; empty for anything.
        remedies: what to do where intensities are not of a kind.

    Returns:
        The image, the padding of CT set to air where it lay below all Hounsfield units; and what is odd about it.

    Raises:
        DataError: NaN or infinite voxels, nothing to be seen, no Hounsfield units where they are due, or intensities
            that are left alone and too large or small for half precision.
    """
    lows, highs = array.min(axis=(1, 2, 3)).tolist(), array.max(axis=(1, 2, 3)).tolist()
    if not np.isfinite((lows, highs)).all():  # NaN is the least and the most of whatever holds it
        raise DataError(
            f"{array.size - np.isfinite(array).sum()} of {array.size} voxels are NaN or infinite but intensities must "
            "be finite; repair or export the image again"
        )
    empty = [low == high and array[0].size > 1 for low, high in zip(lows, highs, strict=True)]
    if all(empty):
        raise DataError(f"every voxel is {lows[0]:.6g} but an image shows something; export the image again")
    notes = []
    for channel, (low, high) in enumerate(zip(lows, highs, strict=True)):
        of_channel = f" of channel {channel}" if len(array) > 1 else ""
        if empty[channel]:
            notes.append(f"every voxel{of_channel} is {low:.6g}: taken for a sequence that was not scanned")
            continue
        if kinds and kinds[channel] == "ct" and array[0].size > 1:
            ground, top = lowest_tissue(array[channel], low), highest_tissue(array[channel], high)
            possible = ground < 0 and top <= POSSIBLE_HU[1] and top - ground >= LEAST_RANGE
            if not possible or (ground != low and not is_padded_below(array[channel])):  # such as rescaled twice
                raise DataError(
                    f"intensities{of_channel} go from {low:.6g} to {high:.6g}, which no Hounsfield units do (air has "
                    f"-1000, water 0); {remedies['ct']}"
                )
            padding = [value for value, beyond in ((low, low < POSSIBLE_HU[0]), (high, top < high)) if beyond]
            if padding:
                array = np.array(array)  # not somebody else's
                array[channel][(array[channel] < POSSIBLE_HU[0]) | (array[channel] > top)] = PADDING_HU
                said = " and ".join(f"{value:.6g}" for value in padding)
                notes.append(f"voxels of {said}{of_channel} are taken for padding, as air of {PADDING_HU:.0f} HU")
        elif kinds and kinds[channel] == "prescaled" and not SMALLEST < max(-low, high) <= LARGEST:
            raise DataError(
                f"intensities{of_channel} reach {max(-low, high):.6g} but those of modality `prescaled`, which are "
                f"left alone, must reach {SMALLEST:g} and stay below {LARGEST:.6g}; {remedies['prescaled']}"
            )
        elif kinds and kinds[channel] == "prescaled" and max(-low, high) > WIDE:
            notes.append(f"intensities{of_channel} go from {low:.6g} to {high:.6g}, and are left alone as if scaled")
        if kinds and (odd := suspicion(few_of(array[channel]), low, high, kinds[channel])):
            notes.append(odd.replace(" of voxels", f" of voxels{of_channel}"))
    if kinds and "ct" not in kinds and all(map(_like_labels, array)):
        notes.append("its voxels have a few whole numbers, as labels do: is it a label map in the place of an image?")
    alike: list[list[int]] = []
    for channel in [channel for channel in range(len(array)) if not empty[channel]]:
        same = (group for group in alike if highs[group[0]] == highs[channel] and lows[group[0]] == lows[channel])
        group = next((group for group in same if np.array_equal(array[group[0]], array[channel])), None)
        if group is None:
            alike.append(group := [])
        group.append(channel)
    for group in alike:
        if len(group) > 1:
            said = " and ".join(map(str, group)) if len(group) == 2 else some_of([*map(str, group)])
            notes.append(f"channels {said} are the same, voxel for voxel: is one a copy by mistake?")
    return array, tuple(notes)


def _like_labels(channel: NDArray[np.float32]) -> bool:
    """Whether (Z, Y, X) holds no more numbers than label maps do, all whole."""
    values = np.unique(few_of(channel))
    return len(values) <= MOST_LABELS and bool((values == np.rint(values)).all())


def said_of_empty_slices(image: NDArray[np.float32], label: NDArray[np.uint8]) -> list[str]:
    """A note where classes lie in slices of which a channel shows nothing: a part of the scan was lost.

    Args:
        image: (C, Z, Y, X).
        label: (Z, Y, X) class indices.

    Example:
        >>> image, label = np.random.default_rng(0).normal(size=(1, 4, 32, 32)), np.ones((4, 32, 32), np.uint8)
        >>> image[0, 2:] = 0
        >>> said_of_empty_slices(image, label)
        ['2 of 4 slices that hold classes show nothing, as all of their voxels are 0: is a part of the scan missing?']
    """
    for channel, values in enumerate(image):
        for axis in range(3):
            slices, labels = np.moveaxis(values, axis, 0), np.moveaxis(label, axis, 0)
            if slices[0].size < LEAST_SLICE:
                continue
            few = slices[:, ::8, ::8].reshape(len(slices), -1)  # which tell most that show something
            alike = np.flatnonzero((few == few[:, :1]).all(axis=1))
            empty = [k for k in alike if _holds_classes(labels[k]) and (slices[k] == slices[k, 0, 0]).all()]
            if not empty or len(alike) == len(slices):  # the channel as a whole, of which is said what it is
                continue
            of_channel = f" of channel {channel}" if len(image) > 1 else ""
            return [
                f"{len(empty)} of {sum(map(_holds_classes, labels))} slices that hold classes show nothing, as all of "
                f"their voxels{of_channel} are {slices[empty[0], 0, 0]:.6g}: is a part of the scan missing?"
            ]
    return []


def _holds_classes(label: NDArray[np.uint8]) -> bool:
    return bool(((label > 0) & (label != IGNORE_INDEX)).any())
