"""The adapter that makes any segmentation module return its deepest features beside its logits."""

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adawac.errors import ConfigError, one_line
from adawac.networks.small_volumes import exact_small_volumes
from adawac.types import NetworkOutput

# Where MONAI's networks keep the deepest layer of their encoder: the last module whose whole name matches.
MONAI_FEATURE_LAYERS = {
    "UNet": r"model(\.1\.submodule)+",
    "AttentionUnet": r"model(\.1\.submodule)+",
    "BasicUNet": r"down_4",
    "BasicUNetPlusPlus": r"conv_4_0",
    "DynUNet": r"bottleneck",
    "SegResNet": r"down_layers\.\d+",
    "SegResNetDS": r"encoder",
    "SwinUNETR": r"encoder10",
    "FlexibleUNet": r"encoder",
    "UNETR": r"encoder4",  # its deepest are tokens, without a place in the plane
    "VNet": r"down_tr256",
    "MedNeXt": r"bottleneck",
}


class SegmentationNetwork(nn.Module):
    """Any module that maps images to logits, returning the output of one of its layers as well.

    A forward hook catches the features, so the wrapped module is neither changed nor run twice, and the names
    in its `state_dict` only gain the prefix ``network.``.

    Args:
        network: maps (N, C, H, W) images to (N, K, H, W) logits; (N, C, D, H, W) to (N, K, D, H, W) in 3D. While it
            trains, it may give logits of several scales (deep supervision), the finest first: a list of any sizes, or
            (N, scales, K, H, W), as MONAI's DynUNet does.
        in_channels: C.
        num_classes: K, background included.
        feature_layer: dotted name, as in `nn.Module.named_modules`, of the layer whose output is the
            features: the deepest of the encoder; or several names. Of a layer that returns a sequence the last
            element is taken. None takes the network's own attribute `feature_layer`, or looks the name up in
            `MONAI_FEATURE_LAYERS`.

    Raises:
        ConfigError: `feature_layer` is not in the network, or is None and unknown.

    Example:
        >>> unet = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 3, 1), nn.Upsample(scale_factor=4))
        >>> network = SegmentationNetwork(unet, in_channels=1, num_classes=3, feature_layer="1")
        >>> logits, (features,), coarser = network(torch.zeros(2, 1, 16, 16))
        >>> tuple(logits.shape), tuple(features.shape)
        ((2, 3, 16, 16), (2, 3, 4, 4))
    """

    def __init__(
        self, network: nn.Module, in_channels: int, num_classes: int, feature_layer: str | Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.in_channels = in_channels
        self.num_classes = num_classes
        names = [feature_layer] if isinstance(feature_layer, str) else feature_layer
        self.feature_layers = tuple(names or [_known_feature_layer(network)])
        self._features: dict[str, Tensor] = {}
        for name in self.feature_layers:
            _submodule(network, name).register_forward_hook(partial(self._catch_features, name))

    def _catch_features(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        self._features[name] = output[-1] if isinstance(output, list | tuple) else output

    def forward(self, image: Tensor) -> NetworkOutput:
        """Run the network once.

        Args:
            image: (N, C, H, W).

        Returns:
            Logits (N, K, H, W) and features, one (N, F, h, w) a feature layer; of other scales logits of that size.

        Raises:
            ConfigError: the network returned something else than logits, or never ran its feature layer.
        """
        try:
            with exact_small_volumes(image):
                output = self.network(image)
            features = self._features
        finally:
            self._features = {}  # or the adapter would keep the graph of the last batch alive
        name = type(self.network).__name__
        stacked = isinstance(output, Tensor) and output.ndim > image.ndim
        several = output.unbind(1) if stacked else output
        scales: Sequence[Tensor] = several if isinstance(several, list | tuple) else [several]
        wanted = len(scales) == 1 or (len(scales) > 1 and self.training)
        if not (wanted and all(isinstance(each, Tensor) for each in scales)):
            raise ConfigError(
                f"network {name} returns a {type(output).__name__}, but one tensor of logits is needed, or while it "
                "trains several, the finest first; switch its auxiliary outputs (deep supervision) off"
            )
        if missing := [layer for layer in self.feature_layers if layer not in features]:
            raise ConfigError(
                f"feature layer {missing[0]!r} of network {name} did not run in its forward pass; "
                "name a layer that is called as a module"
            )
        coarser = tuple(_resized(each, scales[0].shape[2:]) for each in scales[1:])
        return NetworkOutput(scales[0], tuple(features[layer] for layer in self.feature_layers), coarser)

    @torch.no_grad()
    def probe(self, size: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Check with a forward pass on zeros that the network takes images of a size.

        Args:
            size: (H, W) of the training plane, or (D, H, W).

        Returns:
            Shape (F, h, w) of the features of one image, for every feature layer.

        Raises:
            ConfigError: the network fails on this size, or its logits have another size or number of
                channels, or are none.
        """
        size = tuple(size)
        was_training = self.training
        self.eval()  # normalisation layers shall not learn from zeros
        try:
            problem, shape = self._try(size)
            if problem is None:
                return shape
            working = [other for other in _sizes_near(size) if self._try(other)[0] is None]
        finally:
            self.train(was_training)
        remedy = " or ".join(map(_by, working[:2]))
        raise ConfigError(
            f"network {type(self.network).__name__} cannot be trained at size {_by(size)}: {problem}; "
            + (f"use size {remedy}" if remedy else "no size near it works either: check the network's arguments")
        )

    def summary(self, size: Sequence[int]) -> str:
        """Number of parameters, and the features of an image of a size, in words; checked and raising as `probe`."""
        layers = zip(self.probe(size), self.feature_layers, strict=True)
        features = ", ".join(f"{shape} of layer {name}" for shape, name in layers)
        millions = sum(weight.numel() for weight in self.parameters()) / 1e6
        return f"{millions:.{1 if millions >= 0.95 else 4}f} M parameters, deepest features {features}"

    def _try(self, size: tuple[int, ...]) -> tuple[str | None, tuple[tuple[int, ...], ...]]:
        """What is wrong with a size (None: nothing), and the shapes of its features."""
        parameter = next(self.parameters(), torch.empty(0))
        image = torch.zeros(1, self.in_channels, *size, device=parameter.device, dtype=parameter.dtype)
        try:
            logits, features, _ = self(image)
        except ConfigError:
            raise
        except Exception as error:  # whatever a foreign module may raise
            return one_line(error), ()
        if logits.shape != (1, self.num_classes, *size):
            expected = (self.num_classes, *size)
            return f"logits have shape {tuple(logits.shape[1:])} where {expected} is needed", ()
        if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0])):
            raise ConfigError(
                f"network {type(self.network).__name__} returns probabilities (they add up to 1 over the classes), but "
                "logits are due, of which losses take the softmax; leave its own out"
            )
        return None, tuple(tuple(layer.shape[1:]) for layer in features)


def _resized(logits: Tensor, size: torch.Size) -> Tensor:
    """Logits of a coarser scale, interpolated."""
    if logits.shape[2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear" if len(size) == 2 else "trilinear")


def _known_feature_layer(network: nn.Module) -> str:
    if isinstance(own := getattr(network, "feature_layer", None), str):
        return own
    names: list[str] = [name for name, _ in network.named_modules() if name]
    for cls in type(network).__mro__:  # subclasses of a known network are known too
        if cls.__module__.startswith("monai.") and cls.__name__ in MONAI_FEATURE_LAYERS:
            pattern = MONAI_FEATURE_LAYERS[cls.__name__]
            return next(name for name in reversed(names) if re.fullmatch(pattern, name))
    raise ConfigError(
        f"network {type(network).__name__} is none of {', '.join(MONAI_FEATURE_LAYERS)}: "
        f"set feature_layer to the name of its encoder's deepest layer; it has {_shortened(names)}"
    )


def _submodule(network: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = {path: module for path, module in network.named_modules() if path}
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=5, cutoff=0.3) or list(modules)
        raise ConfigError(
            f"feature_layer {name!r} is not a layer of network {type(network).__name__}; "
            f"did you mean one of {_shortened(near)}?"
        )
    return modules[name]


def _shortened(names: Sequence[str]) -> str:
    """The outermost names first, at most twenty of them."""
    ranked = sorted(names, key=lambda name: name.count("."))
    return ", ".join(ranked[:20]) + (", ..." if len(ranked) > 20 else "")


def _sizes_near(size: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    """Other sizes, rounded up and down to multiples of ever larger powers of two."""
    multiples = (2, 4, 8, 16, 32, 64)
    up = [tuple(-(-length // multiple) * multiple for length in size) for multiple in multiples]
    down = [tuple(length // multiple * multiple for length in size) for multiple in multiples]
    near = dict.fromkeys(other for pair in zip(up, down, strict=True) for other in pair)
    return [other for other in near if other != size and min(other) > 0]


def _by(size: Iterable[int]) -> str:
    return " x ".join(map(str, size))


def logits_of(output: NetworkOutput | Tensor) -> Tensor:
    """The logits, of a network that gives features beside them or of one that gives nothing else."""
    return output if isinstance(output, Tensor) else output.logits
