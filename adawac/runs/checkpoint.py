"""What a checkpoint holds besides weights, and how it is found and read back safely."""

import json
import math
import zipfile
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
from adawac.errors import ConfigError, check_readable, first_line
from adawac.networks import NetworkSpec, SegmentationNetwork
from adawac.networks.published import Pretrainable
from adawac.runs.config_diff import flatten
from adawac.runs.folder import find_checkpoint

VERSION = version("adawac")

RECIPE = "adawac_recipe"
"""Key of the recipe in a checkpoint."""

NETWORK = "network."
"""Prefix of the network's weights in a checkpoint."""


MOST_PIXELS = 1 << 26
"""Numbers of one input of a network: a patch of 400 x 400 x 400, or a slice of 8192 x 8192."""


@dataclass(frozen=True)
class Recipe:
    """All that prediction needs besides weights; stored in the checkpoint as plain JSON.

    Attributes:
        network: its class path and arguments.
        data: channels, classes, preprocessing and unit of what it was trained on.
        version: of adawac that wrote it.
        largest_component: classes of which only the largest connected part is kept; chosen on validation cases.
    """

    network: NetworkSpec
    data: DataFacts
    version: str = VERSION
    largest_component: tuple[str, ...] = ()

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

    @property
    def cleaned(self) -> list[int]:
        """Indices of the classes of `largest_component`."""
        return [self.data.classes.names.index(name) for name in self.largest_component]

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
        """What keeps the predictions of two recipes from being averaged, in words; None if nothing does.

        Channels, what their values are, and classes must be the same; all else may differ.

        Args:
            other: the recipe that is due.
        """
        mine, theirs = (flatten(recipe._task()) for recipe in (self, other))
        differing = [name for name in mine if mine[name] != theirs.get(name)]
        return "; ".join(f"{name} is {mine[name]} but {theirs.get(name)} is due" for name in differing) or None

    def same_plan(self, other: "Recipe") -> bool:
        """Whether the networks of both are shown the same, so that their outputs can be averaged pixel by pixel."""
        return self._plan() == other._plan()

    def _task(self) -> dict[str, Any]:
        """What an image and a label volume mean."""
        data = self.data
        return {
            "channels": data.in_channels,
            "classes": {"names": data.classes.names, "values": data.classes.values},
            "modality": data.preprocessing.modality,
        }

    def _plan(self) -> tuple[Any, ...]:
        """What a network's inputs and outputs mean, within a task; the window of CT only where there is any."""
        seen = self.data.preprocessing
        window = seen.window if seen.has_ct else None
        return self.data.mirror_table, self.data.unit, window, seen.axis, seen.grid

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
            "places": self.data.places,
            "largest_component": self.largest_component,
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
            recipe = cls(
                network=NetworkSpec(**network) if trust else NetworkSpec.of_untrusted(network),
                data=DataFacts(
                    in_channels=plain["in_channels"],
                    classes=Classes.from_json(plain["classes"]),
                    mirror_table=None if table is None else tuple(table),
                    preprocessing=Preprocessing.from_json(plain["preprocessing"]),
                    unit=unit_kind(**plain.get("unit", {})),  # checkpoints of before were all of single slices
                    places=tuple(plain.get("places", ())),
                ),
                version=plain["version"],
                largest_component=tuple(plain.get("largest_component", ())),
            )
            recipe._check()
            return recipe
        except ConfigError:
            raise
        except Exception as error:  # whatever a damaged one may lead to
            raise ConfigError(
                f"the checkpoint's recipe cannot be read ({type(error).__name__}: {error}); it is damaged or of "
                f"another version than {VERSION}, so train again or install the version that wrote it"
            ) from error

    def _check(self) -> None:
        """What no part sees alone: numbers are numbers, tables fit, and no input is larger than anyone trains on.

        Raises:
            ValueError: naming what is wrong.
        """
        data, grid = self.data, self.data.preprocessing.grid
        unit = tuple(value for name, value in vars(data.unit).items() if name != "overlap")
        sizes = {"in_channels": (data.in_channels,), "grid.size": grid.size, "unit": unit}
        for name, values in sizes.items():
            numbers = [number for value in values for number in (value if isinstance(value, tuple) else (value,))]
            if not all(type(number) is int and number > 0 for number in numbers) or math.prod(numbers) > MOST_PIXELS:
                raise ValueError(f"{name} is {values}")
        if data.in_channels * math.prod(self.input_size) * data.unit.in_channels(1) > MOST_PIXELS:
            raise ValueError(f"an input is {self.input_size} of {data.in_channels} channels")
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in data.preprocessing.window):
            raise ValueError(f"window is {data.preprocessing.window}")
        if data.mirror_table is not None and sorted(data.mirror_table) != list(range(len(data.classes))):
            raise ValueError(f"mirror_table is {data.mirror_table}")
        if unknown := [name for name in self.largest_component if name not in data.classes.names[1:]]:
            raise ValueError(f"largest_component is {unknown}")
        if not isinstance(self.version, str) or not isinstance(self.network.arguments, dict):
            raise TypeError("its version is no text, or its network's arguments are no mapping")
        if not all(isinstance(place, str) and ".." not in place.split("/") for place in data.places):
            raise ValueError(f"places are {data.places}")
        layers = self.network.feature_layer
        named = layers if isinstance(layers, list) else [layers] * (layers is not None)
        if not all(isinstance(layer, str) for layer in named):
            raise TypeError(f"feature_layer is {layers}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code it may carry.

    Raises:
        ConfigError: if it is damaged, or cannot be read so, or is none of adawac's.
    """
    check_readable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("its records are compressed, as torch never does")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ValueError("its records are larger than the file")
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"{broken} does not agree with its check sum: it was damaged")
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fact: the file is no safe checkpoint
        damaged = "take it from a backup, or train again"
        remedy = damaged if path.suffix == ".ckpt" else "give a run folder, or its checkpoints/best.ckpt"
        raise ConfigError(
            f"{path}: not readable as a checkpoint of tensors and plain values ({first_line(error)}); {remedy}"
        ) from error
    if not isinstance(checkpoint, dict) or RECIPE not in checkpoint:
        raise ConfigError(f"{path}: holds no {RECIPE!r}; give a checkpoint written by `adawac fit`")
    state = checkpoint.get("state_dict")
    for name, value in state.items() if isinstance(state, dict) else ():
        if str(name).startswith(NETWORK) and isinstance(value, Tensor) and bool(value.isnan().any()):
            raise ConfigError(
                f"{path}: weights are NaN or infinite ({name}), so that it would predict nothing; take an earlier "
                "checkpoint, or train again"
            )
    return checkpoint


def epoch_of(path: Path) -> int | None:
    """After how many epochs a checkpoint was written; None where it does not say. Its weights are not read."""
    try:
        epoch = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("epoch")
    except Exception:  # whoever reads its weights says what is wrong
        return None
    return epoch + 1 if isinstance(epoch, int) else None


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
