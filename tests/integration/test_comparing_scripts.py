"""The scripts that compare runs by the folder, and what they refuse rather than mix."""

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
