"""Weightings: one file per family, all behind `Weighting`: losses of samples in, weights out."""

from adawac.types import SampleLosses, Weights
from adawac.weighting.adawac import AdaWAC
from adawac.weighting.constant import ERM, ACROnly, Pair, PseudoAdaWAC, SemiSupervised
from adawac.weighting.cvar import CVaRDRO
from adawac.weighting.group_dro import GroupDRO
from adawac.weighting.last_losses import LastLosses
from adawac.weighting.simplex import PMDRO, ReweightOnly
from adawac.weighting.trimming import TrimRatio, TrimRatioACR, TrimTrain, TrimTrainACR
from adawac.weighting.weighting import Weighting

__all__ = [
    "ERM",
    "PMDRO",
    "ACROnly",
    "AdaWAC",
    "CVaRDRO",
    "GroupDRO",
    "LastLosses",
    "Pair",
    "PseudoAdaWAC",
    "ReweightOnly",
    "SampleLosses",
    "SemiSupervised",
    "TrimRatio",
    "TrimRatioACR",
    "TrimTrain",
    "TrimTrainACR",
    "Weighting",
    "Weights",
]
