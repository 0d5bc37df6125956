"""Maps of views against scipy and known points; which of them mirror the patient."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from views import batch, fixed, only, see, smooth

from adawac.augment import (
    Chance,
    NoAugmentation,
    PaperAugmentation,
)
from adawac.augment.geometry import Warp, is_mirrored, mirror_pairs, swap_sides, warp
from adawac.errors import ConfigError
from adawac.types import IGNORE_INDEX

# ----------------------------------------------------------------------------------------------- symmetries


@pytest.mark.parametrize("size", [32, 33, 224])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flips", [(), (3,), (2,), (2, 3)], ids=str)
def test_symmetries_are_bit_equal_to_rot90_and_flip(size, turns, flips):
    image, label, _ = batch(2, 2, size, size)
    by = Warp(fixed(2, turns, 3 in flips, 2 in flips, plane=(size, size)))
    seen, target = warp(image, label, by)
    assert torch.equal(seen, image.rot90(turns, (2, 3)).flip(flips))
    assert torch.equal(target, label.rot90(turns, (1, 2)).flip([axis - 1 for axis in flips]))


@pytest.mark.parametrize("flips", [(), (3,), (2,)], ids=str)
def test_half_turns_and_flips_of_an_oblong_plane_are_bit_equal(flips):
    image, label, _ = batch(2, 1, 20, 37)
    seen, target = warp(image, label, Warp(fixed(2, 2, 3 in flips, 2 in flips, plane=(20, 37))))
    assert torch.equal(seen, image.rot90(2, (2, 3)).flip(flips))
    assert torch.equal(target, label.rot90(2, (1, 2)).flip([axis - 1 for axis in flips]))


def test_no_augmentation_changes_nothing():
    image, label, index = batch(channels=3, height=20, width=37)
    seen = see(NoAugmentation(), (image, label, index))
    assert torch.equal(seen.image, image)
    assert torch.equal(seen.label, label)
    assert torch.equal(seen.affine, torch.eye(2, 3).repeat(8, 1, 1))


def test_paper_draws_all_symmetries_and_rotations_half_and_half():
    image, label, index = batch(4000, 1, 4, 4)
    affine = see(PaperAugmentation(), (image, label, index)).affine
    linear = affine[:, :, :2]
    mirrored = is_mirrored(affine)
    exact = (linear == linear.round()).flatten(1).all(1)
    assert torch.equal(mirrored, exact)  # a flip always, and only, with a quarter turn
    assert abs(exact.float().mean() - 0.5) < 0.04
    kinds, counts = linear[exact].flatten(1).unique(dim=0, return_counts=True)
    assert len(kinds) == 4  # the reflections of a square
    assert counts.min() > 400
    degrees = torch.atan2(linear[~exact, 0, 1], linear[~exact, 0, 0]).rad2deg()
    assert -20 <= degrees.min() < -19
    assert 19 < degrees.max() <= 20


def test_paper_never_turns_an_oblong_plane_by_a_quarter():
    image, label, index = batch(200, 1, 6, 9)
    linear = see(PaperAugmentation(), (image, label, index)).affine[:, :, :2]
    exact = (linear.abs() == 1).sum((1, 2)) == 2
    assert exact.sum() > 60
    assert (linear[exact][:, 0, 1] == 0).all()


# ------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("degrees", [-20.0, 7.0, 90.5])
@pytest.mark.parametrize("plane", [(64, 64), (48, 80)], ids=str)
def test_rotation_is_scipys_in_the_interior(degrees, plane):
    picture, x, y = smooth(*plane)
    seen, _ = warp(picture[None, None], torch.zeros(1, *plane), Warp(fixed(degrees=degrees, plane=plane)))
    expected = scipy.ndimage.rotate(picture.numpy(), degrees, reshape=False, order=1)
    inside = (x.square() + y.square()).sqrt() < min(plane) / 2 - 2
    np.testing.assert_allclose(seen[0, 0][inside], expected[inside], atol=2e-5)


@pytest.mark.parametrize("plane", [(64, 64), (48, 80)], ids=str)
def test_scale_and_translation_move_a_known_point(plane):
    height, width = plane
    _, x, y = smooth(*plane)
    blob = torch.exp(-((x - 6).square() + (y + 4).square()) / 8)[None, None]
    seen, _ = warp(blob, torch.zeros(1, *plane), Warp(fixed(scale=1.25, shift=(0.125, -0.0625), plane=plane)))
    mass = seen[0, 0] / seen.sum()
    assert float((mass * x).sum()) == pytest.approx(6 * 1.25 + 0.125 * width, abs=0.02)
    assert float((mass * y).sum()) == pytest.approx(-4 * 1.25 - 0.0625 * height, abs=0.02)


@pytest.mark.parametrize("augment", [PaperAugmentation(), only(
    rotation=Chance(1, -30, 30), scaling=Chance(1, 0.8, 1.25), translation=Chance(1, -0.1, 0.1),
    quarter_turns=0.5, mirror_left_right=0.5)], ids=["paper", "random"])  # fmt: skip
@pytest.mark.parametrize("plane", [(40, 40), (40, 56)], ids=str)
def test_affine_says_where_each_pixel_came_from(augment, plane):
    """An image of coordinates shows, at each pixel of the view, the coordinates that the affine map gives."""
    height, width = plane
    _, x, y = smooth(*plane)
    image = torch.stack([2 * x / width, 2 * y / height]).repeat(16, 1, 1, 1)
    seen = see(augment, (image, torch.ones(16, *plane, dtype=torch.uint8), torch.arange(16)))
    points = torch.stack([2 * x / width, 2 * y / height, torch.ones(plane)]).flatten(1)
    expected = (seen.affine @ points).reshape(16, 2, *plane)
    margin = torch.tensor([1 - 2 / width, 1 - 2 / height])[:, None, None]
    inside = (expected.abs() < margin).all(1, keepdim=True).expand_as(expected)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(seen.image[inside], expected[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("augment", [PaperAugmentation(), only(
    rotation=Chance(1, -30, 30), scaling=Chance(1, 0.8, 1.25), elastic=Chance(1, 0.02, 0.02))],
    ids=["paper", "random"])  # fmt: skip
def test_label_follows_image(augment):
    """A blob of value 1 in both: the nearest label is the interpolated image, cut at one half."""
    _, x, y = smooth(64, 64)
    blob = ((x - 5).square() / 3 + (y + 3).square() < 120).to(torch.uint8).repeat(16, 1, 1)
    seen = see(augment, (blob[:, None].float(), blob, torch.arange(16)))
    sure = (seen.image[:, 0] < 0.01) | (seen.image[:, 0] > 0.99)
    assert sure.float().mean() > 0.9
    assert torch.equal(seen.label[sure] == 1, seen.image[:, 0][sure] > 0.5)
    assert not torch.equal(seen.label[0], seen.label[1])


@pytest.mark.parametrize("plane", [(64, 64), (48, 80), (63, 65)], ids=str)
@pytest.mark.parametrize("map_", [
    {"scale": 0.5}, {"scale": 1 / 3}, {"scale": 2.0}, {"shift": (0.5, 0.5)}, {"scale": 0.5, "degrees": 90.0},
    {"degrees": 17.0}, {"degrees": 45.0, "scale": 0.5}], ids=str)  # fmt: skip
def test_a_label_lies_where_its_image_does(map_, plane):
    """Mean of 300 ellipses: scipy's centres of mass of the image that is its own label, and of the label, in pixels."""
    height, width = plane
    shift = tuple(s / side for s, side in zip(map_.get("shift", (0, 0)), (width, height), strict=True))
    affine = fixed(**{**map_, "shift": shift}, plane=plane).expand(300, -1, -1)
    _, x, y = smooth(*plane)
    random = torch.Generator().manual_seed(0)
    across, down, size, aspect = torch.rand(4, 300, 1, 1, generator=random)
    blobs = ((x - 3 * across).square() * (1 + aspect) + (y + 3 * down).square() < 30 + 30 * size).to(torch.uint8)
    image, label = warp(blobs[:, None].float(), blobs, Warp(affine))
    shifts = np.array([
        np.subtract(*(scipy.ndimage.center_of_mass(each.numpy()) for each in pair))
        for pair in zip(label, image[:, 0], strict=True)
    ])  # fmt: skip
    assert np.abs(shifts.mean(0)).max() < 0.03  # one side of every tie: 0.5


def test_outside_is_background_and_the_lowest_intensity_of_each_channel():
    image, label, index = batch(4, 2)
    image[:, 1] += 100
    label.clamp_(min=1)
    seen = see(only(translation=Chance(1, 0.5, 0.5)), (image, label, index))
    lowest = image.amin((2, 3))[:, :, None, None].expand(-1, -1, 16, 33)
    torch.testing.assert_close(seen.image[:, :, :16], lowest)
    assert (seen.label[:, :16] == 0).all()
    assert (seen.label[:, 17:, 17:] != 0).all()


def test_elastic_bends_smoothly_and_is_left_out_of_the_affine():
    picture, _, _ = smooth(64, 64)
    data = picture.repeat(4, 1, 1, 1), torch.zeros(4, 64, 64, dtype=torch.uint8), torch.arange(4)
    seen = see(only(elastic=Chance(1, 0.02, 0.02)), data)
    moved = (seen.image - data[0])[:, :, 8:-8, 8:-8].abs()
    assert 0.01 < moved.mean() < 0.3
    assert (seen.image[:, :, 9:-8, 8:-8] - seen.image[:, :, 8:-9, 8:-8]).abs().max() < 0.6  # no folds or tears
    assert torch.equal(seen.affine, torch.eye(2, 3).repeat(4, 1, 1))


# ---------------------------------------------------------------------------------------------------- sides


def test_sides_are_swapped_where_the_map_mirrors():
    image, label, index = batch(64)
    for augment in (PaperAugmentation(), only(mirror_left_right=0.5, mirror_up_down=0.5, quarter_turns=0.5)):
        plain = see(augment, (image, label, index))
        sided = see(augment.with_mirror((0, 2, 1, 3, 4), left_right_in_plane=True), (image, label, index))
        mirrored = torch.linalg.det(plain.affine[:, :, :2]) < 0
        assert 10 < mirrored.sum() < 54
        table = torch.arange(256, dtype=torch.uint8)
        table[[1, 2]] = table[[2, 1]]
        assert torch.equal(sided.label[~mirrored], plain.label[~mirrored])
        assert torch.equal(sided.label[mirrored], table[plain.label[mirrored].long()])
        assert (sided.label == IGNORE_INDEX).sum() == (plain.label == IGNORE_INDEX).sum() > 0
        assert torch.equal(sided.image, plain.image)


def test_two_flips_are_a_half_turn_and_keep_the_sides():
    both = only(mirror_left_right=1.0, mirror_up_down=1.0).with_mirror((0, 2, 1), left_right_in_plane=True)
    data = batch()
    assert torch.equal(see(both, data).label, data[1].flip(1, 2))


def test_sagittal_planes_flip_without_changing_sides():
    augment = only(mirror_left_right=1.0)
    data = batch()
    assert torch.equal(see(augment.with_mirror((0, 2, 1), left_right_in_plane=False), data).label, data[1].flip(2))
    assert torch.equal(see(augment.with_mirror(None, left_right_in_plane=True), data).label, data[1].flip(2))


def test_with_mirror_leaves_the_original_alone():
    augment = only(mirror_left_right=1.0)
    augment.with_mirror((0, 2, 1), left_right_in_plane=True)
    data = batch()
    assert torch.equal(see(augment, data).label, data[1].flip(2))


def test_swap_sides_of_several_pairs():
    label = torch.tensor([[0, 1, 2, 3, 4, 5, 255]], dtype=torch.uint8)
    swapped = swap_sides(label, torch.tensor([True]), mirror_pairs((0, 4, 3, 2, 1, 5)))
    assert swapped.tolist() == [[0, 4, 3, 2, 1, 5, 255]]
    assert swapped.dtype == torch.uint8


@pytest.mark.parametrize(
    ("table", "remedy"),
    [
        ((0, 2, 3, 1), "class 1 becomes 2 and that does not become 1; write entry i = j and entry j = i"),
        ((0, 5), "class 1 becomes 5"),
        ((1, 0), "entry 0 must be 0"),
    ],
)
def test_a_table_that_is_no_mirror_is_refused(table, remedy):
    with pytest.raises(ConfigError, match=remedy):
        PaperAugmentation().with_mirror(table, left_right_in_plane=True)
