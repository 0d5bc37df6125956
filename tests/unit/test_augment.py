"""Views of a batch: exact symmetries, geometry against scipy, sides, determinism, intensity effects."""

import jsonargparse
import numpy as np
import pytest
import scipy.ndimage
import torch

from adawac.augment import (
    Augmentation,
    Chance,
    NoAugmentation,
    PaperAugmentation,
    RandomAugmentation,
    mirror_pairs,
    swap_sides,
)
from adawac.augment.geometry import Warp, affine_map, is_mirrored, symmetries, warp
from adawac.consistency.base import align
from adawac.errors import ConfigError
from adawac.randomness import Source
from adawac.structures import IGNORE_INDEX

OFF = {
    "rotation": Chance(0, 0, 0),
    "scaling": Chance(0, 1, 1),
    "translation": Chance(0, 0, 0),
    "noise": Chance(0, 0, 0),
    "blur": Chance(0, 0, 0),
    "brightness": Chance(0, 0, 0),
    "contrast": Chance(0, 1, 1),
    "gamma": Chance(0, 1, 1),
}
EVERYTHING = RandomAugmentation(
    elastic=Chance(0.5, 0.0, 0.02), quarter_turns=0.5, mirror_left_right=0.5, mirror_up_down=0.5
)


def only(**effects) -> RandomAugmentation:
    """An augmentation with nothing but these effects."""
    return RandomAugmentation(**{**OFF, **effects})


def batch(count=8, channels=1, height=33, width=33, seed=0):
    """Random image, random label with ignored pixels, index."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, channels, height, width, generator=generator)
    label = torch.randint(0, 5, (count, height, width), generator=generator, dtype=torch.uint8)
    label[:, height // 2, width // 2 :] = IGNORE_INDEX
    return image, label, torch.arange(count) + 100


def see(augment: Augmentation, data, epoch=0, view=0):
    return augment(*data, seed=1, epoch=epoch, view=view)


def smooth(height, width):
    """A smooth picture without symmetry, and its coordinates from the centre."""
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return torch.sin(x / 7) + torch.cos(y / 5 + x / 11), x, y


def fixed(count=1, turns=0, flip_x=False, flip_y=False, degrees=0.0, scale=1.0, shift=(0.0, 0.0), plane=(33, 33)):
    """`affine_map` of constants."""
    symmetry = symmetries(torch.full((count,), turns), torch.full((count,), flip_x), torch.full((count,), flip_y))
    return affine_map(
        symmetry,
        torch.full((count,), degrees),
        torch.full((count,), scale),
        torch.tensor([shift]).repeat(count, 1),
        plane,
    )


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


# ---------------------------------------------------------------------------------------------- determinism


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("augment", [PaperAugmentation(), EVERYTHING], ids=["paper", "random"])
def test_a_view_depends_on_sample_epoch_and_view_only(augment):
    data = batch(24, 2)
    state = torch.get_rng_state()
    whole = see(augment, data)
    assert same(whole, see(augment, data))
    assert torch.equal(torch.get_rng_state(), state)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    for rows in (order, order[:5], order[:1]):
        part = see(augment, [tensor[rows] for tensor in data])
        assert same(part, [tensor[rows] for tensor in whole])


@pytest.mark.parametrize(
    "augment", [NoAugmentation(), PaperAugmentation(), EVERYTHING], ids=["none", "paper", "random"]
)
def test_several_views_at_once_are_those_drawn_alone(augment):
    data = batch(6)
    augment = augment.with_mirror((0, 2, 1, 3, 4), left_right_in_plane=True)
    together = augment.draw(*data[:2], Source(seed=1, epoch=0, index=data[2], views=(1, 0)))
    assert same(
        together, [torch.cat(pair) for pair in zip(see(augment, data, view=1), see(augment, data), strict=True)]
    )


@pytest.mark.parametrize("augment", [PaperAugmentation(), EVERYTHING], ids=["paper", "random"])
def test_views_epochs_seeds_and_samples_differ(augment):
    image, label, _ = batch(1)
    data = image.repeat(8, 1, 1, 1), label.repeat(8, 1, 1), torch.arange(8)
    first = see(augment, data).image
    others = [
        see(augment, data, view=1),
        see(augment, data, epoch=1),
        augment(*data, seed=2, epoch=0, view=0),
    ]
    assert all((first != other.image).any((1, 2, 3)).sum() >= 5 for other in others)
    assert len(first.flatten(1).unique(dim=0)) >= 5


def test_effects_do_not_disturb_each_other():
    """Switching noise on must not redraw the geometry."""
    data = batch()
    quiet, noisy = (
        only(rotation=Chance(0.5, -20, 20)),
        only(rotation=Chance(0.5, -20, 20), noise=Chance(1, 0.1, 0.1), elastic=Chance(1, 0.01, 0.01)),
    )
    assert torch.equal(see(quiet, data).affine, see(noisy, data).affine)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_computed_in_float32(dtype):
    image, label, index = batch()
    image = image.to(dtype)
    seen = see(EVERYTHING, (image, label.long(), index))
    expected = see(EVERYTHING, (image.float(), label, index))
    assert seen.image.dtype == dtype
    assert seen.label.dtype == torch.int64
    assert seen.affine.dtype == torch.float32
    assert torch.equal(seen.image, expected.image.to(dtype))


def test_autocast_and_gradients_stay_out():
    image, label, index = batch()
    expected = see(EVERYTHING, (image, label, index))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = see(EVERYTHING, (image.requires_grad_(), label, index))
    assert same(seen, expected)
    assert not seen.image.requires_grad


def test_inputs_are_not_written_to():
    data = batch()
    copies = [tensor.clone() for tensor in data]
    for augment in (NoAugmentation(), PaperAugmentation(), EVERYTHING, only(gamma=Chance(0.5, 2, 2))):
        see(augment, data)
        assert same(data, copies)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_shows_the_same_views_without_waiting():
    data = batch(24, 2)
    augment = EVERYTHING.with_mirror((0, 2, 1, 3, 4), left_right_in_plane=True)
    expected = see(augment, data)
    on_gpu = [tensor.cuda() for tensor in data]
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen = see(augment, on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(seen.affine.cpu(), expected.affine)
    torch.testing.assert_close(seen.image.cpu(), expected.image, atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------------------------------- intensities


def test_noise_is_relative_to_the_spread_of_each_channel():
    image, label, index = batch(4, 2, 128, 128)
    image = image * torch.tensor([1.0, 50.0])[:, None, None] + 300
    added = see(only(noise=Chance(1, 0.1, 0.1)), (image, label, index)).image - image
    ratio = added.std((2, 3)) / image.std((2, 3))
    torch.testing.assert_close(ratio, torch.full((4, 2), 0.1), atol=0.003, rtol=0)
    flat = added.flatten(1)
    assert (torch.corrcoef(flat) - torch.eye(4)).abs().max() < 0.03
    assert abs(torch.corrcoef(added.transpose(0, 1).flatten(1))[0, 1]) < 0.03


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_scipys(sigma):
    image, label, index = batch(3, 2)
    seen = see(only(blur=Chance(1, sigma, sigma)), (image, label, index)).image
    radius = int(np.ceil(3 * sigma))
    expected = scipy.ndimage.gaussian_filter(image.numpy(), (0, 0, sigma, sigma), mode="nearest", radius=radius)
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_gamma_bends_between_the_ends_of_the_range():
    image, label, index = batch(3, 2)
    image[0, 0] = 7.0
    seen = see(only(gamma=Chance(1, 2, 2)), (image, label, index)).image
    low, high = image.amin((2, 3), True), image.amax((2, 3), True)
    expected = ((image - low) / (high - low)).square() * (high - low) + low
    torch.testing.assert_close(seen[1:], expected[1:])
    assert (seen[0, 0] == 7).all()


def test_brightness_and_contrast_saturate_at_the_range():
    image = torch.linspace(0, 1, 32 * 32).reshape(1, 1, 32, 32)
    data = image, torch.zeros(1, 32, 32, dtype=torch.uint8), torch.arange(1)
    brighter = see(only(brightness=Chance(1, 0.5, 0.5)), data).image
    torch.testing.assert_close(brighter, (image + 0.5 * image.std(correction=0)).clamp(0, 1))
    steeper = see(only(contrast=Chance(1, 1.5, 1.5)), data).image
    torch.testing.assert_close(steeper, ((image - 0.5) * 1.5 + 0.5).clamp(0, 1))


def test_probability_and_range_are_kept():
    gate, position = torch.rand(2, 20_000, generator=torch.Generator().manual_seed(0))
    strength = Chance(0.3, 0.5, 2.0).draw_factor(gate, position)
    drawn = strength[strength != 1]
    assert abs(len(drawn) / 20_000 - 0.3) < 0.02
    assert 0.5 <= drawn.min() < 0.51
    assert 1.98 < drawn.max() <= 2.0001
    assert abs(drawn.log().mean()) < 0.02  # halving is as likely as doubling


# -------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: Chance(1.5, 0, 1), "give a number from 0 to 1"),
        (lambda: Chance(0.5, 2, 1), "give low <= high"),
        (lambda: RandomAugmentation(mirror_left_right=-0.1), "mirror_left_right -0.1 .* from 0 to 1"),
        (lambda: RandomAugmentation(scaling=Chance(0.5, 0, 1)), "scaling.low 0: a factor must be positive"),
        (lambda: RandomAugmentation(noise=Chance(0.5, -1, 1)), "noise.low -1: .* give 0 or more"),
        (lambda: RandomAugmentation(elastic_points=1), "at least 2"),
    ],
)
def test_bad_settings_are_refused(make, remedy):
    with pytest.raises(ConfigError, match=remedy):
        make()


def test_yaml_and_command_line_build_it(tmp_path):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(Augmentation, "augmentation")
    config = tmp_path / "augmentation.yaml"
    config.write_text(
        "augmentation:\n"
        "  class_path: RandomAugmentation\n"
        "  init_args:\n"
        "    rotation: {probability: 0.2, low: -15, high: 15}\n"
        "    mirror_left_right: 0.5\n"
    )
    settings = parser.parse_args(["--config", str(config), "--augmentation.noise.probability", "0.4"])
    augment = parser.instantiate(settings).augmentation
    assert isinstance(augment, RandomAugmentation)
    assert augment.rotation == Chance(0.2, -15, 15)
    assert augment.noise == Chance(0.4, 0.0, 0.1)
    assert augment.mirror_left_right == 0.5


class TestPatches:
    """Samples (B, C, D, H, W): what happens to a slice happens to all slices of its patch."""

    @staticmethod
    def patches(count=6, depth=5):
        """As many patches of two channels, and the same as slices one by one: sample, channel, slice."""
        generator = torch.Generator().manual_seed(3)
        image = torch.randn(count, 2, depth, 33, 33, generator=generator)
        label = torch.randint(0, 3, (count, depth, 33, 33), generator=generator, dtype=torch.uint8)
        return image, label, torch.arange(count) + 100

    def test_every_slice_is_warped_as_a_slice_alone_is(self):
        augment = only(rotation=Chance(1, -20, 20), scaling=Chance(0.5, 0.8, 1.2), elastic=Chance(0.5, 0, 0.02))
        image, label, index = self.patches()
        view = see(augment, (image, label, index))
        for number in range(5):
            alone = see(augment, (image[:, :, number], label[:, number], index))
            assert torch.equal(view.label[:, number], alone.label)
            inner = (..., slice(8, 25), slice(8, 25))  # without what comes from outside
            torch.testing.assert_close(view.image[:, :, number][inner], alone.image[inner])
            assert torch.equal(view.affine[:, :2, [0, 1, 3]], alone.affine)

    def test_outside_lies_the_lowest_intensity_of_the_patch(self):
        image, label, index = self.patches(count=1)
        image[0, 0, 3, 4, 4] = -50.0
        view = see(only(translation=Chance(1, 0.5, 0.5)), (image, label, index))
        assert (view.image[0, 0, :, :8, :8] == -50.0).all()

    def test_reversed_slices_are_said_by_the_map(self):
        image, label, index = self.patches(count=40)
        view = see(only(mirror_slices=0.5), (image, label, index))
        flipped = view.affine[:, 2, 2] < 0
        assert 10 < flipped.sum() < 30
        assert torch.equal(view.image[flipped], image.flip(2)[flipped])
        assert torch.equal(view.label[flipped], label.flip(1)[flipped])
        assert torch.equal(view.image[~flipped], image[~flipped])

    def test_two_views_are_aligned_by_their_maps(self):
        """Smooth volumes, brought back by the affine of their view, are what they were where the view looked."""
        plane, _, _ = smooth(33, 33)
        image = (plane + torch.linspace(-1, 1, 8)[:, None, None]).expand(6, 1, 8, 33, 33).contiguous()
        augment = only(
            rotation=Chance(1, -30, 30), scaling=Chance(1, 0.8, 1.2), translation=Chance(1, -0.1, 0.1),
            mirror_left_right=0.5, mirror_slices=0.5,
        )  # fmt: skip
        view = see(augment, (image, torch.zeros(6, 8, 33, 33, dtype=torch.uint8), torch.arange(6)))
        back, seen = align(view.image, view.affine)
        inner = torch.zeros_like(seen)
        inner[:, :, 6:27, 6:27] = seen[:, :, 6:27, 6:27]
        assert 0.5 < inner.float().mean() / (21 * 21 / 33**2) <= 1
        assert (back - image)[:, 0][inner].abs().max() < 0.05

    @pytest.mark.parametrize("in_plane", [True, False], ids=["axial", "sagittal"])
    def test_slices_in_reverse_swap_sides_only_where_they_run_from_right_to_left(self, in_plane):
        image, label, index = self.patches(count=8)
        label.fill_(1)
        augment = only(mirror_slices=1.0).with_mirror((0, 2, 1), left_right_in_plane=in_plane)
        assert see(augment, (image, label, index)).label.unique().tolist() == [1 if in_plane else 2]
        augment = only(mirror_left_right=1.0).with_mirror((0, 2, 1), left_right_in_plane=in_plane)
        assert see(augment, (image, label, index)).label.unique().tolist() == [2 if in_plane else 1]

    def test_a_single_slice_has_none_to_reverse(self):
        with pytest.raises(ConfigError, match=r"mirror_slices: a sample is one slice here; .* train on data.patch"):
            see(only(mirror_slices=0.5), batch())

    @pytest.mark.parametrize(
        "effect",
        [{"noise": Chance(1, 0.1, 0.1)}, {"blur": Chance(1, 1, 1)}, {"gamma": Chance(1, 2, 2)},
         {"brightness": Chance(1, 0.2, 0.2), "contrast": Chance(1, 1.2, 1.2)}],
        ids=["noise", "blur", "gamma", "window"],
    )  # fmt: skip
    def test_intensities_change_over_the_volume(self, effect):
        """A patch whose slices are alike has one scale, so its slices stay alike; noise is new in every slice."""
        image, label, index = self.patches(count=3)
        image = image[:, :, :1].expand_as(image).contiguous()
        view = see(only(**effect), (image, label, index))
        alone = see(only(**effect), (image[:, :, 0], label[:, 0], index))
        if "noise" in effect:
            assert (view.image - image).std().item() == pytest.approx(0.1 * image.std().item(), rel=0.05)
            assert not torch.equal(view.image[:, :, 0], view.image[:, :, 1])
        else:
            for number in range(5):
                torch.testing.assert_close(view.image[:, :, number], alone.image)

    def test_other_augmentations_take_patches(self):
        data = self.patches()
        assert torch.equal(see(NoAugmentation(), data).image, data[0])
        assert see(PaperAugmentation(), data).affine.shape == (6, 3, 4)
