"""Parsers that say what was meant by a name they do not know, and take no part of a name for the whole."""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from adawac.errors import did_you_mean, did_you_mean_file, nearest
from adawac.io.shipped import shipped

WRONG = re.compile(
    r"unrecognized arguments: ([^\s=]+)|[Oo]ption '([^']+)'|invalid choice: '([^']+)'|path string: (\S+)"
    r"|\bkey='(\w+)'|(?:Given|Got) value: ([^\s'{(\[]+)"
)
"""Where argparse and jsonargparse name what they refuse; they say it nowhere but in their messages."""

CLASS = re.compile(r"\b((?:[a-z_]\w*\.)+)([A-Z]\w*)")
"""A class in their messages, by its module and name."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, which suggests the right name where a wrong one is given.

    Example:
        >>> Parser(prog="adawac", usage="adawac").parse_args(["--hlep"])
        Traceback (most recent call last):
        SystemExit: 2
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Refuse unknown options before what is missing: it may be what a misspelt one was to give."""
        args = as_spelt(sys.argv[1:] if args is None else args, self)
        for option in args:
            if option == "--":
                break
            if option.startswith("--") and option.partition("=")[0] not in self._option_string_actions:
                self.error(f"unrecognized arguments: {option}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what may have been meant, and leave."""
        super().error(explained(message, self))


def as_spelt(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Arguments whose options have - and _ as the parser spells them, so that nobody need remember which.

    Example:
        >>> parser = Parser()
        >>> _ = parser.add_argument("--skip-bad")
        >>> as_spelt(["--skip_bad=a_b", "--skip_bads", "a_b"], parser)
        ['--skip-bad=a_b', '--skip_bads', 'a_b']
    """
    spelt = {option.replace("_", "-"): option for option in _options(parser) if option.startswith("--")}
    parts = [argument.partition("=") for argument in argv]
    return ["".join((spelt.get(option.replace("_", "-"), option), *rest)) for option, *rest in parts]


def as_options(text: str, parser: argparse.ArgumentParser) -> str:
    """A text on settings of `adawac fit`, such as data.modality, with the options by which a parser takes them.

    Example:
        >>> parser = Parser()
        >>> _ = parser.add_argument("--skip-bad")
        >>> as_options("set data.skip_bad or data.size", parser)
        'set --skip-bad or data.size'
    """
    options = {option[2:].replace("-", "_"): option for option in _options(parser)}
    return re.sub(r"(?<![\w./-])data\.(\w+)\b(?!\.\w)", lambda found: options.get(found[1], found[0]), text)


def explained(message: str, parser: argparse.ArgumentParser) -> str:
    """A parser's message with the lines of `suggestions` beneath it."""
    # A parser that raises is caught by the one around it, which says the same again.
    return "\n  ".join([message, *(line for line in suggestions(message, parser) if line not in message)])


def suggestions(message: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Lines on what was meant, for a parser's message about a name that it does not know; none for others.

    Args:
        message: of argparse or jsonargparse.
        parser: whose message it is.

    Example:
        >>> parser = Parser()
        >>> _ = parser.add_argument("--output")
        >>> list(suggestions("unrecognized arguments: --outptu b", parser))
        ['--outptu is not known; did you mean --output?']
    """
    if file := re.search(r"File does not exist: '([^']+)'", message):
        path = Path(file[1])
        if near := did_you_mean_file(path).strip("; ") or did_you_mean(path.name, dict(shipped())).strip("; "):
            yield near
        return
    if folder := re.search(r"Path is not a file: '([^']+)'", message):
        run = Path(folder[1], "config.yaml").is_file()
        yield f"to go on with a run: --resume {folder[1]}" if run else f"for a folder of data: adawac init {folder[1]}"
        return
    if message.endswith("are required: data.root"):
        yield "give the file of a configuration, as `adawac init DATA` writes it; to validate or test, a run"
        return
    if option := re.search(r"argument (--[\w.]+): expected one argument", message):
        yield f"a value that begins with - is given behind =, as in {option[1]}=-1"
        return
    more = message.partition("unrecognized arguments: ")[2].split(maxsplit=1)
    if more and Path(more[0]).is_file():
        yield "a pattern that the shell has unfolded is many files; write it in quotes, such as -i 'images/*.nii.gz'"
    wrong = dict.fromkeys(name for found in WRONG.findall(message) for name in found if name)
    classes = {each.__name__: each for base in _classes_in(message) for each in _usable(base)}
    if classes and "dot import path string" in message:
        given = next(iter(wrong), "")  # nothing, where a variable of the shell is not set
        yield f"{given!r} is no class that is known here{did_you_mean(given.rpartition('.')[2], classes)}".rstrip(";")
        yield f"It can be {', '.join(sorted(classes))}, or module.Class."
        return
    options = {name.lstrip("-"): name for name in _options(parser)}
    settings = [name for each in classes.values() for name in _settings(each)]
    values = [value for value in re.findall(r"'([^']+)'", message) if value not in wrong]
    for name in wrong:
        having = sorted(each for each, kind in classes.items() if name in _settings(kind))
        if having and "is abstract" in message:
            yield f"{name} is a setting of {', '.join(having)}; name the class as well, before it"
            return
        known = options if name.startswith("-") else [*(key for key in options if len(key) > 1), *settings, *values]
        of_class = nearest(name.rpartition(".")[2], classes)
        meant = of_class or nearest(name.lstrip("-"), known)
        if meant and meant != name:  # else its value is wrong
            yield f"{name} is not known; did you mean {options[meant] if name.startswith('-') else meant}?"
            return


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """All options of a parser and of its commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, Mapping):
            for command in action.choices.values():
                if isinstance(command, argparse.ArgumentParser):
                    yield from _options(command)


def _classes_in(message: str) -> Iterator[type[Any]]:
    """The classes that a message names; all are imported by then."""
    for module, name in CLASS.findall(message):
        found = getattr(sys.modules.get(module.rstrip(".")), name, None)
        if inspect.isclass(found) and module.startswith(("adawac.", "lightning.", "torch.optim.")):
            yield found


def _settings(each: type[Any]) -> Iterator[str]:
    """Names of what a class takes; none of one made in C."""
    with suppress(ValueError):
        yield from inspect.signature(each).parameters


def _usable(base: type[Any]) -> Iterator[type[Any]]:
    """Classes of this package, and of the one that a base class is of, that are made of it and can be used."""
    packages = {"adawac", base.__module__.partition(".")[0]}
    for each in _made_of(base):
        named = each.__module__.partition(".")[0] in packages and not each.__name__.startswith("_")
        if named and not inspect.isabstract(each):
            yield each


def _made_of(base: type[Any]) -> Iterator[type[Any]]:
    """A class and all that are made of it."""
    yield base
    for each in base.__subclasses__():
        yield from _made_of(each)
