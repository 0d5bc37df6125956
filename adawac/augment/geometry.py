"""Spatial maps of a batch: how they are composed, how they resample, which of them mirror.

Maps are written for pixels with x to the right and y down from the centre of the plane; `View.affine` holds
them in the normalised coordinates of `torch.nn.functional.affine_grid` with `align_corners=False`, where -1
and 1 are the outer edges of the plane.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adawac.augment.samples import where_samples
from adawac.errors import ConfigError
from adawac.types import IGNORE_INDEX, unlabelled

NUDGE = 1e-3
"""Pixels by which ties between nearest pixels are parted: more than float32 misplaces them, and too little to see."""


class Warp(NamedTuple):
    """Drawn parameters of a spatial map, from view to batch coordinates.

    Attributes:
        affine: (B, 2, 3) float32, as in `adawac.types.View`.
        control: (B, 2, n, n) displacements (x, y) added to the affine map, in normalised coordinates, at
            control points that lie evenly over the view; None for none.
        reverse: (B,) bool, whether the order of the slices of a patch is reversed as well; None for none.
        tilt: (B, 2) degrees by which a patch is turned about x, then about y, before all else; None for none.
    """

    affine: Tensor
    control: Tensor | None = None
    reverse: Tensor | None = None
    tilt: Tensor | None = None

    def in_volume(self, shape: Sequence[int]) -> Tensor:
        """(B, 3, 4) the affine part as a map of (x, y, z); its planes stay planes where nothing is tilted.

        Args:
            shape: (D, H, W) of the patch.

        Example:
            >>> Warp(torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]]), reverse=torch.tensor([True])).in_volume((4, 8, 8))
            tensor([[[ 1.0000,  0.0000,  0.0000,  0.5000],
                     [ 0.0000,  1.0000,  0.0000,  0.0000],
                     [ 0.0000,  0.0000, -1.0000,  0.0000]]])
        """
        affine = self.affine.new_zeros(len(self.affine), 3, 4)
        affine[:, :2, :2], affine[:, :2, 3] = self.affine[:, :, :2], self.affine[:, :, 2]
        affine[:, 2, 2] = 1.0 if self.reverse is None else 1 - 2 * self.reverse.to(affine.dtype)
        if self.tilt is not None:
            linear = (affine[:, :, :3, None] * tilts(self.tilt, shape)[:, None]).sum(2)  # by hand, as in affine_map
            affine = torch.cat([linear, affine[:, :, 3:]], dim=2)
        return affine


def symmetries(turns: Tensor, flip_x: Tensor, flip_y: Tensor) -> Tensor:
    """Quarter turns followed by flips, with entries that are exactly 0, 1 and -1.

    Args:
        turns: (B,) quarter turns counter-clockwise, 0 to 3.
        flip_x: (B,) bool, whether columns are then reversed.
        flip_y: (B,) bool, whether rows are then reversed.

    Returns:
        (B, 2, 2) float32, from batch to view pixels.
    """
    cos = (turns == 0).float() - (turns == 2).float()
    sin = (turns == 1).float() - (turns == 3).float()
    signs = torch.stack([1 - 2 * flip_x.float(), 1 - 2 * flip_y.float()], dim=1)
    return signs[:, :, None] * _rotation(cos, sin)


def tilts(degrees: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, 3, 3) rotations about x, then about y, of patches (D, H, W) in normalised coordinates (x, y, z).

    Args:
        degrees: (B, 2).
        shape: of the patch, of voxels that are as long as wide.

    Example:
        >>> tilts(torch.tensor([[90.0, 0.0]]), (4, 8, 8)).round(decimals=4) + 0.0  # y becomes z, of half as many voxels
        tensor([[[ 1.0000,  0.0000,  0.0000],
                 [ 0.0000,  0.0000, -0.5000],
                 [ 0.0000,  2.0000,  0.0000]]])
    """
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    turn = degrees.new_zeros(len(degrees), 3, 3)  # the product of both, written out
    turn[:, 0, 0], turn[:, 0, 2] = cos[:, 1], sin[:, 1]
    turn[:, 1, 0], turn[:, 1, 1], turn[:, 1, 2] = sin[:, 0] * sin[:, 1], cos[:, 0], -sin[:, 0] * cos[:, 1]
    turn[:, 2, 0], turn[:, 2, 1], turn[:, 2, 2] = -cos[:, 0] * sin[:, 1], sin[:, 0], cos[:, 0] * cos[:, 1]
    sides = degrees.new_tensor(shape[::-1])
    return turn * sides / sides[:, None]


def affine_map(symmetry: Tensor, degrees: Tensor, scale: Tensor, translation: Tensor, plane: tuple[int, int]) -> Tensor:
    """Compose symmetry, rotation, scaling and translation, in this order; return the inverse map.

    The rotation is one of square pixels: on a plane that is not square the normalised map gets the aspect
    ratio, so that shapes are turned and not sheared.

    Args:
        symmetry: (B, 2, 2) from `symmetries`.
        degrees: (B,) rotation, counter-clockwise in a picture whose rows go down.
        scale: (B,) magnification, above 0.
        translation: (B, 2) shift (x, y) as a fraction of the width and of the height.
        plane: (H, W).

    Returns:
        (B, 2, 3) float32, as in `adawac.types.View`.

    Example:
        >>> none, one = torch.zeros(1, dtype=torch.bool), torch.ones(1)
        >>> affine_map(symmetries(one, none, none), 0 * one, one, torch.zeros(1, 2), (8, 8))
        tensor([[[ 0., -1.,  0.],
                 [ 1.,  0.,  0.]]])
    """
    height, width = plane
    radians = degrees.deg2rad()
    turn = _rotation(radians.cos(), radians.sin())
    # Summed by hand: a matrix product may be rounded to TF32 or bfloat16, which moves far pixels visibly.
    forward = (turn[:, :, :, None] * symmetry[:, None]).sum(2)
    inverse = forward.transpose(1, 2) / scale[:, None, None]
    x_row, y_row = inverse.unbind(1)
    aspect = height / width
    linear = torch.stack(
        [
            torch.stack([x_row[:, 0], x_row[:, 1] * aspect], dim=1),
            torch.stack([y_row[:, 0] / aspect, y_row[:, 1]], dim=1),
        ],
        dim=1,
    )
    offset = -(linear * (2 * translation)[:, None]).sum(2)
    return torch.cat([linear, offset[:, :, None]], dim=2) + 0.0  # + 0.0 turns -0 into 0


def warp(image: Tensor, label: Tensor, by: Warp) -> tuple[Tensor, Tensor]:
    """Resample a batch: image bilinearly, label by nearest neighbour.

    Quarter turns and flips move pixels and never blend them: those samples are read by nearest neighbour,
    because the rounding of normalised coordinates would leave 1e-5 of the neighbour in each pixel. What lies
    outside of the plane is background in the label, and in the image the lowest intensity of the same sample
    and channel: air in a windowed CT and the dark surround of a normalised MR, where a fixed 0 would be the
    tissue of mean intensity. A sample that is wholly ignored stays so. The slices of a patch are all mapped alike.

    Args:
        image: (B, C, H, W) float32, or (B, C, D, H, W).
        label: (B, H, W) integer, of classes that float32 holds; or (B, D, H, W).
        by: the map of each sample.

    Returns:
        Image and label of the shapes and dtypes given.
    """
    maps = (by.affine,) if by.control is None else (by.affine, by.control)
    linear, offset = by.affine[:, :, :2].abs(), by.affine[:, :, 2]
    exact = ((linear == 0) | (linear == 1)).flatten(1).all(1) & (offset == 0).all(1)
    if by.control is not None:
        exact &= (by.control == 0).flatten(1).all(1)

    lowest = image.amin(tuple(range(2, image.ndim)), keepdim=True).expand(*image.shape[:-2], 1, 1)
    picture = where_samples(exact, _nearest, _bilinear, _planes(image), _planes(lowest), *maps).view(image.shape)
    target = _nearest(_planes(label[:, None].float()), None, *maps).view(label.shape).to(label.dtype)
    if by.reverse is not None:
        picture, target = _reversed(picture, by.reverse, 2), _reversed(target, by.reverse, 1)
    if by.tilt is not None:  # read between slices, anew: twice interpolated would be blurred
        tilted, shape = (by.tilt != 0).any(1), image.shape[2:]
        grid = _grid_of_volume(by.in_volume(shape), shape, by.control)
        picture = where_samples(tilted, _trilinear, _kept, image, lowest[:, :, :1], grid, picture)
        target = where_samples(tilted, _nearest_voxel, _kept, label, grid, target)
    ignored = (IGNORE_INDEX * unlabelled(label)).to(target.dtype).reshape(-1, *[1] * (label.ndim - 1))
    return picture, target.maximum(ignored)  # no class index is greater


def is_mirrored(affine: Tensor) -> Tensor:
    """Which samples show the patient as in a mirror: those whose map has a negative determinant.

    A flip of columns is not what counts. Two flips are a half turn, after which the left kidney is still a
    left kidney, seen upside down; one flip of rows is a flip of columns seen upside down, and makes it look
    like a right one. The sign of the determinant tells the two kinds of map apart, whatever rotation and
    scale come on top.

    Args:
        affine: (B, 2, 3).

    Returns:
        (B,) bool.

    Example:
        >>> is_mirrored(torch.tensor([[[1.0, 0, 0], [0, -1, 0]], [[-1, 0, 0], [0, -1, 0]]]))
        tensor([ True, False])
    """
    return affine[:, 0, 0] * affine[:, 1, 1] < affine[:, 0, 1] * affine[:, 1, 0]


def mirror_pairs(table: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Read the pairs of sided classes out of a table that gives the mirror image of each class.

    Args:
        table: for each of K classes the class that it becomes in a mirror; itself if it has no side.

    Raises:
        ConfigError: where mirroring twice would not give every class back, or would move the background.

    Example:
        >>> mirror_pairs((0, 2, 1, 3))
        ((1, 2),)
    """
    for source, target in enumerate(table):
        if not 0 <= target < len(table) or table[target] != source:
            raise ConfigError(
                f"mirror_table {tuple(table)}: classes must be swapped in pairs, but class {source} becomes "
                f"{target} and that does not become {source}; write entry i = j and entry j = i for each pair"
            )
    if table and table[0] != 0:
        raise ConfigError(f"mirror_table {tuple(table)}: class 0 is background and has no side; entry 0 must be 0")
    return tuple((source, target) for source, target in enumerate(table) if source < target)


def swap_sides(label: Tensor, mirrored: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Exchange left and right classes in the samples that are mirrored; every other value stays.

    Args:
        label: (B, ...) integer.
        mirrored: (B,) bool.
        pairs: disjoint pairs of classes, from `mirror_pairs`.

    Example:
        >>> swap_sides(torch.tensor([[1, 2, 255], [1, 2, 255]]), torch.tensor([True, False]), [(1, 2)])
        tensor([[  2,   1, 255],
                [  1,   2, 255]])
    """
    mirrored = mirrored.reshape(-1, *[1] * (label.ndim - 1))
    for left, right in pairs:
        sided = mirrored & ((label == left) | (label == right))
        label = torch.where(sided, label ^ (left ^ right), label)  # exclusive or takes each to the other
    return label


def _rotation(cos: Tensor, sin: Tensor) -> Tensor:
    """(B, 2, 2) counter-clockwise rotations in pixels whose y goes down."""
    return torch.stack([torch.stack([cos, sin], dim=1), torch.stack([-sin, cos], dim=1)], dim=1)


def _grid(affine: Tensor, plane: tuple[int, int], control: Tensor | None, nudge: float = 0.0) -> Tensor:
    """(B, H, W, 2) where each pixel of the view lies in the batch.

    Same as `affine_grid`, but as the sum of a row and of a column, which is faster on a CPU. Every second row lies
    `nudge` pixels to the left and the others to the right, and columns likewise up and down.
    """
    height, width = plane
    columns, rows = torch.arange(width, device=affine.device), torch.arange(height, device=affine.device)
    x, y = (2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1
    along_x = affine[:, :, 0, None] * x
    along_y = affine[:, :, 1, None] * y + affine[:, :, 2, None]
    if nudge:
        along_x[:, 1] += nudge * 2 / height * (1 - 2 * (columns % 2))
        along_y[:, 0] += nudge * 2 / width * (1 - 2 * (rows % 2))
    points = along_x[:, :, None, :] + along_y[:, :, :, None]
    if control is not None:
        points += F.interpolate(control, size=plane, mode="bicubic", align_corners=False)
    return points.permute(0, 2, 3, 1)


def _planes(volume: Tensor) -> Tensor:
    """Slices of patches (B, C, D, H, W) as channels (B, C * D, H, W); slices (B, C, H, W) as they are."""
    return volume.flatten(1, -3)


def _reversed(volume: Tensor, chosen: Tensor, axis: int) -> Tensor:
    """The chosen samples (B,) with the order along an axis reversed."""
    return torch.where(chosen.reshape(-1, *[1] * (volume.ndim - 1)), volume.flip(axis), volume)


def _nearest(image: Tensor, lowest: Tensor | None, affine: Tensor, control: Tensor | None = None) -> Tensor:
    """Read the nearest pixel, 0 outside; of two as near one as often as the other.

    At half the size or half a pixel aside there are two everywhere. Were the first of them taken, a label would lie
    half a pixel to one side of its image; so every second row looks a trifle to the left, and column upwards.
    """
    grid = _grid(affine, (image.shape[2], image.shape[3]), control, NUDGE)
    return F.grid_sample(image, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _bilinear(image: Tensor, lowest: Tensor, affine: Tensor, control: Tensor | None = None) -> Tensor:
    """Interpolate between the four nearest pixels; outside lies the channel's lowest intensity (B, C, 1, 1)."""
    grid = _grid(affine, (image.shape[2], image.shape[3]), control)
    return F.grid_sample(image - lowest, grid, padding_mode="zeros", align_corners=False).add_(lowest)


def _grid_of_volume(affine: Tensor, shape: Sequence[int], control: Tensor | None) -> Tensor:
    """(B, D, H, W, 3) where each voxel of the view lies in the batch, for maps (B, 3, 4)."""
    z, y, x = ((2 * torch.arange(side, device=affine.device) + 1) / side - 1 for side in shape)
    rows = affine[:, None, None, None]
    points = rows[..., 0] * x[:, None] + rows[..., 1] * y[:, None, None] + rows[..., 2] * z[:, None, None, None]
    points = points + rows[..., 3]
    if control is not None:
        bent = F.interpolate(control, size=tuple(shape[1:]), mode="bicubic", align_corners=False)
        points[..., :2] += bent.permute(0, 2, 3, 1)[:, None]
    return points


def _trilinear(image: Tensor, lowest: Tensor, grid: Tensor, planar: Tensor) -> Tensor:
    """Interpolate between the eight nearest voxels; outside lies the channel's lowest intensity (B, C, 1, 1, 1)."""
    return F.grid_sample(image - lowest, grid, padding_mode="zeros", align_corners=False).add_(lowest)


def _nearest_voxel(label: Tensor, grid: Tensor, planar: Tensor) -> Tensor:
    """Read the nearest voxel of (B, D, H, W), 0 outside."""
    read = F.grid_sample(label[:, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return read[:, 0].to(label.dtype)


def _kept(*tensors: Tensor) -> Tensor:
    """The last of them, which is known already."""
    return tensors[-1]
