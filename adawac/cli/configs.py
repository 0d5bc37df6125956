"""`adawac configs [NAME]`: list the configurations that come with adawac, or print one."""

from collections.abc import Sequence
from pathlib import Path

from adawac.errors import ConfigError, did_you_mean
from adawac.io.shipped import FOLDER, find_shipped, shipped
from adawac.training.suggestions import Parser


def main(argv: Sequence[str]) -> int:
    """Print the list, or a file.

    Args:
        argv: arguments after the command.

    Raises:
        ConfigError: there is none of this name.
    """
    name: str | None = parser().parse_args(argv).name
    known = dict(shipped())
    if name is None:
        width = max(map(len, known))
        print("\n".join(f"{each:{width}}  {text}" for each, text in known.items()))
        print("\nadawac fit NAME trains with one, adawac study NAME runs a study; adawac configs NAME prints it")
        return 0
    path = Path(find_shipped(name)).resolve()
    if not path.is_relative_to(FOLDER.resolve()):
        raise ConfigError(
            f"no configuration {name} comes with adawac{did_you_mean(name, known)} adawac configs lists all"
        )
    print(path.read_text(encoding="utf-8"), end="")
    return 0


def parser() -> Parser:
    """The command's options."""
    made = Parser("adawac configs", description=__doc__)
    made.add_argument("name", nargs="?", help="such as openkbp_unet, overlays/gpu or studies/phantom_small")
    return made
