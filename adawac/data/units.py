"""The table of training units: which box of which volume a sample is, and what labels it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adawac.data.unit_kinds import SINGLE_SLICE, UnitKind
from adawac.errors import DataError


@dataclass(frozen=True)
class UnitTable:
    """Rows of units in the order of cases, then of position.

    The identity of a unit is (case id, start); a row number is only valid together with its table.

    Attributes:
        cases: ids of the volumes; `case` indexes into them.
        case: (n,) int32, the volume of each unit.
        start: (n, 3) int32, first voxel of the box in (slice, row, column) of the training grid.
        size: (n, 3) int32, extent of the box; a slice has size (1, H, W), with or without neighbours.
        depth: (number of cases,) int32, slices of each volume.
        voxels: (n, K) int64, voxels of each class in the ORIGINAL unit (native grid), background first; none of a
            unit that is wholly ignored.
        classes: K class names, background first.
        kind: what the units are.

    Example:
        >>> table = UnitTable.of_slices(["a"], [np.array([[9, 0], [7, 2]])], (3, 3), ("background", "liver"))
        >>> len(table), table.dense.tolist(), table.position.tolist()
        (2, [False, True], [0.25, 0.75])
    """

    cases: tuple[str, ...]
    case: NDArray[np.int32]
    start: NDArray[np.int32]
    size: NDArray[np.int32]
    depth: NDArray[np.int32]
    voxels: NDArray[np.int64]
    classes: tuple[str, ...]
    kind: UnitKind = SINGLE_SLICE

    @classmethod
    def of_volumes(
        cls,
        kind: UnitKind,
        cases: Sequence[str],
        shapes: Sequence[tuple[int, int, int]],
        voxels: Sequence[NDArray[np.int64]],
        classes: tuple[str, ...],
    ) -> "UnitTable":
        """Table of every unit of every volume.

        Args:
            kind: what the units are.
            cases: ids of the volumes.
            shapes: for each volume, (S, h, w) on the training grid.
            voxels: for each volume, (units, K) voxels of each class on the native grid.
            classes: K class names, background first.

        Raises:
            DataError: if these do not fit together.
        """
        counts = [np.shape(each) for each in voxels]
        if not len(cases) == len(shapes) == len(counts) or {each[1:] for each in counts} != {(len(classes),)}:
            raise DataError(
                f"{len(cases)} cases, {len(shapes)} shapes and counts of shapes {counts} for {len(classes)} classes; "
                f"give one of each for every volume, counts of (units, {len(classes)}), the background's first"
            )
        starts = [kind.starts(shape) for shape in shapes]
        case = np.repeat(np.arange(len(cases), dtype=np.int32), [len(start) for start in starts])
        start = np.concatenate(starts)
        size = np.tile(np.array(kind.size(shapes[0][1:]), dtype=np.int32), (len(case), 1))
        depth = np.array([shape[0] for shape in shapes], dtype=np.int32)
        return cls(tuple(cases), case, start, size, depth, np.concatenate(voxels), classes, kind)

    @classmethod
    def of_slices(
        cls,
        cases: list[str],
        voxels: list[NDArray[np.int64]],
        plane: tuple[int, int],
        classes: tuple[str, ...],
    ) -> "UnitTable":
        """Table of every slice of every volume.

        Args:
            cases: ids of the volumes.
            voxels: for each volume, (slices, K) voxels of each class on the native grid.
            plane: (H, W) of the training grid.
            classes: K class names, background first.
        """
        return cls.of_volumes(SINGLE_SLICE, cases, [(len(counts), *plane) for counts in voxels], voxels, classes)

    def __len__(self) -> int:
        return len(self.case)

    @cached_property
    def dense(self) -> NDArray[np.bool_]:
        """(n,) True where the unit holds any foreground voxel (label-dense)."""
        return np.asarray(self.voxels[:, 1:].any(axis=1))

    @cached_property
    def sparse(self) -> NDArray[np.bool_]:
        """(n,) True where the unit holds background alone (label-sparse)."""
        return self.labelled & ~self.dense

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(n,) True where any voxel has a label; a wholly ignored unit is neither label-dense nor label-sparse."""
        return np.asarray(self.voxels.any(axis=1))

    @cached_property
    def parted(self) -> tuple[NDArray[np.int64], "UnitTable", NDArray[np.int64]]:
        """Rows of the units that have a label, the table of these alone, and rows of the others."""
        rows = np.flatnonzero(self.labelled)
        return rows, self.take(rows), np.flatnonzero(~self.labelled)

    @cached_property
    def rows_of_class(self) -> tuple[NDArray[np.int64], ...]:
        """For each of the K classes, background first, the rows of the units that hold it."""
        return tuple(np.flatnonzero(held) for held in (self.voxels > 0).T)

    @property
    def position(self) -> NDArray[np.float64]:
        """(n,) centre of the unit along its volume, 0 (first slice) to 1 (last slice)."""
        return self.start[:, 0] / self.depth[self.case] + self.length / 2

    @property
    def length(self) -> NDArray[np.float64]:
        """(n,) share of its volume's slices that the unit extends over, at most 1."""
        return np.minimum(1.0, self.size[:, 0] / self.depth[self.case])

    def take(self, rows: NDArray[np.int64]) -> "UnitTable":
        """The table of some rows, in the order given; `cases` stays as it is."""
        return replace(
            self, case=self.case[rows], start=self.start[rows], size=self.size[rows], voxels=self.voxels[rows]
        )

    def followed_by(self, other: "UnitTable") -> "UnitTable":
        """The rows of this table, then those of another one of the same volumes."""
        return replace(
            self,
            case=np.concatenate([self.case, other.case]),
            start=np.concatenate([self.start, other.start]),
            size=np.concatenate([self.size, other.size]),
            voxels=np.concatenate([self.voxels, other.voxels]),
        )

    @property
    def parts(self) -> NDArray[np.int32]:
        """(n, parts, 3) first voxels of what the network is shown of each unit."""
        return self.kind.part_starts(self.start, self.depth[self.case])

    def keys(self) -> list[str]:
        """Names of the units that stay the same across runs, such as `pt_17:42`."""
        return [f"{self.cases[self.case[row]]}:{self.key(row)}" for row in range(len(self))]

    def key(self, row: int) -> int | str:
        """Name of a unit within its volume: the number of a slice, or the first voxel of a patch."""
        return self.kind.key(self.start[row])
