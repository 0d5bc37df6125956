"""Medical image segmentation with adaptively weighted slices.

The names below are imported when they are first used, so that `import adawac` costs nothing.
"""

import warnings
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adawac.consistency import FeatureConsistency
    from adawac.inference.segmenter import Segmenter, load
    from adawac.types import SampleLosses, Weights
    from adawac.weighting import ERM, AdaWAC, Pair, Weighting

    __version__: str

__all__ = [
    "ERM",
    "AdaWAC",
    "FeatureConsistency",
    "Pair",
    "SampleLosses",
    "Segmenter",
    "Weighting",
    "Weights",
    "__version__",
    "load",
]

_HOMES = {
    "AdaWAC": "adawac.weighting",
    "FeatureConsistency": "adawac.consistency",
    "ERM": "adawac.weighting",
    "Pair": "adawac.weighting",
    "Segmenter": "adawac.inference.segmenter",
    "SampleLosses": "adawac.types",
    "Weighting": "adawac.weighting",
    "Weights": "adawac.types",
    "load": "adawac.inference.segmenter",
}

_RENAMED = {"Consistency": "FeatureConsistency", "Terms": "SampleLosses"}
"""Names of 0.1.0."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("adawac")
    if name in _RENAMED:
        old, name = name, _RENAMED[name]
        warnings.warn(f"adawac.{old} is called adawac.{name} now; write that", FutureWarning, stacklevel=2)
    if name not in _HOMES:
        raise AttributeError(f"module 'adawac' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
