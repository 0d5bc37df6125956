"""The parser of commands whose options are the arguments of classes; apart, for jsonargparse takes half a second."""

import os
import sys
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader

from adawac.errors import ConfigError, one_line
from adawac.io.yaml_text import OTHER_BASE, bounded
from adawac.runs.old_names import with_new_arguments, with_new_names
from adawac.training.suggestions import as_spelt, explained, suggestions
from adawac.training.wrong_values import in_a_line

# Defaults of others that are said to be strings and are members, such as those of Lightning's Timer, are recorded.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


_YAML = get_loader("yaml")


class TypedParser(ArgumentParser):
    """jsonargparse's parser, which suggests keys of files, names of classes and of their arguments as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:  # type: ignore[override]
        """Parse what stands on the command line and in files, values of 0.1.0 as they are called now.

        Raises:
            ConfigError: a file is no YAML, empty, or unfolds to more than anyone writes.
        """
        set_loader("yaml", _read_yaml, exceptions=(yaml.YAMLError,))
        given = with_new_arguments(as_spelt(sys.argv[1:] if args is None else args, self))
        for option, value in pairwise([*given, ""]):
            name, joined, own = option.partition("=")
            if name in ("--config", "-c"):
                _check_file(own if joined else value)
        return super().parse_args(given, *more, **options)

    def dump(self, cfg: Namespace, *more: Any, **options: Any) -> str:
        """Write settings, without the empty arguments that a class leaves behind which another has replaced."""
        whole = cfg.clone()
        for key, value in cfg.items(branches=True):
            if key.endswith(".init_args") and not vars(value):
                del whole[key]
        written: str = super().dump(whole, *more, **options)
        return written

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong and what may have been meant, and leave."""
        if self.exit_on_error and (line := in_a_line(message, [*suggestions(message, self)])):  # no part of another
            super().error(line, ex)
        super().error(explained(message, self), ex)

    def refusal(self, error: Exception) -> ConfigError:
        """The same of an error that it raised, where it does not leave."""
        said = str(error)
        return ConfigError(in_a_line(said, [*suggestions(said, self)]) or said)


def _check_file(path: str) -> None:
    """Look at a file of settings by itself: jsonargparse says what is wrong, and not in which file."""
    if not os.path.isfile(path):  # settings as they are, such as those of a run: no path is so long
        return
    try:
        text = bounded(Path(path).read_text(encoding="utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}; correct it (YAML is indented by blanks, not tabs)") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {one_line(error)}") from None
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; write settings into it, or leave it out")


def _read_yaml(text: str) -> Any:
    """As jsonargparse does, if it is no bomb, with names of earlier versions as they are now."""
    try:
        bounded(text)
    except ValueError as error:
        if OTHER_BASE.fullmatch(text.strip()):  # a value by itself, taken as it is written
            raise yaml.YAMLError(str(error)) from None
        raise ConfigError(f"the configuration that begins with {text[:40].splitlines()[0]!r}: {error}") from None
    read = with_new_names(_YAML(text))
    return {} if read is None and text.lstrip().startswith("#") else read  # an overlay that is commented out
