"""The paper's UNet: its size, its features, and torchvision's weights under torchvision's names."""

import pytest
import torch

from adawac.errors import ConfigError
from adawac.networks import NetworkSpec
from adawac.networks.resnet_unet import ResNetUNet
from adawac.runs.checkpoint import load_matching

WIDTH = 4
SMALL = {"width": WIDTH, "units": (2, 1, 1, 1), "decoder_channels": (8, 8, 4, 4, 4)}


def spec() -> NetworkSpec:
    return NetworkSpec("adawac.networks.resnet_unet.ResNetUNet", SMALL)


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def shapes(width: int, units: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's state dict of a ResNet of basic blocks, without counters of batches."""
    named = {"conv1.weight": (width, 3, 7, 7), **norm("bn1", width)}
    entering = width
    for stage, blocks in enumerate(units):
        channels = width * 2**stage
        for block in range(blocks):
            root = f"layer{stage + 1}.{block}"
            named |= {f"{root}.conv1.weight": (channels, entering, 3, 3), **norm(f"{root}.bn1", channels)}
            named |= {f"{root}.conv2.weight": (channels, channels, 3, 3), **norm(f"{root}.bn2", channels)}
            if entering != channels:
                named[f"{root}.downsample.0.weight"] = (channels, entering, 1, 1)
                named |= norm(f"{root}.downsample.1", channels)
            entering = channels
    return named | {"fc.weight": (1000, entering), "fc.bias": (1000,)}


def published() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {n: torch.rand(shape, generator=generator) for n, shape in shapes(WIDTH, SMALL["units"]).items()}


@pytest.fixture
def file(tmp_path):
    torch.save(published(), tmp_path / "resnet34.pth")
    return tmp_path / "resnet34.pth"


class TestNetwork:
    def test_size_of_the_paper_s(self):
        network = ResNetUNet(3, 9)
        assert sum(parameter.numel() for parameter in network.parameters()) == 24_437_529
        assert sum(parameter.numel() for parameter in network.encoder.parameters()) == 21_284_672

    def test_names_and_shapes_are_torchvision_s(self):
        state = ResNetUNet(3, 9).encoder.state_dict()
        ours = {name: tuple(value.shape) for name, value in state.items() if "num_batches" not in name}
        theirs = shapes(64, (3, 4, 6, 3))
        assert {**ours, "fc.weight": (1000, 512), "fc.bias": (1000,)} == theirs

    def test_logits_and_the_encoder_s_last_features(self):
        network = spec().build(in_channels=1, num_classes=3)
        logits, (features,), _ = network(torch.randn(2, 1, 64, 96))
        assert logits.shape == (2, 3, 64, 96)
        assert features.shape == (2, 8 * WIDTH, 2, 3)

    def test_every_parameter_is_trained(self):
        network = spec().build(in_channels=1, num_classes=3)
        network(torch.randn(2, 1, 64, 64)).logits.square().sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []

    def test_sizes_that_do_not_divide_are_refused(self):
        with pytest.raises(ConfigError, match=r"ResNetUNet cannot be trained at size 48 x 64.* use size (64|32)"):
            spec().build(1, 2).probe((48, 64))


class TestPublishedWeights:
    def test_every_encoder_weight_comes_from_the_file(self, file):
        network = spec().build(in_channels=3, num_classes=2)
        assert load_matching(network, file) == []
        state, theirs = network.network.encoder.state_dict(), published()
        assert {name for name in theirs if not name.startswith("fc.")} <= state.keys()
        for name, value in state.items():
            if "num_batches" not in name:
                assert torch.equal(value, theirs[name]), name

    def test_first_layer_is_summed_over_channels_for_images_of_one(self, file):
        network = ResNetUNet(1, 2, **SMALL)
        network.load_published(file)
        theirs = published()["conv1.weight"]
        assert network.encoder.conv1.weight[2, 0, 3, 5].item() == pytest.approx(theirs[2, :, 3, 5].sum().item())

    def test_a_grey_image_is_answered_as_a_colour_one(self, file):
        grey = torch.linspace(0, 1, 32 * 32).view(1, 1, 32, 32)
        answers = []
        for channels in (1, 3, 5):  # five: slices of a 2.5D image
            network = ResNetUNet(channels, 2, **SMALL)
            network.load_published(file)
            answers.append(network.encoder.conv1(grey.repeat(1, channels, 1, 1)))
        torch.testing.assert_close(answers[0], answers[1])
        torch.testing.assert_close(answers[2], answers[1])

    def test_missing_weights_are_named(self, tmp_path):
        state = published()
        del state["layer2.0.downsample.0.weight"]
        torch.save(state, tmp_path / "half.pth")
        with pytest.raises(ConfigError, match=r"half.pth: 1 of \d+ .* are missing: layer2.0.downsample.0.weight; give"):
            ResNetUNet(1, 2, **SMALL).load_published(tmp_path / "half.pth")

    def test_weights_of_another_size(self, file):
        with pytest.raises(ConfigError, match=r"conv1.weight has shape \(4, 3, 7, 7\) .* needs \(8, 3, 7, 7\)"):
            ResNetUNet(3, 2, **{**SMALL, "width": 8}).load_published(file)

    def test_a_whole_model_is_no_state_dict(self, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
        with pytest.raises(ConfigError, match=r"model.pth: not a state dict of plain tensors"):
            ResNetUNet(1, 2, **SMALL).load_published(tmp_path / "model.pth")
        torch.save([1, 2], tmp_path / "list.pth")
        with pytest.raises(ConfigError, match=r"list.pth: holds no state dict .* save `model.state_dict\(\)`"):
            ResNetUNet(1, 2, **SMALL).load_published(tmp_path / "list.pth")
