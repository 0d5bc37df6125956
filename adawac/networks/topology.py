"""How deep and how wide a UNet is for samples of a shape, and the memory that a training step on it takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

EDGE = 4
"""Voxels along the deepest features, at least; as in nnU-Net."""

LEVELS = (3, 6)
"""Fewest that MONAI's DynUNet takes, and most, of which each but the first halves."""

WIDTH = {2: 16, 3: 16}
"""Channels of the first features, by dimensions, and half as many where memory is short. nnU-Net has 32; but what an
hour of a CPU teaches depends on its steps."""

MOST_CHANNELS = 320

SCALES = 3
"""Of logits that are trained, at most. nnU-Net trains all; but DynUNet brings each to the whole resolution, where many
classes take more memory than the features do, and the fourth would weigh an eighth of the first."""

DOWN, UP, CLASS, VOXEL = 4.0, 6.0, 3.0, 6.0
"""Numbers that are kept for the gradient, a voxel: for each channel of a level on the way down and on the way up; for
each class in the losses of a scale; and besides."""

PEAK = 1.65
"""What a step takes at its height, for what is kept: gradients on their way, and room for convolutions. Measured."""


@dataclass(frozen=True)
class Topology:
    """MONAI's DynUNet, which is nnU-Net's network, as far as shapes and memory depend on it.

    Attributes:
        shape: of a sample, which the strides divide.
        strides: of each level along each axis; the first features have the sample's resolution.
        channels: of the levels.
    """

    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    channels: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[float], spacing: Sequence[float], narrow: bool = False) -> "Topology":
        """Halve a shape while its edges keep `EDGE` voxels; voxels twice as long as others wait, as in nnU-Net.

        Args:
            shape: voxels along each of two or three axes; padded until the strides divide it.
            spacing: mm along each axis, or anything in this proportion.
            narrow: half the channels.

        Example:
            >>> Topology.of((50, 35.5), (1, 1))
            Topology(shape=(56, 40), strides=((1, 1), (2, 2), (2, 2), (2, 2)), channels=(16, 32, 64, 128))
            >>> Topology.of((9, 237, 208), (5, 1.56, 1.56)).strides
            ((1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2))
        """
        edges, steps = list(shape), list(spacing)
        strides: list[tuple[int, ...]] = [(1,) * len(edges)]
        while len(strides) < LEVELS[1]:
            least = min((step for edge, step in zip(edges, steps, strict=True) if edge >= 2 * EDGE), default=None)
            if least is None:
                break
            halved = [edge >= 2 * EDGE and step < 2 * least for edge, step in zip(edges, steps, strict=True)]
            strides.append(tuple(1 + half for half in halved))
            edges = [edge / by for edge, by in zip(edges, strides[-1], strict=True)]
            steps = [step * by for step, by in zip(steps, strides[-1], strict=True)]
        strides += [(1,) * len(edges)] * (LEVELS[0] - len(strides))
        padded = tuple(by * math.ceil(edge / by - 1e-6) for edge, by in zip(shape, _divisors(strides), strict=True))
        width = WIDTH[len(padded)] // (1 + narrow)
        channels = [min(MOST_CHANNELS, width * 2**level) for level in range(len(strides))]
        return cls(padded, tuple(strides), tuple(channels))

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the length of each axis is a multiple of."""
        return _divisors(self.strides)

    @property
    def scales(self) -> int:
        """Of logits that are trained, the finest among them (deep supervision)."""
        return min(SCALES, len(self.channels) - 1)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the network's constructor is given."""
        strides: list[int | list[int]] = [by[0] if len(set(by)) == 1 else list(by) for by in self.strides]
        return {
            "filters": list(self.channels),
            "strides": strides,
            "kernel_size": [3] * len(strides),
            "upsample_kernel_size": strides[1:],
            "deep_supervision": True,
            "deep_supr_num": self.scales - 1,
        }

    def memory(self, samples: int, in_channels: int, num_classes: int) -> float:
        """GiB of a training step at its height: for the gradient; and parameters, with gradient and AdamW's two means.

        Args:
            samples: of a step, all views together.
            in_channels: of the image.
            num_classes: background included.
        """
        shares = list(accumulate((1 / math.prod(by) for by in self.strides), lambda a, b: a * b))
        features = [channels * share for channels, share in zip(self.channels, shares, strict=True)]
        floats = (
            DOWN * sum(features) + UP * sum(features[:-1]) + CLASS * num_classes * self.scales + VOXEL + in_channels
        )
        kept: float = 4 * samples * math.prod(self.shape) * floats
        return (PEAK * kept + 16 * self.parameters(in_channels, num_classes)) / 2**30

    def parameters(self, in_channels: int, num_classes: int) -> int:
        """Weights of all convolutions, without their biases."""
        kernel: int = 3 ** len(self.shape)
        down = sum(kernel * (a + b) * b for a, b in pairwise((in_channels, *self.channels)))
        levels = zip(pairwise(self.channels), self.strides[1:], strict=True)
        up = sum(math.prod(by) * a * b + kernel * 3 * a * a for (a, b), by in levels)
        return down + up + sum(self.channels[: self.scales]) * num_classes


def _divisors(strides: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(math.prod(along) for along in zip(*strides, strict=True))
