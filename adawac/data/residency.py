"""Where training units lie while a network trains: on its device, in memory, or on disk."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adawac.data.datasets import UnitDataset
from adawac.data.prepared_case import PreparedCase
from adawac.data.units import UnitTable
from adawac.types import IGNORE_INDEX, Batch

Residency = Literal["auto", "device", "memory", "disk"]

SHARE_OF_DEVICE = 0.5
"""Most of a device's free memory that `auto` gives to the data: the rest is the network's."""


class ResidentUnits(UnitDataset):
    """All that the network is shown of the training units as two tensors; a batch is gathered where they lie.

    Slices lie there once, also those that are neighbours of several units. The batches are those of `UnitDataset`, bit
    for bit, and take no workers.

    Args:
        cases: prepared cases in the order of `units.cases`.
        units: the table of units.
        device: where the tensors lie.
    """

    def __init__(self, cases: Sequence[PreparedCase], units: UnitTable, device: torch.device) -> None:
        super().__init__(cases, units)
        boxes, gather = _boxes(units)
        kind, plane = units.kind, cases[0].placement.size
        shape = (len(boxes), cases[0].image.shape[0], *kind.input_size(plane))
        self.images = torch.empty(shape, dtype=torch.float16, device=device)
        self.labels = torch.empty(len(units), *kind.input_size(plane), dtype=torch.uint8, device=device)
        self.gather = torch.from_numpy(gather).to(device)
        self.dense = torch.from_numpy(units.dense).to(device)
        for number, case in enumerate(cases):  # one after the other: a case's share of the host's memory at a time
            rows = np.flatnonzero(boxes[:, 0] == number)
            if len(rows):
                images = np.stack([kind.cut(case.image, start) for start in boxes[rows, 1:]])
                self.images[torch.from_numpy(rows).to(device)] = torch.from_numpy(images).to(device)
            rows = np.flatnonzero(units.case == number)
            if len(rows):
                labels = np.stack([kind.cut_label(case.label, start) for start in units.start[rows]])
                labels[~units.labelled[rows]] = IGNORE_INDEX
                self.labels[torch.from_numpy(rows).to(device)] = torch.from_numpy(labels).to(device)

    def __getitem__(self, rows: list[int]) -> Batch:
        index = self._index(rows)
        parts = self.images[self.gather[index]].float()  # (B, parts, C, ...)
        return Batch(parts.transpose(1, 2).flatten(1, 2), self.labels[index], index, self.dense[index])

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
    boxes, _ = _boxes(units)
    image, label = cases[0].image, cases[0].label
    values = math.prod(units.kind.input_size(label.shape[1:]))
    return values * (len(boxes) * len(image) * image.itemsize + len(units) * label.itemsize)


def _boxes(units: UnitTable) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The different boxes (m, 4) of case and first voxel that make up the units, and (n, parts) which each takes."""
    parts = units.parts
    case = np.broadcast_to(units.case[:, None, None], (*parts.shape[:2], 1))
    flat = np.concatenate([case, parts], axis=2).reshape(-1, 4)
    boxes, inverse = np.unique(flat, axis=0, return_inverse=True)
    return boxes, inverse.reshape(parts.shape[:2]).astype(np.int64)


def _free(device: torch.device) -> int:
    """Bytes that a device has to give; none where its memory is the host's, in which files are kept anyway."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
