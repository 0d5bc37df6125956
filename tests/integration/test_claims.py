"""Trainings that begin at once lie in folders of their own; one that goes on is the only one in its folder."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
import yaml
from test_resume import config
from tiny_data import write_msd

from adawac.cli import main
from adawac.data.datamodule import SegmentationData
from adawac.errors import ConfigError
from adawac.runs.claim import claimed, held
from adawac.runs.folder import RunFolder

LONG = "--trainer.max_epochs=100000", "--trainer.check_val_every_n_epoch=100000"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_msd(tmp_path_factory.mktemp("data") / "msd", cases=4, shape=(7, 32, 32))


@pytest.fixture
def path(tmp_path, data) -> Path:
    return config(tmp_path / "run", data, max_epochs=1, callbacks=[])


@pytest.fixture
def start(path):
    """Begins `adawac fit` in a process of its own; all are ended with the test."""
    running: list[subprocess.Popen] = []

    def started(*options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "adawac", "fit", str(path), *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield started
    for process in running:
        process.kill()
        process.wait()
        process.stderr.close()


def until(condition, *processes: subprocess.Popen, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def runs_of(path: Path) -> list[RunFolder]:
    return RunFolder.versions(path.parent / "runs", "resumed")


@pytest.mark.slow
def test_four_that_begin_at_once_are_four_runs(path, start):
    seeds = [11, 12, 13, 14]
    for process in [start(f"--seed_everything={seed}") for seed in seeds]:
        assert process.wait(300) == 0, process.communicate()[1]
    runs = runs_of(path)
    assert sorted(run.path.name for run in runs) == [f"version_{k}" for k in range(4)]
    assert sorted(yaml.safe_load(run.config_file.read_text())["seed_everything"] for run in runs) == seeds
    first = torch.load(runs[0].last, weights_only=True)["state_dict"]
    for run in runs:
        assert run.record["steps"] == 4
        [seed] = [option for option in run.record["command"] if option.startswith("--seed")]
        assert seed == f"--seed_everything={run.config['seed_everything']}"
        assert len(list(run.path.glob("events.out.tfevents.*"))) == 1
        state = torch.load(run.last, weights_only=True)["state_dict"]
        assert run == runs[0] or any(
            not torch.equal(state[key], first[key]) for key in first if key.startswith("network")
        )


@pytest.mark.slow
@pytest.mark.parametrize("begun", [False, True], ids=["from nothing", "from a checkpoint"])
def test_of_two_that_go_on_at_once_one_is_refused_and_a_kill_frees_the_folder(path, start, begun):
    if begun:
        assert main(["fit", str(path)]) == 0
    two = [start("--resume=auto", *LONG) for _ in range(2)]
    until(lambda: any(process.poll() is not None for process in two))
    [refused] = [process for process in two if process.poll() is not None]
    [trains] = [process for process in two if process is not refused]
    assert refused.returncode == 2
    [said] = [line for line in refused.communicate()[1].splitlines() if line.startswith("adawac fit: ")]
    assert f"version_0: process {trains.pid} on " in said
    assert "trains in this folder; wait until it ends, or train under another --name" in said
    assert [run.path.name for run in runs_of(path)] == ["version_0"]
    last = runs_of(path)[0].last
    until(last.exists, trains)
    changed = last.stat().st_mtime_ns
    until(lambda: last.stat().st_mtime_ns != changed, trains)
    for going_on in (["--resume=auto"], [f"--ckpt_path={last}"], [f"--resume={last.parent.parent}"]):
        assert main(["fit", str(path), *going_on]) == 2
    trains.send_signal(signal.SIGKILL)
    trains.wait()
    done = torch.load(last, weights_only=True)["epoch"]
    assert main(["fit", str(path), "--resume=auto", f"--trainer.max_epochs={done + 2}"]) == 0
    assert [run.path.name for run in runs_of(path)] == ["version_0"]
    assert torch.load(last, weights_only=True)["epoch"] == done + 1


def test_who_is_begun_beside_a_training_begins_a_run_of_its_own(path):
    with claimed(path.parent / "runs", "resumed") as run:
        assert main(["fit", str(path)]) == 0
        assert main(["fit", str(path), "--resume=auto"]) == 0  # in the one that has a checkpoint, and is nobody's
        assert [each.path.name for each in runs_of(path)] == ["version_1", "version_0"]
    assert not run.path.exists()  # nothing was trained


def test_who_goes_on_in_a_folder_of_another_is_refused(path, capsys):
    assert main(["fit", str(path)]) == 0
    [run] = runs_of(path)
    before = {each: each.read_bytes() for each in run.path.rglob("*.*")}
    with held(run):
        for going_on in ("--resume=auto", f"--resume={run.path}", f"--resume={run.last}", f"--ckpt_path={run.last}"):
            capsys.readouterr()
            assert main(["fit", str(path), "--trainer.max_epochs=2", going_on]) == 2
            assert f"process {os.getpid()} on " in capsys.readouterr().err
    assert {each: each.read_bytes() for each in run.path.rglob("*.*") if each in before} == before
    assert [each.path.name for each in runs_of(path)] == ["version_0"]


def test_the_folder_is_claimed_before_the_data_are_prepared(path, monkeypatch):
    """Which takes minutes, in which others begin."""
    prepare = SegmentationData.prepare_data

    def looked_at(self, *arguments, **more):
        [run] = runs_of(path)
        with pytest.raises(ConfigError, match=f"process {os.getpid()} on "), held(run):
            pass
        prepare(self, *arguments, **more)

    monkeypatch.setattr(SegmentationData, "prepare_data", looked_at)
    assert main(["fit", str(path)]) == 0
    assert [run.path.name for run in runs_of(path)] == ["version_0"]


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("--trainer.overfit_batches=1", 2),  # refused by us
        ("--trainer.val_check_interval=500", 2),  # by Lightning, once it has seen the data
        ("--data.drop=[nothing]", 2),  # by the data
        ("--trainer.fast_dev_run=true", 0),
        ("--trainer.max_epochs=0", 0),
        ("--ckpt_path=nowhere.ckpt", 2),
    ],
)
def test_a_folder_in_which_nothing_was_trained_is_taken_away(path, option, code):
    assert main(["fit", str(path), option]) == code
    assert not (path.parent / "runs").exists()


def test_an_error_in_the_first_step_leaves_nothing_and_one_in_the_second_the_run(path, monkeypatch, capsys):
    from adawac.training.task import SegmentationTask

    monkeypatch.chdir(path.parent)
    step = SegmentationTask.training_step
    for steps, left in ((0, []), (1, ["version_0"])):

        def breaks(self, *arguments, after=steps):
            if self.global_step == after:
                raise RuntimeError("out of memory")
            return step(self, *arguments)

        monkeypatch.setattr(SegmentationTask, "training_step", breaks)
        assert main(["fit", str(path)]) == 2
        assert "out of memory" in capsys.readouterr().err
        assert [run.path.name for run in runs_of(path)] == left


@pytest.mark.slow
def test_a_rerun_compares_the_run_it_made_whatever_else_begins_meanwhile(path, monkeypatch, capsys):
    assert main(["fit", str(path)]) == 0
    from adawac.training import train as training

    train = training.train

    def while_another_begins(given):
        run = train(given)
        (run.path.parent / "version_7").mkdir()
        return run

    monkeypatch.setattr(training, "train", while_another_begins)
    assert main(["rerun", str(runs_of(path)[0].path)]) == 0
    assert "resumed_rerun/version_0: the same weights, bit for bit" in capsys.readouterr().out


def test_claims_of_many_processes_are_distinct(tmp_path):
    code = (
        "import sys; from pathlib import Path; from adawac.runs.folder import RunFolder\n"
        "for _ in range(50): print(RunFolder.claim(Path(sys.argv[1]), 'mine').path.name)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    names = [name for process in processes for name in process.communicate()[0].split()]
    assert sorted(names) == sorted(f"version_{k}" for k in range(200))


def test_a_folder_is_held_by_one_and_free_afterwards(tmp_path):
    first = ExitStack()
    first.enter_context(held(RunFolder(tmp_path)))
    with pytest.raises(ConfigError, match=rf"process {os.getpid()} on .*, since \d{{4}}-"), held(RunFolder(tmp_path)):
        pass
    first.close()
    with held(RunFolder(tmp_path)):
        pass
