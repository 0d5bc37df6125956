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
