"""`adawac fit | validate | test`: what is typed becomes settings, and they are run."""

from collections.abc import Sequence

from adawac.training.configuration import parser_of, resolve
from adawac.training.train import train

HELP = ("-h", "--help")


def main(argv: Sequence[str]) -> int:
    """Run a command of training, or say what can be typed.

    Args:
        argv: the command and its arguments, see `adawac.training.configuration.resolve`.
    """
    command, *more = argv
    if asked := [option for option in more if option in HELP]:
        if more[more.index(asked[0]) + 1 :] == ["all"]:
            parser_of(command).print_help()
        else:
            from adawac.cli.fit_help import page

            print(page(command))
        return 0
    train(resolve(argv, exit_on_error=True))
    return 0
