"""TransUNet: its size, its features, and the published JAX weights in their own layout."""

import numpy as np
import pytest
import torch
from published_weights import HEADS, HIDDEN, SMALL, published
from scipy import ndimage
from torch import nn

from adawac.errors import ConfigError
from adawac.networks import NetworkSpec
from adawac.networks.transunet import Attention, StandardisedConv2d, TransUNet, published_name
from adawac.runs.checkpoint import load_matching


def spec(**arguments) -> NetworkSpec:
    return NetworkSpec("adawac.networks.transunet.TransUNet", SMALL | arguments)


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "R50+ViT-B_16.npz", **published())
    return tmp_path / "R50+ViT-B_16.npz"


class TestNetwork:
    def test_size_of_the_published_model(self):
        with torch.device("meta"):  # shapes only
            network = TransUNet(1, 9)
        assert sum(parameter.numel() for parameter in network.parameters()) == 105_277_081
        assert network.transformer.position.shape == (1, 768, 14, 14)
        assert [tuple(block.conv1[0].weight.shape[:2]) for block in network.decoder.blocks] == [
            (256, 512 + 512),
            (128, 256 + 256),
            (64, 128 + 64),
            (16, 64),
        ]

    def test_logits_and_the_transformer_s_normalised_output_as_a_map(self):
        network = spec().build(in_channels=1, num_classes=3)
        logits, (features,), _ = network(torch.randn(2, 1, 64, 96))
        assert logits.shape == (2, 3, 64, 96)
        assert features.shape == (2, HIDDEN, 4, 6)
        torch.testing.assert_close(features.mean(1), torch.zeros(2, 4, 6), atol=1e-5, rtol=0)
        torch.testing.assert_close(features.var(1, correction=0), torch.ones(2, 4, 6), atol=1e-3, rtol=0)

    def test_every_parameter_is_trained(self):
        network = spec().build(in_channels=1, num_classes=3)
        network(torch.randn(2, 1, 32, 32)).logits.square().sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []

    def test_one_channel_counts_as_three_equal_ones(self):
        torch.manual_seed(0)
        grey = TransUNet(1, 3, **SMALL).eval()
        colour = TransUNet(3, 3, **SMALL).eval()
        colour.load_state_dict(grey.state_dict())
        image = torch.randn(1, 1, 32, 32)
        torch.testing.assert_close(grey(image), colour(image.repeat(1, 3, 1, 1)))

    def test_kernels_are_standardised(self):
        conv = StandardisedConv2d(2, 3, 3, bias=False)
        image = torch.randn(1, 2, 8, 8)
        before = conv(image)
        with torch.no_grad():
            conv.weight.mul_(5).add_(7)
        torch.testing.assert_close(conv(image), before, rtol=2e-3, atol=2e-3)

    def test_sizes_that_do_not_divide_are_refused(self):
        with pytest.raises(ConfigError, match=r"TransUNet cannot be trained at size 72 x 64.* use size (64|80)"):
            spec().build(1, 2).probe((72, 64))


class TestPublishedWeights:
    def test_names_are_those_of_the_file(self):
        network = TransUNet(1, 3, **SMALL)
        ours = {published_name(n) for n, _ in network.named_parameters() if n.startswith(("resnet.", "transformer."))}
        assert ours == published().keys() - {"cls", "pre_logits/kernel", "head/kernel"}

    def test_every_encoder_weight_comes_from_the_file_and_no_other(self, file):
        network = spec().build(in_channels=1, num_classes=3)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        assert load_matching(network, file) == []
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        encoder = {n for n, _ in network.named_parameters() if n.startswith(("network.resnet", "network.transformer"))}
        assert changed == encoder

    def test_convolutions_turn_from_hwio_to_oihw(self, file):
        network, theirs = self.loaded(file), published()
        root = network.resnet.conv_root.weight
        assert root[2, 1, 6, 3].item() == theirs["conv_root/kernel"][6, 3, 1, 2]
        unit = network.resnet.block2.unit1
        assert unit.conv2.weight[5, 3, 0, 2].item() == theirs["block2/unit1/conv2/kernel"][0, 2, 3, 5]
        assert unit.gn_proj.weight[9].item() == theirs["block2/unit1/gn_proj/scale"][0, 0, 0, 9]
        embedding = network.transformer.embedding.weight
        assert embedding[7, 40, 0, 0].item() == theirs["embedding/kernel"][0, 0, 40, 7]

    def test_heads_lie_one_after_the_other(self, file):
        network, theirs = self.loaded(file), published()
        attention, root = network.transformer.blocks[1].attention, "Transformer/encoderblock_1/"
        query = theirs[root + "MultiHeadDotProductAttention_1/query/kernel"]  # (in, heads, of a head)
        assert attention.query.weight[2 * 4 + 3, 5].item() == query[5, 2, 3]
        out = theirs[root + "MultiHeadDotProductAttention_1/out/kernel"]  # (heads, of a head, out)
        assert attention.out.weight[6, 2 * 4 + 3].item() == out[2, 3, 6]
        assert attention.key.bias[2 * 4 + 3].item() == theirs[root + "MultiHeadDotProductAttention_1/key/bias"][2, 3]
        mlp = network.transformer.blocks[1].mlp
        assert mlp.dense_0.weight[19, 4].item() == theirs[root + "MlpBlock_3/Dense_0/kernel"][4, 19]

    def test_attention_is_torch_s_with_the_same_weights(self):
        ours = Attention(HIDDEN, HEADS)
        torchs = nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True)
        parts = (ours.query, ours.key, ours.value)
        with torch.no_grad():
            torchs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
            torchs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        torchs.out_proj.load_state_dict(ours.out.state_dict())
        tokens = torch.randn(2, 5, HIDDEN)
        torch.testing.assert_close(ours(tokens), torchs(tokens, tokens, tokens)[0])

    def test_positions_without_the_class_token(self, file):
        position = self.loaded(file, image_size=(64, 64)).transformer.position
        theirs = published()["Transformer/posembed_input/pos_embedding"]
        assert position[0, 5, 2, 3].item() == theirs[0, 1 + 2 * 4 + 3, 5]

    def test_positions_are_interpolated_to_the_grid_corner_on_corner(self, file):
        position = self.loaded(file, image_size=(112, 112)).transformer.position.detach().numpy()
        grid = published()["Transformer/posembed_input/pos_embedding"][0, 1:].reshape(4, 4, HIDDEN)
        assert position[0, :, 0, 6] == pytest.approx(grid[0, 3], abs=1e-6)
        assert position[0, :, 0, 3] == pytest.approx((grid[0, 1] + grid[0, 2]) / 2, abs=1e-6)
        zoomed = ndimage.zoom(grid, (7 / 4, 7 / 4, 1), order=1)  # what the published code does
        np.testing.assert_allclose(position[0].transpose(1, 2, 0), zoomed, atol=1e-5)

    def test_a_grid_of_training_serves_other_sizes(self, file):
        network = self.loaded(file, image_size=(64, 64))
        assert network(torch.zeros(1, 1, 96, 32)).shape == (1, 3, 96, 32)

    def test_four_channels_share_the_first_kernel(self, file):
        network = TransUNet(4, 3, **SMALL)
        network.load_published(file)
        kernel = network.resnet.conv_root.weight
        expected = published()["conv_root/kernel"][6, 3, :, 2].sum() / 4
        assert kernel[2, :, 6, 3].tolist() == pytest.approx([expected] * 4)

    def test_missing_weights_are_named(self, tmp_path):
        arrays = published()
        del arrays["block1/unit2/conv3/kernel"], arrays["Transformer/encoderblock_1/LayerNorm_2/bias"]
        np.savez(tmp_path / "half.npz", **arrays)
        with pytest.raises(ConfigError, match=r"half.npz: 2 of \d+ weights .* missing: (block1/unit2/conv3/kernel|T)"):
            TransUNet(1, 3, **SMALL).load_published(tmp_path / "half.npz")

    def test_weights_of_another_size(self, file):
        with pytest.raises(ConfigError, match=r"conv_root/kernel has shape \(4, 3, 7, 7\) .* needs \(8, 3, 7, 7\)"):
            TransUNet(1, 3, **{**SMALL, "width": 8}).load_published(file)

    def test_pickled_objects_are_refused(self, tmp_path):
        np.savez(tmp_path / "evil.npz", **{"conv_root/kernel": np.array([{"a": 1}], dtype=object)})
        with pytest.raises(ConfigError, match=r"evil.npz: not a NumPy archive of plain arrays .* download it again"):
            TransUNet(1, 3, **SMALL).load_published(tmp_path / "evil.npz")

    @staticmethod
    def loaded(file, **arguments) -> TransUNet:
        network = TransUNet(1, 3, **SMALL | arguments)
        network.load_published(file)
        return network
