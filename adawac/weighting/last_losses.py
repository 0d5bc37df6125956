"""The last losses of every training sample: what monitors and samplers look up."""

from typing import ClassVar

import torch
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

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("supervised", torch.zeros(0))
        self.register_buffer("consistency", torch.zeros(0))

    def allocate(self, num_samples: int) -> None:
        """Make the table for n samples."""
        self.supervised = torch.full((num_samples,), torch.nan, device=self.supervised.device)
        self.consistency = torch.full((num_samples,), torch.nan, device=self.supervised.device)

    @torch.no_grad()
    def record(self, losses: SampleLosses) -> None:
        """Store the losses of a batch."""
        supervised = losses.supervised.float()
        self.supervised[losses.index] = torch.where(supervised.isnan(), self.supervised[losses.index], supervised)
        if losses.consistency is not None:
            consistency = losses.consistency.float()
            self.consistency[losses.index] = torch.where(consistency.isnan(), torch.inf, consistency)
