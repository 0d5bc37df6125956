"""What flows between the packages: batches, views, losses and weights of samples.

Shapes use B for samples of a batch, C for channels, K for classes (background included) and H, W for the plane
(D, H, W for three-dimensional units).
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from adawac.errors import DataError

IGNORE_INDEX = 255
"""Label value that is left out of every loss and every metric; no class index is greater."""


def unlabelled(label: Tensor) -> Tensor:
    """(B,) True for samples of which no pixel is labelled.

    By the least index of a sample: to compare pixel by pixel takes a CPU as long as to interpolate the image.

    Args:
        label: (B, ...) class indices.

    Example:
        >>> unlabelled(torch.tensor([[[255, 255]], [[255, 0]]]))
        tensor([ True, False])
    """
    return label.flatten(1).amin(1) == IGNORE_INDEX


def check_label(image: Tensor, label: Tensor, channels: bool = False) -> None:
    """Hold a label against an image, or logits: of another shape it would be learnt from at other pixels, in silence.

    Args:
        image: (B, C, H, W) or (B, C, D, H, W).
        label: (B, H, W) or (B, D, H, W).
        channels: whether (B, 1, H, W) will do, too.

    Raises:
        DataError: if it has another shape.
    """
    if torch.compiler.is_compiling():  # where sizes may be symbols, which this would fix
        return
    shapes = [(len(image), *image.shape[2:])] + channels * [(len(image), 1, *image.shape[2:])]
    if tuple(label.shape) not in shapes:
        raise DataError(
            f"a batch of shape {tuple(image.shape)} (samples, channels, pixels) has a label of shape "
            f"{tuple(label.shape)}; give {shapes[0]}, a class a pixel (label[:, 0] of one with a channel)"
        )


class Batch(NamedTuple):
    """Units of the training set, on the training grid.

    Attributes:
        image: (B, C, H, W) float, windowed or normalised; patches (B, C, D, H, W).
        label: (B, H, W) integer class indices, 0 is background, `IGNORE_INDEX` is left out.
        index: (B,) int64 row of each sample in the table of training units.
        dense: (B,) bool, True where the original unit holds any foreground (label-dense).
    """

    image: Tensor
    label: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    dense: Tensor


class View(NamedTuple):
    """One random augmentation of a batch.

    Attributes:
        image: (B, C, H, W) float.
        label: (B, H, W) integer, transformed alike.
        affine: (B, 2, 3) float32, of patches (B, 3, 4), the affine part of the warp in the convention of
            `torch.nn.functional.affine_grid`: it maps output (view) to input (batch) coordinates in [-1, 1].
    """

    image: Tensor
    label: Tensor
    affine: Tensor


class NetworkOutput(NamedTuple):
    """What a network returns.

    Attributes:
        logits: (N, K, H, W).
        features: one (N, F, h, w) a feature layer; by default there is one, the deepest of the encoder.
        coarser: logits of earlier stages of a decoder, (N, K, H, W) each, the finest first: of networks with deep
            supervision, while they train.
    """

    logits: Tensor
    features: tuple[Tensor, ...]
    coarser: tuple[Tensor, ...] = ()

    def chunk(self, views: int) -> "tuple[NetworkOutput, ...]":
        """The outputs of views that went through the network in one batch, (views * B, ...), apart."""
        features = zip(*(layer.chunk(views) for layer in self.features), strict=True)
        return tuple(NetworkOutput(*output) for output in zip(self.logits.chunk(views), features, strict=True))


class _SampleLosses(NamedTuple):
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    supervised: Tensor
    consistency: Tensor | None
    dense: Tensor


class SampleLosses(_SampleLosses):
    """Losses of every sample of a batch, before they are weighted.

    Attributes:
        index: (B,) int64 row of each sample in the table of training units.
        supervised: (B,) supervised loss, such as the cross-entropy, averaged over the pixels of a sample that have a
            label, and over its views that have such pixels. NaN where there is none: nothing is known of the sample;
            infinite where it is not finite.
        consistency: (B,) consistency loss between the two views, lambda_ac included; None with one view.
        dense: (B,) bool, True for label-dense samples.

    Raises:
        DataError: if these are not one number a sample, or the rows no whole numbers.
    """

    __slots__ = ()

    def __new__(cls, index: Tensor, supervised: Tensor, consistency: Tensor | None, dense: Tensor) -> "SampleLosses":
        """Losses that are one a sample: of other shapes each sample would get what is of another, or of all."""
        given = {"index": index, "supervised": supervised, "consistency": consistency, "dense": dense}
        for name, each in given.items():
            if not isinstance(each, Tensor) and (each is not None or name != "consistency"):
                raise DataError(f"{name} is of type {type(each).__name__}; give a tensor, as by torch.as_tensor")
        shapes = [list(each.shape) for each in given.values() if each is not None]
        if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
            raise DataError(
                f"losses of samples have the shapes {shapes}; give index, supervised, consistency and dense one number "
                'a sample, (B,) each (cross_entropy(..., reduction="none").flatten(1).mean(1))'
            )
        if index.dtype == torch.bool or index.is_floating_point():
            raise DataError(f"index is {index.dtype}; give the row of each sample, whole numbers from 0")
        return super().__new__(cls, index.long(), supervised, consistency, dense)

    @property
    def ce(self) -> Tensor:
        """Deprecated name of `supervised`."""
        warnings.warn("SampleLosses.ce is called SampleLosses.supervised now; write that", FutureWarning, stacklevel=2)
        return self.supervised


class _Weights(NamedTuple):
    supervised: Tensor
    consistency: Tensor | None


class Weights(_Weights):
    """What each sample contributes to the loss.

        loss = mean(weights.supervised * losses.supervised) + mean(weights.consistency * losses.consistency)

    Either mean is over the samples that have such a loss.

    Attributes:
        supervised: (B,) weight of the supervised loss; of no effect where there is none.
        consistency: (B,) weight of the consistency loss; None where the method uses none.
    """

    __slots__ = ()

    def __new__(
        cls, supervised: Tensor | None = None, consistency: Tensor | None = None, *, ce: Tensor | None = None
    ) -> "Weights":
        """Make weights; `ce` is a deprecated name of `supervised`."""
        if ce is not None:
            warnings.warn(
                "Weights(ce=...) is called Weights(supervised=...) now; write that", FutureWarning, stacklevel=2
            )
            supervised = ce
        if supervised is None:
            raise TypeError("Weights() needs the weights of the supervised losses: Weights(supervised=...)")
        return super().__new__(cls, supervised, consistency)

    @property
    def ce(self) -> Tensor:
        """Deprecated name of `supervised`."""
        warnings.warn("Weights.ce is called Weights.supervised now; write that", FutureWarning, stacklevel=2)
        return self.supervised


class StepOutput(NamedTuple):
    """What a training step finds out about its batch.

    Attributes:
        loss: () to be minimised.
        dice: () Dice loss of the batch.
        supervised: (B,) supervised losses, as in `SampleLosses`.
        consistency: (B,) consistency losses; None with one view.
        features: (views * B, F, h, w) of the last feature layer.
    """

    loss: Tensor
    dice: Tensor
    supervised: Tensor
    consistency: Tensor | None
    features: Tensor
