"""Nested settings as one level of dotted keys, to compare them."""

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
