"""Losses: what a network makes of a sample against its label, and of two views of it; one file per kind."""

from adawac.losses.combined import CombinedConsistency
from adawac.losses.consistency_loss import ConsistencyLoss
from adawac.losses.features import FeatureConsistency, feature_std
from adawac.losses.probabilities import ProbabilityConsistency
from adawac.losses.relational import RelationalConsistency
from adawac.losses.supervised import (
    CrossEntropy,
    DiceCrossEntropy,
    Focal,
    SupervisedLoss,
    cross_entropy,
    dice_cross_entropy,
    dice_loss,
    focal_loss,
)

__all__ = [
    "CombinedConsistency",
    "ConsistencyLoss",
    "CrossEntropy",
    "DiceCrossEntropy",
    "FeatureConsistency",
    "Focal",
    "ProbabilityConsistency",
    "RelationalConsistency",
    "SupervisedLoss",
    "cross_entropy",
    "dice_cross_entropy",
    "dice_loss",
    "feature_std",
    "focal_loss",
]
