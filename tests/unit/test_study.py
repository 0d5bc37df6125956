"""A STUDY.yaml and its cells: the grid, what is refused, how far a cell is, the job array. Nothing is run."""

import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from adawac.errors import ConfigError
from adawac.study import Cell, Study, read_study
from adawac.study.results import CellResult, Spread, results_table
from adawac.study.runner import last_lines, seconds_left
from adawac.study.slurm import slurm_script

GRID = {
    "method": {"erm": {"model.weighting": "ERM"}, "adawac": {}},
    "subset": {"full": None, "half": {"data": {"subset": "HalfSlice"}}},
    "seed": [0, 1],
}


def study_of(folder: Path, content: object, more: tuple[str, ...] = ()) -> Study:
    path = folder / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return read_study(path, folder / "runs", more)


def cell(folder: Path, name: str = "erm-seed0", **options: str) -> Cell:
    return Cell(name, options, (), folder / name)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


class TestGrid:
    def test_every_combination_seed_by_seed(self, tmp_path):
        study = study_of(tmp_path, {"name": "s", "grid": GRID})
        at_seed = ["erm-full-seed{}", "erm-half-seed{}", "adawac-full-seed{}", "adawac-half-seed{}"]
        assert [cell.name for cell in study.cells] == [name.format(seed) for seed in (0, 1) for name in at_seed]
        assert study.axes == ("method", "subset", "seed")
        assert study.cells[1].options == {"method": "erm", "subset": "half", "seed": "seed0"}
        assert study.cells[1].settings == {"method": "erm", "subset": "half"}
        assert study.cells[1].folder == tmp_path / "runs/s/erm-half-seed0"

    def test_later_keys_win_so_they_come_later(self, tmp_path):
        """Files, common, axes in order, command line; the name is the study's."""
        (tmp_path / "base.yaml").touch()
        (tmp_path / "over.yaml").touch()
        content = {
            "config": "base.yaml",
            "common": {"trainer.max_epochs": 2, "data": {"size": [8, 8]}, "model.init_from": None},
            "grid": {"method": {"x": {"config": ["over.yaml"], "model.weighting": "ERM"}}, "seed": [3]},
        }
        (only,) = study_of(tmp_path, content, ("--data.root", "a b")).cells
        assert only.arguments == (
            f"--config={tmp_path / 'base.yaml'}",
            "--trainer.max_epochs=2",
            '--data={"size": [8, 8]}',
            "--model.init_from=null",
            f"--config={tmp_path / 'over.yaml'}",
            "--model.weighting=ERM",
            "--seed_everything=3",
            "--data.root",
            "a b",
            "--name=x-seed3",
        )

    def test_files_are_found_beside_the_study_or_in_the_working_folder(self, tmp_path, monkeypatch):
        for folder in ("there", "here"):
            touch(tmp_path / folder / "mine.yaml")
        touch(tmp_path / "here/other.yaml")
        monkeypatch.chdir(tmp_path / "here")
        study = study_of(tmp_path / "there", {"config": ["mine.yaml", "other.yaml"], "grid": {"seed": [0]}})
        found = [tmp_path / "there/mine.yaml", tmp_path / "here/other.yaml"]
        assert study.cells[0].arguments[:2] == tuple(f"--config={path}" for path in found)

    def test_any_key_in_short_form(self, tmp_path):
        grid = {"model.weighting": ["ERM", "Pair"], "model.dice_ratio": [0.25, 1], "data.body": [True]}
        study = study_of(tmp_path, {"grid": grid})
        assert study.name == "study"
        assert study.axes == ("weighting", "dice_ratio", "body")
        assert [cell.name for cell in study.cells] == [
            f"{name}-dice_ratio{ratio}-bodytrue" for name in ("ERM", "Pair") for ratio in ("0.25", "1")
        ]
        assert study.cells[0].arguments[:3] == ("--model.weighting=ERM", "--model.dice_ratio=0.25", "--data.body=true")

    def test_take(self, tmp_path):
        study = study_of(tmp_path, {"grid": GRID})
        names = ["adawac-half-seed1", "erm-full-seed0"]
        assert [cell.name for cell in study.take([*names, names[0]])] == names
        with pytest.raises(
            ConfigError, match=r"has no cell erm; `--dry-run` lists what it has, such as erm-full-seed0"
        ):
            study.take(["erm"])


class TestRefusal:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"name": "s"}, "the grid is empty; give at least one axis"),
            ({"grid": {}}, "the grid is empty; give at least one axis"),
            ({"grid": {"method": {}}}, r"grid.method: needs options, found \{\}; map names to keys"),
            ({"grid": {"method": ["a", "b"]}}, r"method is no setting .*; give each its keys, such as `method: \{a: "),
            ({"grid": {"seed": 3}}, "grid.seed: needs options, found 3; .* list values such as"),
            ({"grid": {"seed": [0, 0]}}, "grid.seed: the name seed0 comes twice .*; rename one"),
            ({"grid": {"method": {"ERM": {}, "erm": {}}}}, r"cells: the name erm comes twice \(the other is ERM\)"),
            ({"grid": {"a": {"x-y": {}, "x": {}}, "b": {"z": {}, "y-z": {}}}}, "cells: the name x-y-z comes twice"),
            ("{grid: {method: {erm: {}, erm: {}}}}", "line 1: erm comes twice; rename or remove"),
            ({"grid": {"method": {"a/b": {}}}}, "'a/b' cannot name a folder on every platform; take letters"),
            ({"grid": {"method": {"..": {}}}}, r"'\.\.' cannot name a folder"),
            ("{grid: {weights: {on: {}, off: {}}}}", "True cannot name a folder .*in quotes where YAML reads"),
            ({"name": "../s", "grid": GRID}, "name: '../s' cannot name a folder"),
            ({"grid": {"size": [[8, 8]]}}, r"\[8, 8\] cannot name an option; write `name: \{size: \[8, 8\]\}`"),
            ({"grid": {"method": {"erm": "ERM"}}}, "grid.method.erm: needs `key: value` lines, found 'ERM'"),
            ({"grid": {"method": {"a": {"name": "b"}}}}, "grid.method.a.name is set by the study itself; leave it out"),
            ({"grid": {"case": {"a": {}}}}, "an axis cannot be called case .*; give it a name"),
            ({"grid": {"config_hash": {"a": {}}}}, "an axis cannot be called config_hash .*; give it a name"),
            ({"grid": {"seed": [0], "seed_everything": [1]}}, "an axis cannot be called seed"),
            ({"grids": GRID}, "a study has no grids; it has name, config, common, grid, resources"),
            ({"config": "none.yaml", "grid": GRID}, "there is no file none.yaml, neither beside the study nor here"),
            ({"config": "a", "common": {"config": "b"}, "grid": GRID}, "config is given twice; list all files"),
            ("grid: [", "cannot be read as YAML"),
            ("- 1", "needs `key: value` lines"),
        ],
    )
    def test_bad_study(self, content, said, tmp_path):
        with pytest.raises(ConfigError, match=said):
            study_of(tmp_path, content)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(ConfigError, match="give the file of a study"):
            read_study(tmp_path / "none.yaml", tmp_path)


class TestState:
    def test_by_what_lies_in_the_folder(self, tmp_path):
        one = cell(tmp_path)
        assert one.state == "new"
        assert one.record == {}
        touch(one.run.record_file)
        assert one.state == "new"
        touch(one.run.last)
        assert one.state == "stopped"
        one.write_record(12.34, 1)
        assert one.state == "failed"
        one.write_record(20, None)
        assert one.state == "stopped"
        one.write_record(30, 0)
        touch(one.run.cases_file)
        assert one.state == "finished"
        assert one.record == {"seconds": 30, "exit_code": 0}

    def test_a_table_of_another_checkpoint_finishes_nothing(self, tmp_path):
        one = cell(tmp_path)
        touch(one.run.last)
        of_it = hashlib.sha256(b"").hexdigest()[:12]
        one.run.cases_file.write_text(f"case,checkpoint_hash\na,{of_it}\n")
        assert one.state == "finished"
        one.run.best.write_bytes(b"better")
        assert one.state == "stopped"

    def test_a_record_cut_short_is_none(self, tmp_path):
        one = cell(tmp_path)
        touch(one.run.last)
        (one.folder / "cell.json").write_text('{"sec')
        assert (one.record, one.state) == ({}, "stopped")


class TestLabels:
    def test_all_axes_but_method_and_seed_say_what_a_run_was_trained_on(self, tmp_path):
        grid = {"subset": {"full": {}}, "method": {"erm": {}}, "network": {"unet": {}}, "seed": [0]}
        study = study_of(tmp_path, {"name": "s", "grid": grid})
        assert study.labels(study.cells[0]) == ("erm", "full, unet")

    def test_without_an_axis_of_that_name_the_first_other_is_the_method(self, tmp_path):
        study = study_of(tmp_path, {"name": "s", "grid": {"subset": {"full": {}}, "setting": {"a": {}}, "seed": [0]}})
        assert study.labels(study.cells[0]) == ("a", "full")


class TestTimeLeft:
    def test_cells_alike_tell_most(self, tmp_path):
        cells = [
            cell(tmp_path, f"{method}-{seed}", method=method, seed=seed)
            for method in ("erm", "pair", "adawac")
            for seed in ("seed0", "seed1")
        ]
        assert seconds_left(cells, cells, 1) is None
        for done, seconds in ((0, 10), (2, 30)):  # erm and pair at the first seed
            touch(cells[done].run.cases_file)
            cells[done].write_record(seconds, 0)
        waiting = [cell for cell in cells if cell.state != "finished"]
        assert seconds_left(waiting, cells, 1) == 10 + 30 + 20 + 20
        assert seconds_left(waiting, cells, 2) == 40
        assert seconds_left(waiting[:1], cells, 2) == 10
        assert seconds_left([], cells, 2) == 0

    def test_last_lines(self, tmp_path):
        (tmp_path / "log").write_text("one\ntwo\n\nthree\n")
        assert last_lines(tmp_path / "log", 2) == "two\nthree"
        assert last_lines(tmp_path / "none") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Slurm runs a shell script")
class TestSlurm:
    def test_each_job_runs_its_own_cell_whatever_the_names(self, tmp_path):
        """Run by a real shell, with `echo` in the place of python, in a folder of a vicious name."""
        home = tmp_path / 'it\'s $HOME; `id` "x"\nback\\'
        home.mkdir()
        cells = [cell(Path("runs/s"), name) for name in ("erm-seed0", "adawac-seed0")]
        study = Study("s", Path("my runs/s"), ("method",), tuple(cells))
        more = ("--data.root", "a 'b' $(touch hit)")
        script = slurm_script("study.sbatch.jinja", study, cells, Path("my study.yaml"), more, home)
        assert script.startswith("#!/bin/bash\n")
        assert "\n#SBATCH --array=0-1\n" in script
        show = f"{shlex.quote(sys.executable)} -c 'import os, sys; print([os.getcwd(), *sys.argv[1:]])'"
        script = script.replace(f"{shlex.quote(sys.executable)} -m adawac", show)
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1"}
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
        expected = ["study", "my study.yaml", "--runs", "my runs", "--cells", "adawac-seed0", *more]
        assert done.stdout.strip() == repr([str(home), *expected])
        assert not list(home.iterdir())


class TestTable:
    def test_a_line_per_method_over_its_seeds(self, tmp_path):
        study = study_of(tmp_path, {"name": "s", "grid": {"method": GRID["method"], "seed": [0, 1]}})
        results = [
            CellResult("a", {"method": "erm", "seed": "seed0"}, 0.5, 0.6, 1, 10, 4, 32, 32, 1.0),
            CellResult("b", {"method": "erm", "seed": "seed1"}, 0.7, 0.6, 2, 10, 4, 32, 32, 1.0),
        ]
        table = results_table(study, results)
        cells = list(zip(*([str(text) for text in column.cells] for column in table.columns), strict=True))
        assert cells == [
            (
                "erm",
                "2 of 2",
                "0.600\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.141",
                "0.600\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.000",
                "15.0%",
                "32",
                "32",
            ),
            ("adawac", "0 of 2", "-", "-", "-", "-", "-"),
        ]

    def test_a_line_without_all_its_runs_is_no_comparison(self, tmp_path):
        """As where a fold failed: its mean is of other cases than the others'."""
        study = study_of(tmp_path, {"name": "s", "grid": {"method": GRID["method"], "seed": [0, 1]}})
        found = [
            CellResult(f"{method}{seed}", {"method": method, "seed": f"seed{seed}"}, 0.5, 0.6, 1, 10, 4, 32, 32, 1.0)
            for method in ("erm", "adawac")
            for seed in range(2)
        ]
        assert "Where runs are missing, means are of the others" in str(results_table(study, found[:-1]).caption)
        for results in (found, found[:2], found[::2]):  # of both methods the first seed alone: like with like
            assert "missing" not in str(results_table(study, results).caption)

    def test_one_seed_has_no_spread(self):
        assert str(Spread.of([0.5])) == "0.500"
        assert str(Spread.of([0.5, 0.5002])).endswith("0.0001")  # which 0.000 would hide
        assert str(Spread.of([0.5, float("nan")])) == "-"
