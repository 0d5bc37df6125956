"""Predictions with other label numbers than the references have: refused, not measured as other organs."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

import adawac
from adawac.errors import DataError
from adawac.evaluation.references import named_classes
from adawac.evaluation.training_record import Settings
from adawac.report import anew
from adawac.runs.folder import RunFolder


def test_those_of_a_run_that_was_trained_on_them(tmp_path, monkeypatch):
    made = SimpleNamespace(
        recipe=SimpleNamespace(data=SimpleNamespace(classes=named_classes(["spleen", "liver"]))),
        predict=lambda *_, **__: np.array([[[1, 2]]]),
    )
    monkeypatch.setattr(anew, "_loaded", lambda *_: made)
    volume = SimpleNamespace(geometry=SimpleNamespace(difference=lambda other: None))
    references = SimpleNamespace(image=lambda case, target: volume, classes=named_classes(["liver", "spleen"]))
    predict = anew.predicted_by(RunFolder(tmp_path), references, Settings.read(""))
    with pytest.raises(DataError, match=r"calls label values \{1: 'spleen', 2: 'liver'\}"):
        predict("ct_1", volume)
    made.recipe.data.classes = named_classes(["liver", "spleen"])
    assert predict("ct_1", volume).tolist() == [[[1, 2]]]


@pytest.mark.parametrize("shared", [False, True])
def test_those_beside_a_dataset_json_that_says_so(tmp_path, shared):
    for folder, names in (("labels", ("liver", "spleen")), ("preds", ("spleen", "liver"))):
        (tmp_path / folder).mkdir()
        array = np.arange(8, dtype=np.uint8).reshape(2, 2, 2) % 3
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / "ct_1.nii.gz")
        (tmp_path / folder / "dataset.json").write_text(
            json.dumps({"labels": {"background": 0, names[0]: 1, names[1]: 2}})
        )
    with pytest.raises(DataError, match=r"calls label values \{1: 'spleen', 2: 'liver'\}"):
        adawac.evaluate({"mine": tmp_path / "preds"}, labels=tmp_path / "labels", shared_cases=shared)
