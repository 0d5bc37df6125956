import csv
import math
import re
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import nibabel as nib
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_data import write_msd

from adawac.data.datamodule import SegmentationData
from adawac.data.sampling import ForegroundOversampling
from adawac.data.splits import FractionSplit
from adawac.data.subsets import Trim
from adawac.errors import ConfigError
from adawac.metrics import separation_auroc
from adawac.networks import NetworkSpec
from adawac.runs.folder import RunFolder
from adawac.runs.slice_weights import SliceWeights
from adawac.training.callbacks.checkpoints import RunCheckpoint
from adawac.training.callbacks.prediction_pictures import PredictionPictures
from adawac.training.callbacks.progress import RunProgress
from adawac.training.callbacks.run_record import RunRecord
from adawac.training.callbacks.suspect_slices import SuspectSlices
from adawac.training.callbacks.weight_monitor import WeightMonitor
from adawac.training.task import SegmentationTask
from adawac.weighting import ERM, AdaWAC

LOSS_KEYS = {"ce/dense", "ce/sparse"}
PAIR_KEYS = {"consistency/dense", "consistency/sparse", "ratio/ac_over_ce", "ratio/ce_over_dice_loss"}
WEIGHT_KEYS = {"weights/dense_mean", "weights/sparse_mean", "weights/auroc"}


class Run:
    """What a fit of a tiny network left behind."""

    def __init__(self, folder, weighting, epochs=1, subset=None, sampling=None, val=0.4, lr=0.001, **trainer):
        if not (folder / "data").exists():
            write_msd(folder / "data", cases=5, shape=(8, 16, 16))
        self.data = SegmentationData(
            str(folder / "data"),
            split=FractionSplit(val=val, test=0.0),
            subset=subset,
            sampling=sampling,
            size=(16, 16),
            batch_size=8,
            store=str(folder / "store"),
        )
        network = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
        self.task = SegmentationTask(network, weighting, optimizer=partial(torch.optim.AdamW, lr=lr))
        options = {
            "enable_checkpointing": False,
            "callbacks": [WeightMonitor(cases=2), PredictionPictures(cases=1), SuspectSlices()],
            "logger": [TensorBoardLogger(folder, "tb", version=0), CSVLogger(folder, "csv", version=0)],
        }
        self.trainer = pl.Trainer(
            max_epochs=epochs,
            log_every_n_steps=1,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            **(options | trainer),
        )
        self.trainer.fit(self.task, self.data)
        if self.trainer.loggers:
            self.events = EventAccumulator(str(folder / "tb/version_0"), {"images": 0, "histograms": 0}).Reload()
            self.tags = self.events.Tags()

    def scalar(self, tag):
        return [(event.step, event.value) for event in self.events.Scalars(tag)]


@pytest.fixture(scope="module")
def adawac(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("adawac"), AdaWAC(), epochs=2)


@pytest.fixture(scope="module")
def erm(tmp_path_factory):
    return Run(
        tmp_path_factory.mktemp("erm"), ERM(), callbacks=[WeightMonitor(), PredictionPictures(cases=0), SuspectSlices()]
    )


def test_every_scalar_is_there_once_an_epoch(adawac):
    steps = adawac.trainer.global_step
    for tag in LOSS_KEYS | PAIR_KEYS | WEIGHT_KEYS:
        assert len(adawac.scalar(tag)) == 2, tag
        assert abs(adawac.scalar(tag)[-1][0] - steps) <= 1, tag


def test_scalars_are_those_of_the_tables(adawac):
    task, dense = adawac.task, adawac.data.units.dense
    ce, consistency = task.last_losses.supervised.numpy(), task.last_losses.consistency.numpy()
    beta, log_odds = task.weighting.weights.numpy(), task.weighting.log_odds.numpy()
    expected = {
        "ce/dense": ce[dense].mean(),
        "ce/sparse": ce[~dense].mean(),
        "consistency/sparse": consistency[~dense].mean(),
        "ratio/ac_over_ce": consistency.mean() / ce.mean(),
        "ratio/ce_over_dice_loss": ce.mean() / adawac.scalar("train/dice_loss")[-1][1],
        "weights/dense_mean": beta[dense].mean(),
        "weights/sparse_mean": beta[~dense].mean(),
        "weights/auroc": separation_auroc(log_odds, dense),
    }
    assert {tag: adawac.scalar(tag)[-1][1] for tag in expected} == pytest.approx(expected, rel=1e-5)


def test_scalars_reach_other_loggers_and_callbacks(adawac):
    header = (Path(adawac.trainer.loggers[1].log_dir) / "metrics.csv").read_text().splitlines()[0].split(",")
    assert set(header) >= LOSS_KEYS | PAIR_KEYS | WEIGHT_KEYS
    assert 0 <= adawac.trainer.callback_metrics["weights/auroc"] <= 1


def test_the_weights_at_the_end_lie_in_the_run_s_folder(adawac):
    table = SliceWeights.read(Path(adawac.trainer.log_dir) / "weights.csv")
    units, weights = adawac.data.units, adawac.task.weighting.weights.numpy()
    assert table.case == tuple(units.cases[case] for case in units.case)
    assert table.dense.tolist() == units.dense.tolist()
    assert [f"{case}:{unit}" for case, unit in zip(table.case, table.unit, strict=True)] == units.keys()
    assert table.position == pytest.approx(units.position, abs=1e-5)
    assert table.weight == pytest.approx(weights, rel=1e-5)
    assert table.auroc == pytest.approx(adawac.scalar("weights/auroc")[-1][1], abs=1e-6)


def suspects_of(run):
    """Name -> score, in the order of the file."""
    with (Path(run.trainer.log_dir) / "suspects.csv").open(newline="") as file:
        return {f"{row['case']}:{row['unit']}": float(row["score"]) for row in csv.DictReader(file)}


def trained(folder, weighting, erased=("pt_1:3", "pt_2:3", "pt_3:3"), **options):
    """A run that finds its organs, on data in which the labels of these slices were erased."""
    root = write_msd(folder / "data", cases=5, shape=(8, 16, 16))
    for name in erased:
        case, _, z = name.partition(":")
        path = root / f"labelsTr/{case}.nii.gz"
        stored = nib.load(path)
        label = np.asarray(stored.dataobj).copy()
        label[:, :, int(z)] = 0
        nib.save(nib.Nifti1Image(label, stored.affine), path)
    return Run(folder, weighting, **({"epochs": 12, "lr": 0.02, "callbacks": [SuspectSlices()]} | options))


@pytest.fixture(scope="module")
def found_by_erm(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("found"), ERM())


@pytest.fixture(scope="module")
def found_by_adawac(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("found"), AdaWAC(), epochs=24)  # before, the weights lie the other way round


@pytest.mark.parametrize("method", [AdaWAC, ERM])
def test_label_sparse_slices_that_stay_hard_are_named_by_log_odds_or_losses(method, request):
    run = request.getfixturevalue(f"found_by_{method.__name__.lower()}")
    assert run.trainer.callback_metrics["val/dice"] > 0.5
    task, units = run.task, run.data.units
    scores = (task.weighting.log_odds if method is AdaWAC else task.last_losses.supervised).numpy()
    expected = {
        key: score
        for key, score, dense in zip(units.keys(), scores, units.dense, strict=True)
        if not dense and score > np.median(scores[units.dense])
    }
    found = suspects_of(run)
    assert found == pytest.approx(expected, rel=1e-4)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert set(found) & {f"{case}:3" for case in run.data.split.train}


@pytest.mark.parametrize("val", [0.4, 0.0], ids=["validated", "no validation cases"])
@pytest.mark.parametrize("method", [AdaWAC, ERM])
def test_a_network_that_finds_no_organ_names_none(method, val, tmp_path, caplog):
    with caplog.at_level("INFO", logger="adawac"):
        run = Run(tmp_path, method(), val=val, lr=1e-6, callbacks=[SuspectSlices()])
    assert run.trainer.callback_metrics.get("val/dice", 0) < 0.3
    assert suspects_of(run) == {}
    [said] = [record.getMessage() for record in caplog.records if "suspects.csv" in record.getMessage()]
    part = "the last validation" if val else "the last training batch"
    assert re.match(
        rf"suspects\.csv names no slice: the best class has a Dice of 0\.\d+ in {part}, and below 0\.3", said
    )
    assert "is a label missing" not in said


@pytest.mark.parametrize("method", [AdaWAC, ERM])
def test_scores_that_tell_nothing_apart_name_none(method, tmp_path, caplog):
    """Scores drawn by chance, whatever the slice holds, at the end of a training that finds its organ."""

    class Coin(SuspectSlices):
        def on_fit_end(self, trainer, task):
            rng = np.random.default_rng(5)
            coin = torch.tensor(rng.normal(size=len(task.data.units)), dtype=torch.float32)
            (task.weighting.log_odds if method is AdaWAC else task.last_losses.supervised).copy_(coin)
            super().on_fit_end(trainer, task)

    with caplog.at_level("INFO", logger="adawac"):
        run = trained(tmp_path, method(), callbacks=[Coin()])
    assert run.trainer.callback_metrics["val/dice"] > 0.5
    assert suspects_of(run) == {}
    [said] = [record.getMessage() for record in caplog.records if "suspects.csv" in record.getMessage()]
    kind = "weights" if method is AdaWAC else "losses"
    assert said.startswith(
        f"suspects.csv names no slice: the {kind} do not set label-dense above label-sparse (AUROC 0."
    )
    assert "is a label missing" not in said


def test_without_validation_cases_the_training_s_dice_says_whether_organs_are_found(tmp_path):
    run = trained(tmp_path, ERM(), val=0.0)
    assert "val/dice" not in run.trainer.callback_metrics
    assert suspects_of(run)


def test_what_an_earlier_training_named_stays_where_nothing_is_trained(tmp_path, found_by_erm):
    run = found_by_erm
    path = Path(run.trainer.log_dir) / "suspects.csv"
    before = path.read_bytes()
    run.trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = pl.Trainer(
        max_epochs=12,
        accelerator="cpu",
        callbacks=[SuspectSlices()],
        logger=TensorBoardLogger(path.parents[2], "tb", version=0),
        use_distributed_sampler=False,
    )
    again.fit(run.task, run.data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert again.global_step == run.trainer.global_step
    assert path.read_bytes() == before


def test_a_training_that_a_callback_ends_says_so_and_which_epoch_was_chosen(tmp_path, caplog):
    """As early stopping does, after the second of six epochs, as no epoch is better by 1."""
    stopping = EarlyStopping(monitor="val/dice", mode="max", patience=1, min_delta=1)
    checkpoint = RunCheckpoint(tmp_path / "tb/version_0/checkpoints", "best", monitor="val/dice", mode="max")
    callbacks = [stopping, checkpoint, RunRecord()]
    with caplog.at_level("INFO", logger="adawac"):
        run = Run(tmp_path, ERM(), epochs=6, callbacks=callbacks, enable_checkpointing=True)
    assert "a callback asked for the end, 2 epochs are done, trainer.max_epochs is 6" in caplog.messages
    dice = [value for _, value in run.scalar("val/dice")]
    best = 2 if dice[1] >= dice[0] else 1
    [said] = [each for each in caplog.messages if each.startswith("best val/dice")]
    assert said.endswith(f" (of epoch {best}, which was chosen by it, on 2 cases)")
    assert float(said.split()[2]) == pytest.approx(max(dice), abs=5e-4)


def test_what_was_told_of_an_earlier_end_goes_where_training_goes_on(tmp_path):
    """And is killed: its weights are others than those of then, its checkpoint may be."""

    class Killed(pl.Callback):
        def on_train_batch_end(self, *_):
            raise MemoryError

    run = Run(tmp_path, AdaWAC(), callbacks=[WeightMonitor(cases=0), SuspectSlices(), RunRecord()])
    folder = RunFolder(Path(run.trainer.log_dir))
    assert (folder.weights_file.is_file(), folder.suspects_file.is_file(), folder.record["epochs"]) == (True, True, 1)
    run.trainer.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(MemoryError):
        pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            callbacks=[WeightMonitor(cases=0), SuspectSlices(), RunRecord(), Killed()],
            logger=TensorBoardLogger(tmp_path, "tb", version=0),
            use_distributed_sampler=False,
        ).fit(run.task, run.data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert (folder.weights_file.is_file(), folder.suspects_file.is_file(), "epochs" in folder.record) == (False,) * 3


def test_old_losses_of_slices_that_are_rarely_drawn_name_none(tmp_path):
    for weighting, named in ((ERM(), False), (AdaWAC(), True)):
        run = trained(tmp_path / type(weighting).__name__, weighting, sampling=ForegroundOversampling(), epochs=1)
        assert (Path(run.trainer.log_dir) / "suspects.csv").is_file() == named


def test_histograms_hold_every_training_slice(adawac):
    dense = adawac.data.units.dense
    for tag, count in (
        ("weights/dense", dense.sum()),
        ("weights/sparse", (~dense).sum()),
        ("log_odds", len(dense)),
    ):
        first, last = adawac.events.Histograms(tag)
        assert (first.step, last.step) == (adawac.trainer.global_step // 2, adawac.trainer.global_step)
        assert last.histogram_value.num == count


def test_figures_of_weights_and_predictions_are_pictures(adawac):
    case = adawac.data.split.val[0]
    pictures = [tag for tag in adawac.tags["images"] if tag.startswith("val/pictures/")]
    assert pictures == [f"val/pictures/{case}"]  # cases=1, and none from the sanity check
    for tag in ("weights/by_position", *pictures):
        images = adawac.events.Images(tag)
        assert [image.step for image in images] == [
            adawac.trainer.global_step // 2,
            adawac.trainer.global_step,
        ]
        assert images[0].encoded_image_string.startswith(b"\x89PNG")
        assert min(images[0].width, images[0].height) > 200
    first, last = adawac.events.Images("weights/by_position")
    assert first.encoded_image_string != last.encoded_image_string


def test_a_method_without_weights_gets_only_the_losses(erm):
    assert set(erm.tags["scalars"]) >= LOSS_KEYS | {"ratio/ce_over_dice_loss"}
    assert not {tag for tag in erm.tags["scalars"] if tag.startswith(("weights/", "consistency/", "ratio/ac"))}
    assert erm.tags["histograms"] == []
    assert erm.tags["images"] == []
    assert not (Path(erm.trainer.log_dir) / "weights.csv").exists()


def test_without_sparse_slices_nothing_undefined_is_logged(tmp_path):
    run = Run(tmp_path, AdaWAC(), subset=Trim(), val=0.0)
    assert {"ce/dense", "weights/dense_mean"} <= set(run.tags["scalars"])
    assert not {"ce/sparse", "weights/sparse_mean", "weights/auroc"} & set(run.tags["scalars"])
    assert set(run.tags["histograms"]) == {"weights/dense", "log_odds"}
    assert all(math.isfinite(value) for tag in run.tags["scalars"] for _, value in run.scalar(tag))


def test_pictures_every_second_validation(tmp_path):
    run = Run(tmp_path, ERM(), epochs=3, callbacks=[PredictionPictures(cases=9, every_n_validations=2)])
    per_epoch = run.trainer.global_step // 3
    assert {tag.split("/")[-1] for tag in run.tags["images"]} == set(run.data.split.val)
    for tag in run.tags["images"]:
        assert [image.step for image in run.events.Images(tag)] == [per_epoch, 3 * per_epoch]


def test_training_without_a_logger_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # without a logger there is no other folder for the table of weights
    run = Run(tmp_path, AdaWAC(), logger=False)
    assert math.isfinite(run.trainer.callback_metrics["weights/dense_mean"])


def test_no_validation_between_pictures_is_refused():
    with pytest.raises(ConfigError, match=r"must be at least 1 .* set cases to 0"):
        PredictionPictures(every_n_validations=0)


def test_the_bar_shows_no_version_number(tmp_path):
    trainer = pl.Trainer(logger=TensorBoardLogger(tmp_path, "mine", "version_0"), accelerator="cpu")
    assert RunProgress().get_metrics(trainer, pl.LightningModule()) == {}
