"""`adawac fit | validate | test`: what is typed becomes settings, and they are run."""

from collections.abc import Sequence

from adawac.training.configuration import resolve
from adawac.training.train import train


def main(argv: Sequence[str]) -> int:
    """Run a command of training.

    Args:
        argv: the command and its arguments, see `adawac.training.configuration.resolve`.
    """
    train(resolve(argv, exit_on_error=True))
    return 0
