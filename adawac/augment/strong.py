"""Strong views: wider ranges, lower resolution, and pieces of other samples of the batch."""

import copy
import logging

import torch
from torch import Tensor

from adawac.augment import intensity
from adawac.augment.chance import Chance
from adawac.augment.randomness import Source, Stream
from adawac.augment.samples import change_samples
from adawac.augment.views import Augmentation, RandomAugmentation
from adawac.errors import ConfigError
from adawac.types import View

log = logging.getLogger(__name__)

CUT_MIX = 0.7
"""Probability of a box."""


class StrongAugmentation(RandomAugmentation):
    """`RandomAugmentation` at wider ranges, with low resolution and CutMix, for data of few annotated patients.

    Last of all a sample may get a box of another sample of the batch, image and label alike, ignored voxels among
    them. The box has the plane's proportions (a patch's, too) and covers a share of it that is uniform between 0 and 1;
    its place is uniform. The other sample is the next of the batch, and in the same view: so this view depends on the
    batch, on several processes on the part of it that a process has.

    Args:
        cut_mix: probability of the box; None: `CUT_MIX`, or none where two views of one sample are compared.
        low_resolution: size of the reduced image over that of the whole, above 0 to 1.
        options: see `RandomAugmentation`. Ranges that are not given here are wider than there: those of nnU-Net's
            training augmentation for brightness (there a factor), contrast, gamma and blur.

    Raises:
        ConfigError: as `RandomAugmentation`; for a `cut_mix` that is no probability, a `low_resolution` beyond 1.

    References:
        Yun et al., "CutMix", ICCV 2019; French et al., "Semi-supervised semantic segmentation needs strong, varied
        perturbations", BMVC 2020; the ranges: Isensee et al., "nnU-Net", Nature Methods 2021, supplement.

    Example:
        >>> augment = StrongAugmentation(cut_mix=1.0)
        >>> image, label = torch.rand(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
        >>> augment(image, label, torch.arange(2), seed=0, epoch=0, view=0).image.shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        cut_mix: float | None = None,
        low_resolution: Chance = Chance(0.25, 0.5, 1.0),
        noise: Chance = Chance(0.3, 0.0, 0.2),
        blur: Chance = Chance(0.2, 0.5, 1.0),
        brightness: Chance = Chance(0.5, -0.3, 0.3),
        contrast: Chance = Chance(0.5, 0.65, 1.5),
        **options: Chance | float | int,
    ) -> None:
        super().__init__(noise=noise, blur=blur, brightness=brightness, contrast=contrast, **options)  # type: ignore[arg-type]
        if not 0 <= (cut_mix or 0) <= 1:
            raise ConfigError(f"cut_mix {cut_mix} is not a probability; give a number from 0 to 1")
        if not 0 < low_resolution.low <= low_resolution.high <= 1:
            raise ConfigError(
                f"low_resolution from {low_resolution.low} to {low_resolution.high}: give a range above 0, to 1 at most"
            )
        self.cut_mix = CUT_MIX if cut_mix is None else cut_mix
        self.mixes_anyway = cut_mix is not None
        self.low_resolution = low_resolution

    def change_intensity(self, image: Tensor, source: Source) -> Tensor:
        """As `RandomAugmentation`, then the resolution."""
        image = super().change_intensity(image, source)
        if self.low_resolution.probability == 0:
            return image
        gate, position = source.uniform(Stream.LOW_RESOLUTION, 2).unbind(1)
        zoom = self.low_resolution.draw(gate, position, 1.0)
        return change_samples(zoom < 1, intensity.low_resolution, image, zoom)

    def draw(self, image: Tensor, label: Tensor, source: Source) -> View:
        """As `RandomAugmentation`, then the boxes; each view's from its own samples."""
        view = super().draw(image, label, source)
        if self.cut_mix == 0 or len(source.index) < 2:
            return view
        draws = source.uniform(Stream.MIX, 2 + view.label.ndim - 1)
        gate, share, corner = draws[:, 0], draws[:, 1], draws[:, 2:]
        box = _boxes(share * (gate < self.cut_mix), corner, view.label.shape[1:])
        views = len(source.views)
        other = torch.arange(len(view.label), device=image.device).view(views, -1).roll(-1, dims=1).flatten()
        with torch.no_grad():
            mixed = torch.where(box[:, None], view.image[other], view.image)
            return View(mixed, torch.where(box, view.label[other], view.label), view.affine)


def comparable(augmentation: Augmentation, uses_consistency: bool) -> Augmentation:
    """The augmentation, without pieces of other samples where features of two views of one sample are compared.

    Raises:
        ConfigError: if somebody has asked for such pieces.
    """
    if not uses_consistency or not isinstance(augmentation, StrongAugmentation) or augmentation.cut_mix == 0:
        return augmentation
    if augmentation.mixes_anyway:
        raise ConfigError(
            f"model.augmentation mixes samples (cut_mix {augmentation.cut_mix:g}), but model.weighting compares two "
            "views of one sample; set cut_mix to 0, or take a weighting without consistency (ERM, Pair)"
        )
    log.info("views hold no pieces of other samples (CutMix): model.weighting compares two views of one")
    without = copy.copy(augmentation)
    without.cut_mix = 0.0
    return without


def _boxes(share: Tensor, corner: Tensor, shape: torch.Size) -> Tensor:
    """(B, ...) True within a box that covers a share (B,) of a sample, at a corner (B, axes) in [0, 1) of its room."""
    side = share ** (1 / len(shape))
    inside = torch.ones(len(share), *shape, dtype=torch.bool, device=share.device)
    for axis, extent in enumerate(shape):
        length = (side * extent).round()
        first = (corner[:, axis] * (extent - length + 1)).floor()
        place = torch.arange(extent, device=share.device)
        within = (place >= first[:, None]) & (place < (first + length)[:, None])
        inside &= within.view(len(share), *[extent if i == axis else 1 for i in range(len(shape))])
    return inside
