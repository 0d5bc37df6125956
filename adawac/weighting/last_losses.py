"""The last losses of every training sample: what monitors and samplers look up."""

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adawac.types import SampleLosses
from adawac.weighting.weighting import PerSampleState


class LastLosses(PerSampleState):
    """A row a sample, NaN until it first has a loss; part of the checkpoint, so that summaries survive a resume.

    A sample without a supervised loss keeps its last one. A consistency loss that is NaN itself is kept as infinite.

    Example:
        >>> table = LastLosses()
        >>> table.allocate(3)
        >>> table.record(SampleLosses(torch.tensor([2]), torch.tensor([0.5]), None, torch.tensor([True])))
        >>> table.supervised
        tensor([   nan,    nan, 0.5000])
    """

    renamed_buffers: ClassVar[dict[str, str]] = {"ce": "supervised"}

    supervised: Tensor
    consistency: Tensor
    draws: Tensor
    """(n,) int32, how often each sample has been trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("supervised", torch.zeros(0))
        self.register_buffer("consistency", torch.zeros(0))
        self.register_buffer("draws", torch.zeros(0, dtype=torch.int32))

    def allocate(self, num_samples: int) -> None:
        """Make the table for n samples."""
        self.supervised = torch.full((num_samples,), torch.nan, device=self.supervised.device)
        self.consistency = torch.full((num_samples,), torch.nan, device=self.supervised.device)
        self.draws = torch.zeros(num_samples, dtype=torch.int32, device=self.supervised.device)

    @torch.no_grad()
    def record(self, losses: SampleLosses) -> None:
        """Store the losses of a batch, and count it."""
        rows = self.rows_of(losses.index, self.draws)
        self.draws[rows] += 1
        supervised = losses.supervised.float()
        self.supervised[rows] = torch.where(supervised.isnan(), self.supervised[rows], supervised)
        if losses.consistency is not None:
            consistency = losses.consistency.float()
            self.consistency[rows] = torch.where(consistency.isnan(), torch.inf, consistency)

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """(n,) which samples have had a supervised loss, also in a checkpoint of before draws were counted."""
        return ~self.supervised.isnan().cpu().numpy()

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Last supervised losses of some samples, (B,), and how often each has been trained on, (B,)."""
        index = torch.from_numpy(rows).to(self.supervised.device)
        return self.supervised[index].cpu().numpy(), self.draws[index].cpu().numpy()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        if (saved := state_dict.get(prefix + "consistency")) is not None:  # version 0.1 did not count
            state_dict.setdefault(prefix + "draws", torch.zeros(len(saved), dtype=torch.int32))
        super()._load_from_state_dict(state_dict, prefix, *args)
