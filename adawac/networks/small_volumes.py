"""Convolutions of volumes smaller than their kernel: in float32 on a CPU, whatever the precision of training."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = (F.conv3d, F.conv_transpose3d)


def exact_small_volumes(image: Tensor) -> AbstractContextManager[Any]:
    """Keeps a training step's small convolutions out of autocast, where a CPU gets their gradients wrong.

    With torch 2.13 on a CPU with AVX512-BF16, the weights' gradient of a convolution in bfloat16 is memory that nobody
    has written, finite or not, where a volume is smaller than the kernel: two slices under 3 x 3 x 3, say, as in the
    deepest layers of a network on flat patches. So small, they take as long in float32.

    Args:
        image: what the network is about to see: (N, C, H, W), or (N, C, D, H, W), which alone is concerned.

    Example:
        >>> layer = torch.nn.Conv3d(1, 1, 3, padding=1)
        >>> image = torch.ones(1, 1, 2, 8, 8)
        >>> with torch.autocast("cpu", torch.bfloat16), exact_small_volumes(image):
        ...     layer(image).sum().backward()
        >>> layer.weight.grad[0, 0, 1, 1].tolist()  # how many voxels each of three weights saw
        [112.0, 128.0, 112.0]
    """
    concerned = (
        image.ndim == 5 and image.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    )
    return _ExactSmallVolumes() if concerned else nullcontext()


class _ExactSmallVolumes(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in CONVOLUTIONS and _is_small(*args[:2]):
            with torch.autocast("cpu", enabled=False):
                args = tuple(each.float() if isinstance(each, Tensor) else each for each in args)
                return func(*args, **(kwargs or {})).to(torch.get_autocast_dtype("cpu"))
        return func(*args, **(kwargs or {}))


def _is_small(volume: Tensor, weight: Tensor) -> bool:
    """Whether a volume (..., D, H, W) is smaller than the kernel (..., d, h, w) along any axis."""
    return any(side < kernel for side, kernel in zip(volume.shape[-3:], weight.shape[-3:], strict=True))
