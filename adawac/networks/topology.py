"""How deep and how wide a planned network is for samples of a shape, and the memory that a training step takes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

EDGE = 4
"""Voxels along the deepest features, at least; as in nnU-Net."""

MOST_HALVINGS = 5

WIDTH = 32
"""Channels of the first features, as nnU-Net's."""

MOST_CHANNELS = 320

VOXEL = 6.0
"""Numbers that are kept for the gradient, a voxel, whatever the network."""


@dataclass(frozen=True)
class Topology(ABC):
    """A network that is planned, as far as shapes and memory depend on it. One subclass, one network.

    Attributes:
        shape: of a sample, which the strides divide.
        strides: of each level along each axis, from the sample on.
        channels: of the levels.
        small: whether it was made to take less memory.
    """

    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    channels: tuple[int, ...]
    small: bool = False

    architecture: ClassVar[str]
    """Class path of the network."""

    peak: ClassVar[float]
    """What a step takes at its height, for what is kept: gradients under way, and room for convolutions. Measured."""

    @classmethod
    @abstractmethod
    def of(
        cls, shape: Sequence[float], spacing: Sequence[float], small: bool = False, width: int = WIDTH
    ) -> "Topology":
        """The network for a shape, padded until the strides divide it.

        Args:
            shape: voxels along each axis.
            spacing: mm along each axis, or anything in this proportion.
            small: for less memory.
            width: channels of the first features, if it is not small.
        """

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """What the network's constructor is given."""

    @property
    @abstractmethod
    def said(self) -> str:
        """What is particular to it, in words."""

    @abstractmethod
    def kept(self, num_classes: int) -> float:
        """Numbers that are kept for the gradient, a voxel of a sample, besides the image."""

    @abstractmethod
    def parameters(self, in_channels: int, num_classes: int) -> int:
        """Weights of all convolutions, without their biases."""

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the length of each axis is a multiple of."""
        return _divisors(self.strides)

    @property
    def short_strides(self) -> list[int | list[int]]:
        """The strides as people write them: one number where all axes have the same."""
        return [by[0] if len(set(by)) == 1 else list(by) for by in self.strides]

    def memory(self, samples: int, in_channels: int, num_classes: int) -> float:
        """GiB of a training step at its height: for the gradient; and parameters, with gradient and AdamW's two means.

        Args:
            samples: of a step, all views together.
            in_channels: of the image.
            num_classes: background included.
        """
        kept = 4 * samples * math.prod(self.shape) * (self.kept(num_classes) + in_channels)
        return (self.peak * kept + 16 * self.parameters(in_channels, num_classes)) / 2**30


def halvings(shape: Sequence[float], spacing: Sequence[float]) -> list[tuple[int, ...]]:
    """Halve a shape while its edges keep `EDGE` voxels; voxels twice as long as others wait, as in nnU-Net.

    Example:
        >>> halvings((9, 237, 208), (5, 1.56, 1.56))
        [(1, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2)]
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
    return strides


def padded(shape: Sequence[float], strides: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """A shape that strides divide.

    Example:
        >>> padded((50, 35.5), [(2, 2), (2, 2)])
        (52, 36)
    """
    return tuple(by * math.ceil(edge / by - 1e-6) for edge, by in zip(shape, _divisors(strides), strict=True))


def _divisors(strides: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(math.prod(along) for along in zip(*strides, strict=True))
