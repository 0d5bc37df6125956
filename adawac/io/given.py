"""Paths as they are given from Python, where no command line has looked at them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from adawac.errors import ConfigError


def given_path(value: object, name: str, remedy: str) -> Path:
    """The path that an argument gives, in which ~ is the user's folder.

    Args:
        value: of the argument.
        name: of the argument, as it is said.
        remedy: what to give.

    Raises:
        ConfigError: it is no path.

    Example:
        >>> given_path(None, "check: root", "give the folder of a data set")
        Traceback (most recent call last):
        adawac.errors.ConfigError: check: root is None; give the folder of a data set
    """
    if isinstance(value, str | os.PathLike) and (path := os.fspath(value)):
        return Path(str(path)).expanduser()
    said = repr(value) if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"
    raise ConfigError(f"{name} is {said}; {remedy}")


def given_paths(value: object, name: str, remedy: str) -> list[Path]:
    """The same of an argument that gives one path or several, at least one."""
    if not isinstance(value, Iterable) or isinstance(value, str | os.PathLike | Mapping):
        return [given_path(value, name, remedy)]
    if not (paths := [given_path(each, name, remedy) for each in value]):
        raise ConfigError(f"{name} is empty; {remedy}")
    return paths
