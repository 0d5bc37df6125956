"""The contract of a consistency loss, and how maps of two views are brought into one frame."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adawac.errors import ConfigError
from adawac.types import NetworkOutput

MOST_IN_A_MATRIX = 256
"""Positions of a feature map (16 x 16) up to which it is interpolated by a matrix; more would make that too large."""


class ConsistencyLoss(nn.Module, ABC):
    """How far what a network makes of two views of a sample is apart; the gradient flows through both.

    Args:
        lambda_ac: factor, positive.

    Raises:
        ConfigError: if `lambda_ac` is not above 0.
    """

    def __init__(self, lambda_ac: float = 1.0) -> None:
        super().__init__()
        if not lambda_ac > 0:
            raise ConfigError(f"consistency: lambda_ac is {lambda_ac} but must be positive; 1 is the default")
        self.lambda_ac = lambda_ac

    def forward(self, first: NetworkOutput, second: NetworkOutput, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """Consistency loss of every sample.

        Args:
            first: of the first view of B samples.
            second: of the second view.
            affine_1: (B, 2, 3), of patches (B, 3, 4), maps positions of the first view to the batch's, in the
                normalised coordinates of `torch.nn.functional.affine_grid` with ``align_corners=False``.
            affine_2: of the second view.

        Returns:
            (B,) float32, lambda_ac included; 0 for a sample whose views share no position.
        """
        with torch.autocast(first.logits.device.type, enabled=False):
            return self.lambda_ac * self.compare(first, second, affine_1, affine_2)

    @abstractmethod
    def compare(self, first: NetworkOutput, second: NetworkOutput, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """The loss without lambda_ac, (B,); called outside of autocast."""


def overlap(first: Tensor, second: Tensor, affine_1: Tensor, affine_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of two views in the frame of the batch, and where both views look.

    Args:
        first: (B, F, h, w) of the first view.
        second: (B, F, h, w) of the second view.
        affine_1: see `ConsistencyLoss.forward`.
        affine_2: likewise.

    Returns:
        Both maps, and (B, 1, h, w), 1 where both views have seen the position and 0 elsewhere.
    """
    (first, seen_1), (second, seen_2) = align(first, affine_1), align(second, affine_2)
    return first, second, (seen_1 & seen_2)[:, None].to(first.dtype)


def mean_where(values: Tensor, valid: Tensor) -> Tensor:
    """(B,) mean of (B, 1, h, w) over the positions that are valid; 0 where none is."""
    return (values * valid).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp(min=1)


def align(features: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Warp the features of a view back into the frame of the batch.

    A position counts as seen when its centre lies inside the view; the outermost half cell, where bilinear
    interpolation lacks a neighbour, repeats the border.

    Args:
        features: (B, F, h, w) of the view, or (B, F, d, h, w).
        affine: (B, 2, 3) from view to batch, or (B, 3, 4); see `ConsistencyLoss.forward`.

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
    return _interpolate(features, grid), (grid.abs() <= 1).all(-1)


def _interpolate(features: Tensor, grid: Tensor) -> Tensor:
    """Read features between their positions, bilinearly; beyond the outermost they repeat.

    Of few positions as a product with the matrix that interpolates: a GPU computes `grid_sample`'s gradient in as many
    threads as there are positions, one channel after the other, and deep maps have few positions and many channels.
    """
    space = features.shape[2:]
    positions = space.numel()
    if positions > MOST_IN_A_MATRIX:
        return F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)
    each = torch.eye(positions, dtype=features.dtype, device=features.device).view(1, positions, *space)
    each = each.expand(len(features), *each.shape[1:])
    matrix = F.grid_sample(each, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return (features.flatten(2) @ matrix.flatten(2)).view_as(features)
