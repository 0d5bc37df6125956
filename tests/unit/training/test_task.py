import math

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from tiny_task import NUM_CLASSES, SEED, SPEC, first_batch, make_data, make_task, make_trainer

from adawac.augment import NoAugmentation
from adawac.data.datamodule import SegmentationData
from adawac.errors import ConfigError
from adawac.losses import FeatureConsistency, Focal
from adawac.training.schedules import Constant, Poly
from adawac.training.task import SegmentationTask
from adawac.types import IGNORE_INDEX, Weights
from adawac.weighting import ERM, AdaWAC, Pair, Weighting


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("task"))


def views_of(task, batch, number=2):
    call = {"seed": SEED, "epoch": 0}
    return [task.augmentation(batch.image, batch.label, batch.index, **call, view=view) for view in range(number)]


def per_slice_ce(logits, label):
    """Mean over the pixels that count, slice by slice."""
    log_p = torch.log_softmax(logits.double(), 1)
    means = []
    for one, reference in zip(log_p, label.long(), strict=True):
        kept = reference != IGNORE_INDEX
        picked = one.gather(0, reference.where(kept, 0)[None])[0]
        means.append(-picked[kept].mean())
    return torch.stack(means)


def batch_dice(logits, label):
    """One number a view: for every class 1 - (2 sum pg + 1e-5) / (sum p^2 + sum g^2 + 1e-5), then their mean."""
    kept = (label != IGNORE_INDEX)[:, None].double()
    p = logits.double().softmax(1) * kept
    g = F.one_hot(label.long().where(label != IGNORE_INDEX, 0), NUM_CLASSES).movedim(-1, 1).double() * kept
    sums = [(p * g).sum((0, 2, 3)), (p * p).sum((0, 2, 3)), (g * g).sum((0, 2, 3))]
    return (1 - (2 * sums[0] + 1e-5) / (sums[1] + sums[2] + 1e-5)).mean()


class Recorder(torch.nn.Module):
    """Passes on what the network returns and keeps it."""

    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, []

    def forward(self, image):
        output = self.network(image)
        self.calls.append((image, output))
        return output


class Deep(torch.nn.Module):
    """A network with deep supervision, of two scales beside its own."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        output = self.network(image)
        return output._replace(coarser=(output.logits * 0.5, output.logits * 0.25))


class TestLoss:
    @pytest.mark.parametrize("dice_ratio", [0.0, 0.3, 1.0])
    def test_is_the_formula(self, data, dice_ratio):
        """The paper's rule and term: z = eta (ce - ac), the NEW beta weighs, Dice is one number per view."""
        plain = FeatureConsistency(lambda_ac=2.0, aligned=False, normalised=False)
        task, batch = make_task(data, dice_ratio=dice_ratio, consistency=plain), first_batch(data)
        views = views_of(task, batch)
        outputs = [task.network(view.image) for view in views]

        ce = sum(per_slice_ce(o.logits, v.label) for o, v in zip(outputs, views, strict=True)) / 2
        ac = 2.0 * (outputs[0].features[0].double() - outputs[1].features[0].double()).square().mean((1, 2, 3))
        beta = torch.sigmoid(3.0 * (ce - ac)).detach()
        dice = sum(batch_dice(o.logits, v.label) for o, v in zip(outputs, views, strict=True)) / 2
        expected = dice_ratio * dice + (1 - dice_ratio) * (beta * ce + (1 - beta) * ac).mean()

        loss = task.training_step(batch, 0)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(task.weighting.weights[batch.index], beta.float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(task.last_losses.supervised[batch.index], ce.float().detach(), rtol=1e-4, atol=1e-5)

        loss.backward()
        mine = [parameter.grad.clone() for parameter in task.network.parameters()]
        task.zero_grad()
        expected.backward()
        for grad, parameter in zip(mine, task.network.parameters(), strict=True):
            torch.testing.assert_close(grad, parameter.grad, rtol=1e-3, atol=1e-6)

    def test_default_consistency_is_aligned_and_calibrated(self, data):
        """The loss follows the weights that the weighting says, whatever they are."""
        task, batch = make_task(data, AdaWAC()), first_batch(data)
        views = views_of(task, batch)
        outputs = [task.network(view.image) for view in views]
        ce = sum(per_slice_ce(o.logits, v.label) for o, v in zip(outputs, views, strict=True)) / 2
        ac = task.consistency(outputs[0], outputs[1], views[0].affine, views[1].affine).double()
        ratio = 0.2 * ce.mean() / ac.mean()  # after one step the running means are those of the batch
        beta = torch.sigmoid(0.3 * ((ce - ratio * ac) / ce.mean() - 0.8))
        weighted = (beta * ce + (1 - beta) * ratio * ac).mean()
        dice = sum(batch_dice(o.logits, v.label) for o, v in zip(outputs, views, strict=True)) / 2
        assert task.training_step(batch, 0).item() == pytest.approx((dice / 2 + weighted / 2).item(), rel=1e-4)

    def test_coarser_scales_count_half_as_much_each(self, data):
        task, batch = make_task(data, ERM()), first_batch(data)
        task.network = Deep(task.network)
        [view] = views_of(task, batch, number=1)
        scales = (task.network.network(view.image).logits * factor for factor in (1.0, 0.5, 0.25))
        found = [(per_slice_ce(each, view.label), batch_dice(each, view.label)) for each in scales]
        ce, dice = ((4 * fine + 2 * middle + coarse) / 7 for fine, middle, coarse in zip(*found, strict=True))
        assert task.training_step(batch, 0).item() == pytest.approx((dice / 2 + ce.mean() / 2).item(), rel=1e-5)
        torch.testing.assert_close(task.last_losses.supervised[batch.index], ce.float().detach(), rtol=1e-4, atol=1e-5)

    def test_both_views_pass_the_network_together(self, data):
        task, batch = make_task(data), first_batch(data)
        task.network = Recorder(task.network)
        task.training_step(batch, 0)
        ((image, _),) = task.network.calls
        assert torch.equal(image, torch.cat([view.image for view in views_of(task, batch)]))
        assert not torch.equal(image[:8], image[8:])

    def test_erm_takes_one_view(self, data):
        task, batch = make_task(data, ERM()), first_batch(data)
        task.network = Recorder(task.network)
        loss = task.training_step(batch, 0)
        ((image, output),) = task.network.calls
        (view,) = views_of(task, batch, 1)
        assert torch.equal(image, view.image)
        expected = (batch_dice(output.logits, view.label) + per_slice_ce(output.logits, view.label).mean()) / 2
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert task.last_losses.consistency.isnan().all()

    def test_pair_is_the_mean_of_two_views(self, data):
        task, batch = make_task(data, Pair()), first_batch(data)
        parts = []
        for view in views_of(task, batch):
            logits = task.network(view.image).logits
            parts.append((batch_dice(logits, view.label) + per_slice_ce(logits, view.label).mean()) / 2)
        assert task.training_step(batch, 0).item() == pytest.approx((sum(parts) / 2).item(), rel=1e-5)

    def test_another_supervised_loss_takes_the_place_of_the_cross_entropy(self, data):
        task, batch = make_task(data, ERM(), supervised=Focal(gamma=2.0), dice_ratio=0.0), first_batch(data)
        (view,) = views_of(task, batch, 1)
        p = task.network(view.image).logits.softmax(1).gather(1, view.label.long()[:, None])
        expected = ((1 - p) ** 2 * -p.log()).mean()
        assert task.training_step(batch, 0).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_ignored_pixels_count_nowhere(self, data):
        """Whatever the logits are there, neither the loss nor the weights change."""
        batch = first_batch(data)
        label = batch.label.clone()
        label[:, 8:20, 4:24] = IGNORE_INDEX
        batch = batch._replace(label=label)
        plain = FeatureConsistency(aligned=False, normalised=False)
        results = []
        for shift in (0.0, 9.0):
            task = make_task(data, consistency=plain)
            labels = torch.cat([view.label for view in views_of(task, batch)])
            task.network = Shifted(task.network, shift * (labels == IGNORE_INDEX))
            results.append((task.training_step(batch, 0).item(), task.weighting.weights[batch.index]))
        assert math.isfinite(results[0][0])
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
        assert torch.equal(results[0][1], results[1][1])

    def test_a_slice_without_anything_to_learn_from_costs_nothing(self, data):
        task, batch = make_task(data, ERM(), augmentation=NoAugmentation(), dice_ratio=0.0), first_batch(data)
        label = batch.label.clone()
        label[-1] = IGNORE_INDEX
        loss = task.training_step(batch._replace(label=label), 0)
        ce = per_slice_ce(task.network(batch.image).logits[:-1], label[:-1])
        assert task.last_losses.supervised[batch.index[-1]].isnan()
        assert loss.item() == pytest.approx(
            ce.sum().item() / 7, rel=1e-5
        )  # nor does it thin out the mean of the others

    def test_losses_are_float32_under_bf16_autocast(self, data):
        """The same logits give the same loss to float32's precision, though they are bfloat16."""
        plain = FeatureConsistency(lambda_ac=2.0, aligned=False, normalised=False)
        task, batch = make_task(data, consistency=plain), first_batch(data)
        task.network = Recorder(task.network)
        with torch.autocast("cpu", torch.bfloat16):
            loss = task.training_step(batch, 0)
        ((_, output),) = task.network.calls
        assert output.logits.dtype == output.features[0].dtype == torch.bfloat16
        assert loss.dtype == task.last_losses.supervised.dtype == task.weighting.weights.dtype == torch.float32
        views = views_of(task, batch)
        pairs = list(zip(output.logits.chunk(2), views, strict=True))
        ce = sum(per_slice_ce(logits, view.label) for logits, view in pairs) / 2
        dice = sum(batch_dice(logits, view.label) for logits, view in pairs) / 2
        first, second = output.features[0].double().chunk(2)
        ac = 2.0 * (first - second).square().mean((1, 2, 3))
        beta = torch.sigmoid(3.0 * (ce - ac))
        expected = dice / 2 + (beta * ce + (1 - beta) * ac).mean() / 2
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)  # bfloat16 would be 4e-3 off

    def test_a_weighting_sees_float32_without_graph(self, data):
        task, batch = make_task(data, Spy()), first_batch(data)
        with torch.autocast("cpu", torch.bfloat16):
            loss = task.training_step(batch, 0)
        (losses,) = task.weighting.seen
        assert torch.equal(losses.index, batch.index)
        assert torch.equal(losses.dense, batch.dense)
        for shown in (losses.supervised, losses.consistency):
            assert (shown.shape, shown.dtype, shown.requires_grad) == ((8,), torch.float32, False)
        assert loss.requires_grad

    @pytest.mark.parametrize("weighting", [AdaWAC, Pair, ERM])
    def test_a_step_on_empty_slices_is_finite(self, data, weighting):
        """Constant images without foreground: no variance, no class but the background."""
        task = make_task(data, weighting())
        batch = first_batch(data)
        empty = batch._replace(image=torch.zeros_like(batch.image), label=torch.zeros_like(batch.label))
        loss = task.training_step(empty, 0)
        loss.backward()
        assert loss.isfinite()
        assert all(parameter.grad.isfinite().all() for parameter in task.network.parameters())
        assert task.weighting.weights is None or task.weighting.weights.isfinite().all()


class Spy(Weighting):
    """Keeps the losses that it is shown; all weights are 1."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def step(self, losses):
        self.seen.append(losses)
        return Weights(torch.ones_like(losses.supervised), torch.ones_like(losses.supervised))


class Shifted(torch.nn.Module):
    """Adds to the logits of the last class."""

    def __init__(self, network, shift):
        super().__init__()
        self.network, self.shift = network, shift

    def forward(self, image):
        output = self.network(image)
        logits = output.logits.clone()
        logits[:, -1] += self.shift
        return output._replace(logits=logits)


class TestSetup:
    @pytest.mark.parametrize("ratio", [-0.1, 1.5, math.nan])
    def test_bad_dice_ratio(self, ratio):
        with pytest.raises(ConfigError, match=r"dice_ratio is .*; give a share from 0 to 1"):
            SegmentationTask(SPEC, dice_ratio=ratio)

    def test_every_method_starts_from_the_same_network(self, data):
        states = []
        for position, weighting in enumerate((AdaWAC(), Pair(), ERM())):
            torch.manual_seed(position)  # whatever ran before
            torch.rand(position)
            states.append(make_task(data, weighting).network.state_dict())
        for name, value in states[0].items():
            assert torch.equal(value, states[1][name]), name
            assert torch.equal(value, states[2][name]), name
        other = SegmentationTask(SPEC, seed=SEED + 1)
        other.trainer = make_trainer()
        other.trainer.datamodule = data
        other.setup("fit")
        assert any(not torch.equal(value, states[0][name]) for name, value in other.network.state_dict().items())

    def test_building_the_network_leaves_the_global_generator_alone(self, data):
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        make_task(data)
        assert torch.equal(torch.rand(1), expected)

    def test_flip_of_sagittal_slices_is_refused(self, data):
        sagittal = SegmentationData(str(data.root), axis="sagittal", size=(32, 32), store=str(data.store_folder))
        sagittal.look()
        task = SegmentationTask(SPEC, flip_left_right=True)
        task.trainer = make_trainer()
        task.trainer.datamodule = sagittal
        with pytest.raises(ConfigError, match="sagittal slices do not show left and right"):
            task.setup("validate")


class Watch(pl.Callback):
    """Learning rate of every step."""

    def __init__(self):
        self.rates = []

    def on_train_batch_end(self, trainer, *args):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


class StopAfter(pl.Callback):
    """Ends a fit after so many steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = trainer.global_step >= self.steps


def rates(data, epochs: int) -> list[float]:
    """Learning rate with which every step of a fit is followed by the next."""
    watch = Watch()
    task = SegmentationTask(SPEC, ERM(), schedule=Poly(power=1.0), seed=SEED)
    make_trainer(max_epochs=epochs, limit_val_batches=0, callbacks=[watch]).fit(task, data)
    return watch.rates


class TestSchedule:
    def test_reaches_its_end_and_stretches(self, data):
        short, long = rates(data, 1), rates(data, 3)
        assert len(long) == 3 * len(short)
        for found in (short, long):
            steps = len(found)
            expected = [1e-3 * (1 - step / steps) for step in range(1, steps + 1)]  # AdamW's own rate
            assert found == pytest.approx(expected, abs=1e-9)
            assert found[-1] == 0

    @pytest.mark.parametrize("schedule", [Poly(), Constant()])
    def test_without_an_end_of_training_the_learning_rate_must_be_constant(self, data, schedule):
        stop = StopAfter(steps=4)
        trainer = make_trainer(max_epochs=-1, limit_val_batches=0, callbacks=[stop])
        task = SegmentationTask(SPEC, ERM(), schedule=schedule, seed=SEED)
        if isinstance(schedule, Constant):
            trainer.fit(task, data)
            assert trainer.global_step == 4
        else:
            with pytest.raises(ConfigError, match=r"Poly, .* give trainer.max_epochs .* or the schedule Constant"):
                trainer.fit(task, data)
