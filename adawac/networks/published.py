"""Published weights: files of other projects as the start of a network of ours."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adawac.errors import ConfigError, check_readable, first_line, readable


@runtime_checkable
class Pretrainable(Protocol):
    """A network whose encoder can start from published weights.

    Attributes:
        published_suffix: how files of these weights end, such as `.npz`.
    """

    published_suffix: str

    def load_published(self, path: Path) -> None:
        """Copy the weights of a file into the encoder; the decoder keeps its own."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a NumPy archive; pickled objects in it are not run but refused.

    Raises:
        ConfigError: if it is not such an archive.
    """
    try:
        with readable(path), np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path}: not a NumPy archive of plain arrays ({first_line(error)}); download it again"
        ) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch state dict; no code that the file may carry is run.

    Raises:
        ConfigError: if it is not such a file.
    """
    check_readable(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fact: the file holds no plain tensors
        raise ConfigError(
            f"{path}: not a state dict of plain tensors ({first_line(error)}); download it again"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path}: holds no state dict (names and tensors); save `model.state_dict()`")
    return dict(state)


@torch.no_grad()
def fill(
    path: Path, places: Mapping[str, Tensor], found: Mapping[str, Any], convert: Callable[[str, Any, Tensor], Tensor]
) -> None:
    """Copy what a file holds to where the network keeps it.

    Args:
        path: of the file.
        places: name in the file -> where it belongs.
        found: name -> value, of all that the file holds.
        convert: name, value and place to a tensor like the place.

    Raises:
        ConfigError: naming weights that are missing, or one that has another shape than its place.

    Example:
        >>> places = {"conv1.weight": torch.zeros(1), "bn1.bias": torch.zeros(1)}
        >>> fill(Path("r.pth"), places, {"conv1.weight": torch.ones(1)}, lambda name, value, place: value)
        Traceback (most recent call last):
        adawac.errors.ConfigError: r.pth: 1 of 2 weights of this network are missing: bn1.bias; give the file that \
was published for it, or leave init_from out
    """
    if missing := [name for name in places if name not in found]:
        named = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise ConfigError(
            f"{path}: {len(missing)} of {len(places)} weights of this network are missing: {named}; "
            "give the file that was published for it, or leave init_from out"
        )
    for name, place in places.items():
        value = convert(name, found[name], place)
        if value.shape != place.shape:
            raise ConfigError(
                f"{path}: {name} has shape {tuple(value.shape)} but this network needs {tuple(place.shape)}; "
                "leave its arguments at those of the published network"
            )
        place.copy_(value)


def first_kernel(kernel: Tensor, in_channels: int) -> Tensor:
    """The kernel of a first layer that was trained on RGB, for images of another number of channels.

    Where all channels show the same, it answers as the published one does to a grey RGB image.

    Args:
        kernel: (O, 3, h, w).
        in_channels: C.

    Returns:
        (O, C, h, w): itself for three channels, else an equal share of its sum over channels for each.

    Example:
        >>> first_kernel(torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1), in_channels=1).item()
        9.0
    """
    if kernel.shape[1] == in_channels:
        return kernel
    return kernel.sum(1, keepdim=True).expand(-1, in_channels, -1, -1) / in_channels
