"""`make demo` takes minutes; that its commands are ones that `adawac` takes is seen in seconds."""

import importlib.util
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from adawac.study import read_study
from adawac.study.runner import resolve

SCRIPT = Path(__file__).parents[2] / "scripts/demo.py"


def test_its_trainings_are_read_and_cost_the_same(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["demo.py"])
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    typed = []
    monkeypatch.setattr(demo, "run", lambda *arguments: typed.append(arguments))
    monkeypatch.setattr(demo, "draw_weights", lambda run: Figure())
    demo.DEMO.mkdir()
    demo.main()
    demo.DATA.mkdir(parents=True)  # as if generated
    phantom, (_, file, _, jobs, *more) = typed
    assert phantom[:2] == ("phantom", str(demo.DATA))
    assert jobs == "auto"
    study = read_study(Path(file), Path(more[more.index("--runs") + 1]), more)
    settings = {name: yaml.safe_load(text) for name, text in resolve(study.cells).items()}
    views = {"erm_twice": 1, "adawac": 2}
    epochs = {cell.options["method"]: settings[cell.name]["trainer"]["max_epochs"] for cell in study.cells}
    times = {cell.options["method"]: settings[cell.name].get("times", 1) for cell in study.cells}
    assert demo.RUN in [study.folder / cell.name / "version_0" for cell in study.cells]
    assert len({views[method] * epochs[method] * times[method] for method in views}) == 1
    assert str(study.folder / "report/report.html") in capsys.readouterr().out
