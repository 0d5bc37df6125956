"""The network that is planned for patches: nnU-Net's, which is MONAI's DynUNet, with deep supervision."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from adawac.networks.topology import MOST_CHANNELS, VOXEL, WIDTH, Topology, halvings, padded

FEWEST_LEVELS = 3
"""That DynUNet takes."""

SCALES = 3
"""Of logits that are trained, at most. nnU-Net trains nearly all; but DynUNet brings each to the whole resolution,
where many classes take more memory than the features do, and a fourth would weigh an eighth of the first."""

DOWN, UP, CLASS = 4.0, 6.0, 3.0
"""Numbers that are kept for the gradient, a voxel: for each channel of a level on the way down and on the way up; and
for each class in the losses of a scale. Counted in MONAI's DynUNet."""


class PatchUNet(Topology):
    """MONAI's DynUNet: as many features on the way up as down. Of patches it learnt more than MONAI's UNet."""

    architecture = "monai.networks.nets.DynUNet"
    peak = 1.65

    @classmethod
    def of(
        cls, shape: Sequence[float], spacing: Sequence[float], small: bool = False, width: int = WIDTH
    ) -> "PatchUNet":
        """First features at the sample's resolution, as nnU-Net's; where it is to be small, of half the channels.

        Example:
            >>> network = PatchUNet.of((36, 50, 35), (1, 1, 1))
            >>> network.shape, network.short_strides, network.channels
            ((40, 56, 40), [1, 2, 2, 2], (32, 64, 128, 256))
        """
        flat = (1,) * len(shape)
        strides = [flat, *halvings(shape, spacing)]
        strides += [flat] * (FEWEST_LEVELS - len(strides))
        channels = [min(MOST_CHANNELS, width // (1 + small) * 2**level) for level in range(len(strides))]
        return cls(padded(shape, strides), tuple(strides), tuple(channels), small)

    @property
    def scales(self) -> int:
        """Of logits that are trained, the finest among them."""
        return min(SCALES, len(self.channels) - 1)

    @property
    def arguments(self) -> dict[str, Any]:
        """Kernels of three voxels, and deep supervision."""
        strides = self.short_strides
        shapes: dict[str, Any] = {"filters": list(self.channels), "strides": strides}
        shapes |= {"kernel_size": [3] * len(strides), "upsample_kernel_size": strides[1:]}
        return shapes | {"deep_supervision": True, "deep_supr_num": self.scales - 1}

    @property
    def said(self) -> str:
        """Of its width."""
        return "features as nnU-Net's" + {1: "", 2: ", half as wide"}.get(
            WIDTH // self.channels[0], ", a quarter as wide"
        )

    def kept(self, num_classes: int) -> float:
        """On the way down and up, and in the losses of each scale."""
        shares = accumulate((1 / math.prod(by) for by in self.strides), lambda a, b: a * b)
        features = [channels * share for channels, share in zip(self.channels, shares, strict=True)]
        kept: float = DOWN * sum(features) + UP * sum(features[:-1]) + CLASS * num_classes * self.scales + VOXEL
        return kept

    def parameters(self, in_channels: int, num_classes: int) -> int:
        """Of two convolutions a level on the way down, three on the way up, and the scales' last ones."""
        kernel: int = 3 ** len(self.shape)
        down = sum(kernel * (a + b) * b for a, b in pairwise((in_channels, *self.channels)))
        levels = zip(pairwise(self.channels), self.strides[1:], strict=True)
        up = sum(math.prod(by) * a * b + kernel * 3 * a * a for (a, b), by in levels)
        return down + up + sum(self.channels[: self.scales]) * num_classes
