"""Slices of which nothing is labelled, from the file to the loss: they must not change what is learnt of the others."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from tiny_data import write_msd
from tiny_task import SEED, SPEC, make_task, make_trainer

from adawac.augment import PaperAugmentation
from adawac.data.datamodule import SegmentationData
from adawac.data.sampling import GroupBalanced, HardnessWeighted
from adawac.data.splits import FractionSplit
from adawac.data.subsets import SparseMix
from adawac.losses import CrossEntropy, DiceCrossEntropy, Focal, dice_loss
from adawac.training.callbacks.run_record import RunRecord
from adawac.training.callbacks.suspect_slices import SuspectSlices
from adawac.training.callbacks.weight_monitor import WeightMonitor
from adawac.training.task import SegmentationTask
from adawac.types import IGNORE_INDEX, SampleLosses
from adawac.weighting import (
    ERM,
    PMDRO,
    AdaWAC,
    CVaRDRO,
    GroupDRO,
    Pair,
    PseudoAdaWAC,
    ReweightOnly,
    TrimRatio,
    TrimTrain,
)

IGNORED = (0, 3, 4)
"""Slices of each volume of eight: one without organs, two with."""


def write(folder):
    write_msd(folder, cases=5, shape=(8, 16, 16))
    dataset = json.loads((folder / "dataset.json").read_text())
    dataset["labels"]["9"] = "ignore"
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for path in (folder / "labelsTr").glob("*.nii.gz"):
        image = nib.load(path)
        label = np.asarray(image.dataobj).copy()
        label[:, :, list(IGNORED)] = 9
        label[:7, :5, 2] = 9  # in part
        nib.save(nib.Nifti1Image(label, image.affine), path)


def make_data(root, **options):
    data = SegmentationData(
        str(root / "data"),
        split=FractionSplit(val=0.4, test=0.0),
        size=(24, 24),
        spacing=(0.9, 0.8),  # with padding, of which nothing is known there either
        batch_size=8,
        store=str(root / "store"),
        **options,
    )
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("ignored")
    write(root / "data")
    return root


@pytest.fixture(scope="module")
def data(root):
    return make_data(root)


def test_units_are_dense_or_sparse_or_wholly_ignored(data):
    units = data.units
    slices = units.start[:, 0]
    assert (~units.labelled).tolist() == np.isin(slices, IGNORED).tolist()
    assert (units.dense.astype(int) + units.sparse + ~units.labelled == 1).all()
    assert set(slices[units.sparse].tolist()) == {7}
    labels = [data.train_dataloader().dataset[[row]].label for row in range(len(units))]
    assert [bool((label == IGNORE_INDEX).all()) for label in labels] == (~units.labelled).tolist()


def test_patches_are_divided_likewise(root):
    data = make_data(root, patch=(1, 24, 24))
    assert np.isin(data.units.start[:, 0], IGNORED).tolist() == (~data.units.labelled).tolist()
    padding = make_data(
        root, patch=(2, 4, 4)
    )  # those at the rim hold padding alone: background, as the network sees it
    batch = padding.train_dataloader().dataset[list(range(len(padding.units)))]
    assert ((batch.label != IGNORE_INDEX).flatten(1).any(1).numpy() == padding.units.labelled).all()
    assert 0 < padding.units.labelled.sum() < len(padding.units)


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(), DiceCrossEntropy()], ids=lambda loss: type(loss).__name__)
def test_they_have_a_loss_of_exactly_0(loss):
    logits = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    label = torch.randint(0, 4, (3, 6, 6), generator=torch.Generator().manual_seed(1))
    label[1] = IGNORE_INDEX
    losses = loss(logits, label)
    losses.sum().backward()
    assert losses[1] == 0
    assert (logits.grad[1] == 0).all()
    assert (losses[[0, 2]] > 0).all()
    for whole in (True, False):
        assert dice_loss(logits, label, batch=whole).item() == pytest.approx(
            dice_loss(logits[[0, 2]], label[[0, 2]], batch=whole).item(), rel=1e-6
        )


@pytest.mark.parametrize("supervised", [CrossEntropy(), DiceCrossEntropy()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize(
    "weighting",
    [ERM, Pair, TrimTrain, lambda: TrimRatio(0.3), ReweightOnly, PMDRO, GroupDRO, lambda: CVaRDRO(0.5)],
    ids=["erm", "pair", "trim-train", "trim-ratio", "reweight-only", "pm-dro", "group-dro", "cvar-dro"],
)
def test_a_batch_with_them_has_the_loss_of_the_batch_without_them(data, weighting, supervised):
    """Views rotate, so that their corners come from outside of the plane; nothing is labelled there either."""
    losses, states = [], []
    for rows in (np.arange(16), np.flatnonzero(data.units.labelled[:16])):
        task = make_task(data, weighting(), supervised=supervised, augmentation=PaperAugmentation(), dice_ratio=0.3)
        losses.append(task.training_step(data.train_dataloader().dataset[rows.tolist()], 0).item())
        states.append(dict(task.weighting.named_buffers()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, state in states[0].items():
        torch.testing.assert_close(state, states[1][name])


@pytest.mark.parametrize("weighting", [AdaWAC, PseudoAdaWAC])
def test_they_keep_their_consistency_loss_and_thin_out_no_other(data, weighting):
    rows = np.arange(16)
    labelled = torch.from_numpy(data.units.labelled[rows])
    task = make_task(data, weighting(), augmentation=PaperAugmentation(), dice_ratio=0.0)
    batch = data.train_dataloader().dataset[rows.tolist()]
    step = task._compute(*batch, 0)
    assert (~step.supervised.isnan()).tolist() == labelled.tolist()
    assert (step.consistency[~labelled] > 0).all()
    again = make_task(data, weighting(), augmentation=PaperAugmentation(), dice_ratio=0.0)
    weights = again.weighting.step(SampleLosses(batch.index, step.supervised, step.consistency.detach(), batch.dense))
    expected = (weights.supervised * step.supervised)[labelled].mean() + (weights.consistency * step.consistency).mean()
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    if weighting is AdaWAC:
        assert (task.weighting.log_odds[rows][~labelled] == 0).all()
        assert (task.weighting.log_odds[rows][labelled] != 0).all()


def test_a_view_that_shows_nothing_labelled_is_no_0_in_the_mean_of_the_views(data):
    task = make_task(data, Pair())
    logits = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    label = torch.randint(0, 3, (4, 8, 8), generator=torch.Generator().manual_seed(1)).int()
    label[2] = IGNORE_INDEX  # the second view of the first sample
    ce, labelled, _ = task._supervise([logits], label)
    alone = CrossEntropy()(logits, label)
    assert labelled.tolist() == [True, True]
    assert ce.tolist() == pytest.approx([alone[0].item(), ((alone[1] + alone[3]) / 2).item()])


def test_samplers_and_subsets_count_the_others(data):
    units, rng = data.units, np.random.default_rng(0)
    rows = np.concatenate([GroupBalanced().draw(units, np.zeros(len(units)), 4, rng) for _ in range(50)])
    assert units.labelled[rows].all()
    unseen = np.where(units.labelled, 0.1, np.nan)
    assert units.labelled[HardnessWeighted().draw(units, unseen, int(units.labelled.sum()), rng)].all()
    kept = SparseMix(0.5).select(units)
    assert units.labelled[kept].all()
    assert len(kept) == 3 * ((8 - len(IGNORED)) // 2)


def test_a_run_counts_them_apart_and_names_none_of_them(root, tmp_path, caplog):
    caplog.set_level("INFO")
    data = make_data(root)
    assert (
        "24 of 24 training slices, 9 of them without any label, 12 label-dense (80 %); slices that hold" in caplog.text
    )
    task = SegmentationTask(SPEC, AdaWAC(), seed=SEED)
    callbacks = [WeightMonitor(cases=0), SuspectSlices(), RunRecord()]
    make_trainer(max_epochs=2, callbacks=callbacks, default_root_dir=tmp_path, logger=True).fit(task, data)
    run = next(tmp_path.rglob("run.json"))
    record = json.loads(run.read_text())
    assert [record[key] for key in ("label_dense", "label_sparse", "wholly_ignored")] == [12, 3, 9]
    for name in ("weights.csv", "suspects.csv"):
        with (run.parent / name).open(newline="") as file:
            units = [int(row["unit"]) for row in csv.DictReader(file)]
        assert not set(units) & set(IGNORED), name
    ignored = ~data.units.labelled
    assert task.last_losses.supervised[ignored].isnan().all()
    assert (task.weighting.log_odds[ignored] == 0).all()
    assert task.last_losses.supervised[~ignored].isfinite().all()
    means = [
        task.last_losses.supervised[group].mean().item() for group in (data.units.dense, ~data.units.dense & ~ignored)
    ]
    logged = [task.trainer.callback_metrics[f"ce/{group}"].item() for group in ("dense", "sparse")]
    assert logged == pytest.approx(means, rel=1e-5)
