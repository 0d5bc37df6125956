"""Read one case with every check that bad data must meet before training starts."""

import numpy as np
from numpy.typing import NDArray

from adawac.data.classes import Classes
from adawac.data.layouts.base import Case, Layout
from adawac.data.volumes import Volume
from adawac.errors import DataError


def read_case(
    layout: Layout, case: Case, classes: Classes, in_channels: int | None = None
) -> tuple[Volume, Volume | None]:
    """Read and check a case's image and label.

    Args:
        layout: how the data set lies on disk.
        case: the volume to read.
        classes: how label values become class indices.
        in_channels: channels the image must have; None for any number.

    Returns:
        image: (C, Z, Y, X) float32, intensities as on disk.
        label: (1, Z, Y, X) uint8 class indices, `IGNORE_INDEX` where ignored; None where the case has none.

    Raises:
        DataError: naming the case, the rule, the value and the remedy: an unreadable file, NaN or infinite
            voxels, a wrong number of channels, a label on another grid, of fractional values or of values
            that stand for no class.
    """
    try:
        image = layout.read_image(case)
        array = image.array.astype(np.float32, copy=False)
        _check_image(array, in_channels)
        image = Volume(array, image.geometry)
        if not case.label:
            return image, None
        label = layout.read_label(case)
        if difference := label.geometry.difference(image.geometry):
            raise DataError(f"label {difference}, as the image has it; re-export the label on the image's grid")
        return image, Volume(classes.encode(label.array), image.geometry)
    except DataError as error:
        raise DataError(f"case {case.id}: {error}") from error


def _check_image(array: NDArray[np.float32], in_channels: int | None) -> None:
    if in_channels is not None and len(array) != in_channels:
        raise DataError(
            f"image has {len(array)} channels but {in_channels} are due; correct the channel names or the file"
        )
    if not np.isfinite(array.sum(dtype=np.float64)):  # one pass; the mask is only made when it is needed
        wrong = int(array.size - np.isfinite(array).sum())
        if wrong:
            raise DataError(
                f"{wrong} of {array.size} voxels are NaN or infinite but intensities must be finite; "
                "repair or export the image again"
            )
