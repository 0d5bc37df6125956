"""Consistency: the paper's term by hand, warped images aligned, and a scale that is no way down."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from forked import in_two
from torch import Tensor, nn

import adawac.losses
from adawac.errors import ConfigError
from adawac.losses import (
    feature_std,
)
from adawac.losses.consistency_loss import align
from adawac.networks import SegmentationNetwork
from adawac.types import NetworkOutput


class MapConsistency(adawac.losses.FeatureConsistency):
    """Of two maps, each as if it were the only feature layer of a network."""

    def __call__(self, first: Tensor, second: Tensor, *affines: Tensor) -> Tensor:
        return super().__call__(*(NetworkOutput(features, (features,)) for features in (first, second)), *affines)


IDENTITY = torch.eye(2, 3)[None]


def affine(degrees: float = 0.0, scale: float = 1.0, mirror: bool = False, shift: float = 0.0) -> Tensor:
    """(1, 2, 3), from view to batch."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    sign = -1 if mirror else 1
    return torch.tensor([[[sign * cos, -sign * sin, shift], [sin, cos, 0.0]]])


def smooth_image(batch: int = 1, seed: int = 0) -> Tensor:
    """(B, 3, 96, 96) of slow waves, which survive pooling and interpolation."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    frequency = 2 * torch.rand(batch, 3, 2, 1, 1, generator=generator) - 1
    return torch.sin(3 * (frequency[:, :, 0] * x + frequency[:, :, 1] * y) + 1)


def warp(image: Tensor, theta: Tensor) -> Tensor:
    """A view of an image, as the augmentation makes it."""
    grid = F.affine_grid(theta.expand(len(image), -1, -1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, align_corners=False)


def pooled(image: Tensor) -> Tensor:
    """Features of an encoder that only looks: block means, (B, 3, 12, 12)."""
    return F.avg_pool2d(image, 8)


def random_features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestAlign:
    @pytest.mark.parametrize(
        "theta",
        [affine(90), affine(180), affine(270), affine(mirror=True), affine(90, mirror=True)],
        ids=["90", "180", "270", "mirror", "90 and mirror"],
    )
    def test_quarter_turns_and_mirrors_are_undone_exactly(self, theta: Tensor) -> None:
        image = torch.rand(1, 3, 96, 96)
        aligned, seen = align(pooled(warp(image, theta)), theta)
        torch.testing.assert_close(aligned, pooled(image), rtol=1e-4, atol=1e-4)
        assert seen.all()

    @pytest.mark.parametrize(
        "theta",
        [affine(20), affine(-35, mirror=True), affine(scale=0.8), affine(scale=1.25), affine(shift=0.3)],
        ids=["20", "-35 and mirror", "zoom in", "zoom out", "shift"],
    )
    def test_other_warps_are_undone_where_the_view_has_looked(self, theta: Tensor) -> None:
        image = smooth_image()
        aligned, seen = align(pooled(warp(image, theta)), theta)
        unseen = F.pad(1 - seen.float()[:, None], (2, 2, 2, 2), value=1)  # pooling mixes what is beyond in
        interior = F.max_pool2d(unseen, 5, stride=1)[:, 0] == 0
        error = (aligned - pooled(image)).abs().amax(1)[interior]
        assert interior.float().mean() > 0.2
        assert error.max() < 0.1
        assert (pooled(warp(image, theta)) - pooled(image)).abs().max() > 0.3  # there was something to undo

    def test_seen_is_the_part_of_the_batch_inside_the_view(self) -> None:
        _, seen = align(random_features(1, 2, 8, 8), affine(scale=0.5))  # shows the central half
        expected = torch.zeros(8, 8, dtype=torch.bool)
        expected[2:6, 2:6] = True
        torch.testing.assert_close(seen[0], expected)

    def test_three_dimensions(self) -> None:
        features = random_features(2, 3, 4, 4, 4)
        flip = torch.eye(3, 4).expand(2, 3, 4).clone()
        flip[:, 2, 2] = -1  # the last row of the affine is the first axis of the array
        aligned, seen = align(features, flip)
        torch.testing.assert_close(aligned, features.flip(2))
        assert seen.shape == (2, 4, 4, 4)


class TestPaper:
    def test_by_hand(self) -> None:
        first = torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]]])
        second = torch.tensor([[[[1.0, 0.0]], [[0.0, 3.0]]]])
        loss = MapConsistency(lambda_ac=2.0, aligned=False, normalised=False)
        torch.testing.assert_close(loss(first, second, IDENTITY, IDENTITY), torch.tensor([2 * (4 + 9) / 4]))

    def test_does_not_look_at_the_affine(self) -> None:
        first, second = random_features(2, 2, 3, 4, 4)
        loss = MapConsistency(aligned=False, normalised=False)
        turned = affine(90).expand(2, 2, 3)
        straight = IDENTITY.expand(2, 2, 3)
        torch.testing.assert_close(loss(first, second, turned, straight), loss(first, second, straight, straight))


class TestAligned:
    def test_by_hand_over_shared_positions_only(self) -> None:
        first = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
        second = torch.tensor([[[[3.0, 6.0, 50.0, 60.0]]]])  # sees the right half of the batch on its left
        loss = MapConsistency(normalised=False)(first, second, IDENTITY, affine(shift=1.0))
        torch.testing.assert_close(loss, torch.tensor([(0 + 2.0**2) / 2]))

    def test_views_that_share_nothing_cost_nothing(self) -> None:
        first, second = random_features(2, 1, 3, 4, 4).requires_grad_()
        for normalised in (True, False):
            loss = MapConsistency(normalised=normalised)(first, second, affine(shift=2.5), affine(shift=-2.5))
            (gradient,) = torch.autograd.grad(loss.sum(), first)
            assert loss.item() == 0
            assert not gradient.any()

    @pytest.mark.parametrize("normalised", [True, False])
    def test_two_views_of_one_image_agree_once_aligned(self, normalised: bool) -> None:
        image = smooth_image(4)
        theta_1, theta_2 = affine(15).expand(4, 2, 3), affine(-15, mirror=True).expand(4, 2, 3)
        features = pooled(warp(image, theta_1)), pooled(warp(image, theta_2))
        aligned = MapConsistency(aligned=True, normalised=normalised)(*features, theta_1, theta_2)
        straight = MapConsistency(aligned=False, normalised=normalised)(*features, theta_1, theta_2)
        assert (aligned < 0.1 * straight).all()


class TestNormalised:
    loss = MapConsistency(aligned=False)

    def apply(self, first: Tensor, second: Tensor) -> Tensor:
        theta = IDENTITY.expand(len(first), 2, 3)
        return self.loss(first, second, theta, theta)

    def test_by_hand(self) -> None:
        # Features 1 and 3, 2 and 2: the variance of the four is 2/3, the squared differences 4 and 0.
        first, second = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(2, 2, 1, 1, 1).unbind(1)
        torch.testing.assert_close(self.apply(first, second), torch.tensor([3.0, 0.0]))

    @pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e6])
    def test_scale_of_the_features_does_not_matter(self, scale: float) -> None:
        first, second = random_features(2, 3, 5, 4, 4)
        torch.testing.assert_close(self.apply(scale * first, scale * second), self.apply(first, second))

    def test_a_map_that_all_samples_share_does_not_matter(self) -> None:
        first, second = random_features(2, 3, 5, 4, 4)
        shared = 10 * random_features(5, 4, 4, seed=1)
        torch.testing.assert_close(
            self.apply(first + shared, second + shared), self.apply(first, second), rtol=1e-4, atol=1e-5
        )

    def test_shrinking_the_features_is_no_way_down(self) -> None:
        features = random_features(2, 3, 5, 4, 4).requires_grad_()
        (gradient,) = torch.autograd.grad(self.apply(*features).sum(), features)
        along = (gradient * features).sum()
        assert gradient.abs().sum() > 0.1
        assert along.abs() < 1e-5

    @pytest.mark.parametrize("batch", [2, 16])
    def test_same_features_cost_nothing_and_unrelated_ones_one(self, batch: int) -> None:
        first, second = random_features(2, batch, 64, 16, 16)
        assert not self.apply(first, first).any()
        torch.testing.assert_close(self.apply(first, second), torch.ones(batch), rtol=0, atol=0.05)

    def test_a_position_that_one_view_missed_does_not_count(self) -> None:
        first, second = random_features(2, 4, 3, 1, 8)
        thetas = IDENTITY.expand(4, 2, 3), affine(shift=1.0).expand(4, 2, 3)  # share the right half
        expected = MapConsistency()(first, second, *thetas)
        spoilt = first.clone(), second.clone()
        spoilt[0][..., :4] = 1e3
        spoilt[1][..., 4:] = -1e3
        torch.testing.assert_close(MapConsistency()(*spoilt, *thetas), expected)

    def test_flat_features_have_finite_gradients(self) -> None:
        features = torch.ones(2, 3, 5, 4, 4, requires_grad=True)
        loss = self.apply(*features)
        loss.sum().backward()
        assert features.grad is not None
        assert loss.isfinite().all()
        assert features.grad.isfinite().all()


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
class TestAnyForm:
    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first, second = random_features(2, 4, 3, 6, 6)
        theta_1 = torch.cat([affine(90), affine(10), affine(mirror=True), affine(scale=1.2)])
        theta_2 = torch.cat([affine(5), affine(shift=0.2), affine(180), affine(-20)])
        return first, second, theta_1, theta_2

    def test_order_of_the_samples_does_not_matter(self, aligned: bool, normalised: bool) -> None:
        loss, order = MapConsistency(aligned=aligned, normalised=normalised), torch.tensor([2, 0, 3, 1])
        arguments = self.draw()
        torch.testing.assert_close(loss(*(x[order] for x in arguments)), loss(*arguments)[order])

    def test_views_may_be_swapped(self, aligned: bool, normalised: bool) -> None:
        loss = MapConsistency(aligned=aligned, normalised=normalised)
        first, second, theta_1, theta_2 = self.draw()
        torch.testing.assert_close(loss(first, second, theta_1, theta_2), loss(second, first, theta_2, theta_1))

    def test_lambda_is_a_factor(self, aligned: bool, normalised: bool) -> None:
        one, three = (MapConsistency(factor, aligned, normalised)(*self.draw()) for factor in (1.0, 3.0))
        torch.testing.assert_close(three, 3 * one)

    def test_gradient_flows_through_both_views(self, aligned: bool, normalised: bool) -> None:
        loss = MapConsistency(aligned=aligned, normalised=normalised)
        first, second, *thetas = self.draw()
        views = first.double().requires_grad_(), second.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda f, s: loss(f, s, *thetas), views, fast_mode=True)

    def test_float32_under_autocast(self, aligned: bool, normalised: bool) -> None:
        loss = MapConsistency(aligned=aligned, normalised=normalised)
        first, second, *thetas = self.draw()
        with torch.autocast("cpu", torch.bfloat16):
            half = loss(first.bfloat16(), second.bfloat16(), *thetas)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, loss(first.bfloat16().float(), second.bfloat16().float(), *thetas))


def test_lambda_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="lambda_ac is 0 but must be positive"):
        MapConsistency(lambda_ac=0)


def test_feature_std_by_hand() -> None:
    features = torch.tensor([[[[0.0, 2.0]], [[5.0, 5.0]]], [[[0.0, 2.0]], [[5.0, 5.0]]]])
    torch.testing.assert_close(feature_std(features), torch.tensor((1.0 + 0.0) / 2))


def loss_and_gradient(share: slice) -> tuple[Tensor, Tensor]:
    """Normalised consistency of some of five samples, and what it says to the weights of an encoder."""
    torch.manual_seed(0)
    encoder = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    network: nn.Module = SegmentationNetwork(nn.Sequential(encoder, nn.Upsample(scale_factor=2)), 3, 4, "0")
    if dist.is_initialized():
        network = nn.parallel.DistributedDataParallel(network)
    images = random_features(2, 5, 3, 8, 8)[:, share]
    thetas = affine(90).expand(5, 2, 3)[share], affine(15, mirror=True).expand(5, 2, 3)[share]
    loss = MapConsistency()(*network(images.flatten(0, 1)).features[0].chunk(2), *thetas)
    # A mean over the five of both processes, in the face of DistributedDataParallel's mean over two.
    (loss.sum() * (2 if dist.is_initialized() else 1) / 5).backward()
    assert encoder.weight.grad is not None
    return loss.detach(), encoder.weight.grad


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_are_one(tmp_path: Path) -> None:
    loss, gradient = loss_and_gradient(slice(0, 5))
    parts = slice(0, 2), slice(2, 5)
    (loss_0, gradient_0), (loss_1, gradient_1) = in_two(lambda rank: loss_and_gradient(parts[rank]), tmp_path)
    torch.testing.assert_close(torch.cat([loss_0, loss_1]), loss)
    torch.testing.assert_close(gradient_0, gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient_1, gradient, rtol=1e-4, atol=1e-6)
