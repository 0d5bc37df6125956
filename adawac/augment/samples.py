"""Treat some samples of a batch one way and the others another."""

from collections.abc import Callable

import torch
from torch import Tensor


def where_samples(
    mask: Tensor, then: Callable[..., Tensor], otherwise: Callable[..., Tensor], *tensors: Tensor
) -> Tensor:
    """Apply `then` to the samples of `mask` and `otherwise` to the rest.

    On a CPU each function sees only its own samples. On an accelerator, where the host would have to wait to
    learn which they are, both see the whole batch and the results are put together.

    Args:
        mask: (B,) bool.
        then: takes `tensors`, or the same rows of each, and treats every sample for itself.
        otherwise: likewise, with a result of the same shape and dtype.
        tensors: (B, ...) each.

    Returns:
        (B, ...).

    Example:
        >>> where_samples(torch.tensor([True, False]), torch.neg, torch.clone, torch.tensor([1, 2]))
        tensor([-1,  2])
    """
    if mask.device.type != "cpu":
        first, second = then(*tensors), otherwise(*tensors)
        return torch.where(mask.reshape(-1, *[1] * (first.ndim - 1)), first, second)
    chosen, others = mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]
    if len(others) == 0:
        return then(*tensors)
    if len(chosen) == 0:
        return otherwise(*tensors)
    first = then(*(tensor[chosen] for tensor in tensors))
    result = first.new_empty(len(mask), *first.shape[1:])
    result[chosen] = first
    result[others] = otherwise(*(tensor[others] for tensor in tensors))
    return result


def change_samples(mask: Tensor, effect: Callable[..., Tensor], image: Tensor, *parameters: Tensor) -> Tensor:
    """Apply an effect to the samples of `mask` and leave the others; as `where_samples`, copying none of these.

    Args:
        mask: (B,) bool.
        effect: takes `image` and `parameters`, or the same rows of each, and treats every sample for itself.
        image: (B, ...); on a CPU changed in place.
        parameters: (B, ...) each.

    Returns:
        (B, ...).

    Example:
        >>> change_samples(torch.tensor([True, False]), torch.mul, torch.tensor([1, 2]), torch.tensor([5, 5]))
        tensor([5, 2])
    """
    if mask.device.type != "cpu":
        return torch.where(mask.reshape(-1, *[1] * (image.ndim - 1)), effect(image, *parameters), image)
    chosen = mask.nonzero()[:, 0]
    if len(chosen) == 0:
        return image
    if len(chosen) == len(mask):
        return effect(image, *parameters)
    return image.index_copy_(0, chosen, effect(*(tensor[chosen] for tensor in (image, *parameters))))
