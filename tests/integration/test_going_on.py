"""A run that goes on with other settings, in another place or after its time was up, and what it then says."""

import shutil
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from tiny_data import write_msd
from tiny_run import ADAMW, tiny_settings, write_config

from adawac.cli import main
from adawac.runs.resume import STATEFUL
from adawac.training import train as training
from adawac.training.task import SegmentationTask


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_msd(tmp_path_factory.mktemp("data") / "msd", cases=4, shape=(8, 32, 32))


def begun(folder: Path, data: Path, *arguments: str, **model) -> list[str]:
    """An epoch of 4 steps of AdamW at a constant rate of 0.02; the command, with which it can go on."""
    settings = tiny_settings(folder, data)
    settings["trainer"] |= {"max_epochs": 1}
    settings["data"] |= {"batch_size": 4}
    settings["model"] |= {"optimizer": ADAMW, "schedule": "Constant", **model}
    command = ["fit", "--config", str(write_config(folder, settings))]
    assert main([*command, *arguments]) == 0
    return [*command, *arguments]


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "run"
    begun(folder, data)
    return folder


@pytest.fixture
def folder(tmp_path, one_epoch) -> Path:
    """A copy of that run."""
    shutil.copytree(one_epoch, tmp_path / "run")
    return tmp_path / "run"


def go_on(folder: Path, *arguments: str) -> int:
    runs = str(folder / "runs")
    return main(
        ["fit", str(folder / "config.yaml"), "--runs", runs, "--resume", "auto", "--trainer.max_epochs=2", *arguments]
    )


def last(folder: Path) -> dict:
    return torch.load(folder / "runs/tiny/version_0/checkpoints/last.ckpt", weights_only=True)


def record(folder: Path) -> dict:
    return yaml.safe_load((folder / "runs/tiny/version_0/config.yaml").read_text())


def moved(one: dict, other: dict) -> bool:
    return any(
        not torch.equal(one["state_dict"][n], other["state_dict"][n]) for n in one["state_dict"] if "network" in n
    )


# --- progress of the schedule


@pytest.fixture(scope="module")
def falling(tmp_path_factory, data) -> Path:
    """An epoch whose learning rate falls to 0."""
    folder = tmp_path_factory.mktemp("falling") / "run"
    begun(folder, data, schedule="Poly")
    return folder


@pytest.mark.parametrize(
    "option",
    [
        "--data.batch_size=16",
        "--trainer.accumulate_grad_batches=4",
        "--data.batch_size=1",
        "--trainer.limit_train_batches=1",
    ],
)
def test_a_schedule_runs_to_its_end_whatever_a_step_is_now(tmp_path, falling, monkeypatch, option):
    shutil.copytree(falling, tmp_path / "run")
    half = last(tmp_path / "run")
    rates: list[float] = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    before = training.default_callbacks
    monkeypatch.setattr(training, "default_callbacks", lambda *args: [*before(*args), Watch()])
    assert go_on(tmp_path / "run", option) == 0
    assert rates[0] == pytest.approx(0.02 * 0.5**0.9)  # half of the training is done
    assert all(rate > 0 for rate in rates)
    assert last(tmp_path / "run")["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0
    assert moved(half, last(tmp_path / "run"))


def test_in_the_middle_of_an_epoch_its_batches_stay_what_they_are(tmp_path, data, capsys):
    command = begun(
        tmp_path / "run", data, "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3"
    )
    middle = next((tmp_path / "run/runs/tiny/version_0/checkpoints").glob("*step=3*.ckpt"))
    for option in ("--data.batch_size=2", "--seed_everything=7", "--data.sampling=ClassBalanced"):
        assert main([*command, "--ckpt_path", str(middle), option]) == 2
        assert option.partition("=")[0].lstrip("-") in capsys.readouterr().err
    assert main([*command, "--ckpt_path", str(middle), "--trainer.accumulate_grad_batches=2"]) == 0


# --- the best checkpoint


def as_of_before(value: Any, run: Path) -> Any:
    """What callbacks kept in 0.1.0: absolute paths, under Lightning's own name of what keeps checkpoints."""
    if isinstance(value, dict):
        return {as_of_before(key, run): as_of_before(each, run) for key, each in value.items()}
    return value.replace("{run}", str(run)).replace("RunCheck", "ModelCheck") if isinstance(value, str) else value


@pytest.mark.parametrize("way", ["renamed", "moved", "through a link", "moved since 0.1.0"])
def test_a_run_that_was_moved_keeps_its_best_score(tmp_path, folder, way):
    run = folder / "runs/tiny/version_0"
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    if "0.1.0" in way:
        state["callbacks"] = as_of_before(state["callbacks"], run)
    for each in state["callbacks"].values():
        if each.get("monitor") == "val/dice":  # which no epoch will reach
            each["best_model_score"] = each["kth_value"] = torch.tensor(0.99)
            each["best_k_models"] = {path: torch.tensor(0.99) for path in each["best_k_models"]}
    torch.save(state, run / "checkpoints/last.ckpt")
    (run / "checkpoints/best.ckpt").write_bytes(best := (run / "checkpoints/last.ckpt").read_bytes())
    options = []
    if way == "renamed":
        (folder / "runs/tiny").rename(folder / "runs/other")
        run, options = folder / "runs/other/version_0", ["--name=other"]
    elif "moved" in way:
        (folder / "runs").rename(tmp_path / "elsewhere")
        run, options = tmp_path / "elsewhere/tiny/version_0", [f"--runs={tmp_path / 'elsewhere'}"]
    else:
        (tmp_path / "link").symlink_to(folder / "runs")
        options = [f"--runs={tmp_path / 'link'}"]
    assert go_on(folder, *options) == 0
    assert (run / "checkpoints/best.ckpt").read_bytes() == best
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert after["epoch"] == 1
    (kept,) = [each for each in after["callbacks"].values() if each.get("monitor") == "val/dice"]
    assert kept["best_model_score"] == pytest.approx(0.99)


def test_a_best_checkpoint_that_is_gone_does_not_keep_others_away(folder):
    best = folder / "runs/tiny/version_0/checkpoints/best.ckpt"
    best.unlink()
    assert go_on(folder) == 0
    assert best.is_file()


def test_of_epochs_that_are_equally_good_the_last_is_kept(tmp_path, data):
    begun(tmp_path / "run", data, "--trainer.max_epochs=3", "--model.optimizer.init_args.lr=0")
    best = torch.load(tmp_path / "run/runs/tiny/version_0/checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == 2


# --- what a checkpoint brings, and what the configuration says


@pytest.mark.parametrize(("option", "value"), [("lr", 0.0001), ("weight_decay", 0.5), ("betas", [0.5, 0.9])])
def test_numbers_of_the_optimiser_are_those_of_the_configuration(folder, caplog, option, value):
    with caplog.at_level("INFO"):
        assert go_on(folder, f"--model.optimizer.init_args.{option}={value}") == 0
    group = last(folder)["optimizer_states"][0]["param_groups"][0]
    assert list(group[option]) == value if isinstance(value, list) else group[option] == value
    assert record(folder)["model"]["optimizer"]["init_args"][option] == value
    assert f"model.optimizer.init_args.{option}: " in caplog.text
    assert f"then, {value} now" in caplog.text
    assert "trainer.max_epochs: 1 then, 2 now" in caplog.text
    assert last(folder)["optimizer_states"][0]["state"][0]["step"] == last(folder)["global_step"]  # its means go on


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.weighting=Pair"], "model.weighting.class_path: AdaWAC then, Pair now"),
        (
            ["--model.weighting=AdaWAC", "--model.weighting.calibrate=false"],
            "model.weighting.init_args.calibrate: True then, False now",
        ),
        (["--model.teacher=MeanTeacher"], "model.teacher: not set then, MeanTeacher now"),
        (["--model.optimizer=torch.optim.SGD", "--model.optimizer.init_args.lr=0.1"], "AdamW then, SGD now"),
        (["--model.optimizer.init_args.amsgrad=true"], "max_exp_avg_sq"),
        (["--data.sampling=ClassBalanced"], "data.sampling: not set then, ClassBalanced now"),
        (["--model.network.arguments.norm=BATCH"], "network.arguments.norm: INSTANCE then, BATCH now"),
        (["--model.init_from=RUN/checkpoints/best.ckpt"], "model.init_from: not set then, best.ckpt now"),
    ],
)
def test_what_has_learnt_is_not_replaced(folder, capsys, options, said):
    run = folder / "runs/tiny/version_0"
    before = {path: path.read_bytes() for path in run.rglob("*.*") if path.suffix in (".ckpt", ".yaml", ".json")}
    assert go_on(folder, *(option.replace("RUN", str(run)) for option in options)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "undo the change, or start anew" in error
    assert "Traceback" not in error
    assert {path: path.read_bytes() for path in before} == before


def test_every_part_that_has_a_state_is_compared():
    """What a checkpoint brings for a part, the configuration must have; else loading it ends in torch's own words."""
    hints = get_type_hints(SegmentationTask.__init__)
    of_torch = {name for name, hint in hints.items() for each in (hint, *get_args(hint)) if _is_module(each)}
    stateless = {"supervised", "consistency"}  # no buffer in any of ours
    assert of_torch > stateless
    assert {f"model.{name}" for name in of_torch - stateless} == {name for name in STATEFUL if name.count(".") == 1} - {
        "data.sampling"
    }


def _is_module(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, torch.nn.Module)


def test_weights_alone_are_tested_and_passed_over_to_go_on(folder, capsys):
    run = folder / "runs/tiny/version_0"
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True) | {"global_step": 99}
    for key in ("loops", "callbacks", "optimizer_states", "lr_schedulers"):  # as Lightning's save_weights_only does
        del state[key]
    torch.save(state, alone := run / "checkpoints/alone.ckpt")
    assert main(["test", str(run), "--ckpt_path", str(alone)]) == 0
    assert main(["fit", str(folder / "config.yaml"), "--resume", str(alone)]) == 2
    assert "holds weights alone, with which --model.init_from starts anew" in capsys.readouterr().err
    assert go_on(folder) == 0
    assert last(folder)["epoch"] == 1


def test_what_makes_no_sense_in_a_checkpoint_is_said_in_a_line(folder, capsys):
    path = folder / "runs/tiny/version_0/checkpoints/last.ckpt"
    torch.save(torch.load(path, weights_only=True) | {"adawac_data": "[1]"}, path)
    (path.parent / "best.ckpt").unlink()
    for command in (lambda: go_on(folder), lambda: main(["test", str(path.parent.parent)])):
        assert command() == 2
        assert "what the checkpoint says of its training cannot be read (" in capsys.readouterr().err


def test_where_and_how_fast_it_is_trained_may_change_without_a_word(folder, caplog):
    with caplog.at_level("INFO"):
        assert go_on(folder, "--trainer.log_every_n_steps=1", "--data.num_workers=1", "--model.weighting=AdaWAC") == 0
    assert (
        "from here on it is trained with other settings:\n  trainer.max_epochs: 1 then, 2 now\n" in caplog.text + "\n"
    )


def test_a_checkpoint_without_settings_is_compared_with_the_record_of_its_run(folder, capsys):
    path = folder / "runs/tiny/version_0/checkpoints/last.ckpt"
    state = torch.load(path, weights_only=True)
    del state["adawac_settings"]
    torch.save(state, path)
    (path.parent / "best.ckpt").unlink()
    assert go_on(folder, "--model.weighting=Pair") == 2
    assert "model.weighting" in capsys.readouterr().err


def test_settings_of_callbacks_are_those_of_the_configuration(tmp_path, data, caplog):
    stop = [
        "--trainer.callbacks+=EarlyStopping",
        "--trainer.callbacks.monitor=val/dice",
        "--trainer.callbacks.patience=9",
    ]
    command = begun(tmp_path / "run", data, *stop)
    with caplog.at_level("INFO"):
        assert main([*command, "--trainer.callbacks.patience=5", "--trainer.max_epochs=2", "--resume=auto"]) == 0
    assert last(tmp_path / "run")["callbacks"]["EarlyStopping{'monitor': 'val/dice', 'mode': 'min'}"]["patience"] == 5
    assert "trainer.callbacks.EarlyStopping.init_args.patience: 9 then, 5 now" in caplog.text
    with caplog.at_level("INFO"):
        assert main([*command[:3], "--trainer.max_epochs=3", "--resume=auto"]) == 0
    assert "trainer.callbacks.EarlyStopping: EarlyStopping then, not set now" in caplog.text


def test_no_folder_travels_in_the_settings(one_epoch):
    assert str(one_epoch.parent) not in last(one_epoch)["adawac_settings"]
