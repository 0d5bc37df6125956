"""The scripts that compare runs by the folder, and what they refuse rather than mix."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from adawac.evaluation import CaseRow, write_table


def write_run(folder: Path, method: str, dice: float, patients=("p1", "p2", "p3")) -> Path:
    """A run folder with what the scripts read: case table, record, log of losses."""
    rows = [CaseRow("r", method, p, p, "liver", "all", "dice", dice + i / 100, "skip") for i, p in enumerate(patients)]
    write_table(folder / "cases.csv", rows)
    (folder / "run.json").write_text('{"device": "cpu"}')
    with SummaryWriter(str(folder)) as log:
        log.add_scalar("train/loss", 1.0, 0)
    return folder


def call(monkeypatch, script: str, *arguments) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    import_module(script).main()


def test_two_runs_of_a_method_are_refused_beside_each_other(tmp_path, monkeypatch, capsys):
    runs = [write_run(tmp_path / str(i), method, 0.5) for i, method in enumerate(("ERM", "Pair", "ERM"))]
    call(monkeypatch, "compare_runs", *runs[:2], "-o", tmp_path / "out")
    assert (tmp_path / "out.md").is_file()
    with pytest.raises(SystemExit):
        call(monkeypatch, "compare_runs", *runs, "-o", tmp_path / "out")
    assert "`adawac evaluate` takes several seeds" in capsys.readouterr().err


@pytest.fixture
def study(tmp_path):
    """Writes a study of these axes and returns its file."""

    def write(grid: str) -> Path:
        file = tmp_path / "tiny.yaml"
        file.write_text(f"{{name: tiny, grid: {grid}}}")
        return file

    return write


def test_each_patient_is_measured_by_the_run_of_their_fold(tmp_path, monkeypatch, capsys, study):
    for setting, dice in (("a", 0.5), ("b", 0.7)):
        for fold in ("0", "1"):
            write_run(tmp_path / f"tiny/{setting}-fold{fold}/version_0", "AdaWAC", dice, (f"p{fold}", f"q{fold}"))
    file = study("{setting: {a: {}, b: {}}, fold: {fold0: {}, fold1: {}}}")
    call(monkeypatch, "search", file, "--runs", tmp_path, "-o", tmp_path / "out")
    said = capsys.readouterr().out
    assert "4 patients" in said
    assert "| b | 0.705 | +0.200 |" in said


def test_a_setting_without_all_its_folds_is_named_and_left_out(tmp_path, monkeypatch, capsys, study):
    for name in ("a-fold0", "b-fold0", "b-fold1"):
        write_run(tmp_path / f"tiny/{name}/version_0", "AdaWAC", 0.5, (f"p{name[-1]}", f"q{name[-1]}"))
    file = study("{setting: {a: {}, b: {}}, fold: {fold0: {}, fold1: {}}}")
    call(monkeypatch, "search", file, "--runs", tmp_path, "-o", tmp_path / "out")
    said = capsys.readouterr().out
    assert "4 patients | minus b" in said
    assert "Not run to the end: a." in said
    assert "| a |" not in said


@pytest.mark.parametrize(
    ("grid", "remedy"),
    [
        ("{setting: {a: {}}, fold: {fold0: {}}, seed: [0, 1]}", "one axis, of settings; found setting, seed"),
        ("{setting: {a: {}}, fold: {fold0: {}}}", "no setting of .* has finished .*correct"),
    ],
)
def test_a_search_that_cannot_be_compared_is_refused(tmp_path, monkeypatch, capsys, study, grid, remedy):
    with pytest.raises(SystemExit):
        call(monkeypatch, "search", study(grid), "--runs", tmp_path, "-o", tmp_path / "out")
    assert re.search(remedy, capsys.readouterr().err)
    assert not (tmp_path / "out.md").exists()
