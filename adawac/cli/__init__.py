"""The command line: finds the module of a command and calls it; nothing heavy is imported before it is needed."""

import errno
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from adawac.errors import AdaWACError, Interrupted, did_you_mean, printable

TRAINING = {
    "fit": "train, validate and keep the best checkpoint",
    "validate": "Dice of a checkpoint on the validation volumes",
    "test": "all metrics of a checkpoint on the test volumes",
}
TOOLS = {
    "init": "look at a data folder and write a configuration for it",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0 done, 2 an error of the user, 130 or 143 stopped by a signal.

    Args:
        argv: command and arguments; None takes the process's own.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
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
        if command in TRAINING:
            exit_code: int = import_module("adawac.cli.fit").main(argv)
        else:
            exit_code = import_module(f"adawac.cli.{command}").main(argv[1:])
    except AdaWACError as error:
        print(f"adawac {command}: {printable(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            raise
        where = printable(str(error.filename or "what was to be written"))
        print(f"adawac {command}: {where}: {error.strerror}; let it be written, or name another place", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"adawac {command}: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print(f"adawac {command}: stopped", file=sys.stderr)
        return 130
    return exit_code


def _usage() -> str:
    lines = [f"  {command:12}{text}" for command, text in (TRAINING | TOOLS).items()]
    return "\n".join(["usage: adawac COMMAND ...   (options: adawac COMMAND --help)", "", *lines])
