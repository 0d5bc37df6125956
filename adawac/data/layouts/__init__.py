"""One file per on-disk layout, and how to tell which one a folder has."""

from pathlib import Path

from adawac.data.layouts.base import Case, Collection, Layout, Modality
from adawac.data.layouts.msd import MSD
from adawac.errors import DataError

__all__ = ["MSD", "Case", "Collection", "Layout", "Modality", "detect"]

LAYOUTS: tuple[Layout, ...] = (MSD(),)
"""Tried in this order by `detect`."""


def detect(root: Path) -> Layout:
    """Find the layout of a folder.

    Args:
        root: folder of a data set.

    Raises:
        DataError: if the folder is missing or empty, or if no layout matches.
    """
    if not root.is_dir():
        raise DataError(f"{root}: the data folder does not exist; correct the path")
    if not any(root.iterdir()):
        raise DataError(f"{root}: the data folder is empty; put a data set there (see data_README.md)")
    for layout in LAYOUTS:
        if layout.matches(root):
            return layout
    raise DataError(f"{root}: no known layout")
