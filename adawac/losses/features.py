"""Consistency of the network's features between two augmented views: the paper's loss, and ours."""

import torch
from torch import Tensor

from adawac.losses.consistency_loss import ConsistencyLoss, mean_where, overlap
from adawac.losses.supervised import full_precision, global_sum
from adawac.types import NetworkOutput


class FeatureConsistency(ConsistencyLoss):
    """How far the features of two views of a sample are apart; the gradient flows through both.

    ``aligned=False, normalised=False`` is the paper's term: lambda_ac times the mean squared difference,
    position by position, of the features as they come. With several feature layers their losses are averaged.

    Args:
        lambda_ac: factor, positive. The paper's 2 belongs to its networks and to ``normalised=False``.
        aligned: warp the features of both views back into the batch's frame first, and compare only where
            both views look. Otherwise two views that are turned against each other can agree by flat features
            alone.
        normalised: divide the squared difference by the variance between samples: 0 for equal features, 1 on
            average for features that tell no sample from another. Otherwise a network lowers the loss by
            shrinking its features, or by drawing the same map for every image. The variance carries gradient
            too: taken as a constant it would only speed the shrinking up. It spans the batches of all
            processes, every one of which must then call this; of a single sample nothing can be learnt.

    References:
        Dong, Xie, Ward, "Adaptively Weighted Data Augmentation Consistency Regularization for Robust
        Optimization under Concept Shift", ICML 2023; alignment and normalisation are ours.

    Example:
        >>> features = torch.randn(3, 8, 4, 4)
        >>> one, two = (NetworkOutput(features, (f,)) for f in (features, features.flip(-1)))
        >>> identity = torch.eye(2, 3).expand(3, 2, 3)
        >>> flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))[:2].expand(3, 2, 3)
        >>> FeatureConsistency()(one, two, identity, flip).abs().max().item() < 1e-5
        True
    """

    def __init__(self, lambda_ac: float = 1.0, aligned: bool = True, normalised: bool = True) -> None:
        super().__init__(lambda_ac)
        self.aligned = aligned
        self.normalised = normalised

    def compare(self, first: NetworkOutput, second: NetworkOutput, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """Mean over the feature layers, (B,)."""
        layers = zip(first.features, second.features, strict=True)
        return torch.stack([self.compare_maps(one, two, affine_1, affine_2) for one, two in layers]).mean(0)

    def compare_maps(self, first: Tensor, second: Tensor, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """The loss of one layer.

        Args:
            first: (B, F, h, w) of the first view.
            second: (B, F, h, w) of the second view.
            affine_1: see `forward`.
            affine_2: likewise.

        Returns:
            (B,) without lambda_ac.
        """
        first, second = full_precision(first), full_precision(second)
        valid = first.new_ones(len(first), 1, *first.shape[2:])
        if self.aligned:
            first, second, valid = overlap(first, second, affine_1, affine_2)
        apart = (first - second).square().sum(1, keepdim=True)
        loss = mean_where(apart, valid) / first.shape[1]
        if self.normalised:
            # No epsilon to hide behind: the clamp acts on features of the size 1e-15.
            loss = loss / (2 * variance_between_samples(first + second, apart, valid)).clamp(min=1e-30)
        return loss


def variance_between_samples(both: Tensor, apart: Tensor, valid: Tensor) -> Tensor:
    """Unbiased variance, over samples and views, of the features at one position; averaged over positions.

    Of two views x and y, (x - m)^2 + (y - m)^2 = (x + y - 2 m)^2 / 2 + (x - y)^2 / 2, whose last part is known already.

    Args:
        both: (B, F, h, w) sum of the features of both views, in the batch's frame.
        apart: (B, 1, h, w) squared difference of the views, summed over the F features.
        valid: (B, 1, h, w), 1 where both views have seen the position and 0 elsewhere.

    Returns:
        Scalar, of the batches of all processes together.

    Example:
        >>> first, second = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(2, 2, 1, 1, 1)
        >>> variance_between_samples(first + second, (first - second) ** 2, torch.ones(2, 1, 1, 1))  # of 1, 3, 2, 2
        tensor(0.6667)
    """
    sums = global_sum(torch.cat([(both * valid).sum(0), 2 * valid.sum(0)]))
    total, count = sums[:-1], sums[-1:]
    mean_of_both = 2 * total / count.clamp(min=1)
    squares = ((both - mean_of_both).square().sum(1, keepdim=True) + apart) * valid / 2
    freedom = (count - 1).clamp(min=0).sum() * len(total)
    return global_sum(squares.sum()) / freedom.clamp(min=1)


def feature_std(features: Tensor) -> Tensor:
    """Monitor of collapse: the features' standard deviation over batch and positions, averaged over channels.

    Args:
        features: (B, F, h, w).

    Returns:
        Scalar, float32, without gradient.

    Example:
        >>> feature_std(torch.ones(4, 8, 2, 2))
        tensor(0.)
    """
    return features.detach().float().transpose(0, 1).flatten(1).std(1, correction=0).mean()
