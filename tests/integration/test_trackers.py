"""The run's folder stays what it is whatever tracks the run: CSV for real, MLflow and wandb where they are there."""

import csv
from pathlib import Path

import pytest
import yaml
from tiny_data import write_msd

from adawac.cli import main

OVERLAYS = Path(__file__).parents[2] / "configs/overlays"
CSV = "--config", str(OVERLAYS / "csv_logger.yaml")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """A run of a few steps, with validation and test."""
    folder = tmp_path_factory.mktemp("data")
    settings = {
        "name": "tracked",
        "pictures": False,
        "trainer": {
            **{"accelerator": "cpu", "max_epochs": 1, "limit_train_batches": 2, "log_every_n_steps": 1},
            "enable_progress_bar": False,
        },
        "data": {
            "root": str(write_msd(folder / "data", cases=4, shape=(4, 16, 16))),
            "store": str(folder / "store"),
            "split": {"class_path": "FractionSplit", "init_args": {"val": 0.25, "test": 0.25}},
            **{"size": [16, 16], "batch_size": 2},
        },
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"},
            },
            "weighting": "AdaWAC",
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder / "config.yaml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch) -> None:
    """Trackers may write into the working folder."""
    monkeypatch.chdir(tmp_path)


def fit(config: Path, *options: str) -> Path:
    assert main(["fit", "--config", str(config), *options]) == 0
    return Path("runs/tracked/version_0").absolute()


def is_whole(run: Path) -> None:
    """The contract: what every run's folder holds, and that it can be tested."""
    for name in ("config.yaml", "split.json", "run.json", "weights.csv", "checkpoints/best.ckpt"):
        assert (run / name).is_file(), name
    assert list(run.glob("events.out.tfevents.*"))
    assert main(["test", str(run)]) == 0
    assert (run / "cases.csv").is_file()
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_lies_in_the_run_s_folder(config):
    run = fit(config, *CSV)
    (table,) = run.rglob("metrics.csv")
    assert table == run / "csv/version_0/metrics.csv"
    logged = rows(table)
    assert [row["train/loss"] for row in logged if row["train/loss"]]
    assert [row["val/dice"] for row in logged if row["val/dice"]]
    assert [row["weights/auroc"] for row in logged if row["weights/auroc"]]
    settings = yaml.safe_load((table.parent / "hparams.yaml").read_text())
    assert settings["run_folder"] == str(run)
    assert settings["model"]["weighting"]["class_path"].endswith("AdaWAC")
    before = table.read_text()
    is_whole(run)
    assert table.read_text() == before  # testing does not touch what training logged
    assert list(run.rglob("metrics.csv")) == [table]


def test_going_on_keeps_what_was_logged(config):
    run = fit(config, *CSV)
    recorded = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["logger"]
    assert recorded[0]["init_args"]["save_dir"] == "."
    assert main(["fit", "--config", str(run / "config.yaml")]) == 0  # another run, in a folder of its own
    assert (run.parent / "version_1/csv/version_0/metrics.csv").is_file()
    before = (run / "csv/version_0/metrics.csv").read_text()
    options = ["--ckpt_path", str(run / "checkpoints/last.ckpt"), "--trainer.max_epochs", "2"]
    assert main(["fit", "--config", str(run / "config.yaml"), *options]) == 0
    assert (run / "csv/version_0/metrics.csv").read_text() == before
    assert {row["epoch"] for row in rows(run / "csv/version_1/metrics.csv")} == {"1"}


def test_a_logger_from_the_command_line(config, tmp_path):
    options = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", str(tmp_path / "elsewhere")]
    run = fit(config, *options, "--trainer.logger.name", "mine")
    assert (tmp_path / "elsewhere/mine/version_0/metrics.csv").is_file()  # absolute, so it stays there
    is_whole(run)


def test_without_a_logger_the_run_still_lies_in_its_folder(config, tmp_path):
    """And nothing where one works."""
    run = fit(config, "--trainer.logger", "false")
    assert not list(run.glob("events.out.tfevents.*"))
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert main(["test", str(run)]) == 0
    assert {"config.yaml", "split.json", "run.json", "checkpoints", "cases.csv"} <= {
        path.name for path in run.iterdir()
    }


def test_a_profile_lies_in_the_run_s_folder(config):
    """Lightning would log it, of which nothing is shown."""
    assert "run_training_epoch" in (fit(config, "--trainer.profiler=simple") / "fit-profile.txt").read_text()


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_tracker_that_is_not_installed(config, package, capsys, monkeypatch):
    flag = f"lightning.pytorch.loggers.{package}._{package.upper()}_AVAILABLE"
    monkeypatch.setattr(flag, type("No", (), {"__bool__": lambda _: False, "__str__": lambda _: f"no {package}"})())
    assert main(["fit", "--config", str(config), "--config", str(OVERLAYS / f"{package}.yaml")]) == 2
    said = capsys.readouterr().err
    assert f"no {package}; install what the configuration asks for" in said
    assert f"'adawac[{package}]'" in said


def test_mlflow(config, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is an extra that the tests do not need: adawac[mlflow]")
    run = fit(config, "--config", str(OVERLAYS / "mlflow.yaml"))
    client = mlflow.tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("adawac").experiment_id])
    assert found.info.run_name == "tracked/version_0"
    assert {"train/loss", "val/dice", "weights/auroc"} <= found.data.metrics.keys()
    assert found.data.params["run_folder"] == str(run)
    assert found.info.status == "FINISHED"
    is_whole(run)


def test_wandb(config):
    wandb = pytest.importorskip("wandb", reason="wandb is an extra that the tests do not need: adawac[wandb]")
    run = fit(config, "--config", str(OVERLAYS / "wandb.yaml"))
    wandb.finish()
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    is_whole(run)


def test_overlays_need_no_tracker_to_be_read(config, capsys):
    """Printing what would be run works without the packages."""
    for package in ("mlflow", "wandb"):
        with pytest.raises(SystemExit):
            main(["fit", "--config", str(config), "--config", str(OVERLAYS / f"{package}.yaml"), "--print_config"])
        assert "Logger" in capsys.readouterr().out
