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
