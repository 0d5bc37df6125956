"""The paper's UNet: a ResNet-34 in torchvision's layout as the encoder of a UNet."""

from collections.abc import Sequence
from pathlib import Path

from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from adawac.networks.decoder import Decoder
from adawac.networks.published import fill, first_kernel, read_state_dict


class ResNetUNet(nn.Module):
    """A UNet whose encoder is a ResNet-34; the features are the encoder's last.

    Images must be multiples of 32 pixels. 24.4 M parameters with three channels.

    Args:
        in_channels: channels of an image.
        out_channels: K classes.
        width: channels of the encoder's first stage; 64 is the published one, less makes a small network.
        units: residual blocks of each stage of the encoder, the published (3, 4, 6, 3) of ResNet-34.
        decoder_channels: channels of the five stages of the decoder.

    References:
        He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016; Ronneberger, Fischer, Brox,
        "U-Net", MICCAI 2015; this pairing is the UNet of Dong, Xie, Ward, ICML 2023.

    Example:
        >>> import torch
        >>> network = ResNetUNet(1, 3, width=4, units=(1, 1, 1, 1), decoder_channels=(8, 8, 4, 4, 4))
        >>> network(torch.zeros(2, 1, 32, 64)).shape
        torch.Size([2, 3, 32, 64])
    """

    feature_layer = "encoder.layer4"
    published_suffix = ".pth"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        units: Sequence[int] = (3, 4, 6, 3),
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
    ) -> None:
        super().__init__()
        stages = [width, 2 * width, 4 * width, 8 * width]
        # MONAI's default for a shortcut's convolution has a bias, torchvision's has none.
        self.encoder = ResNet(
            "basic",
            list(units),
            stages,
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.decoder = Decoder(
            stages[-1], [*stages[-2::-1], width], decoder_channels, out_channels, nn.Upsample(scale_factor=2)
        )

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K, H, W)."""
        encoder = self.encoder
        skips = [encoder.act(encoder.bn1(encoder.conv1(image)))]
        x = encoder.maxpool(skips[0])
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3):
            x = stage(x)
            skips.append(x)
        logits: Tensor = self.decoder(encoder.layer4(x), skips[::-1])
        return logits

    def load_published(self, path: Path) -> None:
        """Copy torchvision's weights of ResNet-34 into the encoder.

        The first layer is summed over its channels for images of one; the classifier `fc` is left out.

        Args:
            path: a state dict such as torchvision's `resnet34-b627a593.pth`.

        Raises:
            ConfigError: if weights are missing or have another shape.
        """
        # Counters of batches seen, which older files lack, change nothing at a fixed momentum.
        ours = {name: own for name, own in self.encoder.state_dict().items() if not name.endswith("batches_tracked")}
        fill(path, ours, read_state_dict(path), _converted)


def _converted(name: str, value: Tensor, place: Tensor) -> Tensor:
    """A published weight, the first kernel for as many channels as images have."""
    return first_kernel(value, place.shape[1]) if name == "conv1.weight" and value.ndim == 4 else value
