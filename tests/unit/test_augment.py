"""Views of a batch: exact symmetries, geometry against scipy, sides, determinism, intensity effects."""

import jsonargparse
import numpy as np
import pytest
import scipy.ndimage
import torch
from views import EVERYTHING, batch, only, same, see

from adawac.augment import (
    Augmentation,
    Chance,
    NoAugmentation,
    PaperAugmentation,
    RandomAugmentation,
)
from adawac.augment.randomness import Source
from adawac.errors import ConfigError

# ---------------------------------------------------------------------------------------------- determinism


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
    assert (seen.label.cpu() != expected.label).float().mean() < 1e-3  # rounding decides midway between two pixels


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
