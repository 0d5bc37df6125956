"""A teacher's labels: what it is sure of, for whom, when, and what is learnt from them."""

import copy
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tiny_task import make_data, make_task, make_trainer
from weighting_losses import METHODS, UNITS, random_losses

from adawac.augment import StrongAugmentation
from adawac.augment.randomness import Source
from adawac.data.sampling import WithUnlabelled
from adawac.data.subsets import Annotated
from adawac.errors import ConfigError
from adawac.losses import CrossEntropy
from adawac.training.mean_teacher import MeanTeacher
from adawac.types import IGNORE_INDEX, unlabelled
from adawac.weighting import ERM, SemiSupervised


class Fixed(torch.nn.Module):
    """In place of a network: logits that are the image."""

    def forward(self, image):
        return type("Output", (), {"logits": image})


def taught(teacher, image, label, epoch=0):
    teacher.network = Fixed()
    return teacher.label(image, label, Source(0, epoch, torch.arange(len(label)), (0,)))


def test_pixels_it_is_sure_of_are_labelled_and_only_in_samples_without_any_label():
    image = torch.zeros(3, 2, 1, 3)
    image[:, 1, 0] = torch.tensor([3.0, -3.0, 0.1])  # 0.95 of class 1, 0.95 of class 0, neither
    label = torch.full((3, 1, 3), IGNORE_INDEX, dtype=torch.uint8)
    label[1, 0, 0] = 0  # in part
    found = taught(MeanTeacher(ramp=0), image, label)
    assert found[0].tolist() == found[2].tolist() == [[1, 0, IGNORE_INDEX]]
    assert found[1].tolist() == label[1].tolist()
    assert found.dtype == label.dtype
    assert unlabelled(label).tolist() == [True, False, True]


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.15, 0.5), (0.3, 1.0), (1.0, 1.0)])
def test_the_teaching_grows_over_the_ramp(progress, share):
    teacher = MeanTeacher(ramp=0.3)
    teacher.progress.fill_(progress)
    label = torch.full((4000, 1, 1), IGNORE_INDEX, dtype=torch.uint8)
    found = taught(teacher, torch.tensor([5.0, -5.0]).view(1, 2, 1, 1).expand(4000, -1, -1, -1), label)
    assert (found == 0).float().mean().item() == pytest.approx(share, abs=0.03)


def test_it_is_the_average_of_the_network():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    teacher = MeanTeacher(decay=0.5)
    teacher.begin(network)
    expected = {name: value.clone() for name, value in network.named_parameters()}
    for step in range(1, 5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.randn_like(parameter)
        network(torch.randn(8, 2))
        teacher.follow(network, step / 4)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in network.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach()
    for name, value in teacher.network.named_parameters():
        torch.testing.assert_close(value, expected[name])
        assert not value.requires_grad
    assert teacher.network[1].running_mean.tolist() == network[1].running_mean.tolist()
    assert teacher.progress == 1


@pytest.mark.parametrize("options", [{"decay": 1.0}, {"confidence": 1.1}, {"ramp": -0.1}])
def test_settings_beyond_their_range_are_refused(options):
    with pytest.raises(ConfigError, match="MeanTeacher: decay is"):
        MeanTeacher(**options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("teacher")


@pytest.fixture
def data(folder):
    """Three volumes to train, of which one is annotated."""
    data = make_data(folder)
    data.subset, data.sampling = Annotated(volumes=1), WithUnlabelled()
    data._units = None
    data.setup("fit")
    return data


class AsItIs(StrongAugmentation):
    """One view that is the batch itself."""

    def draw(self, image, label, source):
        view = super().draw(image, label, source)
        return view._replace(image=image, label=label)


def test_the_loss_is_the_labelled_mean_plus_the_mean_over_all_unlabelled(data):
    task = make_task(data, ERM(), augmentation=AsItIs(cut_mix=0), teacher=MeanTeacher(confidence=0.4), dice_ratio=0.0)
    task.teacher.progress.fill_(1.0)
    rows = [*np.flatnonzero(data.units.labelled)[:3], *np.flatnonzero(~data.units.labelled)[:5]]
    batch = data.train_dataloader().dataset[[int(row) for row in rows]]
    step = task._compute(*batch, 0)
    with torch.no_grad():
        logits = task.network(batch.image).logits
        probability, best = copy.deepcopy(task.network).eval()(batch.image).logits.softmax(1).max(1)
        theirs = torch.where(probability >= 0.4, best, IGNORE_INDEX)
        own = CrossEntropy()(logits[:3], batch.label[:3]).mean()
        other = CrossEntropy()(logits[3:], theirs[3:]).mean()
    assert 0 < (theirs[3:] == IGNORE_INDEX).float().mean() < 1
    assert step.loss.item() == pytest.approx((own + other).item(), rel=1e-5)
    assert step.supervised.isnan().tolist() == [False] * 3 + [True] * 5  # no weighting and no draw sees the others


def test_without_a_teacher_they_change_nothing(data):
    losses = []
    rows = [*np.flatnonzero(data.units.labelled)[:3], *np.flatnonzero(~data.units.labelled)[:5]]
    for chosen in (rows, rows[:3]):
        task = make_task(data, ERM(), augmentation=AsItIs(cut_mix=0))
        losses.append(task._compute(*data.train_dataloader().dataset[[int(row) for row in chosen]], 0).loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


class Stop(pl.Callback):
    """Ends a training early, as a signal would."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "half.ckpt")
        trainer.should_stop = True


def test_a_resumed_training_equals_an_unbroken_one(data, tmp_path):
    def fit(path=None, **options):
        task = make_task(data, ERM(), augmentation=StrongAugmentation(), teacher=MeanTeacher(ramp=0.5, confidence=0.4))
        del task.log, task.log_dict
        trainer = make_trainer(max_epochs=2, limit_val_batches=0, default_root_dir=tmp_path, **options)
        trainer.fit(task, datamodule=data, ckpt_path=path)
        return task

    whole = fit()
    assert fit(callbacks=[Stop()]).teacher.steps < whole.teacher.steps
    resumed = fit(tmp_path / "half.ckpt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(value, resumed.state_dict()[name], rtol=0, atol=0, equal_nan=True)
    pairs = zip(whole.network.parameters(), whole.teacher.network.parameters(), strict=True)
    assert max((mine - its).abs().max() for mine, its in pairs) > 0


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.uses_consistency])
def test_whoever_has_no_label_has_consistency_alone(name):
    rng, method = np.random.default_rng(0), copy.deepcopy(METHODS[name])
    method.allocate(UNITS)
    losses = random_losses(rng)
    without = torch.zeros(len(losses.index), dtype=torch.bool)
    without[:2] = True
    losses = losses._replace(supervised=losses.supervised.masked_fill(without, torch.nan))
    weights = method.step(losses)
    assert (weights.supervised[without] == 0).all()
    assert (weights.consistency[without] > 0).all()
    if name.startswith("adawac"):  # calibrated: what 1 - beta is multiplied by
        beta = method.log_odds[losses.index].sigmoid()
        ratio = (weights.consistency / (1 - beta))[~without]
        assert weights.consistency[without].tolist() == pytest.approx([ratio.median().item()] * 2, rel=1e-4)
    else:
        assert (weights.consistency[without] == 1).all()


def test_semi_supervised_is_consistency_where_there_is_no_label():
    losses = random_losses(np.random.default_rng(0))
    losses.supervised[1] = torch.nan
    weights = SemiSupervised().step(losses)
    assert weights.supervised.tolist() == [1 if row != 1 else 0 for row in range(len(losses.index))]
    assert (weights.supervised + weights.consistency == 1).all()
