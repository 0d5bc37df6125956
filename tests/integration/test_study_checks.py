"""What a study says and refuses before any cell is run."""

from pathlib import Path

import pytest
import yaml
from tiny_study import BASE, CELLS, STUDY, prepare

from adawac.cli import main
from adawac.study import Study, read_study
from adawac.study.runner import resolve

STUDIES = sorted((Path(__file__).parents[2] / "configs/studies").glob("*.yaml"))
QUICK = {"openkbp5_draws"}
"""A grid of folds, one of subsets, one of networks; all are looked at where there is time."""


class TestBefore:
    """In this process, before anything runs."""

    @pytest.fixture
    def home(self, tmp_path, monkeypatch) -> Path:
        monkeypatch.chdir(prepare(tmp_path))
        return tmp_path

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["--model.dice_rato=0.5"], "dice_rato"),
            (["--trainer.max_epochs", "many"], "max_epochs"),
            (["--model.weighting=Erm"], "Erm"),
            (["--data.root=nowhere"], "no data folder nowhere; say where it is: --data.root DATA"),
            (["--jobs", "0"], "--jobs is 0; give the number of cells"),
            (
                ["--report", "--runs=ruins"],
                "no cell has finished in ruins/tiny; run the study first, or correct --runs",
            ),
        ],
    )
    def test_a_bad_key_of_any_cell(self, home, capsys, options, named):
        assert main(["study", "study.yaml", *options]) == 2
        assert named in capsys.readouterr().err
        assert not (home / "runs").exists()

    def test_no_data_folder(self, home, capsys):
        data = {key: value for key, value in BASE["data"].items() if key != "root"}
        (home / "base.yaml").write_text(yaml.safe_dump(BASE | {"data": data}))
        assert main(["study", "study.yaml"]) == 2
        assert "data.root is not set; say where the data are: --data.root DATA" in capsys.readouterr().err

    def test_a_bad_key_in_the_last_cell(self, home, capsys):
        grid = {"method": {"erm": {"model.weighting": "ERM"}, "wrong": {"data.batchsize": 4}}}
        (home / "study.yaml").write_text(yaml.safe_dump(STUDY | {"grid": grid}))
        assert main(["study", "study.yaml"]) == 2
        said = capsys.readouterr().err
        assert "cell wrong: " in said
        assert "data.batchsize" in said
        assert not (home / "runs").exists()

    def test_dry_run_writes_nothing(self, home, capsys):
        assert main(["study", "study.yaml", "--dry-run"]) == 0
        said = capsys.readouterr().out
        for name in CELLS:
            assert name in said
        assert "not known before the first" in said
        assert not (home / "runs").exists()

    def test_slurm(self, home, capsys):
        assert main(["study", "study.yaml", "--emit", "slurm", "--data.batch_size", "2"]) == 0
        after = "--dependency=afterany:$(sbatch --parsable runs/tiny/study.sbatch) runs/tiny/report.sbatch"
        assert f"next: sbatch {after}" in capsys.readouterr().out
        script = (home / "runs/tiny/study.sbatch").read_text()
        assert "#SBATCH --array=0-3" in script
        assert '--cells "${cells[SLURM_ARRAY_TASK_ID]}" --data.batch_size 2 &\n' in script
        assert (home / "runs/tiny/report.sbatch").read_text().endswith(" --report --data.batch_size 2\n")

    @pytest.mark.parametrize(
        "path",
        [pytest.param(each, id=each.stem, marks=[pytest.mark.slow] * (each.stem not in QUICK)) for each in STUDIES],
    )
    def test_studies_of_configs(self, path, home):
        for name in ("acdc", "erased30", "hippocampus-mr", "openkbp-ct", "phantom-ct"):
            (home / name).symlink_to("msd")
        expanded: Study = read_study(path, home)
        assert expanded.name == path.stem
        at_first_seed = [cell for cell in expanded.cells if cell.options.get("seed", "seed0") == "seed0"]
        few = at_first_seed[::3] if len(at_first_seed) > 12 else at_first_seed
        assert len(set(resolve(few).values())) == len(few) >= 2
