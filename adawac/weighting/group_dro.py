"""Group DRO: the worst group decides."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from adawac.data.groups import Density, Grouping
from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.types import SampleLosses, Weights
from adawac.weighting.weighting import PerSampleState, Weighting


class GroupDRO(PerSampleState, Weighting):
    """Distributionally robust optimisation over groups that are known beforehand.

    One probability q_g a group climbs with the group's mean cross-entropy L_g in the batch (0 for a group without a
    finite loss in it), log q_g += eta L_g, and is normalised. The loss is sum_g q_g L_g, hence
    w_i = q_g / share of g in the batch.

    Measured with label-dense and label-sparse slices as groups only, with no significant difference to ERM
    (`docs/results`, OpenKBP, three runs each); not with groups of sites or patients, for which it was published.

    All groups start with the same q. Large steps soon put all mass on one group; the paper's 0.01 is a safe start.

    Args:
        groups: how the training samples fall into groups; None: label-dense and label-sparse.
        step_size: eta > 0.

    Attributes:
        names: G names of the groups, in the order of `log_q`; a checkpoint of other groups is refused.

    Raises:
        ConfigError: if `step_size` is not above 0.

    References:
        Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020,
        algorithm 1, with the group means of a batch instead of a sampled group.

    Example:
        >>> weighting = GroupDRO(step_size=1.0)
        >>> weighting.assign(torch.tensor([0, 0, 0, 1]), ["site A", "site B"])
        >>> losses = SampleLosses(torch.arange(4), torch.full((4,), 0.5), None, torch.ones(4, dtype=torch.bool))
        >>> weighting.step(losses).supervised  # equal losses: half of the loss for each site
        tensor([0.6667, 0.6667, 0.6667, 2.0000])
        >>> dict(zip(weighting.names, weighting.q.tolist()))
        {'site A': 0.5, 'site B': 0.5}
    """

    uses_consistency: ClassVar[bool] = False

    member: Tensor
    log_q: Tensor

    def __init__(self, groups: Grouping | None = None, step_size: float = 0.01) -> None:
        super().__init__()
        if not step_size > 0:
            raise ConfigError(f"GroupDRO: step_size is {step_size}; it must be above 0 (0.01 is the paper's)")
        self.groups = groups or Density()
        self.step_size = step_size
        self.names: tuple[str, ...] = ()
        self.register_buffer("member", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("log_q", torch.zeros(0))

    @property
    def q(self) -> Tensor:
        """(G,) probability of every group."""
        return self.log_q.exp()

    @property
    def weights(self) -> Tensor:
        """(n,) weight that a sample has in a batch with the training set's shares of the groups."""
        return self._weigh(self.member)

    def allocate(self, units: UnitTable) -> None:
        """Find the groups of the training set; only those that occur take part, and no wholly ignored sample."""
        member, names = self.groups(units)
        self.assign(torch.from_numpy(member), names)

    def assign(self, member: Tensor, names: Sequence[str]) -> None:
        """Say the groups directly, outside of `adawac fit`; starts from equal q.

        Args:
            member: (n,) integer group of each training sample, 0 to G - 1, each of them at least once; -1 for none.
            names: G names.
        """
        self.member = member.to(self.member)
        self.names = tuple(names)
        self.log_q = self.log_q.new_zeros(len(names)).log_softmax(0)

    @torch.no_grad()
    def step(self, losses: SampleLosses) -> Weights:
        """Move the probabilities of the batch's groups and return the samples' weights.

        Raises:
            ConfigError: if no groups are known, or no such row.
        """
        if not self.names:
            raise ConfigError("GroupDRO: the groups are not known; call allocate(units) or assign(member, names) first")
        supervised = losses.supervised.to(self.log_q.dtype)
        member = torch.where(supervised.isnan(), -1, self.member[self.rows_of(losses.index, self.member)])
        finite = supervised.isfinite() & (member >= 0)
        total = self._sums(member, torch.where(finite, supervised, 0))
        count = self._sums(member, finite.to(supervised.dtype))
        self.log_q.copy_((self.log_q + self.step_size * total / count.clamp(min=1)).log_softmax(0))
        return Weights(self._weigh(member), None)

    def _weigh(self, member: Tensor) -> Tensor:
        """Probability over share of the group of each of some samples, the shares being those among them.

        Samples of no group are not counted, and weigh nothing.
        """
        grouped = (member >= 0).to(self.log_q.dtype)
        count, group = self._sums(member, grouped), member.clamp(min=0)
        return grouped * self.q[group] * grouped.sum() / count[group].clamp(min=1)

    def _sums(self, member: Tensor, values: Tensor) -> Tensor:
        """(G,) sums of the values of each group's samples; those of samples of no group have to be 0."""
        return torch.zeros_like(self.log_q).index_add(0, member.clamp(min=0), values)

    def get_extra_state(self) -> Any:
        """The groups' names, which belong to the checkpoint."""
        return list(self.names)

    def set_extra_state(self, state: Any) -> None:
        """Take over the groups' names.

        Raises:
            ConfigError: if the training set has other groups.
        """
        if self.names and self.names != tuple(state):
            raise ConfigError(
                f"GroupDRO: the checkpoint's groups are {', '.join(state)}, but here they are {', '.join(self.names)}; "
                "resume with the checkpoint's data and groups"
            )
        self.names = tuple(state)
