"""MONAI's networks and a user's own behind one adapter; what a spec refuses, and by which name."""

import copy
import gc
import pickle
import subprocess
import sys
import weakref
from dataclasses import asdict
from typing import Any

import jsonargparse
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adawac.errors import ConfigError
from adawac.networks import NetworkSpec, SegmentationNetwork

MONAI = "monai.networks.nets."
UNET = {"channels": [4, 8, 16], "strides": [2, 2]}
DYNUNET = {
    "kernel_size": [3] * 4,
    "strides": [1, 2, 2, 2],
    "upsample_kernel_size": [2] * 3,
    "filters": [4, 8, 8, 16],
}

# class name: arguments, and what the deepest encoder layer makes of an image: channels, downsampling
NETWORKS: dict[str, tuple[dict[str, Any], int, int]] = {
    "UNet": ({"channels": [4, 8, 16, 32], "strides": [2, 2, 2], "num_res_units": 2}, 32, 8),
    "BasicUNet": ({"features": [4, 4, 8, 8, 16, 4]}, 16, 16),
    "DynUNet": (DYNUNET, 16, 8),
    "AttentionUnet": ({"channels": [4, 8, 16, 32], "strides": [2, 2, 2]}, 32, 8),
    "SegResNet": ({"init_filters": 8, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}, 32, 4),
    "SegResNetDS": ({"init_filters": 8, "blocks_down": [1, 1, 1], "dsdepth": 2, "norm": "INSTANCE"}, 32, 4),
    "SwinUNETR": ({"feature_size": 12, "depths": [1, 1, 1, 1]}, 192, 32),
    "FlexibleUNet": ({"backbone": "resnet10", "decoder_channels": [32, 16, 8, 8, 4]}, 512, 32),
    "BasicUNetPlusPlus": ({"features": [4, 4, 8, 8, 16, 4]}, 16, 16),
    "UNETR": ({"img_size": [96, 64], "feature_size": 8, "hidden_size": 24, "mlp_dim": 16, "num_heads": 2}, 64, 8),
    "VNet": ({}, 256, 16),
    "MedNeXt": ({"init_filters": 4, "blocks_down": [1] * 4, "blocks_bottleneck": 1, "blocks_up": [1] * 4}, 64, 16),
}


class TinyNet(nn.Module):
    """A network as a user would write it: no spatial_dims, classes by another name."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.MaxPool2d(4))
        self.unused = nn.Identity()
        self.decoder = nn.Sequential(nn.Conv2d(width, num_classes, 1), nn.Upsample(scale_factor=4))

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(image))
        return out


class Auxiliary(TinyNet):
    """Returns two scales of logits always."""

    def forward(self, image: Tensor) -> Any:
        logits = super().forward(image)
        return [logits, logits[..., ::2, ::2]]


class Strange(TinyNet):
    """Takes any argument."""

    def __init__(self, in_channels: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(in_channels, num_classes, **kwargs)


class NoChannels(nn.Module):
    """Has its channels built in."""


def tiny(name: str = "TinyNet", feature_layer: str | None = "encoder", **arguments: Any) -> NetworkSpec:
    return NetworkSpec(f"{__name__}.{name}", arguments, feature_layer)


@pytest.fixture
def unet() -> SegmentationNetwork:
    return NetworkSpec(MONAI + "UNet", UNET).build(in_channels=1, num_classes=3)


class TestMonai:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_logits_and_deepest_features(self, name: str) -> None:
        arguments, channels, stride = NETWORKS[name]
        network = NetworkSpec(MONAI + name, arguments).build(in_channels=2, num_classes=5)
        logits, (features,), _ = network(torch.randn(3, 2, 96, 64))
        assert logits.shape == (3, 5, 96, 64)
        assert features.shape == (3, channels, 96 // stride, 64 // stride)
        assert network.probe((96, 64)) == (features.shape[1:],)

    @pytest.mark.parametrize("name", NETWORKS)
    def test_features_lie_on_the_way_from_image_to_logits(self, name: str) -> None:
        network = NetworkSpec(MONAI + name, NETWORKS[name][0]).build(in_channels=1, num_classes=2)
        network.eval()  # VNet's dropout may drop all
        image = torch.randn(2, 1, 96, 64, requires_grad=True)
        logits, (features,), _ = network(image)
        (by_features,) = torch.autograd.grad(logits.square().sum(), features, retain_graph=True)
        (by_image,) = torch.autograd.grad(features.square().sum(), image)
        assert by_features.any()
        assert by_image.any()

    @pytest.mark.parametrize("name", ["UNet", "DynUNet", "SegResNet", "AttentionUnet", "BasicUNet"])
    def test_three_dimensions(self, name: str) -> None:
        arguments, channels, stride = NETWORKS[name]
        network = NetworkSpec(MONAI + name, arguments).build(in_channels=1, num_classes=2, spatial_dims=3)
        depth = 32 // stride
        assert network.probe((32, 32, 32)) == ((channels, depth, depth, depth),)

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("DynUNet", {**DYNUNET, "deep_supervision": True, "deep_supr_num": 2}),
            ("SegResNetDS", {**NETWORKS["SegResNetDS"][0], "dsdepth": 3, "blocks_down": [1, 1, 1, 1]}),
        ],
    )
    @pytest.mark.parametrize("size", [(32, 16), (16, 32, 16)], ids=["2D", "3D"])
    def test_deep_supervision(self, name: str, arguments: dict[str, Any], size: tuple[int, ...]) -> None:
        """In training, logits of two coarser stages as large as the finest; those are what it predicts."""
        network = NetworkSpec(MONAI + name, arguments).build(1, 3, spatial_dims=len(size))
        image = torch.randn(2, 1, *size)
        logits, (features,), coarser = network(image)
        assert [each.shape for each in coarser] == [logits.shape] * 2 == [(2, 3, *size)] * 2
        assert features.shape[2:] == tuple(side // 8 for side in size)
        plain, _, none = network.eval()(image)
        assert none == ()
        torch.testing.assert_close(plain, logits)

    def test_nested_unet_of_any_depth(self) -> None:
        for depth in (1, 2, 4):
            arguments = {"channels": [4] * (depth + 1), "strides": [2] * depth}
            network = NetworkSpec(MONAI + "UNet", arguments).build(1, 2)
            assert network.probe((64, 64)) == ((4, 64 >> depth, 64 >> depth),)

    def test_feature_layer_may_be_another(self) -> None:
        network = NetworkSpec(MONAI + "UNet", UNET, feature_layer="model.0").build(1, 3)
        assert network.probe((32, 32)) == ((4, 16, 16),)


class TestUsersOwn:
    def test_class_path_and_num_classes(self) -> None:
        network = tiny(width=6).build(in_channels=2, num_classes=5)
        logits, (features,), coarser = network(torch.zeros(2, 2, 16, 16))
        assert coarser == ()
        assert logits.shape == (2, 5, 16, 16)
        assert features.shape == (2, 6, 4, 4)

    def test_keyword_catch_all_takes_any_argument(self) -> None:
        assert tiny("Strange", width=3).build(1, 2).probe((8, 8)) == ((3, 2, 2),)

    def test_feature_layer_must_be_given(self) -> None:
        with pytest.raises(ConfigError, match=r"set feature_layer .* it has encoder, unused, decoder, encoder\.0"):
            tiny(feature_layer=None).build(1, 2)

    def test_misspelt_feature_layer(self) -> None:
        with pytest.raises(ConfigError, match=r"'encodr' is not a layer .* did you mean one of encoder"):
            tiny(feature_layer="encodr").build(1, 2)

    def test_feature_layer_that_never_runs(self) -> None:
        network = tiny(feature_layer="unused").build(1, 2)
        with pytest.raises(ConfigError, match=r"'unused' .* did not run .* name a layer that is called"):
            network(torch.zeros(1, 1, 8, 8))

    def test_several_outputs_where_it_predicts(self) -> None:
        network = tiny("Auxiliary").build(1, 2)
        logits, _, (coarser,) = network(torch.randn(1, 1, 8, 8))
        expected = F.interpolate(logits[..., ::2, ::2], scale_factor=2, mode="bilinear")
        torch.testing.assert_close(coarser, expected)
        with pytest.raises(ConfigError, match=r"returns a list, .* switch its auxiliary outputs"):
            network.probe((8, 8))


class TestRefusals:
    def test_unknown_module(self) -> None:
        with pytest.raises(ConfigError, match=r"'no.such.UNet' cannot be imported .* full class path"):
            NetworkSpec("no.such.UNet")

    def test_bare_name(self) -> None:
        with pytest.raises(ConfigError, match=r"'UNet' cannot be imported .* full class path"):
            NetworkSpec("UNet", UNET)

    def test_unknown_class(self) -> None:
        with pytest.raises(ConfigError, match=r"monai.networks.nets has no SegResNett; did you mean SegResNet"):
            NetworkSpec(MONAI + "SegResNett")

    def test_unknown_argument(self) -> None:
        with pytest.raises(ConfigError, match="argument stride does not exist; did you mean strides"):
            NetworkSpec(MONAI + "UNet", {"channels": [4, 8], "stride": [2]})

    def test_arguments_that_were_meant_for_another_network(self) -> None:
        with pytest.raises(
            ConfigError, match=r"argument channels does not exist.*--model.network.arguments '{}' clears"
        ):
            NetworkSpec(MONAI + "VNet", UNET)

    def test_missing_argument(self) -> None:
        with pytest.raises(ConfigError, match="set channels, strides among its arguments"):
            NetworkSpec(MONAI + "UNet")

    @pytest.mark.parametrize("name", ["in_channels", "out_channels", "spatial_dims"])
    def test_argument_that_the_data_decides(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"argument {name} is decided by the data; leave it out"):
            NetworkSpec(MONAI + "UNet", {**UNET, name: 2})

    def test_class_without_channels(self) -> None:
        with pytest.raises(ConfigError, match=r"must take in_channels and out_channels .* wrap it"):
            tiny("NoChannels")

    def test_value_that_the_constructor_refuses(self) -> None:
        spec = NetworkSpec(MONAI + "UNet", {"channels": [4, 8, 16], "strides": [2]})
        with pytest.raises(ConfigError, match=r"refused its arguments .* correct them"):
            spec.build(1, 2)


class TestProbe:
    @pytest.mark.parametrize(
        ("name", "size", "remedy"),
        [
            ("UNet", (50, 64), "48 x 64|56 x 64"),
            ("AttentionUnet", (100, 100), "104 x 104 or 96 x 96"),
            ("SwinUNETR", (100, 100), "96 x 96 or 128 x 128"),
        ],
    )
    def test_remedy_is_a_size_that_works(self, name: str, size: tuple[int, int], remedy: str) -> None:
        network = NetworkSpec(MONAI + name, NETWORKS[name][0]).build(1, 2)
        with pytest.raises(ConfigError, match=f"network {name} cannot be trained at size .* use size ({remedy})"):
            network.probe(size)

    def test_logits_on_another_grid(self) -> None:
        arguments = {**DYNUNET, "strides": [2, 2, 2, 2]}  # halves the plane before it starts
        network = NetworkSpec(MONAI + "DynUNet", arguments).build(1, 2)
        with pytest.raises(ConfigError, match=r"shape \(2, 32, 32\) where \(2, 64, 64\) .* check the network's arg"):
            network.probe((64, 64))

    def test_leaves_no_trace(self) -> None:
        spec = NetworkSpec(MONAI + "FlexibleUNet", NETWORKS["FlexibleUNet"][0])  # has BatchNorm
        network = spec.build(1, 2)
        before = copy.deepcopy(network.state_dict())
        network.probe((32, 32))
        assert network.training
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)


class TestAdapter:
    def test_names_in_the_state_dict_gain_one_prefix(self, unet: SegmentationNetwork) -> None:
        assert list(unet.state_dict()) == [f"network.{name}" for name in unet.network.state_dict()]

    def test_keeps_no_graph_alive(self, unet: SegmentationNetwork) -> None:
        (features,) = unet(torch.zeros(1, 1, 16, 16)).features
        held = weakref.ref(features)
        del features
        gc.collect()
        assert held() is None

    def test_keeps_nothing_when_the_network_fails(self, unet: SegmentationNetwork) -> None:
        with pytest.raises(RuntimeError):
            unet(torch.zeros(1, 1, 18, 18))  # breaks in the decoder, after the features
        assert not unet._features

    @pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
    def test_a_copy_catches_its_own_features(self, unet: SegmentationNetwork, clone) -> None:
        image = torch.randn(2, 1, 16, 16)
        expected = unet(image)
        other = clone(unet)
        torch.testing.assert_close(other(image), expected)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert not other(image).features[0].any()
        torch.testing.assert_close(unet(image), expected)

    def test_compiled(self, unet: SegmentationNetwork) -> None:
        compiled = torch.compile(unet, backend="eager")
        for seed in range(2):
            image = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
            torch.testing.assert_close(compiled(image), unet(image))
        logits, (features,), _ = compiled(image)
        (logits.sum() + features.square().sum()).backward()
        assert all(parameter.grad is not None for parameter in unet.parameters())
        assert not unet._features

    def test_autocast(self, unet: SegmentationNetwork) -> None:
        image = torch.randn(2, 1, 16, 16)
        with torch.autocast("cpu", torch.bfloat16):
            logits, (features,), _ = unet(image)
        assert logits.dtype == torch.bfloat16
        torch.testing.assert_close(features.float(), unet(image).features[0], rtol=0.1, atol=0.1)


class TestSpec:
    def test_from_yaml(self) -> None:
        parser = jsonargparse.ArgumentParser()
        parser.add_argument("--network", type=NetworkSpec)
        config = parser.parse_args(
            [
                "--network.architecture",
                MONAI + "UNet",
                "--network.arguments",
                '{"channels": [4, 8, 16], "strides": [2, 2]}',
            ]
        )
        assert parser.instantiate(config).network == NetworkSpec(MONAI + "UNet", UNET)

    def test_survives_plain_json(self) -> None:
        spec = NetworkSpec(MONAI + "UNet", UNET)
        assert NetworkSpec(**asdict(spec)) == spec

    def test_importing_the_room_does_not_import_monai(self) -> None:
        code = "import adawac.networks, sys; sys.exit('monai' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0
