"""Losses against values worked out by hand, MONAI, autograd, and one process where two share a batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from forked import in_two
from torch import Tensor, nn

from adawac.errors import ConfigError
from adawac.losses import (
    CrossEntropy,
    DiceCrossEntropy,
    Focal,
    SupervisedLoss,
    cross_entropy,
    dice_cross_entropy,
    dice_loss,
    focal_loss,
)
from adawac.types import IGNORE_INDEX


def draw(*shape: int, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (B, K, *plane) and label (B, *plane) with some ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    batch, *plane = shape
    logits = 2 * torch.randn(batch, classes, *plane, generator=generator)
    label = torch.randint(0, classes, shape, generator=generator)
    label[torch.rand(shape, generator=generator) < 0.2] = IGNORE_INDEX
    return logits, label


class TestCrossEntropy:
    def test_by_hand_leaving_ignored_pixels_out(self) -> None:
        logits = torch.tensor([[[[0.0, 3.0]], [[0.0, 0.0]]]])  # one row of two pixels, two classes
        both = torch.tensor([[[1, 0]]])
        first = torch.tensor([[[1, IGNORE_INDEX]]])
        right = torch.log(1 + torch.exp(torch.tensor(-3.0)))
        torch.testing.assert_close(cross_entropy(logits, both)[0], (torch.tensor(2.0).log() + right) / 2)
        torch.testing.assert_close(cross_entropy(logits, first)[0], torch.tensor(2.0).log())

    def test_sample_without_valid_pixels_costs_nothing_and_has_no_gradient(self) -> None:
        logits, label = draw(2, 4, 4)
        label[0] = IGNORE_INDEX
        logits.requires_grad_()
        loss = cross_entropy(logits, label)
        loss.sum().backward()
        assert loss[0] == 0
        assert loss[1] > 0
        assert logits.grad is not None
        assert not logits.grad[0].any()

    @pytest.mark.parametrize("plane", [(5, 7), (3, 5, 7)])
    def test_mean_over_samples_of_equal_size_is_torchs_mean(self, plane: tuple[int, ...]) -> None:
        logits, label = draw(4, *plane)
        label[label == IGNORE_INDEX] = 0
        torch.testing.assert_close(cross_entropy(logits, label).mean(), F.cross_entropy(logits, label))

    def test_takes_the_small_label_types_of_the_store(self) -> None:
        logits, label = draw(2, 4, 4)
        torch.testing.assert_close(cross_entropy(logits, label.to(torch.uint8)), cross_entropy(logits, label))


class TestFocal:
    def test_by_hand(self) -> None:
        logits = torch.tensor([[[[0.0]], [[3.0]]]]).log_softmax(1)
        probability = logits[0, 1, 0, 0].exp()
        expected = (1 - probability) ** 2 * -probability.log()
        torch.testing.assert_close(focal_loss(logits, torch.tensor([[[1]]]))[0], expected)

    def test_without_gamma_it_is_the_cross_entropy(self) -> None:
        logits, label = draw(3, 6, 6)
        torch.testing.assert_close(focal_loss(logits, label, gamma=0.0), cross_entropy(logits, label))

    @pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
    def test_gradient_is_finite_where_the_class_is_certain(self, gamma: float) -> None:
        logits = torch.tensor([[[[0.0]], [[200.0]]]], requires_grad=True)
        focal_loss(logits, torch.tensor([[[1]]]), gamma).sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()

    def test_negative_gamma_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="at least 0; 2 is usual"):
            Focal(gamma=-1.0)


class TestDiceCrossEntropy:
    def test_where_all_classes_are_held_it_is_the_sum_of_both(self) -> None:
        logits, label = draw(1, 8, 8)
        expected = cross_entropy(logits, label)[0] + dice_loss(logits, label, batch=False)
        torch.testing.assert_close(dice_cross_entropy(logits, label)[0], expected)

    def test_a_slice_is_not_judged_by_classes_that_it_does_not_hold(self) -> None:
        logits = torch.tensor([2.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 4, 4)
        empty = torch.zeros(1, 4, 4, dtype=torch.long)
        p = torch.tensor([2.0, 0.0, 0.0]).softmax(0)[0]
        expected = -p.log() + 1 - 2 * p / (p.square() + 1)
        torch.testing.assert_close(dice_cross_entropy(logits, empty)[0], expected, atol=1e-5, rtol=1e-5)

    def test_a_small_organ_that_is_missed_costs_as_much_as_a_large_one(self) -> None:
        logits = 20.0 * torch.tensor([1.0, 0.0])[None, :, None, None].expand(2, 2, 32, 32)
        label = torch.zeros(2, 32, 32, dtype=torch.long)
        label[0, 0, 0] = label[1, :4, :4] = 1
        small, large = dice_cross_entropy(logits, label) - cross_entropy(logits, label)
        assert small == pytest.approx(0.5, abs=0.01)
        assert large == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("module", "function"),
    [(CrossEntropy(), cross_entropy), (Focal(2.0), focal_loss), (DiceCrossEntropy(), dice_cross_entropy)],
    ids=["ce", "focal", "dice-ce"],
)
class TestPerSampleLosses:
    def test_module_is_the_function(self, module: SupervisedLoss, function) -> None:
        logits, label = draw(3, 6, 6)
        torch.testing.assert_close(module(logits, label), function(logits, label))

    def test_float32_under_autocast(self, module: SupervisedLoss, function) -> None:
        logits, label = draw(3, 6, 6)
        with torch.autocast("cpu", torch.bfloat16):
            loss = module(logits.bfloat16(), label)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, function(logits.bfloat16().float(), label))

    def test_gradient(self, module: SupervisedLoss, function) -> None:
        logits, label = draw(2, 3, 3)
        torch.autograd.gradcheck(lambda x: module(x, label), logits.double().requires_grad_())

    def test_samples_do_not_mix(self, module: SupervisedLoss, function) -> None:
        logits, label = draw(4, 6, 6)
        order = torch.tensor([2, 0, 3, 1])
        torch.testing.assert_close(module(logits[order], label[order]), module(logits, label)[order])


class TestDice:
    def test_by_hand(self) -> None:
        # Pixels of class 0, 1, 1 and an ignored one; the network says 1/2 everywhere:
        # class 0: 1 - 2 (1/2) / (3/4 + 1) = 3/7, class 1: 1 - 2 (1) / (3/4 + 2) = 3/11.
        label = torch.tensor([[[0, 1], [1, IGNORE_INDEX]]])
        loss = dice_loss(torch.zeros(1, 2, 2, 2), label, smooth=0.0)
        torch.testing.assert_close(loss, torch.tensor((3 / 7 + 3 / 11) / 2))

    def test_absent_class_that_is_not_predicted_costs_nothing(self) -> None:
        label = torch.zeros(1, 8, 8, dtype=torch.long)
        logits = torch.full((1, 3, 8, 8), -100.0)
        logits[:, 0] = 100.0
        assert dice_loss(logits, label).item() == pytest.approx(0, abs=1e-6)

    def test_batch_pools_the_sums_that_samples_keep_apart(self) -> None:
        logits, label = draw(4, 8, 8)
        side_by_side = dice_loss(logits.movedim(0, 1).flatten(1, 2)[None], label.flatten(0, 1)[None])
        torch.testing.assert_close(dice_loss(logits, label), side_by_side)
        apart = torch.stack([dice_loss(logits[i : i + 1], label[i : i + 1]) for i in range(4)]).mean()
        torch.testing.assert_close(dice_loss(logits, label, batch=False), apart)

    @pytest.mark.parametrize("plane", [(6, 7), (3, 4, 5)])
    @pytest.mark.parametrize("batch", [True, False])
    def test_is_monais(self, plane: tuple[int, ...], batch: bool) -> None:
        from monai.losses import DiceLoss

        logits, label = draw(3, *plane)
        label[label == IGNORE_INDEX] = 0
        monai = DiceLoss(softmax=True, to_onehot_y=True, squared_pred=True, batch=batch, smooth_nr=1e-5, smooth_dr=1e-5)
        logits.requires_grad_()
        ours, theirs = dice_loss(logits, label, batch=batch), monai(logits, label[:, None])
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))

    @pytest.mark.parametrize("batch", [True, False])
    def test_what_is_looked_up_and_what_is_compiled_are_alike(self, batch: bool, monkeypatch) -> None:
        logits, label = draw(4, 6, 7)
        logits.requires_grad_()
        looked_up = dice_loss(logits, label, batch=batch)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        compiled = dice_loss(logits, label, batch=batch)
        torch.testing.assert_close(looked_up, compiled)
        torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (looked_up, compiled)))

    def test_views_are_batches_of_their_own(self) -> None:
        (one, first), (two, second) = draw(3, 5, 7), draw(3, 5, 7, seed=1)
        together = dice_loss(torch.cat([one, two]), torch.cat([first, second]), views=2)
        torch.testing.assert_close(together, (dice_loss(one, first) + dice_loss(two, second)) / 2)

    def test_what_lies_under_ignored_pixels_does_not_matter(self) -> None:
        logits, label = draw(3, 8, 8)
        hidden = (label == IGNORE_INDEX)[:, None]
        torch.testing.assert_close(dice_loss(logits.where(~hidden, 9.0), label), dice_loss(logits, label))

    def test_gradient(self) -> None:
        logits, label = draw(2, 3, 3)
        torch.autograd.gradcheck(lambda x: dice_loss(x, label), logits.double().requires_grad_())

    def test_float32_under_autocast(self) -> None:
        logits, label = draw(3, 6, 6)
        with torch.autocast("cpu", torch.bfloat16):
            loss = dice_loss(logits.bfloat16(), label)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, dice_loss(logits.bfloat16().float(), label))


def loss_and_gradient(share: slice) -> tuple[Tensor, Tensor]:
    """Dice of some of five samples, and what it says to the weights of a network."""
    torch.manual_seed(0)
    network: nn.Module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1))
    parameters = list(network.parameters())
    if dist.is_initialized():
        network = nn.parallel.DistributedDataParallel(network)
    _, label = draw(5, 8, 8)
    loss = dice_loss(network(label[share, None].float().cos()), label[share])
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_dice_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    loss, gradient = loss_and_gradient(slice(0, 5))
    parts = slice(0, 2), slice(2, 5)
    for other_loss, other_gradient in in_two(lambda rank: loss_and_gradient(parts[rank]), tmp_path):
        torch.testing.assert_close(other_loss, loss)
        torch.testing.assert_close(other_gradient, gradient, rtol=1e-4, atol=1e-7)
