"""Views of patches against those of their slices."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation
from views import batch, only, see, smooth

from adawac.augment import (
    Chance,
    NoAugmentation,
    PaperAugmentation,
)
from adawac.errors import ConfigError
from adawac.losses.consistency_loss import align


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

    @pytest.mark.parametrize("name", ["mirror_slices", "tilt"])
    def test_a_single_slice_has_no_third_direction(self, name):
        with pytest.raises(ConfigError, match=rf"{name}: a sample is one slice here; .* train on data.patch"):
            see(only(**{name: 0.5 if name == "mirror_slices" else Chance(0.5, -20, 20)}), batch())

    def test_tilted_patches_are_those_that_scipy_turns(self):
        """By the map that is said, which turns by the angle; the label by its nearest voxel."""
        generator = np.random.default_rng(0)
        image = gaussian_filter(generator.standard_normal((12, 16, 20)), 2).astype(np.float32)
        label = (image > 0).astype(np.uint8)
        data = (torch.tensor(image)[None, None], torch.tensor(label)[None], torch.arange(1))
        view = see(only(tilt=Chance(1, 20, 20), scaling=Chance(1, 1.1, 1.1), mirror_slices=1.0), data)
        half = np.array([20, 16, 12]) / 2  # of x, y, z
        linear = view.affine[0, :, :3].numpy() * half[:, None] / half  # of voxels
        turn = Rotation.from_euler("XY", [20, 20], degrees=True).as_matrix()
        assert np.diag([1.1, 1.1, -1]) @ linear == pytest.approx(turn, abs=1e-5)
        zyx = linear[::-1, ::-1]
        centre = (np.array(image.shape) - 1) / 2
        places = {"matrix": zyx, "offset": centre - zyx @ centre, "mode": "constant"}
        inner = affine_transform(np.ones_like(image), order=1, **places) > 0.999  # at the rim the two programs differ
        assert inner.mean() > 0.5
        turned = affine_transform(image, order=1, cval=image.min(), **places)
        assert view.image[0, 0].numpy()[inner] == pytest.approx(turned[inner], abs=1e-4)
        nearest = affine_transform(label, order=0, **places)
        assert (view.label[0].numpy() == nearest)[inner].mean() > 0.995  # ties apart

    def test_only_the_chosen_are_tilted_and_the_maps_align_them(self):
        image = torch.tensor(gaussian_filter(np.random.default_rng(1).standard_normal((8, 1, 16, 16, 16)), 2)).float()
        image = image / image.std()
        image[..., 0, 0, 0] = -5.0
        data = (image, torch.full((8, 16, 16, 16), 255, dtype=torch.uint8), torch.arange(8))
        view = see(only(tilt=Chance(0.5, -25, 25)), data)
        still = (view.affine[:, :, :3] == torch.eye(3)).flatten(1).all(1)
        assert 0 < still.sum() < 8
        assert torch.equal(view.image[still], image[still])
        assert (view.label == 255).all()  # wholly ignored stays so
        back, seen = align(view.image, view.affine)
        inner = torch.zeros_like(seen)
        inner[:, 5:11, 5:11, 5:11] = seen[:, 5:11, 5:11, 5:11]
        assert (back - image)[:, 0][inner].abs().mean() < 0.1 * image[:, 0][inner].abs().mean()

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
