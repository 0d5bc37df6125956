"""Networks: images in, logits and the deepest encoder features out."""

from adawac.networks.adapter import SegmentationNetwork
from adawac.networks.ensemble import Ensemble
from adawac.networks.network_spec import NetworkSpec

__all__ = ["Ensemble", "NetworkSpec", "SegmentationNetwork"]
