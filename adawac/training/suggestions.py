"""Where an option names a class that is not there: which ones there are."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import NoReturn

from jsonargparse import ArgumentParser


class NamingParser(ArgumentParser):
    """A parser that names the classes an option takes, where what it is given is none of them.

    jsonargparse says of `--model.weighting AdaWac` that no such path is accessible.
    """

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong, and leave."""
        super().error("\n".join([message, *known_names(message)]), ex)


def known_names(message: str) -> Iterator[str]:
    """Lines on the classes that an option takes, for an error of jsonargparse about an unknown one; none for others.

    Args:
        message: of jsonargparse, which names this package's base class and what was given.

    Example:
        >>> unknown = "Subtypes: [<class 'adawac.training.schedules.Schedule'>] Expected a dot import path string: Ploy"
        >>> for line in known_names(unknown):
        ...     print(line.strip())
        'Ploy' is no class that is known here; did you mean Poly?
        It can be Constant, Cosine, Poly, or module.Class.
    """
    given = re.search(r"Expected a dot import path string: (\S+)", message)
    base = re.search(r"<class '(adawac\.[\w.]+)\.(\w+)'>", message)
    if given is None or base is None:
        return
    names = sorted(_subclasses(getattr(importlib.import_module(base[1]), base[2])))
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given[1].lower(), lowered, n=1)
    guess = f"; did you mean {lowered[near[0]]}?" if near else ""
    yield f"  {given[1]!r} is no class that is known here{guess}"
    yield f"  It can be {', '.join(names)}, or module.Class."


def _subclasses(base: type) -> set[str]:
    """Names of this package's classes that are made of a base class and can be used; all are imported by then."""
    names: set[str] = set()
    each: type
    for each in base.__subclasses__():
        if each.__module__.startswith("adawac.") and not each.__name__.startswith("_") and not inspect.isabstract(each):
            names.add(each.__name__)
        names |= _subclasses(each)
    return names
