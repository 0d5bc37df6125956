"""What is taken from the configuration of a run folder, which may be somebody else's: data and metrics, no code."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import yaml

from adawac.errors import ConfigError, some_of
from adawac.io.own_code import find_in_working_folder
from adawac.runs.folder import RunFolder

TRUSTED = ("adawac", "lightning", "monai", "torch")
"""Packages whose classes a run's configuration may name unasked."""

_WRITERS = ("callbacks", "default_root_dir", "logger", "plugins", "profiler")
"""Settings of the trainer that make files, or are code; a test has no need of them."""

_PLACES = ("path", "root", "store", "unlabelled")
"""Settings that name a file or folder, which may be called as a module is: `mine.json` beside `mine.py`."""


def config_of(run: RunFolder, trust: bool) -> str:
    """What to give `--config` for a test or validation of a run.

    Args:
        run: of anybody.
        trust: take all of its settings.

    Returns:
        The file; or, unless it is trusted, its text without what trains, logs and writes.

    Raises:
        ConfigError: if it names classes of others and is not trusted.
    """
    if trust:
        return str(run.config_file)
    trainer = run.config.get("trainer")
    plain = {
        key: value
        for key, value in (trainer if isinstance(trainer, dict) else {}).items()
        if key not in _WRITERS and not isinstance(value, (dict, list))
    }
    content = {**run.config, "trainer": plain}
    check_classes(run, content)
    return yaml.safe_dump(content, sort_keys=False)


def check_classes(run: RunFolder, content: Any = None) -> None:
    """Refuse names of code that is neither ours nor of the packages beneath.

    Args:
        run: whose configuration it is.
        content: of it; None for all.

    Raises:
        ConfigError: naming what would be imported.
    """
    find_in_working_folder()  # where they may lie
    foreign = dict.fromkeys(filter(_is_foreign, _strings(run.config if content is None else content)))
    if foreign:
        raise ConfigError(
            f"{run.config_file} names code of others ({some_of(list(foreign))}), which would be run; read it, and if "
            "you trust who wrote it, say so: --trust"
        )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(key)
            if not (key in _PLACES and isinstance(each, str)):
                yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield value


def _is_foreign(text: str) -> bool:
    """Whether it is the dotted name of something in a module that can be found; nothing is imported for that."""
    package, *names = text.split(".")
    if not names or package in TRUSTED or not all(name.isidentifier() for name in (package, *names)):
        return False
    return find_spec(package) is not None
