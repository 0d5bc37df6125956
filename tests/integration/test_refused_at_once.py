"""What can be known from settings and checkpoints is refused before volumes are read, which may take hours."""

import re
from pathlib import Path

import pytest
from tiny_data import write_msd
from tiny_run import one_epoch

from adawac.cli import main
from adawac.data.store import VolumeStore

WATCH = "--trainer.callbacks+=EarlyStopping"
KEEP = "--trainer.callbacks+=ModelCheckpoint"
MONITOR = "--trainer.callbacks.monitor"
DEEP = ["--model.network.arguments.channels=[4,4,4]", "--model.network.arguments.strides=[2,2]"]


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return one_epoch(tmp_path / "run", write_msd(tmp_path / "data/msd", cases=4, shape=(8, 32, 32)))


def test_a_network_that_a_checkpoint_does_not_fit_is_refused_before_volumes_are_read(path, capsys, monkeypatch):
    assert main(["fit", str(path), "--trainer.max_epochs=2"]) == 0
    monkeypatch.setattr(VolumeStore, "prepare", lambda *_: pytest.fail("it has begun"))
    assert main(["fit", str(path), "--trainer.max_epochs=0", "--resume=auto"]) == 2
    assert "last.ckpt has 2 epochs behind it, but trainer.max_epochs is 0; raise it" in capsys.readouterr().err
    more = ["--trainer.max_epochs=3", "--resume=auto"]
    assert main(["fit", str(path), *more, "--data.size=[48,48]"]) == 2
    assert "preprocessing.grid.size: [32, 32] then, [48, 48] now" in capsys.readouterr().err
    assert main(["fit", str(path), *more, "--model.network.arguments.channels=[4,16]"]) == 2
    assert "this checkpoint does not belong to this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([WATCH, f"{MONITOR}=val/dicee"], "EarlyStopping watches val/dicee, .* did you mean val/dice?"),
        ([WATCH, f"{MONITOR}=val/dice/left_kidny"], "did you mean val/dice/left_kidney?"),
        ([KEEP, f"{MONITOR}=train/los"], "ModelCheckpoint watches train/los, .* did you mean train/loss?"),
        ([WATCH, f"{MONITOR}=val/dice", "--trainer.limit_val_batches=0"], "watches val/dice, .* does not log"),
        (
            ["--model.weighting=ERM", WATCH, f"{MONITOR}=train/consistency"],
            "watches train/consistency, .* does not log",
        ),
        (["--trainer.devices=-1"], "`devices` selected with `CPUAccelerator`"),
        (["--trainer.devices=0"], "devices='0'.* value is not a valid input using cpu accelerator"),
        (["--trainer.check_val_every_n_epoch=0"], "give a number of epochs from 1"),
        (["--trainer.val_check_interval=0"], "give a number of batches or a share of an epoch"),
        (["--trainer.accumulate_grad_batches=0"], "accumulate_grad_batches is 0; give a number of batches from 1"),
        (["--trainer.gradient_clip_val=-1"], "gradient_clip_val is -1; give the largest norm"),
        (["--model.predict_batch_size=0"], "model.predict_batch_size is 0; give a number of slices from 1"),
        (["--model.optimizer.init_args.weight_decay=-1"], "model.optimizer: Invalid weight_decay value: -1.0"),
        (["--name=."], "--name is '.'; give one that a folder in --runs can have"),
        (["--name=mine/../.."], "give one that a folder in --runs can have"),
        (["--seed_everything=-1"], "seed_everything is -1; give a whole number from 0"),
        ([KEEP, KEEP], "more than one stateful callback"),
        (["--data.size=[31,31]", *DEEP], "UNet cannot be trained at size 31 x 31: .*; use size 32 x 32"),
        (["--data.patch=[3,32,32]", *DEEP], "UNet cannot be trained at size 3 x 32 x 32: .*; use size 4 x 32 x 32"),
        (["--model.network.arguments.kernel_size=-1"], "network monai.networks.nets.UNet refused its arguments"),
        (["--trainer.max_epochs=-1"], "trainer.max_epochs -1 sets none; give trainer.max_epochs or trainer.max_steps"),
        (["--data.overlap=0.5"], "data.overlap is 0.5, but slices share no voxel; leave it out, or give data.patch"),
        (["--model.optimizer.init_args.weight_decay=null"], "model.optimizer: '<=' not supported between"),
        (["--model.optimizer.init_args.lr=.nan"], "model.optimizer.init_args.lr is nan; give a finite number"),
        (["--data.window=[-.inf, 100]"], "data.window is .*-inf, 100.*; give a finite number"),
        (["--model.weighting=AdaWAC", "--model.weighting.step_size=.inf"], "step_size is inf; give a finite number"),
        (["--trainer.precision=bf16-true"], "trainer.precision is bf16-true, .* give bf16-mixed"),
        (["--model.init_from=nowhere.ckpt"], "nowhere.ckpt: neither a checkpoint nor a run folder"),
        (["--ckpt_path=nowhere.ckpt"], "nowhere.ckpt: neither a checkpoint nor a run folder"),
        (["--ckpt_path=last"], "last: neither a checkpoint nor a run folder"),  # Lightning began anew
        (["--data.axis=sagittal", "--model.flip_left_right=true"], "sagittal slices do not show left and right"),
    ],
)
def test_what_can_be_known_is_said_before_volumes_are_read(path, capsys, monkeypatch, options, said):
    monkeypatch.setattr(VolumeStore, "prepare", lambda *_: pytest.fail("it has begun"))
    assert main(["fit", str(path), *options]) == 2
    error = capsys.readouterr().err
    assert re.search(said.replace("?", r"\?"), error), error
    assert "Traceback" not in error
    assert not (path.parent / "runs").exists()
    assert not list(Path.cwd().glob("*.log"))
