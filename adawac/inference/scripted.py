"""A network that `adawac export` wrote as TorchScript, read back with its recipe."""

import zipfile
from pathlib import Path

import torch
from torch import nn

from adawac.errors import ConfigError, first_line
from adawac.runs.checkpoint import Recipe

RECIPE_FILE = "adawac_recipe.json"
"""Name of the recipe among the extra files in the archive."""


def is_scripted(path: Path) -> bool:
    """Whether a file is one of ours; any other path is none."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/extra/{RECIPE_FILE}") for name in archive.namelist())


def read_scripted(path: Path, trust: bool) -> tuple[Recipe, nn.Module]:
    """Recipe and network (images in, logits out).

    Args:
        path: file that `write_torchscript` wrote.
        trust: run it: TorchScript is a program.

    Raises:
        ConfigError: it is not trusted, or damaged.
    """
    if not trust:
        raise ConfigError(
            f"{path} is TorchScript, a program that would run; add --trust (trust=True) if you know whose it is, or "
            "give the checkpoint"
        )
    files = {RECIPE_FILE: ""}
    try:
        network: nn.Module = torch.jit.load(path, map_location="cpu", _extra_files=files)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ConfigError(f"{path}: not readable as TorchScript ({first_line(error)}); export it again") from error
    return Recipe.from_json(files[RECIPE_FILE], trust), network
