"""Names that earlier versions wrote into configurations, and what they are called now.

Whatever holds an old name is read as before; a line says what to write. CHANGELOG.md has the same table.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

MOVED = {
    "adawac.Consistency": "adawac.FeatureConsistency",
    "adawac.callbacks": "adawac.training.callbacks",
    "adawac.callbacks.case_table": "adawac.training.callbacks.measured_cases",
    "adawac.callbacks.pictures": "adawac.training.callbacks.prediction_pictures",
    "adawac.callbacks.suspects": "adawac.training.callbacks.suspect_slices",
    "adawac.consistency": "adawac.losses",
    "adawac.consistency.Consistency": "adawac.losses.FeatureConsistency",
    "adawac.consistency.base": "adawac.losses.consistency_loss",
    "adawac.consistency.features.Consistency": "adawac.losses.features.FeatureConsistency",
    "adawac.networks.spec": "adawac.networks.network_spec",
    "adawac.saving.WholeCheckpoints": "adawac.runs.atomic_checkpoint.AtomicCheckpointIO",
    "adawac.schedules": "adawac.training.schedules",
    "adawac.task": "adawac.training.task",
    "adawac.training.callbacks.case_table": "adawac.training.callbacks.measured_cases",
    "adawac.training.callbacks.pictures": "adawac.training.callbacks.prediction_pictures",
    "adawac.training.callbacks.suspects": "adawac.training.callbacks.suspect_slices",
    "adawac.weighting.base": "adawac.weighting.weighting",
}
"""Modules and classes that a configuration may name, before and since 0.2; the last one that fits a name counts."""

VALUES = {
    ("class_path", "Consistency"): "FeatureConsistency",
    ("consistency", "Consistency"): "FeatureConsistency",
    ("losses", "Consistency"): "FeatureConsistency",
    ("modality", "unit"): "prescaled",
    ("monitor", "train/dice"): "train/dice_loss",
    ("monitor", "ratio/ce_over_dice"): "ratio/ce_over_dice_loss",
}
"""The last part of a key and its value, before; the value since 0.2."""


def with_new_names(content: Any, key: str = "") -> Any:
    """Replace the names of what has moved or been renamed, wherever a configuration holds one.

    Args:
        content: what a YAML file, or a value on the command line, was read as.
        key: whose value it is.

    Example:
        >>> with_new_names({"schedule": {"class_path": "adawac.schedules.Poly"}, "data.modality": "unit"})
        {'schedule': {'class_path': 'adawac.training.schedules.Poly'}, 'data.modality': 'prescaled'}
    """
    if isinstance(content, dict):
        return {key: with_new_names(value, str(key)) for key, value in content.items()}
    if isinstance(content, list):
        return [with_new_names(value, key) for value in content]
    if isinstance(content, str):
        return _renamed(content, key.rpartition(".")[2].lstrip("-"))
    return content


def with_new_arguments(argv: Sequence[str]) -> list[str]:
    """Do the same on a command line.

    Example:
        >>> with_new_arguments(["--data.modality=unit", "--model.consistency", "Consistency"])
        ['--data.modality=prescaled', '--model.consistency', 'FeatureConsistency']
    """
    keys = ["", *argv]
    pairs = [argument.partition("=") for argument in argv]
    return [
        f"{option}={with_new_names(value, option)}" if given else with_new_names(option, keys[place])
        for place, (option, given, value) in enumerate(pairs)
    ]


@cache  # so that each name is said once
def _renamed(name: str, key: str) -> str:
    now = VALUES.get((key, name), name)
    for old, new in MOVED.items():
        if name == old or name.startswith(f"{old}."):
            now = new + name.removeprefix(old)
    if now != name:
        log.warning("%s is called %s now; it is read as that", name, now)
    return now
