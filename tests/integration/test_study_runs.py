"""`adawac study` on tiny data: cells are runs, what is finished is kept, what fails or is killed costs nothing else."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from tiny_study import BASE, CELLS, STUDY, prepare, study

from adawac.cli import main
from adawac.evaluation import read_csv
from adawac.study import read_study

pytestmark = pytest.mark.slow


class Place(NamedTuple):
    """A working folder in which the study has been run twice, what was said, and what lay there in between."""

    home: Path
    said: tuple[str, str]
    between: dict[str, int]
    results: dict

    @property
    def folder(self) -> Path:
        return self.home / "runs/tiny"


def times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Place:
    """Two methods x two seeds, two cells at a time; erm lacks its split at first."""
    home = prepare(tmp_path_factory.mktemp("home"))
    first = study(home, "--jobs", "2", code=1)
    between = times(home / "runs/tiny")
    results = json.loads((home / "runs/tiny/results.json").read_text())
    shutil.copy(home / "runs/tiny/adawac-seed0/version_0/split.json", home / "split.json")  # the same test case for all
    return Place(home, (first, study(home, "--jobs", "2")), between, results)


class TestFailing:
    def test_is_reported_and_the_rest_goes_on(self, done):
        for name in ("erm-seed0", "erm-seed1"):
            assert f"failed: {name}, see " in done.said[0]
        assert "split.json" in done.said[0]  # the last lines of the log
        assert [cell["cell"] for cell in done.results["cells"]] == ["adawac-seed0", "adawac-seed1"]
        assert done.results["unfinished"] == {"erm-seed0": "failed", "erm-seed1": "failed"}

    def test_runs_anew_in_the_same_folder_when_it_can(self, done):
        assert "finished: erm-seed0" in done.said[1]
        assert [path.name for path in (done.folder / "erm-seed0").glob("version_*")] == ["version_0"]

    def test_what_is_finished_is_not_touched(self, done):
        assert "finished: adawac-seed0" in done.said[0]
        after = times(done.folder)
        kept = {name: time for name, time in done.between.items() if name.startswith("adawac-seed")}
        assert len(kept) > 10
        assert {name: after[name] for name in kept} == kept


class TestFinished:
    def test_every_cell_is_a_run_in_its_folder(self, done):
        for name in CELLS:
            files = {path.name for path in (done.folder / name / "version_0").iterdir()}
            assert files >= {"config.yaml", "split.json", "run.json", "cases.csv", "checkpoints"}
            config = yaml.safe_load((done.folder / name / "version_0/config.yaml").read_text())
            method, seed = name.split("-")
            assert config["seed_everything"] == int(seed[-1])
            assert config["model"]["weighting"]["class_path"].rpartition(".")[2].lower() == method
            assert {row.run for row in read_csv(done.folder / name / "version_0/cases.csv")} == {name}
            assert "$ adawac fit " in (done.folder / name / "cell.log").read_text()

    def test_results(self, done):
        results = json.loads((done.folder / "results.json").read_text())
        assert [cell["cell"] for cell in results["cells"]] == CELLS
        assert results["unfinished"] == {}
        for cell in results["cells"]:
            times = 2 if cell["options"]["method"] == "erm" else 1
            assert (cell["steps"], cell["images_seen"]) == (
                3 * times,
                12 * times,
            )  # 2 volumes of 6 slices, batches of 4
            assert cell["network_passes"] == 24
            assert 0 <= cell["dice"] <= 1
            assert cell["seconds"] > 1
        assert done.said[1].count("2 of 2") == 2

    def test_the_report_compares_the_methods_over_seeds(self, done):
        results = json.loads((done.folder / "report/results.json").read_text())
        assert [(run["name"], run["method"], run["images_seen"]) for run in results["runs"]] == [
            (name, name.partition("-")[0], 24 if name.startswith("erm") else 12) for name in CELLS
        ]
        assert {(run["axis"], run["unit"]) for run in results["runs"]} == {("axial", "slice")}
        [subset] = results["subsets"]
        assert results["reference"] == "erm"
        assert subset["comparisons"]["adawac"][0]["runs"] == [2, 2]
        assert results["summary"].startswith(
            "adawac shows no significant difference from erm"
        )  # one test case tells nothing
        pictures = {path.name.split("_")[0] for path in (done.folder / "report/figures").iterdir()}
        assert {"organs", "groups", "position", "weights", "case", "patients"} <= pictures
        assert "report/report.html" in done.said[1]

    def test_the_report_of_what_is_finished_is_made_anew_without_running(self, done, tmp_path):
        home = shutil.copytree(done.home, tmp_path / "home")
        (home / "runs/tiny/adawac-seed1/version_0/cases.csv").unlink()
        before = times(home / "runs/tiny/erm-seed0")
        said = study(home, "--report", "--reference", "adawac")
        results = json.loads((home / "runs/tiny/report/results.json").read_text())
        assert results["unfinished"] == {"adawac-seed1": "stopped"}
        assert results["reference"] == "adawac"
        assert "adawac-seed1 (stopped)" in (home / "runs/tiny/report/report.html").read_text()
        assert times(home / "runs/tiny/erm-seed0") == before
        assert "report.html" in said

    def test_case_table_of_all_cells(self, done):
        with (done.folder / "cells.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0])[:3] == ["run", "method", "seed"]
        assert {(row["run"], row["method"], row["seed"]) for row in rows} == {(n, *n.split("-")) for n in CELLS}
        for name in CELLS:
            own = read_csv(done.folder / name / "version_0/cases.csv")
            together = [row for row in rows if row["run"] == name]
            assert [row["value"] for row in together] == [str(row.value) for row in own]
        assert [(row.run, row.method) for row in read_csv(done.folder / "cells.csv")] == [
            (row["run"], row["method"]) for row in rows
        ]

    def test_cell_yaml_says_the_same_as_the_study(self, done, monkeypatch, capsys):
        monkeypatch.chdir(done.home)

        def printed(*options: str) -> str:
            with pytest.raises(SystemExit):
                main(["fit", *options, "--print_config"])
            return capsys.readouterr().out

        for cell in read_study(Path("study.yaml"), Path("runs")).cells:
            assert printed(f"--config={cell.config}") == printed(*cell.arguments)

    def test_nothing_to_submit(self, done, monkeypatch, capsys):
        monkeypatch.chdir(done.home)
        assert main(["study", "study.yaml", "--emit", "slurm"]) == 0
        assert "every cell is finished" in capsys.readouterr().out

    def test_moved_data_are_no_change(self, done, monkeypatch, capsys):
        monkeypatch.chdir(done.home)
        assert main(["study", "study.yaml", "--dry-run", "--data.root", str(done.home / "msd")]) == 0
        assert "0 of 4 cells to run, 1 at a time; time left: about 0:00:00" in capsys.readouterr().out

    def test_a_changed_study_is_refused_with_the_difference(self, done, monkeypatch, capsys):
        monkeypatch.chdir(done.home)
        before = times(done.folder)
        assert main(["study", "study.yaml", "--model.dice_ratio", "0.25"]) == 2
        said = capsys.readouterr().err
        assert "cell erm-seed0 was begun with other settings" in said
        assert "model.dice_ratio: default then, 0.25 now" in said
        assert "give the study another name, or delete runs/tiny/erm-seed0" in said
        assert times(done.folder) == before

    def test_a_report_on_a_changed_study_says_so(self, done, monkeypatch, capsys, undrawn):
        monkeypatch.chdir(done.home)
        assert main(["study", "study.yaml", "--report"]) == 0
        assert "numbers of what was run" not in capsys.readouterr().out
        assert main(["study", "study.yaml", "--report", "--model.dice_ratio", "0.25"]) == 0
        said = capsys.readouterr().out
        assert "These are numbers of what was run: cell erm-seed0 was begun with other settings" in said
        assert "model.dice_ratio: default then, 0.25 now" in said


@pytest.mark.slow
class TestKilled:
    EPOCHS = 60

    @pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL", "SIGKILL, with its processes"])
    def test_goes_on_and_loses_nothing(self, tmp_path, how):
        base = BASE | {"trainer": BASE["trainer"] | {"max_epochs": self.EPOCHS}}
        grid = {"method": {"erm": {"model.weighting": "ERM", "trainer.max_epochs": 1}, "adawac": {}}}
        home = prepare(tmp_path, STUDY | {"grid": grid}, base)
        first, second = (home / "runs/tiny" / name for name in ("erm", "adawac"))
        running = subprocess.Popen([sys.executable, "-m", "adawac", "study", "study.yaml"], cwd=home)
        last = second / "version_0/checkpoints/last.ckpt"
        while not last.exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.Signals[how.partition(",")[0]])
        code = running.wait(60)
        if how.endswith("with its processes"):
            for process in processes_of(second):
                os.kill(process, signal.SIGKILL)
        elif how != "SIGKILL":  # which leaves a study no time to end its processes: the next one waits for them
            assert code == {"SIGINT": 130, "SIGTERM": 143}[how]
            assert not processes_of(second)
        if how != "SIGKILL":
            assert not (second / "version_0/cases.csv").exists()
        before = times(first)
        study(home)
        assert times(first) == before
        results = json.loads((home / "runs/tiny/results.json").read_text())
        assert {cell["cell"]: cell["images_seen"] for cell in results["cells"]} == {
            "erm": 12,
            "adawac": 12 * self.EPOCHS,  # what was done before the kill counts, and is not done twice
        }
        assert [path.name for path in second.glob("version_*")] == ["version_0"]


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names this folder."""
    if not Path("/proc").is_dir():
        pytest.skip("looks for processes in /proc")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if folder.name.encode() in command and int(path.parent.name) != os.getpid():
            found.append(path.parent)
    return [int(path.name) for path in found if (path / "cwd").resolve() == folder.parents[2]]


@pytest.mark.slow
def test_a_cross_validation_tests_every_patient_once_and_ends_with_the_comparison(tmp_path):
    folds = {
        "name": "tiny",
        "config": "base.yaml",
        "common": {"data.split": {"class_path": "FoldSplit", "init_args": {"folds": 2, "test": 0, "part": "test"}}},
        "grid": {
            "method": {"erm": {"model.weighting": "ERM"}},
            "data.split.init_args.fold": [0, 1],
        },
    }
    home = prepare(tmp_path, folds)
    said = study(home)
    assert "| setting | Dice, 4 patients | minus erm | 95 % interval over 2 folds |" in said
    tested = [row.case for fold in (0, 1) for row in read_csv(home / f"runs/tiny/erm-fold{fold}/version_0/cases.csv")]
    assert len(set(tested)) == 4
    assert [len(patients) for patients in json.loads((home / "runs/tiny/folds.json").read_text())["erm"].values()] == [
        2,
        2,
    ]
