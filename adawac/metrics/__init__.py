"""Metrics of label volumes: overlap, surface distances, and what empty masks are worth."""

from adawac.metrics.empty import EMPTY_RULES, EmptyPolicy, EmptyRule, empty_rule, policy_note
from adawac.metrics.overlap import OverlapCounts, slice_counts
from adawac.metrics.surface import HD95, TOLERANCE, SurfaceDistances, check_tolerance, surface_distances, voxel_steps

__all__ = [
    "EMPTY_RULES",
    "HD95",
    "TOLERANCE",
    "EmptyPolicy",
    "EmptyRule",
    "OverlapCounts",
    "SurfaceDistances",
    "check_tolerance",
    "empty_rule",
    "policy_note",
    "slice_counts",
    "surface_distances",
    "voxel_steps",
]
