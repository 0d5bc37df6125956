"""Random numbers that are a pure function of (seed, epoch, sample, view, stream).

No global generator is read or written, so a run can be resumed in the middle of an epoch, a view does not
depend on the other samples of its batch, on the rank or on the worker that draws it, and every device draws
the same bits.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, the odd increment of SplitMix64, as a signed number
_FIRST = -4658895280553007687  # the two multipliers of SplitMix64, signed
_SECOND = -7723592293110705685


class Stream(IntEnum):
    """What the numbers are for: two streams of the same sample are independent.

    The value is part of every draw: append new streams, never renumber the old ones.
    """

    GEOMETRY = 0
    ELASTIC = 1
    INTENSITY = 2
    NOISE = 3
    LOW_RESOLUTION = 4
    MIX = 5
    TEACH = 6
    TILT = 7


@dataclass(frozen=True)
class Source:
    """Where the draws of the views of a batch come from.

    Attributes:
        seed: of the run.
        epoch: counted from 0; a tensor () int64 where a recorded step is to draw anew in each epoch.
        index: (B,) int64 row of each sample in the table of training units.
        views: which views, V of them. What is drawn has V * B rows, all samples of the first view coming first.

    Example:
        >>> source = Source(seed=1, epoch=0, index=torch.tensor([7, 8]), views=(0, 1))
        >>> source.uniform(Stream.GEOMETRY, 3).shape
        torch.Size([4, 3])
    """

    seed: int
    epoch: int | Tensor
    index: Tensor
    views: tuple[int, ...]

    @property
    def device(self) -> torch.device:
        """On which is drawn."""
        return self.index.device

    def __len__(self) -> int:
        """V * B."""
        return len(self.views) * len(self.index)

    def keys(self, stream: int) -> Tensor:
        """(V * B,) int64 keys of a stream, see `keys`."""
        return torch.cat([keys(self.seed, self.epoch, self.index, view, stream) for view in self.views])

    def uniform(self, stream: int, count: int) -> Tensor:
        """(V * B, count) numbers of a stream in [0, 1), see `uniform`."""
        return uniform(self.keys(stream), count)

    def normal(self, stream: int, count: int) -> Tensor:
        """(V * B, count) standard normal numbers of a stream, see `normal`."""
        return normal(self.keys(stream), count)


def keys(seed: int, epoch: int | Tensor, index: Tensor, view: int, stream: int) -> Tensor:
    """Hash the coordinates of a draw to one key per sample.

    Args:
        seed: of the run, any integer.
        epoch: counted from 0; an int, or a tensor () int64 on the device of `index`.
        index: (B,) int64 identity of each sample.
        view: which augmentation of the sample.
        stream: what the numbers are for, usually a `Stream`.

    Returns:
        (B,) int64 keys on the device of `index`.

    Example:
        >>> keys(0, 0, torch.tensor([3, 5]), 0, 0)[1] == keys(0, 0, torch.tensor([5]), 0, 0)[0]
        tensor(True)
    """
    base: int | Tensor = 0
    for part in (seed, epoch, view, stream):
        base = base + part + _GOLDEN
        base = _mix(base) if isinstance(base, Tensor) else _mix_scalar(_wrap(base))
    return _mix(index.long() + base)


def uniform(keys: Tensor, count: int) -> Tensor:
    """Draw uniform numbers, bit-equal on every device.

    The first numbers do not depend on `count`. `uniform` and `normal` of one key are dependent: use two
    streams.

    Args:
        keys: (B,) int64 from `keys`.
        count: numbers per key.

    Returns:
        (B, count) float32 multiples of 2^-24 in [0, 1).

    References:
        SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. A key
        is the state it starts from; the upper 24 bits of each output are used.

    Example:
        >>> uniform(torch.tensor([1, 2]), 3).shape
        torch.Size([2, 3])
    """
    return _high_bits(_outputs(keys, count)) * 2.0**-24


def normal(keys: Tensor, count: int) -> Tensor:
    """Draw standard normal numbers by the Box-Muller transform, up to 5.8 standard deviations.

    The bits beneath are the same on every device; logarithm and cosine may differ in the last one.

    Args:
        keys: (B,) int64 from `keys`.
        count: numbers per key.

    Returns:
        (B, count) float32.

    Example:
        >>> normal(torch.tensor([1, 2]), 3).shape
        torch.Size([2, 3])
    """
    # A hash has 64 good bits and a pair of numbers needs 48, so each hash serves two numbers.
    bits = _outputs(keys, (count + 1) // 2)
    radius = (_high_bits(bits) + 1.0).mul_(2.0**-24).log_().mul_(-2.0).sqrt_()
    angle = (bits & 0xFFFFFF).float().mul_(2.0**-24 * 2.0 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _outputs(keys: Tensor, count: int) -> Tensor:
    """(B, count) successive int64 outputs of SplitMix64 generators in the states `keys` (B,)."""
    steps = torch.arange(1, count + 1, device=keys.device) * _GOLDEN
    return _mix(keys[:, None] + steps)


def _high_bits(bits: Tensor) -> Tensor:
    """The upper 24 of 64 bits, which float32 holds exactly."""
    return ((bits >> 40) & 0xFFFFFF).float()


def _mix(value: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection of int64, whose products wrap around."""
    value = _fold(value, 30).mul_(_FIRST)
    value = _fold(value, 27).mul_(_SECOND)
    return _fold(value, 31)


def _fold(value: Tensor, bits: int) -> Tensor:
    """`value ^ (value >> bits)` of unsigned numbers: the mask drops the copies of the sign bit."""
    return (value >> bits).bitwise_and_(2 ** (64 - bits) - 1).bitwise_xor_(value)


def _mix_scalar(value: int) -> int:
    """`_mix` of a Python number, which spares a copy to the device."""
    for bits, factor in ((30, _FIRST), (27, _SECOND), (31, 1)):
        value = _wrap((value ^ ((value >> bits) & (2 ** (64 - bits) - 1))) * factor)
    return value


def _wrap(value: int) -> int:
    """The signed 64-bit number that is congruent to `value` modulo 2^64."""
    return (value + 2**63) % 2**64 - 2**63
