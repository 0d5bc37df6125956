"""Nested settings as one level of dotted keys, to compare them, and as arguments of a command line."""

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any


def flatten(settings: object, prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys.

    Example:
        >>> flatten({"model": {"dice_ratio": 0.5, "weighting": {}}, "name": "run"})
        {'model.dice_ratio': 0.5, 'model.weighting': {}, 'name': 'run'}
    """
    if not isinstance(settings, dict) or not settings:
        return {prefix: settings}
    return {
        dotted: value
        for key, inner in settings.items()
        for dotted, value in flatten(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def changed(was: object, now: object, unsaid: object = None) -> dict[str, tuple[Any, Any]]:
    """Dotted keys at which settings differ, with what was said there and what is said now.

    Args:
        was: nested settings.
        now: others.
        unsaid: stands for a key that one of them does not have.

    Example:
        >>> changed({"seed": 0, "model": {"tf32": None}}, {"seed": 1, "model": {}})
        {'seed': (0, 1), 'model': (None, {})}
    """
    before, after = flatten(was), flatten(now)
    values = {key: (before.get(key, unsaid), after.get(key, unsaid)) for key in {**before, **after}}
    return {key: (one, other) for key, (one, other) in values.items() if one != other}


def as_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as arguments of `adawac fit`.

    Args:
        settings: key, dotted or of a section -> value; `config` -> a file of settings, or several.

    Example:
        >>> as_arguments({"config": "mine.yaml", "model.weighting": "ERM", "data": {"size": [32, 32]}})
        ['--config=mine.yaml', '--model.weighting=ERM', '--data={"size": [32, 32]}']
    """
    arguments = []
    for key, value in settings.items():
        for each in value if key == "config" and isinstance(value, list) else [value]:
            said = str(each) if isinstance(each, str | PathLike) else json.dumps(each, default=str)
            arguments.append(f"--{key}={said}")
    return arguments
