"""The network that is planned for slices: MONAI's UNet with two residual units a level."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from adawac.networks.topology import MOST_CHANNELS, VOXEL, WIDTH, Topology, halvings, padded

DOWN, JOINED, UP, CLASS = 2.9, 3.5, 3.2, 3.0
"""Numbers that are kept for the gradient, a voxel: for each channel of a residual unit on the way down, of what is
joined on the way up, and of what comes of it; and for each class in the losses. Counted in MONAI's UNet."""


class SliceUNet(Topology):
    """MONAI's UNet: residual on the way down, thin on that up. Of slices it learns no less than nnU-Net's network."""

    architecture = "monai.networks.nets.UNet"
    peak = 1.43

    @classmethod
    def of(
        cls, shape: Sequence[float], spacing: Sequence[float], small: bool = False, width: int = WIDTH
    ) -> "SliceUNet":
        """First features at the sample's resolution, as nnU-Net's; where it is to be small, at half of it.

        Example:
            >>> network = SliceUNet.of((50, 35.5), (1, 1), width=16)
            >>> network.shape, network.short_strides, network.channels
            ((56, 40), [1, 2, 2, 2], (16, 32, 64, 128, 256))
        """
        strides = halvings(shape, spacing) or [(1,) * len(shape)]
        wide = [min(MOST_CHANNELS, 2 * width * 2**level) for level in range(len(strides) + 1)]
        if small:
            return cls(padded(shape, strides), tuple(strides), tuple(wide), small)
        strides = [(1,) * len(shape), *strides]
        return cls(padded(shape, strides), tuple(strides), (width, *wide))

    @property
    def arguments(self) -> dict[str, Any]:
        """Two residual units a level; the slope is where PReLU starts, at less cost."""
        shapes: dict[str, Any] = {"channels": list(self.channels), "strides": self.short_strides, "num_res_units": 2}
        return shapes | {"norm": "INSTANCE", "act": ["LEAKYRELU", {"negative_slope": 0.25}]}

    @property
    def said(self) -> str:
        """Of the first features."""
        if self.small:
            return "first features at half the resolution"
        return "first features at the whole resolution, as nnU-Net's" + ", half as wide" * (self.channels[0] < WIDTH)

    def kept(self, num_classes: int) -> float:
        """On the way down, joined on the way up, and what comes of it."""
        shares = list(accumulate((1 / math.prod(by) for by in self.strides), lambda a, b: a * b, initial=1.0))
        inner = sum(channels * share for channels, share in zip(self.channels, shares[1:], strict=False))
        deepest, last = self.channels[-1] * shares[-1], self.channels[-2] * shares[-1]
        up = num_classes + sum(channels * share for channels, share in zip(self.channels, shares[1:-1], strict=False))
        kept = DOWN * (inner + deepest) + JOINED * (2 * inner + deepest - last) + UP * up
        return kept + CLASS * num_classes + VOXEL

    def parameters(self, in_channels: int, num_classes: int) -> int:
        """Of residual units, of what goes past them, and of the way up."""
        kernel: int = 3 ** len(self.shape)
        last, deepest = self.channels[-2:]
        across = (1 if max(by) == 1 else kernel for by in self.strides)  # where nothing is halved, one voxel is enough
        levels = zip(pairwise((in_channels, *self.channels[:-1])), across, strict=True)
        down = sum((kernel * (a + b) + past * a) * b for (a, b), past in levels)
        bottom = (kernel * (last + deepest) + (last if last != deepest else 0)) * deepest
        joined = (*(2 * channels for channels in self.channels[:-2]), last + deepest)
        up = zip(joined, (num_classes, *self.channels[:-2]), strict=True)
        return down + bottom + sum(kernel * (a + b) * b for a, b in up)
