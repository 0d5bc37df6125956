"""One file per on-disk layout, and how to tell which one a folder has."""

from pathlib import Path

from adawac.data.layouts.acdc import ACDC
from adawac.data.layouts.base import Case, Collection, Layout, ListingError
from adawac.data.layouts.folders import Folders
from adawac.data.layouts.msd import MSD
from adawac.data.layouts.nnunet import NNUNet
from adawac.data.layouts.synapse import Synapse
from adawac.errors import DataError, did_you_mean_file, some_of

__all__ = [
    "ACDC",
    "MSD",
    "Case",
    "Collection",
    "Folders",
    "Layout",
    "ListingError",
    "NNUNet",
    "Synapse",
    "detect",
]

LAYOUTS: tuple[Layout, ...] = (MSD(), NNUNet(), Synapse(), ACDC(), Folders())
"""Tried in this order by `detect`."""


def detect(root: Path, named: Layout | None = None) -> Layout:
    """Find the layout of a folder.

    Args:
        root: folder of a data set.
        named: what its layout is said to be; None finds out.

    Returns:
        The layout that was named; else the first of `LAYOUTS` that matches, with its default settings.

    Raises:
        DataError: if the folder is missing or empty, or if no layout matches.
    """
    if root.is_file():
        raise DataError(f"{root}: this is a file; give the folder of a data set")
    if not root.is_dir():
        raise DataError(f"{root}: the data folder does not exist{did_you_mean_file(root)} correct the path")
    if named:
        return named
    if not any(root.iterdir()):
        raise DataError(f"{root}: the data folder is empty; put a data set there (see data_README.md)")
    if layout := _match(root):
        return layout
    holds = some_of([path.name for path in sorted(root.iterdir()) if not path.name.startswith(".")])
    nearby = [folder.name for folder in sorted(root.iterdir()) if folder.is_dir() and _match(folder)]
    hint = f"; give a folder inside it: {' or '.join(nearby)}" if nearby else ""
    raise DataError(
        f"{root}: the folder has none of the known layouts: dataset.json with `training` (MSD, nnU-Net v1) "
        "or `channel_names` (NNUNet), train_npz/ or test_vol_h5/ (Synapse), ACDC_training_slices/ or "
        "ACDC_training_volumes/ (ACDC), images/ and labels/ (Folders); it holds "
        f"{holds}{hint}; correct the path, or say where files lie, in folders or by patterns like '*/ct.nii.gz' in "
        "which * is the case, such as --layout Folders --layout.images scans --layout.labels masks"
    )


def _match(root: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.matches(root)), None)
