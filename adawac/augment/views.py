"""The augmentations: what is drawn for each sample and view, and in which order it is applied."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from adawac.augment import intensity
from adawac.augment.chance import Chance
from adawac.augment.geometry import Warp, affine_map, is_mirrored, mirror_pairs, swap_sides, symmetries, warp
from adawac.augment.randomness import Source, Stream
from adawac.augment.samples import change_samples
from adawac.errors import ConfigError
from adawac.types import View, check_label

_Self = TypeVar("_Self", bound="Augmentation")


class Augmentation(ABC):
    """Random views of a batch, on the batch's own device.

    A call is a pure function of its arguments: what a sample looks like in (seed, epoch, view) depends
    neither on the rest of the batch nor on any state. Subclasses draw: `draw_warp` always,
    `change_intensity` if they need it.
    """

    _mirror_pairs: tuple[tuple[int, int], ...] = ()
    _left_right_in_plane: bool = True

    def with_mirror(self: _Self, mirror_table: Sequence[int] | None, left_right_in_plane: bool) -> _Self:
        """The same augmentation, that exchanges left and right classes where a view mirrors the patient.

        Args:
            mirror_table: for each of K classes its mirror image (itself if it has no side); None for no
                exchange.
            left_right_in_plane: whether the patient's left-right axis lies in the plane of the samples, as
                in axial and coronal slices; a sagittal slice flips without changing sides, and only where the
                order of a patch's slices is reversed are they exchanged.

        Raises:
            ConfigError: where the table does not swap classes in pairs.
        """
        other = copy.copy(self)
        other._mirror_pairs = mirror_pairs(mirror_table or ())
        other._left_right_in_plane = left_right_in_plane
        return other

    def __call__(self, image: Tensor, label: Tensor, index: Tensor, *, seed: int, epoch: int, view: int) -> View:
        """Draw one view of every sample.

        Args:
            image: (B, C, H, W) float, or patches (B, C, D, H, W); computed in float32 and returned in its own dtype.
            label: (B, H, W) integer class indices, or (B, D, H, W); `adawac.types.IGNORE_INDEX` is carried along.
            index: (B,) int64 row of each sample in the table of training units.
            seed: of the run.
            epoch: counted from 0.
            view: which view, 0 or 1.

        Returns:
            The view, with the affine part of its map.
        """
        return self.draw(image, label, Source(seed, epoch, index, (view,)))

    def draw(self, image: Tensor, label: Tensor, source: Source) -> View:
        """Draw several views of every sample at once, which costs a GPU little more than one.

        Args:
            image: (B, C, H, W) or (B, C, D, H, W), as for a single view.
            label: (B, H, W) or (B, D, H, W), likewise.
            source: of V views.

        Returns:
            V * B samples, all of the first view coming first; each as if it had been drawn alone.

        Raises:
            ConfigError: if slices are to be reversed where a sample is one slice.
            DataError: if the label is not of the image's pixels, without channels.

        Example:
            >>> image, label = torch.rand(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
            >>> index = torch.arange(2)
            >>> views = RandomAugmentation().draw(image, label, Source(seed=0, epoch=0, index=index, views=(0, 1)))
            >>> second = RandomAugmentation()(image, label, index, seed=0, epoch=0, view=1)
            >>> torch.equal(views.image[2:], second.image)
            True
        """
        check_label(image, label)
        count = len(source.views)
        # Autocast would take the maps to bfloat16, which cannot tell pixel 200 from 201.
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            by = self.draw_warp(source, (image.shape[-2], image.shape[-1]))
            if image.ndim == 4 and (by.reverse is not None or by.tilt is not None):
                name, off = ("tilt", "its probability") if by.reverse is None else ("mirror_slices", "it")
                raise ConfigError(f"{name}: a sample is one slice here; set {off} to 0, or train on data.patch")
            picture, target = warp(torch.cat([image.float()] * count), torch.cat([label] * count), by)
            # Slices in reverse order turn the patient upside down and leave a left organ where it is in the plane,
            # unless the slices themselves run from right to left.
            mirrored = is_mirrored(by.affine) if self._left_right_in_plane else by.reverse
            if self._mirror_pairs and mirrored is not None:
                target = swap_sides(target, mirrored, self._mirror_pairs)
            picture = self.change_intensity(picture, source)
            affine = by.affine if image.ndim == 4 else by.in_volume(image.shape[2:])
            return View(picture.to(image.dtype), target, affine)

    @abstractmethod
    def draw_warp(self, source: Source, plane: tuple[int, int]) -> Warp:
        """Draw the spatial map of each sample, for a plane of (H, W) pixels."""

    def change_intensity(self, image: Tensor, source: Source) -> Tensor:
        """Draw and apply the effects on intensities, none by default.

        Args:
            image: (B, C, H, W) or (B, C, D, H, W) float32; may be changed in place.
            source: what to draw from.

        Returns:
            Of the same shape.
        """
        return image


class NoAugmentation(Augmentation):
    """The batch as it is.

    Example:
        >>> image, label = torch.rand(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)
        >>> view = NoAugmentation()(image, label, torch.arange(2), seed=0, epoch=0, view=0)
        >>> torch.equal(view.image, image)
        True
    """

    def draw_warp(self, source: Source, plane: tuple[int, int]) -> Warp:
        """The identity."""
        return Warp(torch.eye(2, 3, device=source.device).repeat(len(source), 1, 1))


class PaperAugmentation(Augmentation):
    """The augmentation of the AdaWAC paper: quarter turns with a flip, or a small rotation.

    With probability 1/2 a random multiple of 90 degrees and then always a flip along a random axis, so that
    left and right organs are mirrored; else a rotation. On a plane that is not square only half turns are
    drawn, because a quarter turn would not fit.

    Args:
        max_degrees: the rotation is drawn uniformly from -max_degrees to max_degrees.

    References:
        Dong, Xie, Ward, ICML 2023, experimental setup, after the augmentation of TransUNet. There the angle
        is a whole number, the image is rotated by nearest neighbour and resampled by splines; here the angle
        is continuous and the image interpolated bilinearly, once.

    Example:
        >>> image, label = torch.rand(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)
        >>> view = PaperAugmentation()(image, label, torch.arange(2), seed=0, epoch=0, view=0)
        >>> view.image.shape, view.label.dtype, view.affine.shape
        (torch.Size([2, 1, 4, 4]), torch.uint8, torch.Size([2, 2, 3]))
    """

    def __init__(self, max_degrees: float = 20.0) -> None:
        self.rotation = Chance(0.5, -max_degrees, max_degrees)

    def draw_warp(self, source: Source, plane: tuple[int, int]) -> Warp:
        """Either a symmetry of the square or a rotation."""
        gate, turn, axis, angle = source.uniform(Stream.GEOMETRY, 4).unbind(1)
        degrees = self.rotation.draw(gate, angle, 0.0)
        flip = gate >= self.rotation.probability
        symmetry = symmetries(_turns(turn, plane) * flip, flip & (axis < 0.5), flip & (axis >= 0.5))
        scale, translation = torch.ones_like(gate), gate.new_zeros(len(gate), 2)
        return Warp(affine_map(symmetry, degrees, scale, translation, plane))


@dataclass(eq=False)
class RandomAugmentation(Augmentation):
    """Spatial and intensity effects, each with a probability and a range; the defaults suit organs in CT.

    A sample is flipped and turned by quarters, rotated, scaled, translated, bent and tilted, in one interpolation;
    then it gets noise, blur, brightness and contrast, and gamma, in this order. Organs with a side want
    `with_mirror` before any flip is switched on.

    Args:
        rotation: degrees, counter-clockwise.
        scaling: magnification, logarithm drawn uniformly.
        translation: shift along each axis, as a fraction of the side.
        elastic: standard deviation of the displacement of control points, as a fraction of the side.
        elastic_points: control points along each axis; more make the bending finer.
        quarter_turns: probability of a random multiple of 90 degrees (of 180 on a plane that is not square).
        mirror_left_right: probability of reversing columns.
        mirror_up_down: probability of reversing rows.
        mirror_slices: probability of reversing the order of slices, where samples are patches.
        tilt: degrees about the rows and about the columns, where samples are patches; of voxels as long as wide.
        noise: standard deviation of Gaussian noise, as a fraction of the image's.
        blur: standard deviation of the Gaussian, in pixels.
        brightness: shift of the window's level, as a fraction of the image's standard deviation.
        contrast: factor about the mean, logarithm drawn uniformly.
        gamma: exponent on the image rescaled to 0 to 1, logarithm drawn uniformly.

    Raises:
        ConfigError: for a factor that is not positive, a negative standard deviation or an invalid
            probability.

    Example:
        >>> augment = RandomAugmentation(noise=Chance(1.0, 0.1, 0.1), mirror_left_right=0.5)
        >>> augment = augment.with_mirror((0, 2, 1), left_right_in_plane=True)
        >>> image, label = torch.rand(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
        >>> augment(image, label, torch.arange(2), seed=0, epoch=0, view=0).image.shape
        torch.Size([2, 1, 8, 8])
    """

    rotation: Chance = Chance(0.5, -20.0, 20.0)
    scaling: Chance = Chance(0.5, 0.8, 1.25)
    translation: Chance = Chance(0.5, -0.1, 0.1)
    elastic: Chance = Chance(0.0, 0.0, 0.01)
    elastic_points: int = 8
    quarter_turns: float = 0.0
    mirror_left_right: float = 0.0
    mirror_up_down: float = 0.0
    mirror_slices: float = 0.0
    tilt: Chance = Chance(0.0, -20.0, 20.0)
    noise: Chance = Chance(0.15, 0.0, 0.1)
    blur: Chance = Chance(0.15, 0.5, 1.0)
    brightness: Chance = Chance(0.15, -0.2, 0.2)
    contrast: Chance = Chance(0.15, 0.75, 1.3)
    gamma: Chance = Chance(0.3, 0.7, 1.5)

    def __post_init__(self) -> None:
        for name in ("scaling", "contrast", "gamma"):
            if (low := getattr(self, name).low) <= 0:
                raise ConfigError(f"{name}.low {low}: a factor must be positive; 1 changes nothing")
        for name in ("elastic", "noise", "blur"):
            if (low := getattr(self, name).low) < 0:
                raise ConfigError(f"{name}.low {low}: a standard deviation is not negative; give 0 or more")
        for name in ("quarter_turns", "mirror_left_right", "mirror_up_down", "mirror_slices"):
            if not 0 <= (probability := getattr(self, name)) <= 1:
                raise ConfigError(f"{name} {probability} is not a probability; give a number from 0 to 1")
        if self.elastic_points < 2:
            raise ConfigError(f"elastic_points {self.elastic_points}: bending needs at least 2 along each axis")

    def draw_warp(self, source: Source, plane: tuple[int, int]) -> Warp:
        """Flips and quarter turns, rotation, scaling, translation; bending apart."""
        turns, columns, rows, rotates, scales, moves, bends, *values = source.uniform(Stream.GEOMETRY, 14).unbind(
            1
        )  # the probabilities' draws first, then the strengths'; what came to be later is last
        turn, angle, size, right, down, bend, slices = values
        symmetry = symmetries(
            _turns(turn, plane) * (turns < self.quarter_turns),
            columns < self.mirror_left_right,
            rows < self.mirror_up_down,
        )
        affine = affine_map(
            symmetry,
            self.rotation.draw(rotates, angle, 0.0),
            self.scaling.draw_factor(scales, size),
            self.translation.draw(moves, torch.stack([right, down], dim=1), 0.0),
            plane,
        )
        control = self._draw_control(source, self.elastic.draw(bends, bend, 0.0))
        reverse = slices < self.mirror_slices if self.mirror_slices > 0 else None
        return Warp(affine, control, reverse, self._draw_tilt(source))

    def _draw_tilt(self, source: Source) -> Tensor | None:
        """(B, 2) degrees."""
        if self.tilt.probability == 0:
            return None
        draws = source.uniform(Stream.TILT, 3)
        return self.tilt.draw(draws[:, 0], draws[:, 1:], 0.0)

    def _draw_control(self, source: Source, sigma: Tensor) -> Tensor | None:
        """(B, 2, n, n) displacements of the control points; a side is 2 long in these coordinates."""
        if self.elastic.probability == 0:
            return None
        points = self.elastic_points
        normals = source.normal(Stream.ELASTIC, 2 * points * points).reshape(-1, 2, points, points)
        return normals * (2 * sigma)[:, None, None, None]

    def change_intensity(self, image: Tensor, source: Source) -> Tensor:
        """Noise, blur, brightness and contrast, gamma; each only on the samples that drew it."""
        noisy, blurred, shifted, stretched, curved, *values = source.uniform(Stream.INTENSITY, 10).unbind(1)
        noise, blur, shift, stretch, curve = values
        if self.noise.probability > 0:
            sigma = self.noise.draw(noisy, noise, 0.0)
            image = change_samples(sigma > 0, intensity.add_noise, image, sigma, source.keys(Stream.NOISE))
        if self.blur.probability > 0:
            sigma = self.blur.draw(blurred, blur, 0.0)
            effect = partial(intensity.blur, radius=math.ceil(3 * self.blur.high))
            image = change_samples(sigma > 0, effect, image, sigma)
        if self.brightness.probability > 0 or self.contrast.probability > 0:
            offset = self.brightness.draw(shifted, shift, 0.0)
            factor = self.contrast.draw_factor(stretched, stretch)
            image = change_samples((offset != 0) | (factor != 1), intensity.shift_window, image, offset, factor)
        if self.gamma.probability > 0:
            exponent = self.gamma.draw_factor(curved, curve)
            image = change_samples(exponent != 1, intensity.gamma, image, exponent)
        return image


def _turns(position: Tensor, plane: tuple[int, int]) -> Tensor:
    """Quarter turns, 0 to 3, for numbers in [0, 1); only 0 and 2 fit a plane that is not square."""
    return (4 * position).floor() if plane[0] == plane[1] else 2 * (2 * position).floor()
