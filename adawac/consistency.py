"""Consistency between two augmented views of a batch, measured on the network's deepest features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adawac.errors import ConfigError
from adawac.losses import global_sum


class Consistency(nn.Module):
    """How far the features of two views of a sample are apart; the gradient flows through both.

    ``aligned=False, normalised=False`` is the paper's term: lambda_ac times the mean squared difference,
    position by position, of the features as they come.

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
        >>> identity = torch.eye(2, 3).expand(3, 2, 3)
        >>> flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))[:2].expand(3, 2, 3)
        >>> Consistency()(features, features.flip(-1), identity, flip).abs().max().item() < 1e-5
        True
    """

    def __init__(self, lambda_ac: float = 1.0, aligned: bool = True, normalised: bool = True) -> None:
        super().__init__()
        if not lambda_ac > 0:
            raise ConfigError(f"consistency: lambda_ac is {lambda_ac} but must be positive; 1 is the default")
        self.lambda_ac = lambda_ac
        self.aligned = aligned
        self.normalised = normalised

    def forward(self, features_1: Tensor, features_2: Tensor, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """Consistency loss of every sample.

        Args:
            features_1: (B, F, h, w) of the first view.
            features_2: (B, F, h, w) of the second view.
            affine_1: (B, 2, 3) maps positions of the first view to the batch's, in the normalised coordinates
                of `torch.nn.functional.affine_grid` with ``align_corners=False``.
            affine_2: (B, 2, 3) of the second view.

        Returns:
            (B,) float32, lambda_ac included; 0 for a sample whose views share no position.
        """
        with torch.autocast(features_1.device.type, enabled=False):
            first, second = _full(features_1), _full(features_2)
            valid = first.new_ones(len(first), 1, *first.shape[2:])
            if self.aligned:
                first, seen_1 = align(first, affine_1)
                second, seen_2 = align(second, affine_2)
                valid = (seen_1 & seen_2)[:, None].to(first.dtype)
            distance = (first - second).square().mean(1, keepdim=True)
            loss = (distance * valid).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp(min=1)
            if self.normalised:
                # No epsilon to hide behind: the clamp acts on features of the size 1e-15.
                loss = loss / (2 * variance_between_samples(first, second, valid)).clamp(min=1e-30)
            return self.lambda_ac * loss


def variance_between_samples(first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
    """Unbiased variance, over samples and views, of the features at one position; averaged over positions.

    Args:
        first: (B, F, h, w) features of the first view, in the batch's frame.
        second: (B, F, h, w) of the second view.
        valid: (B, 1, h, w), 1 where both views have seen the position and 0 elsewhere.

    Returns:
        Scalar, of the batches of all processes together.

    Example:
        >>> first, second = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(2, 2, 1, 1, 1)
        >>> variance_between_samples(first, second, torch.ones(2, 1, 1, 1))  # of 1, 3, 2 and 2
        tensor(0.6667)
    """
    sums = global_sum(torch.cat([(first + second) * valid, 2 * valid], dim=1).sum(0))
    total, count = sums[:-1], sums[-1:]
    mean = total / count.clamp(min=1)
    squares = ((first - mean).square() + (second - mean).square()) * valid
    freedom = (count - 1).clamp(min=0).sum() * len(total)
    return global_sum(squares.sum()) / freedom.clamp(min=1)


def _full(features: Tensor) -> Tensor:
    """In float32, or float64 where they already are."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def align(features: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Warp the features of a view back into the frame of the batch.

    A position counts as seen when its centre lies inside the view; the outermost half cell, where bilinear
    interpolation lacks a neighbour, repeats the border.

    Args:
        features: (B, F, h, w) of the view, or (B, F, d, h, w).
        affine: (B, 2, 3) from view to batch, or (B, 3, 4); see `Consistency.forward`.

    Returns:
        Features (B, F, h, w) in the batch's frame, and (B, h, w) bool, True where the view has seen the
        position.

    Example:
        >>> features = torch.arange(4.0).view(1, 1, 1, 4)
        >>> half_a_width_left = torch.tensor([[[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]])  # view x is batch x - 1
        >>> aligned, seen = align(features, half_a_width_left)
        >>> aligned.flatten().tolist(), seen.flatten().tolist()
        ([2.0, 3.0, 3.0, 3.0], [True, True, False, False])
    """
    affine = affine.to(features.dtype)
    inverse = torch.linalg.inv_ex(affine[..., :-1]).inverse  # inv_ex does not wait for the device
    to_view = torch.cat([inverse, -inverse @ affine[..., -1:]], dim=2)
    grid = F.affine_grid(to_view, list(features.shape), align_corners=False)
    aligned = F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return aligned, (grid.abs() <= 1).all(-1)


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
