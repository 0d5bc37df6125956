"""The last losses of every training sample: what monitors and samplers look up."""

import torch
from torch import Tensor

from adawac.types import Terms
from adawac.weighting.weighting import PerSampleState


class LastLosses(PerSampleState):
    """A row a sample, NaN until it first has a loss; part of the checkpoint, so that summaries survive a resume.

    A sample without a supervised loss keeps its last one. A consistency loss that is NaN itself is kept as infinite.

    Example:
        >>> table = LastLosses()
        >>> table.allocate(3)
        >>> table.record(Terms(torch.tensor([2]), torch.tensor([0.5]), None, torch.tensor([True])))
        >>> table.ce
        tensor([   nan,    nan, 0.5000])
    """

    ce: Tensor
    consistency: Tensor
    draws: Tensor
    """(n,) int32, how often each sample has been trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ce", torch.zeros(0))
        self.register_buffer("consistency", torch.zeros(0))
        self.register_buffer("draws", torch.zeros(0, dtype=torch.int32))

    def allocate(self, num_samples: int) -> None:
        """Make the table for n samples."""
        self.ce = torch.full((num_samples,), torch.nan, device=self.ce.device)
        self.consistency = torch.full((num_samples,), torch.nan, device=self.ce.device)
        self.draws = torch.zeros(num_samples, dtype=torch.int32, device=self.ce.device)

    @torch.no_grad()
    def record(self, terms: Terms) -> None:
        """Store the losses of a batch, and count it."""
        self.draws[terms.index] += 1
        self.ce[terms.index] = torch.where(terms.ce.isnan(), self.ce[terms.index], terms.ce.float())
        if terms.consistency is not None:
            consistency = terms.consistency.float()
            self.consistency[terms.index] = torch.where(consistency.isnan(), torch.inf, consistency)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        if prefix + "ce" in state_dict:  # version 0.1 did not count
            state_dict.setdefault(prefix + "draws", torch.zeros(len(state_dict[prefix + "ce"]), dtype=torch.int32))
        super()._load_from_state_dict(state_dict, prefix, *args)
