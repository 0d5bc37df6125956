"""How deep and how wide a UNet is for samples of a shape, and the memory that a training step on it takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

EDGE = 4
"""Voxels along the deepest features, at least; as in nnU-Net."""

MOST_HALVINGS = 5

WIDTH = {2: 32, 3: 16}
"""Channels of features at half the resolution, by dimensions; half as many at the whole. nnU-Net has 64 and 32; but
what an hour of a CPU teaches depends on its steps, and a convolution of three dimensions takes three times as long."""

MOST_CHANNELS = 320

DOWN, JOINED, UP, CLASS, VOXEL = 2.9, 3.5, 3.2, 3.0, 6.0
"""Numbers that are kept for the gradient, a voxel: for each channel of a residual unit on the way down, of what is
joined on the way up, and of what comes of it; for each class in the losses; and besides. Counted in MONAI's UNet."""

PEAK = 1.43
"""What a step takes at its height, for what is kept: gradients on their way, and room for convolutions. Measured."""


@dataclass(frozen=True)
class Topology:
    """MONAI's UNet with two residual units a level, as far as shapes and memory depend on it.

    Attributes:
        shape: of a sample, which the strides divide.
        strides: from the sample to the first features, and from each level to the next, along each axis.
        channels: of the levels.
    """

    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    channels: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[float], spacing: Sequence[float], whole: bool = True) -> "Topology":
        """Halve a shape while its edges keep `EDGE` voxels; voxels twice as long as others wait, as in nnU-Net.

        Args:
            shape: voxels along each of two or three axes; padded until the strides divide it.
            spacing: mm along each axis, or anything in this proportion.
            whole: whether the first features have the sample's resolution, as nnU-Net's; else half of it.

        Example:
            >>> Topology.of((50, 35.5), (1, 1))
            Topology(shape=(56, 40), strides=((1, 1), (2, 2), (2, 2), (2, 2)), channels=(16, 32, 64, 128, 256))
            >>> Topology.of((9, 237, 208), (5, 1.56, 1.56), whole=False).strides
            ((1, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2))
        """
        edges, steps = list(shape), list(spacing)
        strides: list[tuple[int, ...]] = []
        while len(strides) < MOST_HALVINGS:
            least = min((step for edge, step in zip(edges, steps, strict=True) if edge >= 2 * EDGE), default=None)
            if least is None:
                break
            halved = [edge >= 2 * EDGE and step < 2 * least for edge, step in zip(edges, steps, strict=True)]
            strides.append(tuple(1 + half for half in halved))
            edges = [edge / by for edge, by in zip(edges, strides[-1], strict=True)]
            steps = [step * by for step, by in zip(steps, strides[-1], strict=True)]
        strides = strides or [(1,) * len(edges)]
        padded = tuple(by * math.ceil(edge / by - 1e-6) for edge, by in zip(shape, _divisors(strides), strict=True))
        width = WIDTH[len(padded)]
        channels = [min(MOST_CHANNELS, width * 2**level) for level in range(len(strides) + 1)]
        if whole:
            strides, channels = [(1,) * len(padded), *strides], [width // 2, *channels]
        return cls(padded, tuple(strides), tuple(channels))

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the length of each axis is a multiple of."""
        return _divisors(self.strides)

    def memory(self, samples: int, in_channels: int, num_classes: int) -> float:
        """GiB of a training step at its height: for the gradient; and parameters, with gradient and AdamW's two means.

        Args:
            samples: of a step, all views together.
            in_channels: of the image.
            num_classes: background included.
        """
        shares = list(accumulate((1 / math.prod(by) for by in self.strides), lambda a, b: a * b, initial=1.0))
        inner = sum(channels * share for channels, share in zip(self.channels, shares[1:], strict=False))
        deepest, last = self.channels[-1] * shares[-1], self.channels[-2] * shares[-1]
        up = num_classes + sum(channels * share for channels, share in zip(self.channels, shares[1:-1], strict=False))
        floats = DOWN * (inner + deepest) + JOINED * (2 * inner + deepest - last) + UP * up
        floats += CLASS * num_classes + VOXEL + in_channels
        kept = 4 * samples * math.prod(self.shape) * floats
        return (PEAK * kept + 16 * self.parameters(in_channels, num_classes)) / 2**30

    def parameters(self, in_channels: int, num_classes: int) -> int:
        """Weights of all convolutions, without their biases."""
        kernel: int = 3 ** len(self.shape)
        last, deepest = self.channels[-2:]
        across = (1 if max(by) == 1 else kernel for by in self.strides)  # where nothing is halved, one voxel is enough
        levels = zip(pairwise((in_channels, *self.channels[:-1])), across, strict=True)
        down = sum((kernel * (a + b) + past * a) * b for (a, b), past in levels)
        bottom = (kernel * (last + deepest) + (last if last != deepest else 0)) * deepest
        joined = (*(2 * channels for channels in self.channels[:-2]), last + deepest)
        up = zip(joined, (num_classes, *self.channels[:-2]), strict=True)
        return down + bottom + sum(kernel * (a + b) * b for a, b in up)


def _divisors(strides: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(math.prod(along) for along in zip(*strides, strict=True))
