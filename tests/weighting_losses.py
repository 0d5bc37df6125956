"""A small training set and random losses of its batches, for the tests of the weightings."""

import numpy as np
import torch
from numpy.typing import NDArray

from adawac.data.groups import PositionBins
from adawac.data.units import UnitTable
from adawac.types import SampleLosses
from adawac.weighting import (
    ERM,
    PMDRO,
    ACROnly,
    AdaWAC,
    CVaRDRO,
    GroupDRO,
    Pair,
    PseudoAdaWAC,
    ReweightOnly,
    TrimRatio,
    TrimRatioACR,
    TrimTrain,
    TrimTrainACR,
    Weighting,
)

N, B = 40, 8

_FOREGROUND = np.arange(N) % 3
UNITS = UnitTable.of_slices(
    ["a", "b"],
    np.split(np.stack([90 - _FOREGROUND, _FOREGROUND], 1), 2),
    (3, 30),
    ("background", "liver"),
)
DENSE = torch.from_numpy(UNITS.dense)

METHODS = {
    "erm": ERM(),
    "pair": Pair(),
    "acr-only": ACROnly(),
    "adawac": AdaWAC(),
    "adawac-threshold": AdaWAC(consistency_ratio=0.3, threshold=0.8, mean_decay=0.9),
    "adawac-paper": AdaWAC(step_size=2.0, calibrate=False, max_log_odds=None),
    "pseudo-adawac": PseudoAdaWAC(),
    "trim-train": TrimTrain(),
    "trim-train-acr": TrimTrainACR(),
    "trim-ratio": TrimRatio(),
    "trim-ratio-acr": TrimRatioACR(ratio=0.25),
    "reweight-only": ReweightOnly(),
    "reweight-only-official": ReweightOnly(step_size=2.0, official_scaling=True),
    "pm-dro": PMDRO(),
    "group-dro": GroupDRO(PositionBins(3), step_size=1.0),
    "cvar-dro": CVaRDRO(),
}
"""Every method, and variants that take another path through its code."""


def random_losses(rng: np.random.Generator, dtype: torch.dtype = torch.float32, size: int = B) -> SampleLosses:
    """Losses of a random batch."""
    index = rng.permutation(N)[:size]
    return SampleLosses(
        index=torch.from_numpy(index),
        supervised=torch.from_numpy(rng.exponential(0.5, size)).to(dtype),
        consistency=torch.from_numpy(rng.exponential(0.3, size)).to(dtype),
        dense=DENSE[index],
    )


def make(method: Weighting, dtype: torch.dtype = torch.float32) -> Weighting:
    """The method with the state of the small training set."""
    method.to(dtype).allocate(UNITS)
    return method


def assert_agree(actual: torch.Tensor, expected: NDArray[np.floating]) -> None:
    """To 1e-10 in float64, to a relative 1e-4 in float32."""
    rtol, atol = (0, 1e-10) if actual.dtype == torch.float64 else (1e-4, 1e-9)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=rtol, atol=atol)
