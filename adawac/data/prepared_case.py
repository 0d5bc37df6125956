"""A case as it lies in the store: arrays on the training grid and on the native one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adawac.data.grid import Placement
from adawac.io.steps import spacing_of


@dataclass(frozen=True)
class PreparedCase:
    """A case of the store.

    Attributes:
        id: name of the case.
        image: (C, S, h, w) float16 on the training grid, memory-mapped.
        label: (S, h, w) uint8 class indices on the training grid, memory-mapped.
        native_label: (S, H, W) uint8 class indices on the native grid, memory-mapped.
        placement: where the training grid lies in the native plane.
        steps: (3, 3) mm from a native voxel to the next along (slice, row, column), as columns; None where unknown.
        voxels: (S, K) voxels of each class on the native grid.
        data_hash: of its files, see `adawac.runs.provenance`: images first, then labels.
    """

    id: str
    image: NDArray[np.float16]
    label: NDArray[np.uint8]
    native_label: NDArray[np.uint8]
    placement: Placement
    steps: NDArray[np.float64] | None
    voxels: NDArray[np.int64]
    data_hash: str

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """(slice, row, column) of the native grid in mm, None where unknown."""
        return None if self.steps is None else spacing_of(self.steps)
