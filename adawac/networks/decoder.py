"""The decoder that TransUNet and the ResNet UNet share: up by two, join the skip, convolve twice."""

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn


def conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3 x 3 convolution without bias, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class UpBlock(nn.Module):
    """One stage: twice the size, the skip joined, two convolutions.

    Args:
        in_channels: channels of what comes from below.
        skip_channels: channels of the skip, 0 for none.
        out_channels: channels of the result.
        upsample: doubles the size.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, upsample: nn.Module) -> None:
        super().__init__()
        self.upsample = upsample
        self.conv1 = conv_norm_relu(in_channels + skip_channels, out_channels)
        self.conv2 = conv_norm_relu(out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(N, C, h, w) and (N, S, 2h, 2w) to (N, F, 2h, 2w)."""
        x = self.upsample(x)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        out: Tensor = self.conv2(self.conv1(x))
        return out


class Decoder(nn.Module):
    """Stages from the deepest features up to logits on the image's grid.

    Args:
        in_channels: channels of the deepest features.
        skip_channels: channels of the skips, deepest first; the last stages have none.
        channels: channels of each stage.
        out_channels: K classes.
        upsample: doubles the size; without parameters, as all stages share it.

    Example:
        >>> double = nn.Upsample(scale_factor=2)
        >>> decoder = Decoder(8, skip_channels=[4], channels=[6, 2], out_channels=3, upsample=double)
        >>> decoder(torch.zeros(1, 8, 4, 4), [torch.zeros(1, 4, 8, 8)]).shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: Sequence[int],
        channels: Sequence[int],
        out_channels: int,
        upsample: nn.Module,
    ) -> None:
        super().__init__()
        entering = [in_channels, *channels[:-1]]
        skips = [*skip_channels, *[0] * (len(channels) - len(skip_channels))]
        self.blocks = nn.ModuleList(
            UpBlock(below, skip, out, upsample) for below, skip, out in zip(entering, skips, channels, strict=True)
        )
        self.head = nn.Conv2d(channels[-1], out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """The logits.

        Args:
            x: (N, C, h, w) deepest features.
            skips: (N, S, 2h, 2w), (N, S', 4h, 4w), ...

        Returns:
            (N, K, H, W), twice as large as x for every stage.
        """
        for block, skip in zip_longest(self.blocks, skips):
            x = block(x, skip)
        logits: Tensor = self.head(x)
        return logits
