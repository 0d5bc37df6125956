"""An effect that some samples get, at a strength that is drawn."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from adawac.errors import ConfigError


@dataclass(frozen=True)
class Chance:
    """An effect that a sample gets with some probability, at a strength drawn uniformly from a range.

    Attributes:
        probability: 0 (off) to 1 (always).
        low: least strength.
        high: greatest strength.

    Raises:
        ConfigError: where the probability is outside of [0, 1] or the range is empty.
    """

    probability: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability {self.probability} is not a probability; give a number from 0 to 1")
        if not self.low <= self.high:
            raise ConfigError(f"range from {self.low} to {self.high} is empty; give low <= high")

    def draw(self, gate: Tensor, position: Tensor, neutral: float) -> Tensor:
        """Strength of each sample, `neutral` where the effect is left out.

        Args:
            gate: (B,) uniform in [0, 1); the effect happens below `probability`.
            position: (B,) or (B, n) uniform in [0, 1), where in the range.
            neutral: strength at which the effect changes nothing.

        Returns:
            float32 of the shape of `position`.
        """
        happens = (gate < self.probability).reshape(-1, *[1] * (position.ndim - 1))
        return torch.where(happens, self.low + (self.high - self.low) * position, neutral)

    def draw_factor(self, gate: Tensor, position: Tensor) -> Tensor:
        """As `draw` for a factor, neutral at 1: its logarithm is uniform, so 1/2 is as likely as 2."""
        logarithm = Chance(self.probability, math.log(self.low), math.log(self.high))
        return logarithm.draw(gate, position, 0.0).exp()
