"""What a checkpoint holds besides weights, and how it is found and read back safely."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adawac.data.classes import Classes
from adawac.data.facts import DataFacts
from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import unit_kind
from adawac.errors import ConfigError, first_line
from adawac.networks import NetworkSpec, SegmentationNetwork
from adawac.networks.published import Pretrainable
from adawac.runs.config_diff import flatten
from adawac.runs.folder import find_checkpoint

VERSION = version("adawac")

RECIPE = "adawac_recipe"
"""Key of the recipe in a checkpoint."""

NETWORK = "network."
"""Prefix of the network's weights in a checkpoint."""


@dataclass(frozen=True)
class Recipe:
    """All that prediction needs besides weights; stored in the checkpoint as plain JSON.

    Attributes:
        network: its class path and arguments.
        data: channels, classes, preprocessing and unit of what it was trained on.
        version: of adawac that wrote it.
    """

    network: NetworkSpec
    data: DataFacts
    version: str = VERSION

    def build_network(self) -> SegmentationNetwork:
        """A network with fresh weights."""
        data = self.data
        return self.network.build(
            data.unit.in_channels(data.in_channels), len(data.classes), spatial_dims=data.unit.spatial_dims
        )

    @property
    def input_size(self) -> tuple[int, ...]:
        """Size of what the network is shown: (h, w), or (d, h, w)."""
        return self.data.unit.input_size(self.data.preprocessing.grid.size)

    def check_flip(self) -> None:
        """Refuse to average over slices with left and right exchanged where slices do not show left and right.

        Raises:
            ConfigError: if the model was trained on sagittal slices.
        """
        if not self.data.preprocessing.left_right_in_plane:
            raise ConfigError(
                f"flip_left_right: {self.data.preprocessing.axis} slices do not show left and right, so mirroring them "
                "tells nothing; switch it off"
            )

    def difference(self, other: "Recipe") -> str | None:
        """What keeps the networks of two recipes from being averaged, in words; None if nothing does.

        Channels, classes, intensities, cut, grid and unit must be the same; networks may differ.

        Args:
            other: the recipe that is due.
        """
        mine, theirs = (flatten(recipe._seen_by_network()) for recipe in (self, other))
        differing = [name for name in mine if mine[name] != theirs.get(name)]  # the same names, but for `window`
        return "; ".join(f"{name} is {mine[name]} but {theirs.get(name)} is due" for name in differing) or None

    def _seen_by_network(self) -> dict[str, Any]:
        """What a network's inputs and outputs mean."""
        data = self.data
        preprocessing = data.preprocessing.to_json()
        if data.preprocessing.modality != "ct":
            del preprocessing["window"]  # not used
        classes = {"names": data.classes.names, "values": data.classes.values}
        return {
            "channels": data.in_channels,
            "classes": classes,
            "mirror_table": data.mirror_table,
            "unit": data.unit.to_json(),
            **preprocessing,
        }

    def to_json(self) -> str:
        """Plain JSON."""
        plain = {
            "version": self.version,
            "network": vars(self.network),
            "in_channels": self.data.in_channels,
            "classes": self.data.classes.to_json(),
            "mirror_table": self.data.mirror_table,
            "preprocessing": self.data.preprocessing.to_json(),
            "unit": self.data.unit.to_json(),
        }
        return json.dumps(plain, indent=1)

    @classmethod
    def from_json(cls, text: str, trust: bool = False) -> "Recipe":
        """Inverse of `to_json`.

        Args:
            text: what `to_json` wrote.
            trust: take a network whose class is neither adawac's nor MONAI's; its module is imported, so its code runs.

        Raises:
            ConfigError: the recipe is damaged, or the network's class is somebody else's and not trusted.
        """
        try:
            plain = json.loads(text)
            table = plain["mirror_table"]
            network = plain["network"]
            return cls(
                network=NetworkSpec(**network) if trust else NetworkSpec.of_untrusted(network),
                data=DataFacts(
                    in_channels=plain["in_channels"],
                    classes=Classes.from_json(plain["classes"]),
                    mirror_table=None if table is None else tuple(table),
                    preprocessing=Preprocessing.from_json(plain["preprocessing"]),
                    unit=unit_kind(**plain.get("unit", {})),  # checkpoints of before were all of single slices
                ),
                version=plain["version"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the checkpoint's recipe cannot be read ({type(error).__name__}: {error}); it is damaged or of "
                f"another version than {VERSION}, so train again or install the version that wrote it"
            ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code it may carry.

    Raises:
        ConfigError: if it cannot be read so, or is none of adawac's.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fact: the file is no safe checkpoint
        raise ConfigError(
            f"{path}: not readable as a checkpoint of tensors and plain values ({first_line(error)})"
        ) from error
    if not isinstance(checkpoint, dict) or RECIPE not in checkpoint:
        raise ConfigError(f"{path}: holds no {RECIPE!r}; give a checkpoint written by `adawac fit`")
    return checkpoint


def network_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """Weights of the network alone, named as the network names them."""
    state: dict[str, Tensor] = checkpoint["state_dict"]
    return {name.removeprefix(NETWORK): value for name, value in state.items() if name.startswith(NETWORK)}


def load_matching(network: nn.Module, path: Path) -> list[str]:
    """Copy the weights of another run's network that fit in name and shape, or published weights.

    Args:
        network: receives them.
        path: a checkpoint or a run folder; or a file of the weights that the network can start from, see
            `adawac.networks.published.Pretrainable`.

    Returns:
        A line for every weight of a run that did not match, on either side.

    Raises:
        ConfigError: if nothing matches, or published weights are incomplete.
    """
    path = find_checkpoint(path)
    inner = network.network if isinstance(network, SegmentationNetwork) else network
    if isinstance(inner, Pretrainable) and path.suffix == inner.published_suffix:
        inner.load_published(path)
        return []
    theirs = network_weights(read_checkpoint(path))
    ours = network.state_dict()
    matching = {name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape}
    if not matching:
        raise ConfigError(f"init_from: no weight of {path} fits this network in name and shape; drop init_from")
    network.load_state_dict(matching, strict=False)
    lines = [
        f"{name}: {tuple(theirs[name].shape)} there, {tuple(ours[name].shape)} here"
        for name in theirs
        if name in ours and name not in matching
    ]
    lines += [f"{name}: only there" for name in theirs if name not in ours]
    lines += [f"{name}: only here" for name in ours if name not in theirs]
    return lines
