"""Medical image segmentation with adaptively weighted slices.

The names below are imported when they are first used, so that `import adawac` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adawac.version import __version__

if TYPE_CHECKING:
    from adawac.consistency import Consistency
    from adawac.inference.segmenter import Segmenter, load
    from adawac.types import Terms, Weights
    from adawac.weighting import ERM, AdaWAC, Pair, Weighting

__all__ = [
    "ERM",
    "AdaWAC",
    "Consistency",
    "Pair",
    "Segmenter",
    "Terms",
    "Weighting",
    "Weights",
    "__version__",
    "load",
]

_HOMES = {
    "AdaWAC": "adawac.weighting",
    "Consistency": "adawac.consistency",
    "ERM": "adawac.weighting",
    "Pair": "adawac.weighting",
    "Segmenter": "adawac.inference.segmenter",
    "Terms": "adawac.types",
    "Weighting": "adawac.weighting",
    "Weights": "adawac.types",
    "load": "adawac.inference.segmenter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'adawac' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
