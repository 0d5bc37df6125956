"""Runs, checkpoints, stores, studies and labels as version 0.1.0 left them still serve."""

import shutil
import tarfile
from pathlib import Path

import nibabel as nib
import pytest

from adawac.cli import main
from adawac.evaluation import read_table
from adawac.runs import old_names
from adawac.runs.folder import RunFolder

MADE = Path(__file__).parents[1] / "data/made_by_0.1.0.tar.gz"
"""Five generated CT volumes, `made.yaml` with the class paths of then, a run of one epoch with its case table, the
prepared volumes, a study of which one of two cells has finished, and predicted labels."""

PLACE = "/tmp/old"
"""Where that was made; what is recorded of it names this folder."""


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy, as if it had been made where it lies."""
    with tarfile.open(MADE) as archive:
        archive.extractall(tmp_path, filter="data")
    for path in tmp_path.rglob("*"):
        if path.suffix in (".yaml", ".json"):
            path.write_text(path.read_text().replace(PLACE, str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dice_of(rows):
    """(case, class) -> Dice of whole volumes."""
    return {(row.case, row.class_name): row.value for row in rows if (row.group, row.metric) == ("all", "dice")}


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_tested_evaluated_and_predicts(old, capsys):
    run = RunFolder(old / "runs/old/version_0")
    before = read_table(run.cases_file)
    assert main(["evaluate", str(run.path), "-o", "report", "--pictures", "0"]) == 0
    shutil.move(run.cases_file, "before.csv")
    assert main(["test", str(run.path)]) == 0
    dice = [
        {(r.case, r.class_name): r.value for r in rows if (r.group, r.metric) == ("all", "dice")}
        for rows in (before, read_table(run.cases_file))
    ]
    assert dice[0] == pytest.approx(dice[1], abs=1e-6, nan_ok=True)
    assert main(["predict", str(run.path), "-i", "ph/imagesTr", "-o", "again"]) == 0
    for label in sorted(Path("labels").glob("*.nii.gz")):
        then, now = (nib.load(folder / label.name).get_fdata() for folder in (Path("labels"), Path("again")))
        assert (then != now).mean() < 1e-3, label.name  # images are shown in half precision since, as `test` shows them


def test_a_training_goes_on_in_its_folder_with_its_configuration(old, caplog):
    caplog.set_level("INFO")
    old_names._renamed.cache_clear()  # said once by a process
    assert main(["fit", "--config", "made.yaml", "--trainer.max_epochs", "2", "--resume", "auto"]) == 0
    assert [path.name for path in (old / "runs/old").iterdir()] == ["version_0"]
    run = RunFolder(old / "runs/old/version_0")
    assert (run.record["steps"], len(run.record["earlier"])) == (6, 1)
    assert "adawac.schedules.Cosine is called adawac.training.schedules.Cosine now" in caplog.text


@pytest.mark.slow
def test_a_study_goes_on_with_the_cell_that_is_left(old, capsys):
    finished = old / "runs/old_study/erm-seed0/version_0/checkpoints/best.ckpt"
    stamp = finished.stat().st_mtime_ns
    assert main(["study", "made_study.yaml"]) == 0
    assert finished.stat().st_mtime_ns == stamp
    assert (old / "runs/old_study/adawac-seed0/version_0/cases.csv").is_file()
    assert (old / "runs/old_study/report/report.html").is_file()
