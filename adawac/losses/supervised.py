"""Supervised losses: cross-entropy, focal and Dice for every sample, Dice for the whole batch.

All are computed in float32 whatever the precision of the logits, in two or three dimensions, and leave the
pixels of `IGNORE_INDEX` out.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from adawac.errors import ConfigError
from adawac.types import IGNORE_INDEX, check_label

SMOOTH = 1e-5
"""Added to both sides of a Dice: an absent class that is not predicted costs nothing."""


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of every sample, averaged over its pixels.

    Args:
        logits: (B, K, H, W) or (B, K, D, H, W).
        label: (B, H, W) or (B, D, H, W) integer classes.

    Returns:
        (B,) float32, 0 for a sample without a pixel to learn from.

    Example:
        >>> logits, label = torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long)
        >>> cross_entropy(logits, label)
        tensor([1.3863, 1.3863])
    """
    return _mean_of_valid(_cross_entropies(logits, label), label)


def focal_loss(logits: Tensor, label: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss of every sample: cross-entropy that fades out where the right class is already likely.

    Args:
        logits: (B, K, H, W) or (B, K, D, H, W).
        label: (B, H, W) or (B, D, H, W) integer classes.
        gamma: at least 0; 0 is the cross-entropy.

    Returns:
        (B,) float32, 0 for a sample without a pixel to learn from.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4.

    Example:
        >>> logits, label = torch.zeros(1, 2, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
        >>> focal_loss(logits, label, gamma=2.0)  # (1 - 1/2)^2 log 2
        tensor([0.1733])
    """
    ce = _cross_entropies(logits, label)
    # 1 - p by expm1 keeps its digits where p is nearly 1; the clamp keeps the power's gradient finite at 0.
    miss = (-torch.expm1(-ce)).clamp(min=torch.finfo(ce.dtype).tiny)
    return _mean_of_valid(miss**gamma * ce, label)


def dice_loss(
    logits: Tensor,
    label: Tensor,
    batch: bool = True,
    smooth: float = SMOOTH,
    ignore_index: int = IGNORE_INDEX,
    views: int = 1,
) -> Tensor:
    """Soft Dice loss with squared sums, background included.

    For every class, 1 - (2 sum(p g) + smooth) / (sum(p^2) + sum(g^2) + smooth), with p the softmax and g the
    one-hot label; then the mean over classes.

    Args:
        logits: (B, K, H, W) or (B, K, D, H, W).
        label: (B, H, W) or (B, D, H, W) integer classes.
        batch: sum over the pixels of the whole batch, of all processes where `torch.distributed` runs (every
            one of them must then call this); False: over each sample on its own, then the mean over those samples
            that have a pixel to learn from.
        smooth: makes an absent class that is not predicted cost nothing.
        ignore_index: label of the pixels that are left out.
        views: batches of B / views samples that follow one another, each with sums of its own; the loss is their
            mean. As many calls would say the same, and take longer: each would cut the gradient out anew.

    Returns:
        Scalar in [0, 1], float32.

    References:
        Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
        Segmentation", 3DV 2016, section 3; over a batch as in the AdaWAC experiments (Dong, Xie, Ward, ICML
        2023).

    Example:
        >>> label = torch.tensor([[[0, 1], [1, 1]]])
        >>> logits = 50.0 * F.one_hot(label).movedim(-1, 1)
        >>> dice_loss(logits, label).item() < 1e-6
        True
    """
    overlap, predicted, labelled = _dice_sums(logits, label, ignore_index)
    size = predicted + labelled
    if batch:
        overlap, size = global_sum(torch.stack([overlap, size]).view(2, views, -1, overlap.shape[1]).sum(2))
    mean = (1 - (2 * overlap + smooth) / (size + smooth)).mean(-1)  # over classes; 0 where all is ignored
    if batch:
        return mean.mean()
    return mean.sum() / labelled.any(1).sum().clamp(min=1)


def dice_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice loss of every sample on its own.

    The Dice loss is the mean over the classes that the sample holds, background included: classes that it does not
    hold would pull on every label-sparse slice. Organs of few pixels, which the cross-entropy hardly notices, weigh as
    much as large ones; so a label-dense slice that is not learnt yet costs much more than a label-sparse one.

    Args:
        logits: (B, K, H, W) or (B, K, D, H, W).
        label: (B, H, W) or (B, D, H, W) integer classes.

    Returns:
        (B,) float32, 0 for a sample without a pixel to learn from.

    Example:
        >>> logits, label = torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 0], [0, 1]]])
        >>> dice_cross_entropy(logits, label)  # log 2, and the mean of 1 - 3 / 4 and 1 - 1 / 2
        tensor([1.0681])
    """
    overlap, predicted, labelled = _dice_sums(logits, label, IGNORE_INDEX)
    present = labelled > 0
    dice = 1 - (2 * overlap + SMOOTH) / (predicted + labelled + SMOOTH)
    mean = (dice * present).sum(1) / present.sum(1).clamp(min=1)
    return cross_entropy(logits, label) + mean


def _dice_sums(logits: Tensor, label: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the pixels of each sample, (B, K) each: of p g, of p^2 and of g."""
    check_label(logits, label, channels=True)
    logits, label = full_precision(logits).flatten(2), label.flatten(1)
    valid = label != ignore_index
    # A compiler shares the logarithms with the cross-entropy; uncompiled they would be one more pass.
    probs = logits.log_softmax(1).exp() if torch.compiler.is_compiling() else logits.softmax(1)
    if logits.device.type == "cpu" and not torch.compiler.is_compiling():
        sums: tuple[Tensor, Tensor, Tensor] = _DiceSums.apply(probs, label, valid)  # type: ignore[no-untyped-call]
        return sums
    classes = torch.arange(logits.shape[1], dtype=label.dtype, device=label.device)[:, None]
    onehot = ((label[:, None] == classes) & valid[:, None]).to(probs.dtype)
    return (probs * onehot).sum(2), (probs.square() * valid[:, None]).sum(2), onehot.sum(2)


class _DiceSums(torch.autograd.Function):
    """The sums of `_dice_sums` on a CPU: labels are looked up, and the gradient by probabilities is written out.

    Of one-hot labels, and of what autograd keeps, every pass would go over all classes, and the loss take three times
    as long. On a GPU the sum of what is looked up depends on the order of threads; there a compiler joins the passes.
    """

    @staticmethod
    def forward(ctx: Any, probs: Tensor, label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = probs if valid.all() else probs * valid[:, None]
        label = torch.where(valid, label, 0).long()
        none = probs.new_zeros(probs.shape[:2])
        overlap = none.scatter_add(1, label, seen.gather(1, label[:, None])[:, 0])
        labelled = none.scatter_add(1, label, valid.to(probs.dtype))
        ctx.save_for_backward(seen, label, valid)
        ctx.mark_non_differentiable(labelled)
        return overlap, torch.linalg.vector_norm(seen, dim=2).square(), labelled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (seen, label, valid), (by_overlap, by_square, _) = ctx.saved_tensors, grads
        looked_up = by_overlap.gather(1, label) * valid
        return (seen * (2 * by_square)[:, :, None]).scatter_add_(1, label[:, None], looked_up[:, None]), None, None


class SupervisedLoss(nn.Module):
    """Base class of the losses that compare logits with a label, sample by sample.

    `forward(logits, label)` maps (B, K, H, W) and (B, H, W) to (B,).
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss of every sample, (B,)."""
        raise NotImplementedError


class CrossEntropy(SupervisedLoss):
    """Pixel-wise cross-entropy; see `cross_entropy`."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss of every sample, (B,)."""
        return cross_entropy(logits, label)


class Focal(SupervisedLoss):
    """Focal loss; see `focal_loss`.

    Args:
        gamma: at least 0; the larger, the less the easy pixels count.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ConfigError(f"focal loss: gamma is {gamma} but must be at least 0; 2 is usual")
        self.gamma = gamma

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss of every sample, (B,)."""
        return focal_loss(logits, label, self.gamma)


class DiceCrossEntropy(SupervisedLoss):
    """Cross-entropy plus a Dice loss of each sample, so that weights steer both; see `dice_cross_entropy`."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss of every sample, (B,)."""
        return dice_cross_entropy(logits, label)


def full_precision(values: Tensor) -> Tensor:
    """In float32, or float64 where they already are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _cross_entropies(logits: Tensor, label: Tensor) -> Tensor:
    """(B, P), of every pixel; 0 where it is ignored."""
    check_label(logits, label, channels=True)
    logits, label = full_precision(logits).flatten(2), label.flatten(1).long()
    return F.cross_entropy(logits, label, ignore_index=IGNORE_INDEX, reduction="none")


def _mean_of_valid(per_pixel: Tensor, label: Tensor) -> Tensor:
    """Mean over the pixels of each sample that are not ignored; those that are hold 0 already."""
    return per_pixel.sum(1) / (label != IGNORE_INDEX).flatten(1).sum(1).clamp(min=1)


class _GlobalSum(torch.autograd.Function):
    """Sum of a tensor over all processes, with gradient.

    Let S = sum_r s_r be the reduced sums and L = f(S) the loss that every one of the R processes holds.
    Autograd asks for the derivative of the sum of all these copies, R L, with respect to s_r: dL/dS summed
    over the processes. So process r finds the parameter gradient R dL/dS ds_r/dtheta, and the MEAN over
    processes, which is what DistributedDataParallel forms, is dL/dS sum_r ds_r/dtheta = dL/dtheta: the
    gradient of one process that held all. (torch.distributed.nn.functional.all_reduce does the same but is
    deprecated since torch 2.13.)
    """

    @staticmethod
    def forward(ctx: FunctionCtx, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Tensor:
        total: Tensor = grad_outputs[0].clone()
        dist.all_reduce(total)
        return total


def global_sum(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes, with gradient; every one of them must call this, with the same shape.

    Args:
        tensor: any shape.

    Returns:
        The sum, or `tensor` itself without `torch.distributed`.

    Example:
        >>> global_sum(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if dist.is_available() and dist.is_initialized():
        return _GlobalSum.apply(tensor)  # type: ignore[no-untyped-call,no-any-return]
    return tensor
