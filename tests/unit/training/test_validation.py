"""What a validation logs: Dice of organs and of groups of slices, against plain formulas."""

import json

import numpy as np
import pytest
import torch
from tiny_data import erase, write_msd
from tiny_task import SEED, SPEC, make_data, make_trainer

import adawac
from adawac.data.datamodule import SegmentationData
from adawac.data.datasets import VolumeItem
from adawac.data.splits import FileSplit
from adawac.training.task import SegmentationTask
from adawac.training.validation import Validation
from adawac.weighting import ERM


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def logged(data):
    """Metrics of a validation; and prediction, target and label-dense slices of every volume."""
    task = SegmentationTask(SPEC, ERM(), seed=SEED)
    trainer = make_trainer(max_epochs=1)
    trainer.fit(task, data)
    task.eval()
    volumes = [(task.predict_item(v), v.target, (v.target > 0).any((1, 2))) for v in data.val_dataloader()]
    return trainer.callback_metrics, volumes


class TestScalars:
    def test_keys(self, logged):
        assert {name for name in logged[0] if name.startswith("val/")} == {
            "val/dice",
            "val/dice/left_kidney",
            "val/dice/right_kidney",
            "val/dice_dense",
            "val/false_positive_slices_sparse",
        }

    def test_values(self, logged):
        metrics, volumes = logged

        def mean_dice(k, choose):
            found = []
            for preds, target, dense in volumes:
                rows = choose(dense)
                p, t = preds[rows] == k, target[rows] == k
                found.append(2 * (p & t).sum() / (p.sum() + t.sum()))
            return float(np.mean(found))

        everywhere = [mean_dice(k, lambda dense: dense | True) for k in (1, 2)]
        within = [mean_dice(k, lambda dense: dense) for k in (1, 2)]
        alarms = np.concatenate([(preds[~dense] > 0).any((1, 2)) for preds, _, dense in volumes])
        assert len(volumes) == 2
        assert alarms.size
        expected = {
            "val/dice": np.mean(everywhere),
            "val/dice/left_kidney": everywhere[0],
            "val/dice/right_kidney": everywhere[1],
            "val/dice_dense": np.mean(within),
            "val/false_positive_slices_sparse": alarms.mean(),
        }
        assert {name: metrics[name].item() for name in expected} == pytest.approx(expected, rel=1e-5)


class Told(SegmentationTask):
    """Predicts what it is told: the reference without its spleen, and a stomach where there is nothing."""

    def predict_item(self, item):
        preds = item.target.copy()
        preds[preds == 4] = 0
        preds[0, :3] = 5
        return preds


def test_organs_that_cannot_be_judged_do_not_count_in_validation(tmp_path):
    """No label is stomach; training holds no spleen, validation no liver: the kidneys remain."""
    root = write_msd(tmp_path / "data", cases=5, shape=(8, 32, 32), num_classes=6)
    split = {"train": ["pt_1", "pt_2", "pt_3"], "val": ["pt_4", "pt_5"], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(split))
    for part, dropped in {"train": [4, 5], "val": [3, 5]}.items():
        for case in split[part]:
            erase(root / f"labelsTr/{case}.nii.gz", dropped)
    data = SegmentationData(
        str(root), split=FileSplit(str(tmp_path / "split.json")), size=(32, 32), store=str(tmp_path / "store")
    )
    task = Told(SPEC, ERM(), seed=SEED)
    trainer = make_trainer(default_root_dir=str(tmp_path), enable_checkpointing=True)
    trainer.fit(task, data)
    fitted = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/dice")}
    perfect = dict.fromkeys(("val/dice", "val/dice/left_kidney", "val/dice/right_kidney", "val/dice_dense"), 1.0)
    assert fitted == perfect
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    [again] = make_trainer().validate(Told(SPEC, ERM(), seed=SEED), data, ckpt_path=tmp_path / "some.ckpt")
    assert {name: value for name, value in again.items() if name.startswith("val/dice")} == perfect


class Torn(SegmentationTask):
    """Predicts the reference with a speck of left kidney in a corner, and without the middle of the right kidney."""

    def predict_item(self, item):
        preds = item.target.copy()
        slices = np.flatnonzero((preds == 2).any((1, 2)))
        preds[slices[len(slices) // 2]][item.target[slices[len(slices) // 2]] == 2] = 0
        preds[0, 0, 0] = 1
        return preds


def test_the_largest_part_is_kept_of_classes_where_that_is_better_on_validation_cases(data, tmp_path):
    trainer = make_trainer()
    trainer.fit(Torn(SPEC, ERM(), largest_component=True, seed=SEED), data)
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    model = adawac.load(tmp_path / "some.ckpt")
    assert model.recipe.largest_component == ("left_kidney",)  # of the right kidney half would be lost
    assert (model.indices(None), model.indices([])) == ([1], [])

    task = Torn(SPEC, ERM(), largest_component=True, seed=SEED)
    make_trainer().validate(task, data, ckpt_path=tmp_path / "some.ckpt")
    off = Torn(SPEC, ERM(), seed=SEED)
    make_trainer().validate(off, data, ckpt_path=tmp_path / "some.ckpt")
    for item in data.val_dataloader():
        raw = task.predict_item(item)
        assert (np.argwhere(task.test_step(item, 0) != raw) == 0).all()  # the speck alone is gone
        assert np.array_equal(off.test_step(item, 0), raw)


def test_a_class_that_one_case_loses_by_is_left_alone():
    found = Validation(("background", "liver"), None, torch.device("cpu"), cleaning=True)
    target = np.zeros((1, 4, 9), np.uint8)
    target[0, :, :4] = target[0, 0, 5:] = 1  # two parts
    with_speck = np.where(np.arange(9) == 8, 1, target * (np.arange(9) < 4)).astype(np.uint8)
    for case, preds, labels in (("a", with_speck, target * (np.arange(9) < 4)), ("b", target, target)):
        found.add(preds, VolumeItem(case, case, torch.empty(0), labels.astype(np.uint8), None, None, ""))
    assert found.worth_cleaning() == ()
