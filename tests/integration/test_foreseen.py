"""What goes wrong in a training is said before it begins where that can be known, and else in a line with its cause."""

import errno
import json
import os
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_data import write_msd
from tiny_run import one_epoch

import adawac
from adawac.cli import check, fit, main
from adawac.errors import Interrupted
from adawac.training import train as training

WATCH = "--trainer.callbacks+=EarlyStopping"
KEEP = "--trainer.callbacks+=ModelCheckpoint"
MONITOR = "--trainer.callbacks.monitor"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_msd(tmp_path_factory.mktemp("data") / "msd", cases=4, shape=(8, 32, 32))


@pytest.fixture
def path(tmp_path, data, monkeypatch) -> Path:
    """A configuration of one epoch of 4 steps."""
    monkeypatch.chdir(tmp_path)
    return one_epoch(tmp_path / "run", data)


def run_of(path: Path) -> Path:
    return path.parent / "runs/tiny/version_0"


def state(path: Path, name: str = "last") -> dict:
    return torch.load(run_of(path) / f"checkpoints/{name}.ckpt", weights_only=True)


# --- known beforehand


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "files"),
    [
        ([f"{MONITOR}=val/dice", "--trainer.callbacks.mode=max", "--trainer.callbacks.save_top_k=3"], 4),
        (["--trainer.callbacks.save_top_k=-1"], 4),
        ([f"{MONITOR}=train/loss"], 3),
        (["--trainer.callbacks.dirpath=elsewhere"], 2),
    ],
)
def test_checkpoints_of_ones_own_are_kept_beside_those_of_the_run(path, options, files, capsys):
    command = ["fit", str(path), "--trainer.max_epochs=2", KEEP, *options]
    assert main(command) == 0
    found = {each.name for each in (run_of(path) / "checkpoints").iterdir()}
    assert found >= {"best.ckpt", "last.ckpt"}
    assert len(found) == files
    assert main([*command, "--trainer.max_epochs=3", "--resume=auto"]) == 0
    assert state(path)["epoch"] == 2


def test_a_signal_saves_into_the_run_whatever_else_keeps_checkpoints(path, capsys):
    signal = ["--trainer.callbacks+=faults.SignalAt", "--trainer.callbacks.step=2"]
    assert main(["fit", str(path), KEEP, "--trainer.callbacks.dirpath=elsewhere", *signal]) == 143
    assert state(path)["global_step"] == 2
    assert (run_of(path) / "config.yaml").is_file()


def test_what_a_class_of_ones_own_may_log_is_not_refused(path, caplog):
    own = ["--trainer.callbacks+=faults.Poison", "--trainer.callbacks.step=99"]
    assert main(["fit", str(path), *own, WATCH, f"{MONITOR}=val/dicee"]) == 2  # once it is known
    assert "did you mean val/dice? it can be" in caplog.text
    assert "or what a class of yours logs" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.teacher=MeanTeacher"], "model.teacher: for what has no label, but all slices have"),
        (["--model.weighting=SemiSupervised"], "model.weighting SemiSupervised: for what has no label"),
        (["--data.sampling=WithUnlabelled"], "data.sampling WithUnlabelled: for what has no label"),
        (["--model.weighting=TrimTrain", "--data.subset=Trim"], "but all of these are label-dense"),
        (["--model.weighting=TrimTrain"], None),
    ],
)
def test_what_has_nothing_to_do_is_told(path, caplog, options, said):
    assert main(["fit", str(path), "--model.weighting=ERM", *options]) == 0
    assert said in caplog.text if said else "but all" not in caplog.text


def test_a_dice_of_which_the_lowest_is_sought_is_warned_of(path, caplog):
    assert main(["fit", str(path), WATCH, f"{MONITOR}=val/dice"]) == 0
    assert "EarlyStopping takes the lowest val/dice for the best; give it mode: max" in caplog.text


def test_a_dice_loss_may_be_sought_the_lowest_of_by_its_old_name_too(path, caplog):
    assert main(["fit", str(path), WATCH, f"{MONITOR}=train/dice"]) == 0
    assert "takes the lowest" not in caplog.text
    assert "monitor: train/dice_loss" in (run_of(path) / "config.yaml").read_text()


# --- not known


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (
            RuntimeError("CUDA out of\n memory"),
            2,
            "RuntimeError: CUDA out of memory; memory is too small for it: take a",
        ),
        (MemoryError(), 2, "MemoryError; memory is too small for it: take a smaller data.batch_size or"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            2,
            "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes; memory is too",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 2, "OSError: [Errno 12] Cannot allocate memory; memory is"),
        (OSError("input/output error"), 2, "OSError: input/output error; its"),
        (KeyError("momentum"), 1, "KeyError: 'momentum'; this is a fault of adawac, please report it; its"),
        (ZeroDivisionError("by zero"), 2, "ZeroDivisionError: by zero; its"),
    ],
)
def test_what_nobody_foresaw_is_a_line_and_a_traceback_in_a_file(path, capsys, monkeypatch, raised, code, said):
    here = compile("def breaks(trained):\n raise raised", fit.__file__, "exec")
    exec(here, scope := {"raised": raised})
    monkeypatch.setattr(training, "train", scope["breaks"])
    assert main(["fit", str(path)]) == code
    error = capsys.readouterr().err
    assert f"adawac fit: {said}" in error
    assert error.count("\n") == 1
    log = Path("adawac_fit_error.log").read_text()
    assert log.startswith(f"adawac fit {path}\n")
    assert "Traceback (most recent call last)" in log
    monkeypatch.setenv("ADAWAC_DEBUG", "1")
    with pytest.raises(type(raised)):
        main(["fit", str(path)])


def test_where_the_folder_cannot_be_written_the_file_lies_elsewhere(path, capsys, monkeypatch):
    Path("adawac_fit_error.log").mkdir()
    monkeypatch.setattr(training, "train", lambda _: (_ for _ in ()).throw(RuntimeError("broken")))
    assert main(["fit", str(path)]) == 2
    log = Path(capsys.readouterr().err.rpartition(" is in ")[2].strip())
    assert "RuntimeError: broken" in log.read_text()
    log.unlink()


@pytest.mark.parametrize(
    ("stop", "said"),
    [(Interrupted(15, "cells are kept"), "stopped by SIGTERM; cells are kept"), (KeyboardInterrupt(), "stopped")],
)
def test_a_signal_that_compiled_code_covers_stops_as_one(path, capsys, monkeypatch, stop, said):
    """Ray's `wait` raises a SystemError where a handler raised within it."""

    def waits(argv):
        raise SystemError("returned a result with an exception set") from stop

    monkeypatch.setattr(check, "main", waits)
    assert main(["check"]) == (143 if isinstance(stop, Interrupted) else 130)
    assert capsys.readouterr().err == f"adawac check: {said}\n"
    assert not list(Path().glob("*.log"))


def test_nobody_who_reads_is_no_fault(path, capsys, monkeypatch):
    """As `adawac check DATA | head`; a pipe of somebody else's, such as of a worker's, that breaks is one."""

    def breaks(argv):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(check, "main", breaks)
    assert main(["check"]) == 2
    assert "BrokenPipeError: [Errno 32] Broken pipe; its traceback is in" in capsys.readouterr().err
    for command in (["check"], ["configs"]):
        reads, writes = os.pipe()
        os.close(reads)
        with monkeypatch.context() as patch, os.fdopen(writes, "w") as shown:
            patch.setattr(sys, "stdout", shown)
            assert main(command) == 141
    assert capsys.readouterr().err == ""


def test_a_working_folder_that_is_gone(path, capsys, monkeypatch):
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    (path.parent.parent / "gone").rmdir()
    assert main(["fit", str(path)]) == 2
    assert "the working folder: [Errno 2] No such file or directory; change into one" in capsys.readouterr().err


# --- the cause of an end


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--trainer.limit_train_batches=0"], "nothing was trained: trainer.limit_train_batches is 0"),
        (["--trainer.max_epochs=0"], "0 epochs are done, trainer.max_epochs is 0; raise it"),
        (["--trainer.max_steps=0"], "0 steps are done, trainer.max_steps is 0; raise it"),
        (["--trainer.max_time=00:00:00:00"], "trainer.max_time was over before the first step"),
        (["--trainer.enable_checkpointing=false"], ""),
    ],
)
def test_no_checkpoint_is_to_be_tested_where_there_is_none_and_the_cause_is_the_right_one(path, caplog, options, cause):
    with caplog.at_level("INFO"):
        assert main(["fit", str(path), *options]) == 0
    assert "next:" not in caplog.text
    assert cause in caplog.text


@pytest.mark.parametrize("limit", ["steps", "time"])
def test_a_limit_that_is_used_up_is_named(path, caplog, monkeypatch, limit):
    options = ["--trainer.max_epochs=5", "--trainer.max_steps=2"]
    if limit == "time":
        options = ["--trainer.max_epochs=2", "--trainer.max_time=00:01:00:00"]
        clock = time.monotonic

        def jumps() -> float:
            return clock() + 4000 * (run_of(path) / "config.yaml").exists()  # once a step was made

        monkeypatch.setattr("lightning.pytorch.callbacks.timer.time.monotonic", jumps)
    command = ["fit", str(path), "--resume=auto", *options]
    with caplog.at_level("INFO"):
        assert main(command) == 0
        if limit == "time":
            assert "trainer.max_time is over, in epoch 1; the same with --resume auto goes on" in caplog.text
        monkeypatch.undo()
        assert main(command) == 0
    if limit == "steps":
        assert "2 steps are done, trainer.max_steps is 2; raise it to go on" in caplog.text
        assert "max_epochs" not in caplog.text
    else:  # a further job has time of its own
        assert state(path)["epoch"] == 1


# --- seeds


def test_any_seed_is_the_seed_that_is_recorded(path):
    assert main(["fit", str(path), "--seed_everything=true"]) == 0
    recorded = yaml.safe_load((run_of(path) / "config.yaml").read_text())["seed_everything"]
    assert recorded == 0
    assert not isinstance(recorded, bool)
    assert main(["fit", str(path), f"--seed_everything={recorded}", "--name=again"]) == 0
    again = torch.load(path.parent / "runs/again/version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(
        torch.equal(value.nan_to_num(-1), again[n].nan_to_num(-1)) for n, value in state(path)["state_dict"].items()
    )


# --- validation


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.check_val_every_n_epoch=20", "--trainer.max_epochs=2"],
        ["--trainer.check_val_every_n_epoch=2", "--trainer.max_epochs=3"],
        ["--trainer.check_val_every_n_epoch=20", "--trainer.max_epochs=9", "--trainer.max_steps=6"],
        ["--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=9", "--trainer.max_epochs=2"],
    ],
)
def test_the_last_epoch_is_validated_whatever_the_interval(path, caplog, options):
    measured: list[int] = []
    before = training.default_callbacks

    class Watch(Callback):
        def on_validation_end(self, trainer, *_):
            if not trainer.sanity_checking:
                measured.append(trainer.global_step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "default_callbacks", lambda *args: [*before(*args), Watch()])
        assert main(["fit", str(path), *options]) == 0
    assert measured[-1] == state(path)["global_step"]
    assert len(measured) == len(set(measured))
    assert state(path, "best")["global_step"] in measured
    if "=20" in options[0] and len(options) == 2:
        assert (
            "check_val_every_n_epoch is 20, but trainer.max_epochs is 2: it is validated once, at the end"
            in caplog.text
        )


def test_the_checkpoint_that_is_tested_is_named(path, caplog):
    assert main(["fit", str(path)]) == 0
    with caplog.at_level("INFO"):
        assert main(["test", str(run_of(path))]) == 0
        assert f"test: {run_of(path) / 'checkpoints/best.ckpt'}\n" in caplog.text
        (run_of(path) / "checkpoints/best.ckpt").unlink()
        assert main(["test", str(run_of(path))]) == 0
    assert "checkpoints/last.ckpt (there is no best.ckpt)" in caplog.text  # but it was validated


@pytest.mark.parametrize(
    ("decay", "warned"), [(0.999, "decay is 0.999, but the average is of 4 steps: above 99 % of it"), (0.3, "")]
)
def test_an_average_that_is_still_the_start_is_warned_of(path, caplog, decay, warned):
    options = ["--trainer.callbacks+=EMAWeightAveraging", f"--trainer.callbacks.decay={decay}"]
    assert main(["fit", str(path), *options, "--trainer.callbacks.use_buffers=false"]) == 0
    assert warned in caplog.text
    assert bool(warned) == ("EMAWeightAveraging: decay" in caplog.text)


def test_validation_cases_without_labels_make_no_epoch_the_best(tmp_path, path, caplog, capsys):
    data = write_msd(tmp_path / "unlabelled", cases=4, shape=(8, 32, 32))
    label = data / "labelsTr/pt_1.nii.gz"
    image = nibabel.load(label)
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), label)
    lists = tmp_path / "split.json"
    lists.write_text('{"train": ["pt_2", "pt_3"], "val": ["pt_1"], "test": ["pt_4"]}')
    split = ["--data.split=FileSplit", f"--data.split.path={lists}"]
    options = [f"--data.root={data}", f"--data.store={tmp_path / 'store'}", *split, "--trainer.max_epochs=3"]
    assert main(["fit", str(path), *options]) == 0
    assert "none of 1 validation cases holds any class" in caplog.text
    assert state(path, "best")["epoch"] == 2
    assert "best val/dice" not in caplog.text
    record = json.loads((run_of(path) / "run.json").read_text(), parse_constant=pytest.fail)  # -Infinity is no JSON
    assert "val_dice" not in record
    assert repr(adawac.Run(run_of(path))).endswith("3 epochs, not validated)")
    assert "val/best_dice" not in EventAccumulator(str(run_of(path))).Reload().Tags()["scalars"]
    main(["check", str(data), "--split=FileSplit", f"--split.path={lists}", "--picture", str(tmp_path / "picture.png")])
    said = capsys.readouterr()
    assert "none of 1 validation cases holds any class" in said.out + said.err
