"""The configurations that come with adawac, found by their names wherever it is installed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "configs"
"""What the repository calls configs/."""


def shipped() -> Iterator[tuple[str, str]]:
    """Name of each configuration, overlay and study, and what its first line says.

    Example:
        >>> dict(shipped())["openkbp_unet"]
        'OpenKBP head-and-neck CT, seven organs, MONAI UNet.'
    """
    for path in sorted(FOLDER.rglob("*.yaml"), key=lambda path: (path.parent, path.name)):
        with path.open(encoding="utf-8") as file:
            yield str(path.relative_to(FOLDER).with_suffix("").as_posix()), file.readline().lstrip("# ").strip()


def find_shipped(given: str) -> str:
    """A file as it is named, where it is there; else that of this name which comes with adawac, if there is one.

    Example:
        >>> find_shipped("openkbp_unet") == str(FOLDER / "openkbp_unet.yaml")
        True
        >>> find_shipped("mine.yaml")
        'mine.yaml'
    """
    if not given or Path(given).exists():
        return given
    name = given.removeprefix("configs/")
    for path in (FOLDER / name, FOLDER / f"{name}.yaml"):
        if path.is_file() and path.resolve().is_relative_to(FOLDER.resolve()):
            return str(path)
    return given


def with_shipped(argv: Sequence[str]) -> list[str]:
    """Arguments in which what `--config` names is found.

    Example:
        >>> with_shipped(["--config", "phantom_unet", "--name=a"])[1].endswith("configs/phantom_unet.yaml")
        True
    """
    return with_value(argv, "--config", find_shipped)


def with_value(argv: Sequence[str], option: str, change: Callable[[str], str]) -> list[str]:
    """Arguments in which the value of an option is changed, whether it stands behind it or after a `=`.

    Example:
        >>> with_value(["--to", "a", "--to=b", "c"], "--to", str.upper)
        ['--to', 'A', '--to=B', 'c']
    """
    changed = []
    for before, each in zip(["", *argv], argv, strict=False):
        if before == option:
            each = change(each)
        elif each.startswith(f"{option}="):
            each = f"{option}={change(each.removeprefix(f'{option}='))}"
        changed.append(each)
    return changed


def files_first(argv: Sequence[str]) -> list[str]:
    """Arguments in which files that stand first are `--config`.

    Example:
        >>> files_first(["mine.yaml", "more.yaml", "--name", "a"])
        ['--config=mine.yaml', '--config=more.yaml', '--name', 'a']
    """
    first = next((place for place, option in enumerate(argv) if option.startswith("-")), len(argv))
    return with_shipped([*(f"--config={path}" for path in argv[:first]), *argv[first:]])
