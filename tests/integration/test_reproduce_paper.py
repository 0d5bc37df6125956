"""The studies of the paper's tables: written, resolved for every cell, and a cell of one of them run on tiny data."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_data import write_acdc_slices, write_synapse

from adawac.cli import main
from adawac.study import read_study

SCRIPT = Path(__file__).parents[2] / "scripts/reproduce_paper.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("paper")
    write_synapse(home / "synapse", cases=2, shape=(4, 16, 16), test_cases=1)
    write_acdc_slices(home / "acdc", cases=2)
    command = [sys.executable, str(SCRIPT), "-o", "studies", "--seeds", "1234", "1235"]
    command += ["--networks", "unet", "transunet", "resnetunet"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    assert "adawac study studies/synapse_unet_subsets.yaml --data.root DATA" in done.stdout
    return home


@pytest.mark.parametrize(
    ("name", "cells"),
    [("synapse_unet_subsets", 3 * 4 * 2), ("synapse_unet_methods", 11 * 2), ("acdc_unet_methods", 22)],
)
def test_every_cell_of_every_study_is_written(home, name, cells):
    study = read_study(home / f"studies/{name}.yaml", home / "runs")
    assert study.name == name
    assert len(study.cells) == cells
    assert {cell.options["seed"] for cell in study.cells} == {"seed1234", "seed1235"}
    assert {cell.options["method"] for cell in study.cells} >= {"erm", "pair", "adawac"}


@pytest.mark.parametrize(
    ("name", "step_size", "cells"),
    [
        ("synapse_unet_subsets", 8, ["adawac-half_vol-seed1234", "erm-half_sparse-seed1235"]),
        ("synapse_unet_methods", 8, ["adawac-seed1234", "pm_dro-seed1234", "trim_ratio_acr-seed1235"]),
        ("acdc_unet_methods", 8, ["reweight_only-seed1234", "pseudo_adawac-seed1234"]),
        ("synapse_transunet_methods", 2, ["adawac-seed1234", "pm_dro-seed1234"]),
        ("acdc_resnetunet_methods", 8, ["adawac-seed1235"]),
    ],
)
def test_cells_resolve_to_the_recipe_of_the_paper(home, monkeypatch, name, step_size, cells, capsys):
    from adawac.study.runner import resolve

    monkeypatch.chdir(home)
    data = name.split("_")[0]
    study = read_study(Path(f"studies/{name}.yaml"), Path("runs"), [f"--data.root={data}"])
    for cell, text in resolve(study.take(cells)).items():
        config = yaml.safe_load(text)
        model = config["model"]
        assert config["trainer"]["max_epochs"] == {"synapse": 150, "acdc": 360}[data]
        assert config["data"].get("batch_size", 24) == 24
        assert model["optimizer"]["init_args"] == {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001}
        assert model["schedule"]["class_path"].endswith("Constant")
        assert model["consistency"]["init_args"]["lambda_ac"] == 2
        if cell.startswith(("adawac", "pm_dro", "reweight_only")):
            assert model["weighting"]["init_args"]["step_size"] == step_size
    assert main(["study", f"studies/{name}.yaml", "--dry-run", f"--data.root={data}", "--cells", *cells]) == 0
    assert f"{len(cells)} of {len(cells)} cells to run" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_runs_to_its_case_table(home, monkeypatch):
    monkeypatch.chdir(home)
    tiny = [
        *("--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.accelerator=cpu"),
        *("--data.size=[32, 32]", "--data.batch_size=2", "--data.store=store"),
        *("--model.network.arguments.channels=[4, 8]", "--model.network.arguments.strides=[2]"),
    ]
    cell = "adawac-half_sparse-seed1234"
    options = ["--data.root=synapse", *tiny]
    assert main(["study", "studies/synapse_unet_subsets.yaml", "--cells", cell, *options]) == 0
    assert (home / f"runs/synapse_unet_subsets/{cell}/version_0/cases.csv").is_file()
