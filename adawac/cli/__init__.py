"""The command line: finds the module of a command and calls it; nothing heavy is imported before it is needed."""

import errno
import os
import select
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path

from adawac.errors import (
    AdaWACError,
    ConfigError,
    DataError,
    Interrupted,
    closed_place,
    did_you_mean,
    one_line,
    printable,
    raised_in,
)
from adawac.io.remote import refuse_addresses

TRAINING = {
    "fit": "train, validate and keep the best checkpoint",
    "validate": "Dice of a checkpoint on the validation volumes",
    "test": "all metrics of a checkpoint on the test volumes",
}
TOOLS = {
    "init": "look at a data folder and write a configuration for it",
    "configs": "list the configurations that come with adawac, or print one",
    "prepare": "bring the volumes of a configuration into the store, as fit does by itself",
    "predict": "segment images with a checkpoint, or with several together",
    "export": "a checkpoint as TorchScript, ONNX or a MONAI bundle",
    "evaluate": "compare runs or folders of predictions, and write the report",
    "study": "run a grid of methods, training subsets and seeds, and compare",
    "check": "read every case of a data folder once and report all problems together",
    "rerun": "train again what a run folder records, and compare",
    "phantom": "generate synthetic abdominal CT to try things on",
    "completion": "a script by which bash, zsh or fish completes commands and options",
}
"""Each command is the module of its name in `adawac.cli`."""

IN_THE_WAY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT}
IN_THE_WAY |= {errno.EFBIG, errno.EIO, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE}
"""What keeps a file from being written, and is no fault of the program."""

FULL = {errno.ENOSPC, errno.EDQUOT}

DEBUG = "ADAWAC_DEBUG"
"""Variable of the environment that shows tracebacks."""

OF_A_PROGRAM = (AssertionError, AttributeError, LookupError, NameError, TypeError)
"""What code of ours raises when it is wrong."""

OUT_OF_MEMORY = ("out of memory", "allocate memory")
"""What PyTorch, CUDA and the operating system say in errors of other kinds."""

SIGPIPE = 13
"""Number of the signal by which other programs end where nobody reads what they write."""

LESS_MEMORY = "take a smaller data.batch_size or data.size, fewer --jobs, or a larger machine"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0 done, 1 our fault, 2 any other error; 130, 141 or 143 as of a signal.

    With ADAWAC_DEBUG=1 in the environment every error shows its traceback.

    Args:
        argv: command and arguments; None takes the process's own.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = _in_a_line
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not every terminal has the letters of every name
            stream.reconfigure(errors="backslashreplace")
    try:
        exit_code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return exit_code
    except BrokenPipeError as error:
        if not _unread():
            return _unexpected(argv, error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be shown
        return 128 + SIGPIPE


def _in_a_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning: ours without the place in the code, which tells a user nothing."""
    if Path(__file__).parents[1] in Path(filename).parents:
        return f"{printable(str(message))}\n"
    return _FORMAT(message, category, filename, lineno, line)


_FORMAT = warnings.formatwarning
"""Python's own."""


def _unread() -> bool:
    """Whether nobody reads any more what is shown, as after `| head`."""
    try:
        shown = select.poll()
        shown.register(sys.stdout, select.POLLOUT)
        return any(event & select.POLLERR for _, event in shown.poll(0))
    except (AttributeError, OSError, ValueError):  # no pipe, or a system without `poll`
        return False


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(version("adawac"))
        return 0
    command = argv[0]
    if command not in TRAINING and command not in TOOLS:
        meant = did_you_mean(command, TRAINING | TOOLS).rstrip(";")
        print(f"adawac: there is no command {command!r}{meant}\n\n{_usage()}", file=sys.stderr)
        return 2
    try:
        Path.cwd()
    except OSError as error:
        return _failed(command, f"the working folder: {one_line(error)}; change into one that is there")
    try:
        _refuse_empty(argv)
        argv = [*map(_at_home, argv)]
        refuse_addresses(_named(argv[1:]))
        module, arguments = ("fit", argv) if command in TRAINING else (command, argv[1:])
        exit_code: int = import_module(f"adawac.cli.{module}").main(arguments)
        return exit_code
    except AdaWACError as error:
        if DEBUG in os.environ:
            traceback.print_exc()
        return _failed(command, printable(_typed(command, f"{error}{_all_of(command, error)}")))
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            return _unexpected(argv, error)
        closed = closed_place(error.filename) if error.filename else None
        where = closed or error.filename or "what was to be written"
        remedy = "free space there" if error.errno in FULL else f"let it be {'read' if closed else 'written'}"
        return _failed(command, f"{printable(str(where))}: {error.strerror}; {remedy}, or name another place")
    except (Interrupted, KeyboardInterrupt) as stop:
        return _stopped(command, stop)
    except Exception as error:
        if isinstance(error.__cause__, Interrupted | KeyboardInterrupt):  # compiled code, such as Ray's, covers it
            return _stopped(command, error.__cause__)
        return _unexpected(argv, error)


def _refuse_empty(argv: Sequence[str]) -> None:
    """Refuse an argument that is empty: a path would be the working folder."""
    for before, argument in pairwise(argv):
        option, equals, value = argument.partition("=")
        if not argument or (equals and not value and option.startswith("-")):
            what = option or f"what follows {before}"
            raise ConfigError(
                f"{what} is empty (a variable of the shell that is not set?); give a value, or leave it out"
            )


def _at_home(argument: str) -> str:
    """An argument with the user's folder in place of `~/`, where no shell has put it: as in `--labels=~/data`."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{os.path.expanduser(value)}" if value.startswith("~/") else argument


def _named(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Option and value of each argument, but for clusters and what loggers take; of other arguments themselves."""
    before = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        name, value = (option, value) if equals and option.startswith("-") else (before, argument)
        if not name.startswith(("--on", "--trainer.")):
            yield name, value
        before = argument if argument.startswith("-") else ""


def _failed(command: str, text: str, exit_code: int = 2) -> int:
    """Say why a command ends, and return its exit code."""
    print(f"adawac {command}: {text}", file=sys.stderr)
    return exit_code


def _stopped(command: str, stop: Interrupted | KeyboardInterrupt) -> int:
    said, exit_code = (str(stop), stop.exit_code) if isinstance(stop, Interrupted) else ("stopped", 130)
    return _failed(command, said, exit_code)


def _typed(command: str, text: str) -> str:
    """A message, with settings as the options of the command."""
    if command in TRAINING:
        return text
    from adawac.training.suggestions import as_options

    return as_options(text, import_module(f"adawac.cli.{command}").parser())


def _all_of(command: str, error: AdaWACError) -> str:
    """Where all problems of an error stand, if it tells only some."""
    problems = error.problems if isinstance(error, DataError) else ()
    if all(problem in str(error) for problem in problems):
        return ""
    try:
        path = Path.cwd() / f"adawac_{command}_problems.txt"
        path.write_text(_typed(command, "\n".join(map(printable, problems)) + "\n"), encoding="utf-8")
    except OSError:  # what is told will do
        return ""
    return f"\n  all of them: {path}"


def _unexpected(argv: Sequence[str], error: Exception) -> int:
    """What nobody foresaw, most often another library's: a line with its cause, and the traceback in a file.

    Returns:
        Exit code: 1 where the program is wrong, else 2.
    """
    if DEBUG in os.environ:
        raise error
    ours = isinstance(error, OF_A_PROGRAM) and Path(__file__).parents[1] in raised_in(error).parents
    cause = "" if error.__cause__ is None else f" (from {type(error.__cause__).__name__}: {one_line(error.__cause__)})"
    remedy = "; this is a fault of adawac, please report it" if ours else ""
    if isinstance(error, MemoryError) or any(sign in one_line(error) for sign in OUT_OF_MEMORY):
        remedy = "; memory is too small for it: " + LESS_MEMORY
    text = "".join(traceback.format_exception(error))
    name = f"adawac_{argv[0]}_error.log"
    try:
        log = Path.cwd() / name
        log.write_text(f"adawac {shlex.join(argv)}\n\n{text}", encoding="utf-8")
    except OSError:
        log = Path(tempfile.gettempdir()) / name
        log.write_text(f"adawac {shlex.join(argv)}\n\n{text}", encoding="utf-8")
    said = ": ".join(dict.fromkeys((type(error).__name__, one_line(error))))
    return _failed(argv[0], printable(f"{said}{cause}{remedy}; its traceback is in {log}"), 1 if ours else 2)


def _usage() -> str:
    lines = [f"  {command:12}{text}" for command, text in (TRAINING | TOOLS).items()]
    return "\n".join(["usage: adawac COMMAND ...   (options: adawac COMMAND --help)", "", *lines])
