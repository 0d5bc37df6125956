"""Frames of a patient in `adawac evaluate`, and in runs that were made before names were looked at."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from test_resume import config, fit
from tiny_data import write_acdc_volumes

from adawac.cli import main
from adawac.evaluation import CaseRow, read_csv, write_table
from adawac.study import read_study
from adawac.study.runner import resolve

PATIENTS, FRAMES = 7, 6


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two methods: in every patient all frames differ alike, so that frames tell them apart and patients do not."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    gain = rng.normal(0.01, 0.02, PATIENTS)[:, None] + rng.normal(0, 0.001, (PATIENTS, FRAMES))
    erm = rng.uniform(0.6, 0.8, (PATIENTS, FRAMES))
    for name, dice in {"erm": erm, "adawac": erm + gain}.items():
        write(f"{name}.csv", name, dice)
    return erm, erm + gain


def write(file, method, dice, patient="{case}"):
    rows = []
    for (p, f), value in np.ndenumerate(dice):
        case = f"patient{p:03d}_frame{f:02d}"
        rows.append(
            CaseRow(
                f"{method}0",
                method,
                case,
                patient.format(case=case, p=p),
                "liver",
                "all",
                "dice",
                float(value),
                "penalise",
            )
        )
    write_table(Path(file), rows)


def p_of(one, other):
    """Of all or of a hundred thousand sign flips of the differences, by SciPy."""
    return stats.permutation_test(
        (other - one,), np.mean, permutation_type="samples", n_resamples=100_000, rng=0, batch=1000
    ).pvalue


def evaluate(capsys, *options):
    assert main(["evaluate", "erm.csv", "adawac.csv", "-o", "out", *options]) == 0
    said = capsys.readouterr().out
    results = json.loads(Path("out/results.json").read_text())
    [found] = results["subsets"][0]["comparisons"]["adawac"][:1]
    return found, said, results["summary"]


@pytest.mark.usefixtures("undrawn")
class TestEvaluate:
    def test_frames_count_as_their_patient(self, tables, capsys):
        erm, adawac = tables
        found, said, summary = evaluate(capsys)
        assert found["n"] == PATIENTS
        assert found["p"] == pytest.approx(p_of(erm.mean(1), adawac.mean(1)))
        assert found["p"] > 0.05
        told = (
            f"The {PATIENTS * FRAMES} cases count as {PATIENTS} patients by their names, such as patient000_frame00, "
        )
        assert told in said.replace("\n", " ")
        assert told in summary
        assert "count as 7 patients by their names" in "".join(Path("out/report.md").read_text().splitlines()[:4])

    @pytest.mark.parametrize("word", ["none", "null"])
    def test_every_case_is_a_patient_where_that_is_said(self, word, tables, capsys):
        erm, adawac = tables
        found, said, _ = evaluate(capsys, f"--patient-pattern={word}")
        assert found["n"] == PATIENTS * FRAMES
        assert found["p"] == pytest.approx(p_of(erm.ravel(), adawac.ravel()), abs=1e-3)
        assert found["low"] > 0
        assert "count as" not in said

    def test_a_pattern_or_what_was_recorded_goes_first(self, tables, capsys):
        found, said, _ = evaluate(capsys, "--patient-pattern", r"_frame(\d+)")
        assert found["n"] == FRAMES
        assert "as was said" in said
        write("erm.csv", "erm", tables[0], patient="p{p}")  # one of them records it
        found, said, _ = evaluate(capsys)
        assert found["n"] == PATIENTS
        assert "as the case tables record" in said


@pytest.mark.slow
class TestRunsOfBefore:
    """When every case was a patient unless something else was said."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        root = write_acdc_volumes(tmp_path / "acdc", cases=6, shape=(6, 32, 32))
        cases = [path.stem for path in sorted((root / "ACDC_training_volumes").iterdir())]
        (root / "splits.json").write_text(json.dumps({"train": cases[:3], "val": cases[3:4], "test": cases[4:]}))
        made = config(tmp_path, root)
        settings = yaml.safe_load(made.read_text())
        settings["data"] |= {"mirror_pairs": None, "modality": "prescaled"}
        settings["model"]["augmentation"] = {
            "class_path": "RandomAugmentation",
            "init_args": {"mirror_left_right": 0.0},
        }
        settings["data"].pop("split", None)
        settings["trainer"] |= {"max_epochs": 1}
        made.write_text(yaml.safe_dump(settings))
        assert main(["fit", "--config", str(made)]) == 2  # today
        fit(made, "--data.patient_pattern", "null")
        [folder] = Path("runs/resumed").glob("version_0")
        return made, folder

    @pytest.mark.parametrize("recorded", ["null", "nothing"])
    def test_go_on_and_are_tested_as_they_were(self, run, recorded, capsys):
        made, folder = run
        if recorded == "nothing":
            content = yaml.safe_load((folder / "config.yaml").read_text())
            del content["data"]["patient_pattern"]
            (folder / "config.yaml").write_text(yaml.safe_dump(content))
        assert main(["test", str(folder)]) == 0
        assert {row.patient for row in read_csv(folder / "cases.csv")} == {"patient003_frame01", "patient003_frame10"}
        fit(made, "--resume", str(folder), "--trainer.max_epochs", "2")  # whose file says nothing of patients
        assert main(["test", str(folder)]) == 0
        capsys.readouterr()
        assert main(["evaluate", str(folder), "-o", "report"]) == 0
        assert "The 2 cases count as 1 patient by their names" in capsys.readouterr().out.replace("\n", " ")

    def test_what_was_trained_on_another_frame_is_told(self, run, capsys):
        _, folder = run
        assert main(["test", str(folder)]) == 0
        split = json.loads((folder / "split.json").read_text())
        (folder / "split.json").write_text(json.dumps({**split, "train": [*split["train"], "patient003_frame02"]}))
        assert main(["evaluate", str(folder), "-o", "report"]) == 0
        assert "2 of the 2 cases seem to be of patients of whom" in capsys.readouterr().out.replace("\n", " ")


def test_a_study_that_says_aloud_what_was_the_default_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    grid = {"name": "old", "common": {"data.root": "data"}, "grid": {"method": {"erm": {"model.weighting": "ERM"}}}}
    Path("study.yaml").write_text(yaml.safe_dump(grid))
    [cell] = read_study(Path("study.yaml"), Path("runs")).cells
    cell.run.path.mkdir(parents=True)
    cell.config.write_text(resolve([cell])[cell.name])
    cell.run.cases_file.touch()
    cell.run.config_file.write_text(yaml.safe_dump({"data": {"patient_pattern": None}}))
    [loud] = read_study(Path("study.yaml"), Path("runs"), ["--data.patient_pattern=null"]).cells
    assert resolve([loud])
    cell.run.config_file.write_text(yaml.safe_dump({"data": {"patient_pattern": "(p)"}}))
    with pytest.raises(Exception, match="begun with other settings"):
        resolve([loud])
    shutil.rmtree(cell.folder)
