"""Medical image segmentation with adaptively weighted slices.

The names below are imported when they are first used, so that `import adawac` costs nothing.
"""

import warnings
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adawac.cli.init import init
    from adawac.cli.run import Run, fit
    from adawac.data.checkup import Checkup, check
    from adawac.evaluation.shown_table import CaseTable
    from adawac.inference.load_runs import load
    from adawac.inference.segmenter import Segmenter
    from adawac.losses import FeatureConsistency
    from adawac.report.compare import Report, evaluate
    from adawac.weighting import ERM, AdaWAC, Pair, SampleLosses, Weighting, Weights

    __version__: str

_HOMES = {
    "adawac.cli.init": ("init",),
    "adawac.cli.run": ("Run", "fit"),
    "adawac.data.checkup": ("Checkup", "check"),
    "adawac.evaluation.shown_table": ("CaseTable",),
    "adawac.inference.load_runs": ("load",),
    "adawac.inference.segmenter": ("Segmenter",),
    "adawac.losses": ("FeatureConsistency",),
    "adawac.report.compare": ("Report", "evaluate"),
    "adawac.weighting": ("ERM", "AdaWAC", "Pair", "SampleLosses", "Weighting", "Weights"),
}

__all__ = [
    "ERM",
    "AdaWAC",
    "CaseTable",
    "Checkup",
    "FeatureConsistency",
    "Pair",
    "Report",
    "Run",
    "SampleLosses",
    "Segmenter",
    "Weighting",
    "Weights",
    "__version__",
    "check",
    "evaluate",
    "fit",
    "init",
    "load",
]

_RENAMED = {"Consistency": "FeatureConsistency", "Terms": "SampleLosses"}
"""Names of 0.1.0."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("adawac")
    if name in _RENAMED:
        old, name = name, _RENAMED[name]
        warnings.warn(f"adawac.{old} is called adawac.{name} now; write that", FutureWarning, stacklevel=2)
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'adawac' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
