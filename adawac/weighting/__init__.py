"""Weightings: one file per family, all behind `Weighting`."""

from adawac.weighting.adawac import AdaWAC
from adawac.weighting.base import Weighting
from adawac.weighting.constant import ERM, Pair
from adawac.weighting.last_losses import LastLosses

__all__ = ["ERM", "AdaWAC", "LastLosses", "Pair", "Weighting"]
