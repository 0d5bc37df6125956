"""Names that earlier versions wrote into configurations, and what they are called now.

Whatever holds an old name is read as before; a line says what to write. CHANGELOG.md has the same table.
"""

import logging
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

MOVED = {
    "adawac.callbacks": "adawac.training.callbacks",
    "adawac.consistency.base": "adawac.consistency.consistency_loss",
    "adawac.networks.spec": "adawac.networks.network_spec",
    "adawac.saving.WholeCheckpoints": "adawac.runs.atomic_checkpoint.AtomicCheckpointIO",
    "adawac.schedules": "adawac.training.schedules",
    "adawac.task": "adawac.training.task",
    "adawac.weighting.base": "adawac.weighting.weighting",
}
"""Modules and classes that a configuration may name, before and since 0.2."""


def with_new_names(content: Any) -> Any:
    """Replace the names of modules that have moved, wherever a configuration holds one.

    Args:
        content: what a YAML file, or a value on the command line, was read as.

    Example:
        >>> with_new_names({"schedule": {"class_path": "adawac.schedules.Poly"}})
        {'schedule': {'class_path': 'adawac.training.schedules.Poly'}}
    """
    if isinstance(content, dict):
        return {key: with_new_names(value) for key, value in content.items()}
    if isinstance(content, list):
        return [with_new_names(value) for value in content]
    if isinstance(content, str) and content.startswith("adawac."):
        return _renamed(content)
    return content


@cache  # so that each name is said once
def _renamed(name: str) -> str:
    for old, new in MOVED.items():
        if name == old or name.startswith(f"{old}."):
            log.warning("%s is called %s now; it is read as that", name, now := new + name.removeprefix(old))
            return now
    return name
