"""Where training units lie while a network trains: on its device, in memory, or on disk."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from adawac.data.loading import UnitDataset
from adawac.data.store import PreparedCase
from adawac.data.units import UnitTable
from adawac.structures import Batch

Residency = Literal["auto", "device", "memory", "disk"]

SHARE_OF_DEVICE = 0.5
"""Most of a device's free memory that `auto` gives to the data: the rest is the network's."""


class ResidentUnits(UnitDataset):
    """All training units as two tensors; a batch is gathered where they lie, without workers.

    The batches are those of `UnitDataset`, bit for bit.

    Args:
        cases: prepared cases in the order of `units.cases`.
        units: the table of units.
        device: where the tensors lie.
    """

    def __init__(self, cases: Sequence[PreparedCase], units: UnitTable, device: torch.device) -> None:
        super().__init__(cases, units)
        channels, _, height, width = cases[0].image.shape
        self.images = torch.empty(len(units), channels, height, width, dtype=torch.float16, device=device)
        self.labels = torch.empty(len(units), height, width, dtype=torch.uint8, device=device)
        self.dense = torch.from_numpy(units.dense).to(device)
        for number, case in enumerate(cases):
            rows = np.flatnonzero(units.case == number)
            positions = units.start[rows, 0]
            where = torch.from_numpy(rows).to(device)
            self.images[where] = torch.from_numpy(case.image[:, positions].swapaxes(0, 1)).to(device)
            self.labels[where] = torch.from_numpy(case.label[positions]).to(device)

    def __getitem__(self, rows: list[int]) -> Batch:
        index = self._index(rows)
        return Batch(self.images[index].float(), self.labels[index], index, self.dense[index])

    def _index(self, rows: list[int]) -> Tensor:
        """The rows on the device, which nobody waits for."""
        index = torch.tensor(rows)
        return index.pin_memory().to(self.images.device, non_blocking=True) if self.images.is_cuda else index


def dataset_of(
    residency: Residency, cases: Sequence[PreparedCase], units: UnitTable, device: torch.device
) -> UnitDataset:
    """Training units where they are wanted.

    Args:
        residency: `device`; `memory` of each process; `disk`, where the system keeps in memory what it has room for;
            `auto`: the device if it has its own memory and they fit into half of what is free, else the disk.
        cases: prepared cases.
        units: the table of units.
        device: that trains.
    """
    if residency == "auto":
        residency = "device" if bytes_of(cases, units) <= SHARE_OF_DEVICE * _free(device) else "disk"
    if residency == "disk":
        return UnitDataset(cases, units)
    return ResidentUnits(cases, units, device if residency == "device" else torch.device("cpu"))


def bytes_of(cases: Sequence[PreparedCase], units: UnitTable) -> int:
    """Of all units, image and label."""
    channels, _, height, width = cases[0].image.shape
    pixel: int = channels * cases[0].image.itemsize + cases[0].label.itemsize
    return int(len(units) * height * width * pixel)


def _free(device: torch.device) -> int:
    """Bytes that a device has to give; none where its memory is the host's, in which files are kept anyway."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
