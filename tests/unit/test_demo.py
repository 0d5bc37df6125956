"""`make demo` takes minutes; that its trainings are ones that `fit` takes is seen in seconds."""

import importlib.util
from pathlib import Path

import pytest

from adawac.training.configuration import resolve

SCRIPT = Path(__file__).parents[2] / "scripts/demo.py"


@pytest.mark.parametrize("method", ["erm", "adawac"])
def test_its_trainings_are_read_by_fit(method, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    typed = []
    monkeypatch.setattr(demo, "run", lambda *arguments: typed.append(arguments))
    folder = demo.trained_run(method)
    fit, test = typed
    values = resolve(fit).values
    assert values["model.weighting.class_path"].rpartition(".")[2] == demo.METHODS[method]
    assert Path(values["runs"], values["name"], "version_0") == folder
    assert test == ("test", str(folder))
