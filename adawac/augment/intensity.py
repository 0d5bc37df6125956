"""Effects on intensities. Each takes its scale from sample and channel, so CT and MR need no other settings.

Images are (B, C, H, W) float32, or (B, C, D, H, W); every effect takes one parameter per sample, (B,), and treats
samples independently.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from adawac.augment.randomness import normal


def add_noise(image: Tensor, sigma: Tensor, keys: Tensor) -> Tensor:
    """Add white Gaussian noise.

    Args:
        image: (B, C, H, W).
        sigma: (B,) standard deviation of the noise, as a fraction of the image's own.
        keys: (B,) int64 of `adawac.augment.randomness`, one for each sample's field of noise.
    """
    field = normal(keys, image[0].numel()).view_as(image)
    return image + field * (_column(sigma, image) * _mean_and_spread(image)[1])


def blur(image: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur by a Gaussian in the plane of the slices, the edge pixels repeated outwards.

    Args:
        image: (B, C, H, W).
        sigma: (B,) in pixels.
        radius: where the kernel is cut off, in pixels, the same for all samples.
    """
    distance = torch.arange(radius + 1, device=image.device)
    kernel = torch.exp(-0.5 * (distance / sigma[:, None].clamp_min(1e-3)) ** 2)
    kernel = kernel / (2 * kernel.sum(1, keepdim=True) - kernel[:, :1])
    shape, image = image.shape, image.flatten(1, -3)  # the slices of a patch as channels
    taps = [_column(tap, image) for tap in kernel.unbind(1)]
    # Two taps at a time on shifted copies: faster than a convolution with a group per sample, and
    # no library picks its algorithm, hence its rounding, by the size of the batch.
    for axis in (2, 3):
        size = image.shape[axis]
        pad = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
        wide = F.pad(image, pad, mode="replicate")
        image = image * taps[0]
        for step in range(1, radius + 1):
            pair = wide.narrow(axis, radius - step, size) + wide.narrow(axis, radius + step, size)
            image.addcmul_(pair, taps[step])
    return image.view(shape)


def shift_window(image: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Change level and width of the intensity window; as there, what leaves the sample's own range saturates.

    Args:
        image: (B, C, H, W).
        brightness: (B,) added, as a fraction of the image's standard deviation.
        contrast: (B,) factor on the distance from the mean.
    """
    space = _space(image)
    lowest, highest = image.amin(space, True), image.amax(space, True)
    mean, spread = _mean_and_spread(image)
    factor = _column(contrast, image)
    offset = mean * (1 - factor) + _column(brightness, image) * spread
    return (image * factor).add_(offset).clamp_(lowest, highest)


def gamma(image: Tensor, exponent: Tensor) -> Tensor:
    """Raise the image, rescaled to 0 to 1 by its own range, to a power, and scale it back.

    Args:
        image: (B, C, H, W); a constant channel stays as it is.
        exponent: (B,) above 0; below 1 brightens, above 1 darkens.
    """
    lowest, highest = image.amin(_space(image), True), image.amax(_space(image), True)
    extent = highest - lowest
    unit = (image - lowest).div_(extent.clamp_min(torch.finfo(image.dtype).tiny))
    return unit.pow_(_column(exponent, image)).mul_(extent).add_(lowest)


def low_resolution(image: Tensor, zoom: Tensor) -> Tensor:
    """Reduce the resolution in the plane of the slices and interpolate back, as if scanned with larger pixels.

    Args:
        image: (B, C, H, W).
        zoom: (B,) size of the reduced image over that of the whole, above 0 to 1.
    """
    for axis in (-2, -1):
        size = image.shape[axis]
        lattice = (torch.arange(size, device=image.device) + 0.5) * zoom[:, None] - 0.5  # (B, size), in reduced pixels
        first = lattice.floor()
        last = (size * zoom[:, None]).ceil() - 1
        near, far = (
            _take(image, (((step.clamp(min=0).minimum(last) + 0.5) / zoom[:, None]).floor()).clamp(max=size - 1), axis)
            for step in (first, first + 1)
        )
        weight = _along(lattice - first, image, axis)
        image = near + weight * (far - near)
    return image


def _take(image: Tensor, position: Tensor, axis: int) -> Tensor:
    """Pixels of each sample at positions (B, size) along an axis."""
    return image.gather(image.ndim + axis, _along(position.long(), image, axis).expand_as(image))


def _along(values: Tensor, image: Tensor, axis: int) -> Tensor:
    """(B, size) with as many axes as the image, along one of them."""
    shape = [1] * image.ndim
    shape[0], shape[axis] = values.shape
    return values.reshape(shape)


def _mean_and_spread(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each sample and channel; torch's own takes many times as long on a CPU."""
    mean = image.mean(_space(image), keepdim=True)
    return mean, (image - mean).square_().mean(_space(image), keepdim=True).sqrt_()


def _column(parameter: Tensor, image: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1), or with as many axes as the image has."""
    return parameter.reshape(-1, *[1] * (image.ndim - 1))


def _space(image: Tensor) -> tuple[int, ...]:
    """All axes but sample and channel."""
    return tuple(range(2, image.ndim))
