"""`adawac completion SHELL`: a script by which a shell completes commands, their options, and files."""

import argparse
from collections.abc import Sequence
from importlib import import_module

from adawac.training.suggestions import Parser

EPILOG = """keep what it prints where the shell looks for it, once:
  adawac completion bash > ~/.local/share/bash-completion/completions/adawac
  adawac completion zsh > ~/.zfunc/_adawac    with `fpath+=~/.zfunc; autoload -U compinit; compinit` in ~/.zshrc
  adawac completion fish > ~/.config/fish/completions/adawac.fish
"""


def main(argv: Sequence[str]) -> int:
    """Print the script; takes seconds, for every option of every command is asked for.

    Args:
        argv: arguments after the command.
    """
    shell: str = parser().parse_args(argv).shell
    import shtab

    print(shtab.complete(whole_parser(), shell))
    return 0


def parser() -> Parser:
    """The command's options."""
    made = Parser(
        "adawac completion",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("shell", choices=["bash", "zsh", "fish"])
    return made


def whole_parser() -> argparse.ArgumentParser:
    """One parser of all commands, in which whatever takes a value of no known choices takes a file."""
    import shtab

    from adawac.cli import TOOLS, TRAINING
    from adawac.training.configuration import parser_of

    made = argparse.ArgumentParser("adawac")
    made.add_argument("--version", action="store_true", help="version of adawac")
    commands = made.add_subparsers()
    for name, text in (TRAINING | TOOLS).items():
        own = parser_of(name) if name in TRAINING else import_module(f"adawac.cli.{name}").parser()
        command = commands.add_parser(name, help=text, parents=[own], add_help=False)
        if name in TRAINING and name != "fit":
            command.add_argument("run", nargs="?", help="run folder")
        for action in command._actions:
            if not all(option.startswith("-") for option in action.option_strings):  # a link between two others
                action.help = argparse.SUPPRESS
            if action.help != argparse.SUPPRESS:
                action.help = (action.help or "").partition(". ")[0].replace("%", "%%")
            if action.nargs != 0 and not action.choices:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's own
    return made
