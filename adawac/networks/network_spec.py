"""What a configuration says about the network, checked before any data is read."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from adawac.errors import ConfigError, did_you_mean, one_line
from adawac.networks.adapter import SegmentationNetwork
from adawac.networks.untrusted import without_downloads

TRUSTED = ("adawac.", "monai.networks.")
"""Where the classes live that a checkpoint of unknown origin may name."""

FROM_DATA = ("in_channels", "out_channels", "num_classes", "spatial_dims")
"""Constructor arguments that the data decides."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network by name: everything but what the data decides.

    Args:
        architecture: importable class path of a `torch.nn.Module` that returns logits and whose constructor
            takes `in_channels`, `out_channels` (or `num_classes`) and, where it has one, `spatial_dims`; a network for
            patches must have it.
        arguments: the other arguments of its constructor.
        feature_layer: dotted name of the layer whose output is the features: the deepest of the encoder; or a list.
            None: known for MONAI's UNet, BasicUNet, BasicUNetPlusPlus, DynUNet, AttentionUnet, SegResNet, SegResNetDS,
            SwinUNETR, FlexibleUNet, UNETR, VNet and MedNeXt, and for classes with an attribute `feature_layer`,
            such as TransUNet.

    Raises:
        ConfigError: the class cannot be imported, or its constructor does not take these arguments.

    Example:
        >>> spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [8, 16, 32], "strides": [2, 2]})
        >>> network = spec.build(in_channels=1, num_classes=5)
        >>> network.probe((64, 64))
        ((32, 16, 16),)
    """

    architecture: str = "monai.networks.nets.UNet"
    arguments: dict[str, Any] = field(default_factory=dict)
    feature_layer: str | list[str] | None = None

    def __post_init__(self) -> None:
        parameters = _parameters(self.architecture, _load(self.architecture))
        given = f"network {self.architecture}: argument"
        allowed = [name for name, p in parameters.items() if name not in FROM_DATA and p.kind is not p.VAR_KEYWORD]
        takes_any = len(allowed) < len([name for name in parameters if name not in FROM_DATA])
        for name in self.arguments:
            if name in FROM_DATA:
                raise ConfigError(f"{given} {name} is decided by the data; leave it out")
            if name not in allowed and not takes_any:
                raise ConfigError(
                    f"{given} {name} does not exist{did_you_mean(name, allowed)} "
                    f"It takes {', '.join(allowed) or 'none'}. Arguments that a "
                    "YAML gives another network stay until others are given: --model.network.arguments '{}' clears them"
                )
        missing = [
            name
            for name in allowed
            if parameters[name].default is inspect.Parameter.empty and name not in self.arguments
        ]
        if missing:
            raise ConfigError(f"network {self.architecture}: set {', '.join(missing)} among its arguments")

    @classmethod
    def of_untrusted(cls, plain: dict[str, Any]) -> "NetworkSpec":
        """Take a spec out of a file of unknown origin: importing a module runs it, so only known packages are imported.

        Args:
            plain: the spec's fields.

        Raises:
            ConfigError: its class is neither adawac's nor MONAI's.

        Example:
            >>> NetworkSpec.of_untrusted({"architecture": "os.system", "arguments": {"command": "true"}})
            Traceback (most recent call last):
            adawac.errors.ConfigError: the checkpoint's network is 'os.system', but only classes of adawac and \
monai.networks are made unasked; if you trust who wrote it, say so: `--trust`, or `adawac.load(path, trust=True)`
        """
        path = str(plain["architecture"])
        trusted = path.startswith(TRUSTED)
        if trusted:
            loaded = _load(path)
            trusted = inspect.isclass(loaded) and issubclass(loaded, nn.Module)
        if not trusted:
            raise ConfigError(
                f"the checkpoint's network is {path!r}, but only classes of adawac and monai.networks are made "
                "unasked; if you trust who wrote it, say so: `--trust`, or `adawac.load(path, trust=True)`"
            )
        arguments = without_downloads(plain.get("arguments", {}), _parameters(path, loaded))
        return cls(**{**plain, "arguments": arguments})

    def build(self, in_channels: int, num_classes: int, spatial_dims: int = 2) -> SegmentationNetwork:
        """Make the network for the data at hand.

        Args:
            in_channels: channels of the image.
            num_classes: classes, background included.
            spatial_dims: 2 or 3.

        Returns:
            The network in its adapter, with freshly drawn parameters.

        Raises:
            ConfigError: the constructor refuses the arguments, or `feature_layer` is wrong.
        """
        network = self.build_bare(in_channels, num_classes, spatial_dims)
        return SegmentationNetwork(network, in_channels, num_classes, self.feature_layer)

    def build_bare(self, in_channels: int, num_classes: int, spatial_dims: int = 2) -> nn.Module:
        """The network without its adapter, logits out; as `build` else."""
        constructor = _load(self.architecture)
        decided = {
            "in_channels": in_channels,
            "out_channels": num_classes,
            "num_classes": num_classes,
            "spatial_dims": spatial_dims,
        }
        taken = _parameters(self.architecture, constructor)
        if spatial_dims != 2 and "spatial_dims" not in taken:
            raise ConfigError(
                f"network {self.architecture} takes no spatial_dims, so it is one for slices; leave data.patch out, or "
                "choose another such as monai.networks.nets.UNet"
            )
        from_data = {name: value for name, value in decided.items() if name in taken}
        try:
            return constructor(**from_data, **self.arguments)
        except Exception as error:  # whatever a foreign constructor may raise
            raise ConfigError(
                f"network {self.architecture} refused its arguments {self.arguments}: {one_line(error)}; correct them"
            ) from error


def _load(path: str) -> Callable[..., nn.Module]:
    """Import a class by its dotted path."""
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"network architecture {path!r} cannot be imported ({error}); give a full class path such as "
            "monai.networks.nets.UNet"
        ) from error
    if not callable(constructor := getattr(module, name, None)):
        meant = did_you_mean(name, [each for each, value in vars(module).items() if inspect.isclass(value)])
        raise ConfigError(f"network architecture {path!r}: {module_name} has no {name}{meant} give the path of a class")
    return constructor  # type: ignore[no-any-return]


def _parameters(path: str, constructor: Callable[..., nn.Module]) -> dict[str, inspect.Parameter]:
    """Signature of a constructor that takes what the data decides."""
    parameters = dict(inspect.signature(constructor).parameters)
    if "in_channels" not in parameters or not {"out_channels", "num_classes"} & parameters.keys():
        raise ConfigError(
            f"network architecture {path!r} must take in_channels and out_channels (or num_classes), but it "
            f"takes {', '.join(parameters) or 'nothing'}; wrap it in a class that does"
        )
    return parameters
