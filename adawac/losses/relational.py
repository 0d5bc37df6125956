"""Consistency of how the samples of a batch relate to each other, between two augmented views."""

import torch
import torch.nn.functional as F
from torch import Tensor

from adawac.losses.consistency_loss import ConsistencyLoss
from adawac.losses.supervised import full_precision
from adawac.types import NetworkOutput


class RelationalConsistency(ConsistencyLoss):
    """Squared difference of the similarities of a sample to all others, in one view and in the other.

    With K_ij the cosine of the features of samples i and j, averaged over positions: mean_j (K1_ij - K2_ij)^2,
    0 to 4. The features of a sample may change from view to view as long as its neighbours change with it; maps need no
    alignment. The last feature layer is taken; with several processes the samples of each are related among themselves.

    Args:
        lambda_ac: factor, positive.

    References:
        Dong, Miller, Lei, Ward, "Cluster-aware semi-supervised learning: relational knowledge distillation provably
        learns clustering", NeurIPS 2023, with the two views in place of teacher and student.

    Example:
        >>> one, other = torch.eye(2).view(2, 2, 1, 1), torch.ones(2, 2, 1, 1)
        >>> identity = torch.eye(2, 3).expand(2, 2, 3)
        >>> outputs = (NetworkOutput(features, (features,)) for features in (one, other))
        >>> RelationalConsistency()(*outputs, identity, identity)  # apart in one view, alike in the other
        tensor([0.5000, 0.5000])
    """

    def compare(self, first: NetworkOutput, second: NetworkOutput, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """Mean squared difference of the rows of the two similarity matrices, (B,)."""
        return (_similarities(first) - _similarities(second)).square().mean(1)


def _similarities(output: NetworkOutput) -> Tensor:
    """(B, B) cosines of the samples' pooled features."""
    pooled = F.normalize(full_precision(output.features[-1]).flatten(2).mean(2), dim=1)
    return torch.mm(pooled, pooled.T)
