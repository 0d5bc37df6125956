"""Metrics of label volumes: overlap, surface distances, and what empty masks are worth.

Classes are `torchmetrics.Metric`s for any training loop, in one process or in several: each case counts once. Beside
each stands a function of one volume. They are imported when they are first used: torchmetrics takes seconds, and to
read or to write a table of results needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adawac.metrics.empty import EMPTY_RULES, EmptyPolicy, EmptyRule, empty_rule, policy_note
from adawac.metrics.overlap import OverlapCounts, slice_counts
from adawac.metrics.ranking import separation_auroc
from adawac.metrics.surface import (
    HD95,
    TOLERANCE,
    SurfaceDistances,
    check_tolerance,
    class_distances,
    surface_distances,
    voxel_steps,
)

if TYPE_CHECKING:
    from adawac.metrics.dice import GroupDice, VolumeDice, group_dice, volume_dice
    from adawac.metrics.distances import VolumeASSD, VolumeHD95, VolumeNSD, volume_assd, volume_hd95, volume_nsd
    from adawac.metrics.false_positives import FalsePositiveSlices, false_positive_slices
    from adawac.metrics.separation import SeparationAUROC

__all__ = [
    "EMPTY_RULES",
    "HD95",
    "TOLERANCE",
    "EmptyPolicy",
    "EmptyRule",
    "FalsePositiveSlices",
    "GroupDice",
    "OverlapCounts",
    "SeparationAUROC",
    "SurfaceDistances",
    "VolumeASSD",
    "VolumeDice",
    "VolumeHD95",
    "VolumeNSD",
    "check_tolerance",
    "class_distances",
    "empty_rule",
    "false_positive_slices",
    "group_dice",
    "policy_note",
    "separation_auroc",
    "slice_counts",
    "surface_distances",
    "volume_assd",
    "volume_dice",
    "volume_hd95",
    "volume_nsd",
    "voxel_steps",
]

_LATER = ("dice", "distances", "false_positives", "separation")


def __getattr__(name: str) -> Any:
    modules = (import_module(f"adawac.metrics.{module}") for module in _LATER * (name in __all__))
    if home := next((module for module in modules if hasattr(module, name)), None):
        return getattr(home, name)
    raise AttributeError(f"module 'adawac.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
