"""What makes a batch: draws that any weighting can be combined with."""

from adawac.data.sampling.adaptive import AdaptiveSampling, Draw
from adawac.data.sampling.class_balanced import ClassBalanced
from adawac.data.sampling.draw_summary import DrawSummary
from adawac.data.sampling.foreground import ForegroundOversampling
from adawac.data.sampling.group_balanced import GroupBalanced
from adawac.data.sampling.hardness import HardnessWeighted
from adawac.data.sampling.sampling import Losses, Sampling
from adawac.data.sampling.systematic import Rows
from adawac.data.sampling.with_unlabelled import WithUnlabelled

__all__ = [
    "AdaptiveSampling",
    "ClassBalanced",
    "Draw",
    "DrawSummary",
    "ForegroundOversampling",
    "GroupBalanced",
    "HardnessWeighted",
    "Losses",
    "Rows",
    "Sampling",
    "WithUnlabelled",
]
