"""Which axes of a file are those of space: three of them, and of a fourth what it may stand for."""

import math
from pathlib import Path

from adawac.errors import DataError

MOST_CHANNELS = 8
"""Channels that anybody has; more are most likely times or directions."""

ONE_HOT = "write array.argmax({}), where the first class is the background"
"""What makes a label map of one-hot classes."""

LEAST_PLANE = 16
"""Pixels that every slice has more of along either side."""


def no_volume(path: Path, shape: tuple[int, ...]) -> DataError:
    """What to say of a file of another number of dimensions."""
    return DataError(
        f"{path}: a volume has 3 dimensions, or 4 with channels last, but this has shape {shape}; export "
        + (f"the slice as {(*shape, 1)}" if len(shape) == 2 else "one volume a file")
    )


def check_channels_last(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse what plainly has its channels first: else their number were that of slices or columns.

    Args:
        path: of the file, for errors.
        shape: of its four axes, of which nothing but their order says what they are.

    Raises:
        DataError: naming how to turn it.

    Example:
        >>> check_channels_last(Path("a.nii.gz"), (4, 240, 240, 155))
        Traceback (most recent call last):
        adawac.errors.DataError: a.nii.gz: shape (4, 240, 240, 155) seems to have its channels first, but they are due \
last; move that axis (numpy.moveaxis(array, 0, -1)), or export a file a channel, CASE_0000, CASE_0001, ... (of a \
label with an axis of classes write array.argmax(0), where the first class is the background)
    """
    first, *plane, last = shape
    of_a_column = first == 1 and last > MOST_CHANNELS  # else a volume as thin as a voxel, of so many channels
    if first < last and (of_a_column or first <= MOST_CHANNELS < LEAST_PLANE < min(plane)):
        raise DataError(
            f"{path}: shape {shape} seems to have its channels first, but they are due last; move that axis "
            "(numpy.moveaxis(array, 0, -1)), or export a file a channel, CASE_0000, CASE_0001, ... (of a label with an "
            f"axis of classes {ONE_HOT.format(0)})"
        )


def said_of_slices(slices: int, rows: int, columns: int) -> str:
    """A note where an array of which nothing says so may have its slices last, as nibabel gives it; "" elsewhere.

    Example:
        >>> said_of_slices(512, 512, 60)
        'slices of 512 x 60 pixels: is the last axis that of the slices? It must be the first'
        >>> said_of_slices(60, 512, 512)
        ''
    """
    if 2 * columns >= min(slices, rows):
        return ""
    return f"slices of {rows} x {columns} pixels: is the last axis that of the slices? It must be the first"


def said_of_times(path: Path, number: int, step: float = 1.0, unit: str = "", told: bool = False) -> tuple[str, ...]:
    """A note where what is read as channels may be times.

    Args:
        path: of the file.
        number: of its channels.
        step: from one to the next, as the header says; 0, 1 and NaN are what writers put there unasked.
        unit: of the step; empty where there is none.
        told: whether the header calls them times.

    Example:
        >>> said_of_times(Path("a.nii"), 2, 0.04, "s")
        ('a.nii: it holds 2 volumes, 0.04 s apart, which are read as channels: if they are times, export one a file',)
        >>> said_of_times(Path("a.nii"), 4, 1.0, "s")
        ()
    """
    apart = math.isfinite(step) and step not in (0, 1) and unit
    if number < 2 or not (told or apart or number > MOST_CHANNELS):
        return ()
    said = f" {step:.4g} {unit} apart," if apart else ""
    return (
        f"{path}: it holds {number} volumes,{said} which are read as channels: if they are times, export one a file",
    )
