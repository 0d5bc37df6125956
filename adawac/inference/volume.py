"""A volume in, its label volume out, on the native grid."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adawac.data.grid import Placement
from adawac.data.unit_kinds import SINGLE_SLICE, UnitKind
from adawac.networks.adapter import logits_of


def predict_volume(
    network: nn.Module,
    image: Tensor,
    placement: Placement,
    unit: UnitKind = SINGLE_SLICE,
    batch_size: int = 32,
    flip_left_right: bool = False,
    mirror_table: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """Predict the class of every voxel of a volume.

    What lies outside of the training grid is background.

    Args:
        network: what it is shown of N units, such as (N, C, h, w), in, `adawac.types.NetworkOutput` or logits
            out; in eval mode, on any device.
        image: (C, S, h, w) on the training grid.
        placement: where the training grid lies in the native plane.
        unit: what the network is shown of a volume at a time.
        batch_size: slices a forward pass, at least 1.
        flip_left_right: average with the prediction of the slice mirrored along its width.
        mirror_table: for each class its mirror image, applied to mirrored predictions; None keeps the classes.

    Returns:
        (S, H, W) uint8 class indices.

    Example:
        >>> from adawac.networks import NetworkSpec
        >>> spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
        >>> network = spec.build(in_channels=1, num_classes=3).eval()
        >>> place = Placement(plane=(20, 30), size=(16, 16), box=(0.0, 20.0, 0.0, 30.0))
        >>> predict_volume(network, torch.zeros(1, 5, 16, 16), place).shape
        (5, 20, 30)
    """
    parts = probabilities_of(network, image, unit, batch_size, flip_left_right, mirror_table)
    return np.concatenate([placement.classes_to_native(part) for part in parts])


@torch.no_grad()
def probabilities_of(
    network: nn.Module,
    image: Tensor,
    unit: UnitKind = SINGLE_SLICE,
    batch_size: int = 32,
    flip_left_right: bool = False,
    mirror_table: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Class probabilities on the training grid, a batch of slices after the other.

    They, not classes, are to be brought back to the native grid, so that edges fall between training pixels where they
    belong.

    Args:
        network: as for `predict_volume`, and so are the others.
        image: (C, S, h, w).
        unit: see there.
        batch_size: slices a forward pass.
        flip_left_right: whether to average with mirrored slices.
        mirror_table: for each class its mirror image.

    Yields:
        (n, K, h, w) float32 on the network's device.
    """
    device = next(network.parameters()).device

    def predict(images: Tensor) -> Tensor:
        images = images.to(device, torch.float32)
        probabilities: Tensor = logits_of(network(images)).float().softmax(1)
        if flip_left_right:
            mirrored = logits_of(network(images.flip(-1))).float().softmax(1).flip(-1)
            if mirror_table is not None:
                mirrored = mirrored[:, list(mirror_table)]
            probabilities = (probabilities + mirrored) / 2
        return probabilities

    for probabilities in unit.probabilities(predict, image, batch_size):
        yield probabilities.to(device)
