"""Consistency of the predictions themselves between two augmented views."""

from torch import Tensor

from adawac.losses.consistency_loss import ConsistencyLoss, mean_where, overlap
from adawac.losses.supervised import full_precision
from adawac.types import NetworkOutput


class ProbabilityConsistency(ConsistencyLoss):
    """Squared difference of the class probabilities, summed over classes, where both views look; 0 to 2.

    Always aligned: the predictions of views that are turned against each other have to differ.

    Args:
        lambda_ac: factor, positive.

    Example:
        >>> import torch
        >>> sure, other = (torch.tensor([[a, -a]]).view(1, 2, 1, 1) for a in (50.0, -50.0))
        >>> identity = torch.eye(2, 3)[None]
        >>> ProbabilityConsistency()(NetworkOutput(sure, ()), NetworkOutput(other, ()), identity, identity)
        tensor([2.])
    """

    def compare(self, first: NetworkOutput, second: NetworkOutput, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """Brier distance of the two predictions, (B,)."""
        one, two = (full_precision(output.logits).softmax(1) for output in (first, second))
        one, two, valid = overlap(one, two, affine_1, affine_2)
        return mean_where((one - two).square().sum(1, keepdim=True), valid)
