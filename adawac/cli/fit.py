"""`adawac fit | validate | test`: what is typed becomes settings, and they are run."""

from collections.abc import Sequence
from pathlib import Path

HELP = ("-h", "--help")


def main(argv: Sequence[str]) -> int:
    """Run a command of training, or say what can be typed: the settings that people change, on a page, or all.

    Args:
        argv: the command and its arguments, see `adawac.training.configuration.resolve`.
    """
    command, *more = argv
    asked = next((place for place, option in enumerate(more) if option in HELP), None)
    if asked is not None and more[asked + 1 :] != ["all"]:
        print((Path(__file__).parent / f"templates/{command}.txt").read_text(encoding="utf-8"), end="")
        return 0
    from adawac.training.configuration import parser_of, resolve
    from adawac.training.train import train

    if asked is not None:
        parser_of(command).print_help()
        return 0
    train(resolve(argv, exit_on_error=True))
    return 0
