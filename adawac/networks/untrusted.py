"""Making a network that a file of unknown origin names: nothing is downloaded, written, unpickled or run for it."""

import inspect
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from adawac.errors import ConfigError

_UNASKED = re.compile(r"pretrain|download")
"""Arguments of networks that fetch weights; those of the checkpoint are loaded anyway."""

_FORBIDDEN = (
    *("socket.", "urllib.", "http.", "ftplib.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    *("pickle.find_class", "os.remove", "shutil.", "_thread."),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watched: ContextVar[bool] = ContextVar("watched", default=False)


def without_downloads(arguments: dict[str, Any], parameters: dict[str, inspect.Parameter]) -> dict[str, Any]:
    """Arguments of a constructor with everything off that would fetch weights, also where that is the default.

    Example:
        >>> def network(in_channels, pretrained=True): ...
        >>> without_downloads({}, dict(inspect.signature(network).parameters))
        {'pretrained': False}
    """
    off = {
        name: False
        for name in {**parameters, **arguments}
        if _UNASKED.search(name.lower()) and arguments.get(name, getattr(parameters.get(name), "default", None)) is True
    }
    return {**arguments, **off}


@contextmanager
def watched() -> Iterator[None]:
    """Forbid what a network has no need of to be made: connections, processes, pickles, files to write.

    Raises:
        ConfigError: it was tried; whoever trusts the file can say so.
    """
    _install()
    token = _watched.set(True)
    try:
        yield
    except Refused as error:
        raise ConfigError(
            f"the checkpoint's network wants more than to be made ({error}), which its weights do not need; if you "
            "trust who wrote it, say so: `--trust`, or `adawac.load(path, trust=True)`"
        ) from error
    finally:
        _watched.reset(token)


class Refused(BaseException):
    """Not an `Exception`, so that no constructor swallows it and goes on."""


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched.get():
        return
    if event == "open":
        path, _, flags = arguments
        if flags & _WRITES and "__pycache__" not in str(path):
            raise Refused(f"to write {path!r}")
    elif event.startswith(_FORBIDDEN):
        raise Refused(event)
