"""What run.json and config.yaml may hold: looked at once, where they are read."""

import json
import math
from typing import Any

import yaml

from adawac.io.yaml_text import bounded

_Kind = Any
"""A type; [kind] for a list; {None: kind} for a mapping of names; {name: kind, ...} for one of just these."""

_PART: dict[str, _Kind] = {"command": [str], "versions": {None: str}, "code": {None: object}, "device": str}
_KINDS: dict[str, _Kind] = {
    **_PART,
    "earlier": [{None: object}],
    "data": {None: str},
    "subset": str,
    "unit": str,
    **dict.fromkeys(("training_units", "training_slices", "label_dense", "label_sparse", "wholly_ignored"), int),
    **dict.fromkeys(("steps", "epochs", "images_seen", "network_passes"), int),
    "val_dice": float,
    "units_of_class": {None: int},
    "absent_classes": [str],
    "draws": {
        **dict.fromkeys(("dense", "median", "effective"), float),
        **dict.fromkeys(("least", "most"), int),
        "of_class": {None: float},
    },
}


def read_config(text: str) -> Any:
    """Content of a config.yaml.

    Raises:
        ValueError: it unfolds to more than anyone writes.
        yaml.YAMLError: it is no YAML.
    """
    return yaml.safe_load(bounded(text))


def read_record(text: str) -> Any:
    """Content of a run.json; keys that are not known are left as they are, known ones without a value are left out.

    Raises:
        ValueError: it is no JSON, or a value is of another type than its key has.

    Example:
        >>> read_record('{"device": "cpu", "steps": 3}')
        {'device': 'cpu', 'steps': 3}
        >>> read_record('{"val_dice": -Infinity}')
        {}
        >>> read_record('{"steps": "<b>"}')
        Traceback (most recent call last):
        ValueError: steps is '<b>'
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets are nested without end") from error
    if isinstance(content, dict):
        if content.get("val_dice") == -math.inf:  # the best of nothing, as versions before wrote it
            del content["val_dice"]
        _check(content, _KINDS)
        for part in content.get("earlier") or ():
            _check(part, _PART)
        content = {key: value for key, value in content.items() if value is not None or key not in _KINDS}
    return content


def _check(content: dict[str, Any], kinds: dict[str, _Kind]) -> None:
    for key, kind in kinds.items():
        if content.get(key) is not None and not _is(content[key], kind):
            raise ValueError(f"{key} is {content[key]!r}")


def _is(value: Any, kind: _Kind) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(each, kind[0]) for each in value)
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return False
        if None in kind:
            return all(_is(each, kind[None]) for each in value.values())
        return value.keys() == kind.keys() and all(_is(value[name], each) for name, each in kind.items())
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)
