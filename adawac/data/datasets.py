"""What prepared cases give: training units, a batch at a time, and whole volumes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from adawac.data.grid import Placement
from adawac.data.prepared_case import PreparedCase
from adawac.data.units import UnitTable
from adawac.errors import DataError
from adawac.io.steps import spacing_of
from adawac.types import IGNORE_INDEX, Batch


class VolumeItem(NamedTuple):
    """A whole volume, for validation and test.

    Attributes:
        case: its id.
        patient: its patient.
        image: (C, S, h, w) float32 on the training grid.
        target: (S, H, W) uint8 class indices on the native grid.
        placement: where the training grid lies in the native plane.
        steps: (3, 3) mm from a native voxel to the next along (slice, row, column), as columns; None where unknown.
        data_hash: of the case's files.
    """

    case: str
    patient: str
    image: Tensor
    target: NDArray[np.uint8]
    placement: Placement
    steps: NDArray[np.float64] | None
    data_hash: str

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """(slice, row, column) of the native grid in mm, None where unknown."""
        return None if self.steps is None else spacing_of(self.steps)


class UnitDataset(Dataset[Batch]):
    """Training units, fetched a batch at a time: the item of a list of rows is a `Batch`.

    Args:
        cases: prepared cases in the order of `units.cases`.
        units: the table of units; one without labelled voxels has no label, whatever lies in its case.
    """

    def __init__(self, cases: Sequence[PreparedCase], units: UnitTable) -> None:
        self.cases = cases
        self.units = units
        self._dense = units.dense
        self._labelled = units.labelled
        self._parts = units.parts

    def __getitem__(self, rows: list[int]) -> Batch:
        images, labels = zip(*(self._unit(row) for row in rows), strict=True)
        return Batch(
            image=torch.from_numpy(np.stack(images)),
            label=torch.from_numpy(np.stack(labels)),
            index=torch.tensor(rows),
            dense=torch.from_numpy(self._dense[rows]),
        )

    def _unit(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        case, kind = self.cases[self.units.case[row]], self.units.kind
        unit = f"{kind.noun[0]} {self.units.key(row)}"
        try:
            parts = np.stack([kind.cut(case.image, start) for start in self._parts[row]], axis=1)
            image = parts.reshape(-1, *parts.shape[2:]).astype(np.float32)
            label = kind.cut_label(case.label, self.units.start[row])
            return image, label if self._labelled[row] else np.full_like(label, IGNORE_INDEX)
        except (IndexError, ValueError) as error:  # also in a worker, whose errors would name no case
            raise DataError(
                f"case {case.id}, {unit}: its prepared arrays cannot be read any more ({error}); "
                "delete the case's folder in data.store to have them made anew"
            ) from error


class VolumeDataset(Dataset[VolumeItem]):
    """Whole volumes, one an item.

    Args:
        cases: prepared cases.
        patients: patient of every case id.
    """

    def __init__(self, cases: Sequence[PreparedCase], patients: dict[str, str]) -> None:
        self.cases = cases
        self.patients = patients

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, row: int) -> VolumeItem:
        case = self.cases[row]
        return VolumeItem(
            case=case.id,
            patient=self.patients[case.id],
            image=torch.from_numpy(np.array(case.image, dtype=np.float32)),
            target=np.array(case.native_label),
            placement=case.placement,
            steps=case.steps,
            data_hash=case.data_hash,
        )
