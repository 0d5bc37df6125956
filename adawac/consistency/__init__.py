"""Consistency losses: what a network makes of two views of a sample, compared; one file per kind."""

from adawac.consistency.combined import CombinedConsistency
from adawac.consistency.consistency_loss import ConsistencyLoss
from adawac.consistency.features import FeatureConsistency, feature_std
from adawac.consistency.probabilities import ProbabilityConsistency
from adawac.consistency.relational import RelationalConsistency

__all__ = [
    "CombinedConsistency",
    "ConsistencyLoss",
    "FeatureConsistency",
    "ProbabilityConsistency",
    "RelationalConsistency",
    "feature_std",
]
