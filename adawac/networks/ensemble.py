"""Several networks as one: the mean of their class probabilities."""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from adawac.networks.adapter import logits_of
from adawac.types import NetworkOutput


class Ensemble(nn.Module):
    """Networks of one task, of whatever architectures, behind the contract of one; it has no features.

    Its logits are the logarithm of the mean of the members' probabilities, so that their softmax is that mean.

    Args:
        members: images (N, C, h, w) in, `NetworkOutput` or logits of K classes out; at least one.

    Example:
        >>> from adawac.networks import NetworkSpec
        >>> spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
        >>> one, other = (spec.build(in_channels=1, num_classes=3).eval() for _ in range(2))
        >>> image = torch.zeros(2, 1, 16, 16)
        >>> mean = (one(image).logits.softmax(1) + other(image).logits.softmax(1)) / 2
        >>> torch.allclose(Ensemble([one, other])(image).logits.softmax(1), mean)
        True
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> NetworkOutput:
        """Mean of the members, one after the other."""
        each = (logits_of(member(image)).float().log_softmax(1) for member in self.members)
        return NetworkOutput(reduce(torch.logaddexp, each) - math.log(len(self.members)), ())
