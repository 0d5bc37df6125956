"""A case as it lies in the store: arrays on the training grid and on the native one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.data.grid import Placement
from adawac.errors import DataError, readable
from adawac.io.steps import spacing_of

MOST_MAPPED = 1 << 14
"""Arrays that a process has mapped into its memory at once: Linux allows it 65,530 maps, of all that it does."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case of the store. Its arrays are mapped when they are asked for.

    Attributes:
        id: name of the case.
        folder: of its arrays.
        placement: where the training grid lies in the native plane.
        steps: (3, 3) mm from a native voxel to the next along (slice, row, column), as columns; None where unknown.
        voxels: (S, K) voxels of each class on the native grid.
        data_hash: of its files, see `adawac.runs.provenance`: images first, then labels.
    """

    id: str
    folder: str
    placement: Placement
    steps: NDArray[np.float64] | None
    voxels: NDArray[np.int64]
    data_hash: str

    @property
    def image(self) -> NDArray[np.float16]:
        """(C, S, h, w) on the training grid.

        Raises:
            DataError: if its file is gone or damaged, as for the others.
        """
        return self._array("image")

    @property
    def label(self) -> NDArray[np.uint8]:
        """(S, h, w) class indices on the training grid."""
        return self._array("label")

    @property
    def native_label(self) -> NDArray[np.uint8]:
        """(S, H, W) class indices on the native grid."""
        return self._array("native_label")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(S, h, w) on the training grid."""
        return len(self.voxels), *self.placement.size

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """(slice, row, column) of the native grid in mm, None where unknown."""
        return None if self.steps is None else spacing_of(self.steps)

    def _array(self, name: str) -> NDArray[Any]:
        try:
            with readable(Path(self.folder, f"{name}.npy")):
                return _mapped(self, name)
        except (OSError, ValueError) as error:
            raise DataError(
                f"case {self.id}: its prepared arrays cannot be read ({error}); prepare the data first "
                f"(`adawac prepare --verify` finds all that are damaged), or delete {self.folder} to make them anew"
            ) from error


@lru_cache(MOST_MAPPED)
def _mapped(case: PreparedCase, name: str) -> NDArray[Any]:
    """What was not asked for the longest is let go."""
    return np.lib.format.open_memmap(f"{case.folder}/{name}.npy", mode="r")
