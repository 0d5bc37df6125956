"""A run that was stopped and resumed ends bit for bit like one that never stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from tiny_data import write_msd
from tiny_run import keep_checkpoints, tiny_settings, write_config

EPOCHS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_msd(tmp_path_factory.mktemp("data") / "msd", cases=4, shape=(7, 32, 32))


def config(folder: Path, data: Path, workers: int = 0, **trainer) -> Path:
    """A run of 3 epochs of 4 steps with dropout, momentum, a schedule, and a checkpoint every step."""
    settings = tiny_settings(folder, data) | {"name": "resumed", "seed_everything": 3}
    settings["trainer"] |= {"max_epochs": EPOCHS, "callbacks": [keep_checkpoints(1)], **trainer}
    settings["data"] |= {
        "mirror_pairs": {"left_kidney": "right_kidney"},
        "batch_size": 4,
        "num_workers": workers,
    }
    settings["model"]["network"]["arguments"]["dropout"] = 0.2
    settings["model"] |= {
        "weighting": "AdaWAC",
        "augmentation": {"class_path": "RandomAugmentation", "init_args": {"mirror_left_right": 0.5}},
    }
    return write_config(folder, settings)


def fit(config: Path, *arguments: str) -> None:
    from adawac.cli import main

    assert main(["fit", "--config", str(config), *arguments]) == 0


def checkpoints(folder: Path) -> Path:
    (found,) = folder.glob("runs/resumed/version_0/checkpoints")
    return found


def final_state(folder: Path) -> dict:
    return torch.load(checkpoints(folder) / "last.ckpt", weights_only=True)


def assert_same_run(one: dict, other: dict) -> None:
    """Network, weights, last losses, optimiser, schedule, loader, and the metrics by which the best was chosen."""
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, value in one["state_dict"].items():
        assert torch.equal(value.nan_to_num(-1), other["state_dict"][name].nan_to_num(-1)), name
    for mine, theirs in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        assert mine["param_groups"] == theirs["param_groups"]
        for key, state in mine["state"].items():
            for name, value in state.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs["state"][key][name]))
    assert one["lr_schedulers"] == other["lr_schedulers"]
    assert one["global_step"] == other["global_step"]
    draws = [repr(run["loops"]["fit_loop"]["state_dict"]) for run in (one, other)]  # what the loaders hold
    assert draws[0] == draws[1]
    best = [
        [state["best_model_score"] for key, state in run["callbacks"].items() if "val/dice" in key]
        for run in (one, other)
    ]
    assert len(best[0]) == 1
    assert best[0] == best[1]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    fit(config(folder, data))
    return folder


def test_training_changes_the_state(unbroken):
    first = torch.load(checkpoints(unbroken) / "step1.ckpt", weights_only=True)["state_dict"]
    last = final_state(unbroken)["state_dict"]
    assert not torch.equal(first["weighting.log_odds"], last["weighting.log_odds"])
    assert any(not torch.equal(first[name], last[name]) for name in first if name.startswith("network."))


@pytest.mark.parametrize("step", [2, 4, 7], ids=["mid-epoch", "end-of-epoch", "mid-later-epoch"])
def test_resume_is_exact(tmp_path, data, unbroken, step):
    folder = tmp_path / "run"
    start = checkpoints(unbroken) / f"step{step}.ckpt"
    fit(config(folder, data), "--ckpt_path", str(start))
    assert_same_run(final_state(folder), final_state(unbroken))


def test_a_longer_run_extends_a_finished_one(tmp_path, data, unbroken):
    longer = tmp_path / "longer" / "run"
    fit(config(longer, data, max_epochs=EPOCHS + 1), "--ckpt_path", str(checkpoints(unbroken).parent))
    recorded = yaml.safe_load((checkpoints(longer).parent / "config.yaml").read_text())
    assert recorded["ckpt_path"] is None  # or a run from this record would go on there, too
    state = final_state(longer)
    steps = final_state(unbroken)["global_step"]
    assert state["global_step"] == steps * (EPOCHS + 1) // EPOCHS
    assert state["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0  # the schedule has reached its new end


@pytest.fixture(scope="module")
def ten_steps(tmp_path_factory, data) -> Path:
    """Two epochs and a half."""
    folder = tmp_path_factory.mktemp("steps") / "run"
    fit(config(folder, data, callbacks=[], max_epochs=-1, max_steps=10), CONSTANT)
    return folder


CONSTANT = "--model.schedule=Constant"


@pytest.mark.parametrize(
    "end",
    [
        ["--trainer.max_steps=4"],
        ["--trainer.max_steps=6"],
        ["--trainer.callbacks+=faults.StopAt", "--trainer.callbacks.step=7"],
    ],
    ids=["with its epoch", "in an epoch", "by a callback"],
)
def test_a_training_that_a_limit_ended_goes_on_as_if_it_had_not(tmp_path, data, ten_steps, end):
    folder = tmp_path / "run"
    path = config(folder, data, callbacks=[], max_epochs=-1, max_steps=10)
    fit(path, CONSTANT, *end)
    fit(path, CONSTANT, "--resume=auto")
    assert_same_run(final_state(folder), final_state(ten_steps))
    records = [json.loads(next(each.glob("runs/resumed/*/run.json")).read_text()) for each in (folder, ten_steps)]
    assert [[record[key] for key in ("steps", "epochs", "images_seen")] for record in records] == [[10, 3, 35]] * 2


@pytest.mark.parametrize(
    ("option", "code"),
    [("--data.drop=[left_kidney]", 2), ("--data.batch_size=2", 0)],
    ids=["refused", "nothing left to train"],
)
def test_settings_that_nothing_was_trained_with_are_not_recorded(tmp_path, data, unbroken, caplog, option, code):
    from adawac.cli import main

    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    path = config(folder, data)
    records = [checkpoints(folder).parent / name for name in ("config.yaml", "run.json")]
    before = [record.read_text() for record in records]
    with caplog.at_level("INFO"):
        mirror = "--data.mirror_pairs=null", "--model.augmentation.mirror_left_right=0"
        assert main(["fit", "--config", str(path), "--resume", "auto", *(mirror if code else ()), option]) == code
    assert [record.read_text() for record in records] == before
    assert ("nothing was left to train: 3 epochs are done" in caplog.text) == (code == 0)


ADAPTIVE = "--data.sampling=AdaptiveSampling"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--data.sampling=HardnessWeighted"],
        ["--data.sampling=ClassBalanced"],
        [ADAPTIVE],
        [ADAPTIVE, "--data.sampling.balance=classes", "--trainer.accumulate_grad_batches=3"],
    ],
    ids=["hardness", "class-balanced", "adaptive", "by class, accumulated"],
)
def test_resume_is_exact_where_batches_are_drawn(tmp_path, data, options):
    fit(config(tmp_path / "unbroken", data), *options)
    start = checkpoints(tmp_path / "unbroken") / ("step2.ckpt" if len(options) > 2 else "step6.ckpt")
    fit(config(tmp_path / "resumed", data), "--ckpt_path", str(start), *options)
    assert_same_run(final_state(tmp_path / "resumed"), final_state(tmp_path / "unbroken"))


def test_adaptive_draws_go_on_where_an_epoch_has_ended(tmp_path, data):
    """Lightning gives a loader its state back in the middle of an epoch alone: the draws began anew, in silence."""
    fit(config(tmp_path / "unbroken", data, callbacks=[]), ADAPTIVE, CONSTANT)
    path = config(tmp_path / "resumed", data, callbacks=[])
    fit(path, ADAPTIVE, CONSTANT, "--trainer.max_epochs=2")
    fit(path, ADAPTIVE, CONSTANT, "--resume=auto")
    assert_same_run(final_state(tmp_path / "resumed"), final_state(tmp_path / "unbroken"))
    fit(path, ADAPTIVE, CONSTANT, "--resume=auto", "--trainer.max_epochs=4", "--data.batch_size=5")
    draws = final_state(tmp_path / "resumed")["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]
    assert [len(rows) for rows, _ in draws["unobserved"]] == [5]


def test_any_number_of_workers_draws_alike(tmp_path, data):
    """Each batch by the weights of three steps before, however far ahead it is fetched."""
    for workers in (0, 1):
        fit(config(tmp_path / f"{workers}", data, workers=workers), ADAPTIVE, "--data.sampling.lag=3")
    assert_same_run(final_state(tmp_path / "1"), final_state(tmp_path / "0"))


def test_workers_do_not_change_the_result(tmp_path, data, unbroken):
    folder = tmp_path / "run"
    fit(config(folder, data, workers=2))
    assert_same_run(final_state(folder), final_state(unbroken))


@pytest.mark.slow
def test_kill_and_resume_in_place(tmp_path, data, unbroken):
    """SIGKILL in the middle of training; the same command with the newest checkpoint goes on in the same folder."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "adawac", "fit", "--config", str(config(folder, data))]
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on their number
    process = subprocess.Popen(command, env=threads)
    deadline = time.monotonic() + 120
    while not list(folder.glob("runs/resumed/version_0/checkpoints/step5.ckpt")):
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--ckpt_path", str(checkpoints(folder) / "step4.ckpt")], check=True, env=threads)
    assert_same_run(final_state(folder), final_state(unbroken))
    assert len(list(folder.glob("runs/resumed/*"))) == 1
