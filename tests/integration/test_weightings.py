"""Every weighting by its short name in a YAML: two steps, a checkpoint, and on from there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_data import CLASS_NAMES, write_msd

from adawac.cli import main
from adawac.runs.checkpoint import read_checkpoint

CONFIG = Path(__file__).parents[2] / "configs/phantom_unet.yaml"

WEIGHTINGS = {
    "acr-only": "ACROnly",
    "pseudo-adawac": "PseudoAdaWAC",
    "trim-train": "TrimTrain",
    "trim-ratio-acr": "TrimRatioACR",
    "reweight-only": "ReweightOnly",
    "pm-dro": {"class_path": "PMDRO", "init_args": {"official_scaling": True}},
    "group-dro": "GroupDRO",
    "group-dro-position": {
        "class_path": "GroupDRO",
        "init_args": {"groups": {"class_path": "PositionBins", "init_args": {"count": 2}}, "step_size": 0.5},
    },
    "cvar-dro": "CVaRDRO",
}


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    """Options of a tiny run, whose prepared volumes the tests share."""
    folder = tmp_path_factory.mktemp("weightings")
    root = write_msd(folder / "phantom", cases=8, num_classes=9, names=CLASS_NAMES)
    settings = {
        "pictures": False,
        "trainer": {
            "accelerator": "cpu",
            "precision": "32-true",
            "max_epochs": 1,
            "limit_train_batches": 2,
            "limit_val_batches": 1,
            "check_val_every_n_epoch": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "data": {"root": str(root), "store": str(folder / "store"), "size": [32, 32], "batch_size": 4},
        "model": {"network": {"arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 1}}},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    return ["--config", str(CONFIG), "--config", str(folder / "tiny.yaml")]


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_two_steps(name, options, tmp_path):
    (tmp_path / "weighting.yaml").write_text(yaml.safe_dump({"model": {"weighting": WEIGHTINGS[name]}}))
    options = [*options, "--config", str(tmp_path / "weighting.yaml"), "--runs", str(tmp_path), "--name", name]
    assert main(["fit", *options]) == 0
    checkpoint = read_checkpoint(tmp_path / name / "version_0/checkpoints/last.ckpt")
    assert checkpoint["global_step"] == 2
    state = {key: value for key, value in checkpoint["state_dict"].items() if key.startswith("weighting.")}
    if name in ("reweight-only", "pm-dro"):
        log_weights = state["weighting.log_weights"]
        assert 4 <= (log_weights != log_weights.mode().values).sum() <= 8  # two batches of four slices
    elif name.startswith("group-dro"):
        assert state["weighting.log_q"].exp().sum() == pytest.approx(1)
        assert state["weighting._extra_state"][0] in ("label-dense", "position 0.00 to 0.50")
    else:
        assert not state


def test_group_dro_resumes(options, tmp_path):
    options = [*options, "--model.weighting", "GroupDRO", "--runs", str(tmp_path), "--name", "run"]
    assert main(["fit", *options]) == 0
    last = tmp_path / "run/version_0/checkpoints/last.ckpt"
    assert main(["fit", *options, "--trainer.max_epochs", "2", "--ckpt_path", str(last)]) == 0
    assert read_checkpoint(last)["global_step"] == 4


def test_resuming_with_other_groups_is_refused(options, tmp_path, capsys):
    options = [*options, "--model.weighting", "GroupDRO", "--runs", str(tmp_path), "--name", "run"]
    assert main(["fit", *options]) == 0
    last = tmp_path / "run/version_0/checkpoints/last.ckpt"
    more = ["--model.weighting.groups", "PositionBins", "--trainer.max_epochs", "2", "--ckpt_path", str(last)]
    assert main(["fit", *options, *more]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "start anew from the checkpoint's weights alone with --model.init_from: model.weighting.init_args.groups: "
        in said
    )


@pytest.mark.slow
def test_the_documented_method_of_one_s_own(options, tmp_path):
    """A user's class, in a file of the working folder, by its class path."""
    methods = (Path(__file__).parents[2] / "docs/methods.md").read_text()
    (code,) = re.findall(r"^```python\n# hard\.py\n(.*?)^```", methods, re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) <= 15
    (tmp_path / "hard.py").write_text(code)
    command = ["fit", *options, "--model.weighting", "hard.HardHalf", "--runs", "runs", "--name", "own"]
    subprocess.run([Path(sys.executable).parent / "adawac", *command], cwd=tmp_path, check=True)
    checkpoint = read_checkpoint(tmp_path / "runs/own/version_0/checkpoints/last.ckpt")
    assert checkpoint["global_step"] == 2
