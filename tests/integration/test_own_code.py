"""Readers, metrics, sections and formats of the user's own, as docs/howto.md shows them; and whose code is run when."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from tiny_data import make_case, write_folders, write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.io import readers
from adawac.runs.folder import find_checkpoint

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[2]
HEADING = "## Add a file format, metric, export or section of your own"
AFFINE = np.diag([-0.8, -0.9, 3.0, 1.0])


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch) -> Iterator[None]:
    """A folder with the documented file in it; what it brings is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(readers, "_IN_USE", list(readers._IN_USE))
    section = (ROOT / "docs/howto.md").read_text().split(HEADING)[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n# mine\.py\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    Path("mine.py").write_text(code)
    sys.modules.pop("mine", None)  # Another test's file of this name, in the same process.
    yield
    sys.modules.pop("mine", None)


def to_npz(nifti: Path) -> None:
    image = nib.load(nifti)
    np.savez(nifti.with_name(nifti.name.replace(".nii.gz", ".npz")), image=image.dataobj, affine=image.affine)
    nifti.unlink()


def rows(folder: str) -> list[dict[str, str]]:
    with Path(folder, "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def labels() -> None:
    """References and predictions of four cases."""
    rng = np.random.default_rng(0)
    for case in range(4):
        _, label = make_case(rng, (6, 20, 16))
        preds = np.where(rng.random(label.shape) < 0.2, 0, label)
        for folder, array in (("labels", label), ("preds", preds), ("same", preds)):
            Path(folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array.T.astype(np.uint8), AFFINE), f"{folder}/c{case}.nii.gz")


def test_a_metric_is_a_column_and_a_section_ends_the_report(labels):
    own = ["--metrics", "mine.volume_ratio", "--sections", "mine.sizes"]
    assert main(["evaluate", "preds", "--labels", "labels", "-o", "out", *own]) == 0
    found = {(r["case"], r["class"]): float(r["value"]) for r in rows("out") if r["metric"] == "volume_ratio"}
    due = {}
    for path in Path("labels").iterdir():
        label, preds = (np.asarray(nib.load(file).dataobj) for file in (path, Path("preds", path.name)))
        for k in (1, 2):
            due[path.name.split(".")[0], f"class_{k}"] = np.sum(preds == k) / np.sum(label == k)
    assert found == pytest.approx(due)
    text = Path("out/report.md").read_text()
    assert re.search(r"^## Sizes\n.*\| preds \| +4 \|", text, re.MULTILINE | re.DOTALL)


def test_a_metric_of_what_is_measured_already_is_refused(labels, capsys):
    assert main(["evaluate", "preds", "--labels", "labels", "-o", "out"]) == 0
    assert main(["evaluate", "out/cases.csv", "-o", "again", "--metrics", "mine.volume_ratio"]) == 2
    assert "give folders of predictions with --labels, or --predict" in capsys.readouterr().err


def test_predictions_in_a_format_of_one_s_own_are_those_in_nifti(labels):
    for path in list(Path("same").iterdir()):
        to_npz(path)
    assert main(["evaluate", "preds", "same", "--labels", "labels", "-o", "out", "--readers", "mine.Npz"]) == 0
    values = {
        m: [(r["case"], r["metric"], r["value"]) for r in rows("out") if r["method"] == m] for m in ("preds", "same")
    }
    assert values["preds"] == values["same"] != []


def test_training_and_prediction_in_a_format_of_one_s_own(capsys):
    write_folders(Path("plain"), cases=6)
    data = write_folders(Path("data"), cases=6)
    for path in [*data.glob("*/*.nii.gz")]:
        to_npz(path)
    assert main(["check", "data", "--readers", "mine.Npz"]) == 0
    assert main(["init", "data", "-o", "made.yaml", "--readers", "mine.Npz"]) == 0
    assert yaml.safe_load(Path("made.yaml").read_text())["data"]["readers"] == ["mine.Npz"]
    readers._IN_USE[:] = [reader for reader in readers._IN_USE if type(reader).__name__ != "Npz"]
    assert main(["prepare", "--config", "made.yaml", "--data.store", "store"]) == 0
    assert "6 prepared volumes" in capsys.readouterr().out


def test_a_format_of_one_s_own_holds_the_network_s_weights():
    settings = tiny_settings(Path("run").absolute(), write_msd(Path("data").absolute(), cases=4), test=0.0)
    assert main(["fit", "--config", str(write_config(Path("run"), settings)), "--trainer.max_steps", "1"]) == 0
    (run,) = Path.cwd().glob("run/runs/*/version_0")
    assert main(["export", str(run), "--format", "mine.weights_alone"]) == 0
    exported = torch.load(run / "export/weights_alone", weights_only=True)
    saved = torch.load(find_checkpoint(run), weights_only=True)["state_dict"]
    assert exported
    for name, value in exported.items():
        assert any(key.endswith(name) and torch.equal(value, other) for key, other in saved.items()), name


@pytest.mark.parametrize(
    ("option", "value"),
    [("--metrics", "mine.nothing"), ("--metrics", "nowhere.f"), ("--sections", "sizes"), ("--readers", "mine.sizes")],
)
def test_what_cannot_be_imported_is_refused(labels, capsys, option, value):
    assert main(["evaluate", "preds", "--labels", "labels", "-o", "out", option, value]) == 2
    assert f"{option} is {value}, which" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "fit"])
def test_no_file_of_the_working_folder_takes_the_place_of_a_module(command):
    for name in ("yaml", "torch", "numpy", "argparse", "nibabel"):
        Path(f"{name}.py").write_text("raise SystemExit('untrusted')")
    arguments = {"predict": ["none", "-i", "none", "-o", "out"], "fit": ["--help"]}
    environment = {"PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "adawac", command, *arguments[command]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "untrusted" not in done.stderr
    assert "usage" in done.stdout or "none" in done.stderr
