"""From losses of samples and their weights to what is minimised."""

from collections.abc import Sequence

import torch
from torch import Tensor

from adawac.errors import ConfigError
from adawac.processes.distributed import world_size
from adawac.types import SampleLosses, Weights, unlabelled
from adawac.weighting import Weighting


def detached(losses: SampleLosses, labelled: Tensor) -> SampleLosses:
    """The losses without their graph, in float32: what a weighting may see; supervised only where there are labels."""
    consistency = None if losses.consistency is None else losses.consistency.detach().float()
    supervised = losses.supervised.detach().float()
    supervised = torch.where(labelled, supervised.masked_fill(supervised.isnan(), torch.inf), torch.nan)
    return SampleLosses(losses.index, supervised, consistency, losses.dense)


def over_scales(losses: Sequence[Tensor]) -> Tensor:
    """One loss of those of several scales, the finest first: each counts half of the one before, as in nnU-Net.

    Args:
        losses: one of any shape, the same, a scale.

    References:
        Isensee et al., "nnU-Net", Nature Methods 18, 2021, supplement.

    Example:
        >>> over_scales([torch.tensor(1.0), torch.tensor(4.0)])  # (1 * 1 + 4 / 2) / (1 + 1 / 2)
        tensor(2.)
    """
    weights = [0.5**i / (2 - 0.5 ** (len(losses) - 1)) for i in range(len(losses))]
    return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum(0)


def weights_of(weighting: Weighting, losses: SampleLosses) -> Weights:
    """What a method gives for a batch: one number a sample, for any other shape would weigh all alike in silence.

    Raises:
        ConfigError: it is something else.
    """
    given: object = weighting.step(losses)
    parts = [part for part in given if part is not None] if isinstance(given, Weights) else [given]
    if isinstance(given, Weights) and all(
        isinstance(part, Tensor) and part.shape == losses.index.shape for part in parts
    ):
        return given
    said = " and ".join(f"{type(part).__name__} of {list(getattr(part, 'shape', ()))}" for part in parts)
    raise ConfigError(
        f"{type(weighting).__name__}.step gives {type(given).__name__} ({said}) for {len(losses.index)} samples; give "
        f"adawac.Weights of tensors of shape ({len(losses.index)},)"
    )


def mean_of_views(losses: Tensor, label: Tensor, views: int) -> tuple[Tensor, Tensor]:
    """The mean loss of each sample over its views that have a label; one without is no 0 to be averaged.

    Args:
        losses: (views * b,) of all samples in one view, then in the next.
        label: (views * b, ...) of these.
        views: of each sample.

    Returns:
        (b,) means, and (b,) which samples have a labelled view.

    Raises:
        ConfigError: if the losses are not one a sample.
    """
    if not torch.compiler.is_compiling() and losses.shape != label.shape[:1]:
        raise ConfigError(
            f"model.supervised gives losses of shape {list(losses.shape)} for {len(label)} samples; give one a sample, "
            "the mean over its pixels"
        )
    seen = (~unlabelled(label)).view(views, -1)
    total = torch.where(seen, losses.view(views, -1), 0).sum(0)
    return total / seen.sum(0).clamp(min=1), seen.any(0)


def weighted_sum(
    supervised: Tensor,
    consistency: Tensor | None,
    weights: Weights,
    batch: SampleLosses,
    labelled: Tensor,
    taught: Tensor,
) -> Tensor:
    """The weighted losses of this process's share of a batch, so that the mean over processes is that of the batch.

    Either loss's mean is over the samples of the batch that have it: those without a label thin nothing out. What is
    learnt from a teacher's labels is a third mean, over all samples without a label of their own.

    Args:
        supervised: (b,) supervised losses of the share, with their graph.
        consistency: (b,) consistency losses, or None.
        weights: of the share.
        batch: losses of the B samples of all processes.
        labelled: (b,) which samples of the share have a supervised loss from a label of their own.
        taught: (b,) which have one from a teacher's.

    Returns:
        () to be minimised.
    """
    total = len(batch.index)
    counted = (~batch.supervised.isnan()).sum()
    weighted = torch.where(labelled, weights.supervised, 0) * supervised * (total / counted.clamp(min=1))
    weighted = weighted + torch.where(taught, supervised, 0) * (total / (total - counted).clamp(min=1))
    if consistency is not None and weights.consistency is not None:
        weighted = weighted + weights.consistency * consistency
    loss: Tensor = weighted.sum() * world_size() / total
    return loss
