"""Strong views: what is pasted, what loses resolution, and that all of it can be drawn again."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom as scipy_zoom

from adawac.augment import Chance, NoAugmentation, StrongAugmentation, comparable
from adawac.augment.intensity import low_resolution
from adawac.augment.randomness import Source
from adawac.errors import ConfigError
from adawac.networks import NetworkSpec
from adawac.training.task import SegmentationTask
from adawac.types import IGNORE_INDEX
from adawac.weighting import AdaWAC, Pair

OFF = Chance(0.0, 1.0, 1.0)
NONE = Chance(0.0, 0.0, 0.0)
STILL = {
    "low_resolution": OFF,
    "noise": NONE,
    "blur": NONE,
    "brightness": NONE,
    "contrast": OFF,
    "rotation": NONE,
    "scaling": OFF,
    "translation": NONE,
    "gamma": OFF,
}
"""Nothing but CutMix."""


def numbered(count: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples that hold their own number, in image and label."""
    numbers = torch.arange(count).view(count, *[1] * len(shape))
    return numbers[:, None].float().expand(count, 1, *shape).contiguous(), numbers.expand(count, *shape).contiguous()


@pytest.mark.parametrize("shape", [(20, 28), (6, 20, 28)], ids=["slices", "patches"])
def test_a_box_comes_from_the_next_sample_image_and_label_alike(shape):
    image, label = numbered(6, *shape)
    view = StrongAugmentation(cut_mix=1.0, **STILL)(image, label, torch.arange(6), seed=0, epoch=0, view=0)
    assert torch.equal(view.image[:, 0].long(), view.label)
    for row in range(6):
        foreign = view.label[row] != row
        assert set(view.label[row][foreign].unique().tolist()) <= {(row + 1) % 6}
        if foreign.any():  # a box: all between its ends
            ends = foreign.nonzero()
            box = tuple(slice(low, high + 1) for low, high in zip(ends.amin(0), ends.amax(0), strict=True))
            assert foreign[box].all()


def test_shares_are_uniform_and_places_lie_all_over():
    image, label = numbered(64, 16, 16)
    augment, found = StrongAugmentation(cut_mix=1.0, **STILL), []
    for epoch in range(40):
        view = augment(image, label, torch.arange(64), seed=0, epoch=epoch, view=0)
        found.append(view.label != label)
    share = torch.cat(found).float().mean((1, 2))
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert np.quantile(share.numpy(), [0.25, 0.75]) == pytest.approx([0.25, 0.75], abs=0.05)
    covered = torch.cat(found).float().mean(0)
    assert covered.min() > 0.05
    assert torch.allclose(covered, covered.flip(0, 1), atol=0.06)


def test_as_many_samples_are_mixed_as_asked_for():
    image, label = numbered(1000, 8, 8)
    view = StrongAugmentation(cut_mix=0.3, **STILL)(image, label, torch.arange(1000), seed=0, epoch=0, view=0)
    assert (view.label != label).flatten(1).any(1).float().mean() == pytest.approx(0.3, abs=0.04)


def test_ignored_voxels_travel_with_their_box():
    image, label = numbered(2, 16, 16)
    label = torch.where(label == 1, IGNORE_INDEX, 0)
    view = StrongAugmentation(cut_mix=1.0, **STILL)(image, label, torch.arange(2), seed=3, epoch=0, view=0)
    assert torch.equal(view.label[0] == IGNORE_INDEX, view.image[0, 0] == 1)
    assert (view.label[0] == IGNORE_INDEX).any()


def test_views_are_drawn_again_as_they_were_and_mix_their_own_samples():
    image, label = torch.rand(6, 1, 16, 16), torch.randint(0, 3, (6, 16, 16))
    augment, index = StrongAugmentation(mirror_left_right=0.5), torch.arange(6)
    both = augment.draw(image, label, Source(seed=1, epoch=2, index=index, views=(0, 1)))
    for view in (0, 1):
        alone = augment(image, label, index, seed=1, epoch=2, view=view)
        assert torch.equal(both.image[6 * view : 6 * view + 6], alone.image)
        assert torch.equal(both.label[6 * view : 6 * view + 6], alone.label)
    other = augment(image, label, index, seed=1, epoch=3, view=0)
    assert not torch.equal(other.image, both.image[:6])


def test_a_sample_alone_stays_whole():
    image, label = torch.rand(1, 1, 8, 8), torch.ones(1, 8, 8, dtype=torch.uint8)
    view = StrongAugmentation(cut_mix=1.0, **STILL)(image, label, torch.arange(1), seed=0, epoch=0, view=0)
    assert torch.equal(view.image, image)


@pytest.mark.parametrize("shape", [(24, 36), (3, 24, 36)], ids=["slices", "patches"])
def test_low_resolution_is_scipy_s_nearest_and_linear(shape):
    image = torch.rand(2, 1, *shape, dtype=torch.float64)
    found = low_resolution(image, torch.tensor([0.5, 1.0], dtype=torch.float64))
    assert torch.equal(found[1], image[1])
    for plane, mine in zip(image[0].flatten(0, -3), found[0].flatten(0, -3), strict=True):
        small = plane[1::2, 1::2].numpy()  # the pixel at (i + 1/2) / zoom
        theirs = scipy_zoom(small, 2, order=1, mode="nearest", grid_mode=True)
        assert mine.numpy() == pytest.approx(theirs)


def test_low_resolution_of_any_zoom_keeps_a_constant_and_a_mean():
    zoom = torch.linspace(0.5, 1, 50)
    assert torch.allclose(low_resolution(torch.full((50, 1, 31, 17), 3.0), zoom), torch.tensor(3.0))
    ramp = torch.linspace(-1, 1, 33).expand(50, 1, 33, 33).contiguous()
    assert low_resolution(ramp, zoom).mean((1, 2, 3)).abs().max() < 0.04


def test_views_of_pieces_are_not_compared_with_one_another():
    network = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
    with pytest.raises(ConfigError, match=r"cut_mix 0\.7\), but model.weighting compares"):
        SegmentationTask(network, AdaWAC(), augmentation=StrongAugmentation(cut_mix=0.7))
    for augmentation in (StrongAugmentation(cut_mix=0.0), NoAugmentation()):
        assert comparable(augmentation, uses_consistency=True) is augmentation


def test_pieces_that_nobody_asked_for_are_left_out_where_views_are_compared():
    """As where `init` plans strong views and somebody takes AdaWAC."""
    network = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
    strong = StrongAugmentation()
    tasks = [SegmentationTask(network, weighting, augmentation=strong) for weighting in (AdaWAC(), Pair())]
    assert [task.augmentation.cut_mix for task in tasks] == [0, 0.7]
    assert strong.cut_mix == 0.7


@pytest.mark.parametrize(
    ("options", "said"),
    [({"cut_mix": 1.2}, "not a probability"), ({"low_resolution": Chance(0.5, 0.5, 1.5)}, "to 1 at most")],
)
def test_bad_settings_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        StrongAugmentation(**options)
