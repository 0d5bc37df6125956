"""Code of the user's own: one convention, `mine.Thing` for `Thing` in mine.py of the working folder, on every option.

The working folder comes after all installed modules, so that no file in it takes the place of one, and only where the
user names a class or may name one in a configuration: `predict` and `evaluate` import nothing from others' folders.
"""

import inspect
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from adawac.errors import ConfigError
from adawac.io.hashing import short_hash

Kind = TypeVar("Kind")


def given_back(by: str, value: object, kind: type[Kind]) -> Kind:
    """What a class or function gives back that may be the user's own, if it is what is due.

    Raises:
        ConfigError: it is something else.

    Example:
        >>> given_back("mine.Rule.assign", None, dict)
        Traceback (most recent call last):
        adawac.errors.ConfigError: mine.Rule.assign gives back None where a dict is due; correct it
    """
    if isinstance(value, kind):
        return value
    what = "None" if value is None else f"a {type(value).__name__}"
    raise ConfigError(f"{by} gives back {what} where a {kind.__name__} is due; correct it")


def code_of(things: Iterable[object]) -> str:
    """A hash of the files in which the user's own classes stand; "" where all are adawac's, or typed at a prompt."""
    files = set()
    for kind in {type(each) for each in things if not type(each).__module__.startswith("adawac.")}:
        with suppress(TypeError, OSError):
            files.add(Path(inspect.getfile(kind)))
    return short_hash(sorted(files))


def find_in_working_folder() -> None:
    """Let modules of the working folder be found, after all others."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def use_readers(paths: Sequence[str]) -> None:
    """Let files of further formats be read, by the class paths that `--readers` names.

    Raises:
        ConfigError: if one is no `Reader`.
    """
    for path in paths:
        from adawac.io.readers import Reader, use  # of libraries that --help can do without

        reader = named(path, "--readers")
        if not (isinstance(reader, type) and issubclass(reader, Reader)):
            raise ConfigError(f"--readers is {path}, which is no subclass of adawac.io.readers.Reader; derive it")
        use(reader())


def named(path: str, option: str) -> Any:
    """What an option names, such as `mine.volume_ratio`.

    Args:
        path: module and name with a dot between.
        option: which says so, for messages.

    Raises:
        ConfigError: if there is no such module, or no such name in it.

    Example:
        >>> named("pathlib.Path", "--metrics").__name__
        'Path'
    """
    module, _, name = path.rpartition(".")
    find_in_working_folder()
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{option} is {path}, which cannot be imported ({error}); give module.name of a file in the working folder "
            f"({Path.cwd()}) or of an installed package"
        ) from error
