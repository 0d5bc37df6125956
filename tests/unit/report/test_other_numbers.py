"""A run that was trained on other label numbers than the references have: refused, not measured as other organs."""

from types import SimpleNamespace

import numpy as np
import pytest

from adawac.errors import DataError
from adawac.evaluation.references import named_classes
from adawac.report import sources
from adawac.runs.folder import RunFolder


def test_its_predictions_are_refused(tmp_path, monkeypatch):
    made = SimpleNamespace(
        recipe=SimpleNamespace(data=SimpleNamespace(classes=named_classes(["spleen", "liver"]))),
        predict=lambda *_, **__: np.array([[[1, 2]]]),
    )
    monkeypatch.setattr(sources, "_loaded", lambda *_: made)
    volume = SimpleNamespace(geometry=SimpleNamespace(difference=lambda other: None))
    references = SimpleNamespace(image=lambda case: volume, classes=named_classes(["liver", "spleen"]))
    predict = sources.from_checkpoint(RunFolder(tmp_path), references)
    with pytest.raises(DataError, match=r"calls label values \{1: 'spleen', 2: 'liver'\}"):
        predict("ct_1", volume)
    made.recipe.data.classes = named_classes(["liver", "spleen"])
    assert predict("ct_1", volume).tolist() == [[[1, 2]]]
