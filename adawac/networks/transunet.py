"""TransUNet: a ResNet-50 whose last features go through a vision transformer, and a decoder with skips."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from adawac.networks.decoder import Decoder, conv_norm_relu
from adawac.networks.published import fill, first_kernel, read_npz

PUBLISHED_NAMES = {
    "resnet.": "",
    "transformer.embedding": "embedding",
    "transformer.position": "Transformer/posembed_input/pos_embedding",
    "transformer.norm": "Transformer/encoder_norm",
    "transformer.blocks.": "Transformer/encoderblock_",
    ".norm1": "/LayerNorm_0",
    ".attention": "/MultiHeadDotProductAttention_1",
    ".norm2": "/LayerNorm_2",
    ".mlp.dense_": "/MlpBlock_3/Dense_",
}
"""Parts of our names, and what stands for them in the published file; points between names are slashes there."""


class StandardisedConv2d(nn.Conv2d):
    """A convolution without bias whose kernels are brought to mean 0 and variance 1 before use."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, F, h, w)."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        kernel = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return F.conv2d(x, kernel, None, self.stride, self.padding)


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> StandardisedConv2d:
    return StandardisedConv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, channels), channels, eps=1e-6)


class Bottleneck(nn.Module):
    """A residual unit: 1 x 1, 3 x 3 (with the stride) and 1 x 1 convolutions, each normalised."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * channels
        self.conv1, self.gn1 = _conv(in_channels, channels, 1), _norm(channels)
        self.conv2, self.gn2 = _conv(channels, channels, 3, stride), _norm(channels)
        self.conv3, self.gn3 = _conv(channels, out_channels, 1), _norm(out_channels)
        self.changes_shape = stride != 1 or in_channels != out_channels
        if self.changes_shape:
            self.conv_proj = _conv(in_channels, out_channels, 1, stride)
            self.gn_proj = nn.GroupNorm(out_channels, out_channels)  # the published one: a group a channel, eps 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, F, H / stride, W / stride)."""
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        y = self.gn3(self.conv3(y))
        return F.relu(y + (self.gn_proj(self.conv_proj(x)) if self.changes_shape else x))


class ResNetV2(nn.Module):
    """The first three stages of a ResNet-50 with weight-standardised convolutions and group normalisation."""

    def __init__(self, in_channels: int, width: int, units: Sequence[int]) -> None:
        super().__init__()
        self.conv_root, self.gn_root = _conv(in_channels, width, 7, stride=2), _norm(width)
        for stage, count in enumerate(units):
            channels = width * 2**stage
            entering = width if stage == 0 else 2 * channels
            block = nn.Sequential()
            for unit in range(count):
                stride = 2 if unit == 0 and stage > 0 else 1
                block.add_module(f"unit{unit + 1}", Bottleneck(entering, channels, stride))
                entering = 4 * channels
            self.add_module(f"block{stage + 1}", block)
        self.stages = len(units)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, H, W) to features at 1/16 of the size, and the skips at 1/8, 1/4 and 1/2."""
        root = F.relu(self.gn_root(self.conv_root(image)))
        height, width = root.shape[2:]
        x = F.max_pool2d(root, kernel_size=3, stride=2)
        skips = [root]
        for stage in range(1, self.stages):
            x = self.get_submodule(f"block{stage}")(x)
            # The published pooling loses the last row and column where sizes are even: zeros take their place.
            skips.insert(0, F.pad(x, (0, width // 2**stage - x.shape[3], 0, height // 2**stage - x.shape[2])))
        return self.get_submodule(f"block{self.stages}")(x), skips


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, F) to the same shape."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


def _mlp(hidden: int, inner: int, dropout: float) -> nn.Sequential:
    """Two layers with GELU between them and dropout after both."""
    dense_0, dense_1 = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
    for layer in (dense_0, dense_1):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(layer.bias, std=1e-6)
    first = {"dense_0": dense_0, "gelu": nn.GELU(), "dropout_0": nn.Dropout(dropout)}
    return nn.Sequential(OrderedDict({**first, "dense_1": dense_1, "dropout_1": nn.Dropout(dropout)}))


class Block(nn.Module):
    """Attention, then MLP, each on normalised tokens and added to what came in."""

    def __init__(self, hidden: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(hidden, eps=1e-6), Attention(hidden, heads)
        self.norm2, self.mlp = nn.LayerNorm(hidden, eps=1e-6), _mlp(hidden, inner, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, F) to the same shape."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A vision transformer on a map of features: every position is a token.

    Args:
        in_channels: channels of the map.
        grid: (h, w) on which positions are learnt; on maps of another size they are interpolated.
        hidden: F, features of a token.
        layers: number of blocks.
        heads: of the attention; a divisor of `hidden`.
        inner: features between the two layers of an MLP.
        dropout: of the embedding and of the MLPs.
    """

    def __init__(
        self, in_channels: int, grid: tuple[int, int], hidden: int, layers: int, heads: int, inner: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(in_channels, hidden, kernel_size=1)
        self.position = nn.Parameter(torch.zeros(1, hidden, *grid))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(hidden, heads, inner, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to normalised tokens as a map (N, F, h, w)."""
        height, width = x.shape[2:]
        x = self.embedding(x) + resized(self.position, (height, width))
        tokens = self.norm(self.blocks(self.dropout(x.flatten(2).transpose(1, 2))))
        out: Tensor = tokens.transpose(1, 2).unflatten(2, (height, width))
        return out


class TransUNet(nn.Module):
    """TransUNet with the R50+ViT-B/16 encoder; the features are the transformer's normalised output.

    Images must be multiples of 16 pixels. With the defaults it has 105.3 M parameters at nine classes.

    Args:
        in_channels: channels of an image; one is repeated to three.
        out_channels: K classes.
        image_size: (H, W) pixels on whose grid positions are learnt; on others they are interpolated.
        width: channels of the ResNet's root; less than the published 64 makes a small network.
        units: units of each block of the ResNet.
        hidden: features of a token.
        layers: blocks of the transformer.
        heads: heads of the attention, a divisor of `hidden`.
        inner: features between the two layers of an MLP.
        dropout: of the transformer's embedding and MLPs.
        head_channels: channels between transformer and decoder.
        decoder_channels: channels of the four stages of the decoder; the first three receive skips.

    References:
        Chen et al., "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation", 2021, arXiv
        2102.04306. The published code learns positions on the training grid only; ours may be used on others.

    Example:
        >>> small = TransUNet(1, 3, (64, 64), width=4, units=(1, 1, 1), hidden=8, layers=1, heads=2, inner=16)
        >>> small(torch.zeros(2, 1, 64, 32)).shape
        torch.Size([2, 3, 64, 32])
    """

    feature_layer = "transformer"
    published_suffix = ".npz"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int] = (224, 224),
        width: int = 64,
        units: Sequence[int] = (3, 4, 9),
        hidden: int = 768,
        layers: int = 12,
        heads: int = 12,
        inner: int = 3072,
        dropout: float = 0.1,
        head_channels: int = 512,
        decoder_channels: Sequence[int] = (256, 128, 64, 16),
    ) -> None:
        super().__init__()
        grid = (image_size[0] // 16, image_size[1] // 16)
        self.resnet = ResNetV2(3 if in_channels == 1 else in_channels, width, units)
        self.transformer = Transformer(16 * width, grid, hidden, layers, heads, inner, dropout)
        self.head = conv_norm_relu(hidden, head_channels)
        upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.decoder = Decoder(head_channels, [8 * width, 4 * width, width], decoder_channels, out_channels, upsample)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K, H, W)."""
        if image.shape[1] == 1:
            image = image.expand(-1, 3, -1, -1)
        x, skips = self.resnet(image)
        logits: Tensor = self.decoder(self.head(self.transformer(x)), skips)
        return logits

    def load_published(self, path: Path) -> None:
        """Copy the published weights of R50+ViT-B/16 into ResNet and transformer.

        Position embeddings are interpolated to the grid, the class token's left out. The first layer is spread over
        images of neither one nor three channels.

        Args:
            path: the JAX weights `R50+ViT-B_16.npz`.

        Raises:
            ConfigError: if weights are missing or have another shape.
        """
        ours = {published_name(n): p for n, p in self.named_parameters() if n.startswith(("resnet.", "transformer."))}
        fill(path, ours, read_npz(path), _converted)


def published_name(name: str) -> str:
    """What a parameter of `TransUNet` is called in the published file.

    Example:
        >>> published_name("transformer.blocks.0.attention.query.weight")
        'Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel'
        >>> published_name("resnet.block1.unit1.gn_proj.weight")
        'block1/unit1/gn_proj/scale'
    """
    module, _, leaf = name.rpartition(".")
    if leaf == "weight":
        is_norm = module.rpartition(".")[2].startswith(("norm", "gn"))
        name = f"{module}.{'scale' if is_norm else 'kernel'}"
    for ours, theirs in PUBLISHED_NAMES.items():
        name = name.replace(ours, theirs)
    return name.replace(".", "/")


def resized(position: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embeddings (1, F, h, w) on another grid, corners on corners, as the published code brings them there."""
    if position.shape[2:] == grid:
        return position
    return F.interpolate(position, grid, mode="bilinear", align_corners=True)


def _converted(name: str, array: NDArray[Any], place: Tensor) -> Tensor:
    """A published array in PyTorch's layout: HWIO to OIHW, (in, heads, out) to (out, in), tokens to a map."""
    value = torch.from_numpy(array)
    if name.endswith("pos_embedding"):
        tokens = value[:, value.shape[1] - int(value.shape[1] ** 0.5) ** 2 :]  # one more than a square: a class token
        side = int(tokens.shape[1] ** 0.5)
        value = resized(tokens.transpose(1, 2).reshape(1, -1, side, side), (place.shape[2], place.shape[3]))
    elif name.endswith("kernel") and value.ndim == 4:
        value = value.permute(3, 2, 0, 1)
        if name.startswith("conv_root"):
            value = first_kernel(value, place.shape[1])
    elif name.endswith("kernel") and value.numel() == place.numel():
        value = value.reshape(place.shape[1], place.shape[0]).T
    elif value.numel() == place.numel():
        value = value.reshape(place.shape)  # the norms of the ResNet are (1, 1, 1, C) there
    return value
