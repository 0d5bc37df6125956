"""One file per on-disk layout, and how to tell which one a folder has."""

from pathlib import Path
from shlex import quote

from adawac.data.layouts.acdc import ACDC
from adawac.data.layouts.base import Case, Collection, Layout, ListingError
from adawac.data.layouts.folders import Folders
from adawac.data.layouts.msd import MSD
from adawac.data.layouts.nnunet import NNUNet
from adawac.data.layouts.proposal import OF_LABELS, proposed
from adawac.data.layouts.synapse import Synapse
from adawac.errors import ConfigError, DataError, did_you_mean_file, some_of
from adawac.io.images import list_images
from adawac.io.readers import PACKED, ends_in

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
        first = "unpack it, and " * ends_in(root, PACKED)
        raise DataError(f"{root}: this is a file; {first}give the folder of a data set")
    if not root.is_dir():
        meant = did_you_mean_file(root)
        raise DataError(
            f"{root}: the data folder does not exist{meant} correct the path (data.root of a configuration)"
        )
    if named is not None:
        if not isinstance(named, Layout):
            raise ConfigError(f"layout is {named!r}; give one of adawac.data.layouts, such as Folders()")
        return named
    if not any(root.iterdir()):
        raise DataError(f"{root}: the data folder is empty; put a data set there (see data_README.md)")
    if layout := _match(root):
        return layout
    there = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    holds = some_of([path.name for path in there])
    folders = [path.name for path in there if path.is_dir() and list_images(path)]
    labels = [name for name in folders if OF_LABELS.search(name)]
    images = [name for name in folders if name not in labels]
    if len(images) == len(labels) == 1:
        such = f"--layout.images {quote(images[0])} --layout.labels {quote(labels[0])}"
    else:
        such = proposed(root) or "--layout.images scans --layout.labels masks"
    nearby = [folder.name for folder in there if folder.is_dir() and _match(folder)]
    hint = f"; give a folder inside it: {' or '.join(nearby)}" if nearby else ""
    if packed := [path.name for path in there if ends_in(path, PACKED)]:
        hint = f"; unpack {some_of(packed)}"
    if _match(root.parent):
        hint = f"; give the folder that it lies in: {root.parent}"
    raise DataError(
        f"{root}: the folder has none of the known layouts: dataset.json with `training` (MSD, nnU-Net v1) "
        "or `channel_names` (NNUNet), train_npz/ or test_vol_h5/ (Synapse), ACDC_training_slices/ or "
        "ACDC_training_volumes/ (ACDC), images/ and labels/ (Folders); it holds "
        f"{holds}{hint}; correct the path, or say where files lie, in folders or by patterns like '*/ct.nii.gz' in "
        f"which * is the case, such as --layout Folders {such}"
    )


def _match(root: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.matches(root)), None)
