"""What befalls a run: signals, numbers that are not finite, a full disk, changed data, half a checkpoint."""

import json
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from faults import Bomb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_resume import assert_same_run, checkpoints, config, final_state, fit
from tiny_data import make_case, save_nifti, write_msd

from adawac.cli import main
from adawac.errors import TrainingError
from adawac.runs.atomic_checkpoint import AtomicCheckpointIO, newest_checkpoint
from adawac.training.callbacks.interruption import SIGNALS, StopOnSignal, interruptible


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_msd(tmp_path_factory.mktemp("data") / "msd", cases=4, shape=(7, 32, 32))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    fit(config(folder, data))
    return folder


def with_fault(folder: Path, data: Path, callback: str, **settings) -> Path:
    """The run's configuration with a fault in it, and without the checkpoints of every step."""
    path = config(folder, data)
    plain = yaml.safe_load(path.read_text())
    del plain["trainer"]["callbacks"]
    path.write_text(yaml.safe_dump(plain))
    plain["trainer"]["callbacks"] = [{"class_path": f"faults.{callback}", "init_args": settings}]
    path = folder / "with_fault.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def fails(capsys, *arguments: str, code: int = 2) -> str:
    assert main(["fit", *arguments]) == code
    return capsys.readouterr().err


def validations(folder: Path) -> dict[int, float]:
    log = EventAccumulator(str(folder / "runs/resumed/version_0")).Reload()
    return {event.step: event.value for event in log.Scalars("val/dice")}


def images_seen(folder: Path) -> int:
    return json.loads((folder / "runs/resumed/version_0/run.json").read_text())["images_seen"]


class TestSignals:
    @pytest.mark.parametrize(
        ("step", "signum", "validating"),
        [
            pytest.param(2, signal.SIGTERM, False, marks=pytest.mark.slow),
            pytest.param(5, signal.SIGHUP, False, marks=pytest.mark.slow),
            pytest.param(4, signal.SIGINT, False, marks=pytest.mark.slow),
            pytest.param(7, signal.SIGINT, False, marks=pytest.mark.slow),
            (8, signal.SIGTERM, True),
        ],
        ids=["mid-epoch", "terminal-closed", "last-step-of-an-epoch", "mid-later-epoch", "validating"],
    )
    def test_a_signal_saves_and_resume_auto_goes_on_as_if_nothing_had_been(
        self, tmp_path, data, unbroken, capsys, step, signum, validating
    ):
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=step, signum=int(signum), validating=validating)
        said = fails(capsys, "--config", str(path), code=128 + signum)
        last = checkpoints(folder) / "last.ckpt"
        assert f"stopped by {signum.name}; saved {last}; the same with --resume auto goes on from there" in said
        assert torch.load(last, weights_only=True)["global_step"] == step
        fit(folder / "config.yaml", "--resume", "auto")
        assert_same_run(final_state(folder), final_state(unbroken))
        assert validations(folder) == validations(unbroken)
        assert images_seen(folder) == images_seen(unbroken)
        assert [path.name for path in (folder / "runs/resumed").iterdir()] == ["version_0"]

    def test_a_run_that_was_stopped_in_its_last_validation_is_recorded_and_goes_on(self, tmp_path, data, unbroken):
        """Stopped twice, the second time while it made up for it; then made an epoch longer."""
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=12, validating=True)
        for _ in range(2):
            assert main(["fit", "--config", str(path), "--resume", "auto"]) == 128 + signal.SIGTERM
        fit(folder / "config.yaml", "--resume", "auto")
        assert validations(folder) == validations(unbroken)
        of_all = ("steps", "epochs", "images_seen", "network_passes", "val_dice")
        records = [json.loads((each / "runs/resumed/version_0/run.json").read_text()) for each in (folder, unbroken)]
        assert [records[0][key] for key in of_all] == [records[1][key] for key in of_all]
        best = torch.load(checkpoints(folder) / "best.ckpt", weights_only=True)
        assert best["epoch"] == torch.load(checkpoints(unbroken) / "best.ckpt", weights_only=True)["epoch"]
        fit(folder / "config.yaml", "--resume", "auto", "--trainer.max_epochs", "4")
        assert final_state(folder)["global_step"] == 16

    @pytest.mark.parametrize("step", [4, 8])
    def test_the_epoch_after_a_validation_that_was_stopped_is_counted(self, tmp_path, data, unbroken, step):
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=step, validating=True)
        assert main(["fit", "--config", str(path)]) == 128 + signal.SIGTERM
        fit(folder / "config.yaml", "--resume", "auto")
        loops = [final_state(each)["loops"]["fit_loop"] for each in (folder, unbroken)]
        for counted in ("epoch_progress", "epoch_loop.batch_progress", "epoch_loop.state_dict"):
            assert loops[0][counted] == loops[1][counted]

    @pytest.mark.parametrize("step", [4, 8])
    def test_early_stopping_counts_the_epoch_whose_validation_was_stopped(self, tmp_path, data, caplog, step):
        """It stops after the second of three epochs, as no epoch is better by 1, and trains no other if typed again."""
        settings = ("monitor=val/dice", "mode=max", "min_delta=1", "patience=1")
        stopping = ["--trainer.callbacks+=EarlyStopping", *(f"--trainer.callbacks.{each}" for each in settings)]
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=step, validating=True)
        assert main(["fit", "--config", str(path), *stopping]) == 128 + signal.SIGTERM
        for _ in range(2):
            fit(folder / "config.yaml", "--resume", "auto", *stopping)
            assert final_state(folder)["global_step"] == 8
        record = json.loads((folder / "runs/resumed/version_0/run.json").read_text())
        assert (record["epochs"], record["steps"]) == (2, 8)
        with caplog.at_level("INFO"):
            fit(folder / "config.yaml", "--resume", "auto", *stopping)
        assert "2 epochs are done; to go on, raise the patience of EarlyStopping" in caplog.text

    def test_before_the_first_step_there_is_nothing_to_save(self, tmp_path, data, capsys):
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=0, validating=True)  # in the sanity check
        assert "stopped by SIGTERM; nothing had to be saved" in fails(capsys, "--config", str(path), code=143)
        assert not list(folder.rglob("*.ckpt"))

    def test_nohup_is_not_overruled(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with interruptible():
                StopOnSignal().on_train_start(None, None)
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
                assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_handlers_are_put_back(self, tmp_path, data, capsys):
        before = [signal.getsignal(signum) for signum in SIGNALS]
        path = with_fault(tmp_path / "run", data, "SignalAt", step=1)
        fails(capsys, "--config", str(path), code=143)
        assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_a_validation_that_a_kill_cut_off_is_made_up_for(tmp_path, data, unbroken):
    """Lightning would go on with the next epoch, and the best one might be missed."""
    folder = tmp_path / "run"
    fit(config(folder, data), "--ckpt_path", str(checkpoints(unbroken) / "step4.ckpt"))
    assert validations(folder) == validations(unbroken)


@pytest.fixture(scope="module")
def before(tmp_path_factory, data) -> Path:
    """A run of an epoch, called before."""
    folder = tmp_path_factory.mktemp("before") / "run"
    path = with_fault(folder, data, "SignalAt", step=10**6)
    fit(path, "--trainer.max_epochs", "1", "--name", "before")
    return folder


class TestNotFinite:
    @pytest.fixture
    def rotten(self, tmp_path, data, before) -> tuple[Path, Path]:
        """Its copy, with a store in which, after it was checked, a voxel became infinite: pt_4, slice 3."""
        shutil.copytree(before.parent, tmp_path, dirs_exist_ok=True)
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=10**6)
        (prepared,) = tmp_path.glob("store/pt_4/*/image.npy")
        image = np.load(prepared, mmap_mode="r+")
        image[0, 3, 4, 4] = np.inf
        image.flush()
        return folder, path

    def test_stops_before_the_step_and_names_the_slice(self, rotten, capsys):
        folder, path = rotten
        said = fails(capsys, "--config", str(path))
        assert "the loss or its gradient is not finite; the batch was pt_" in said
        assert "with a loss of their own that is not finite: pt_4 slice 3. There is no checkpoint yet. Try" in said
        assert "Try a lower learning rate, or trainer.gradient_clip_val; to leave such batches out: --non" in said
        assert not list((folder / "runs/resumed").rglob("*.ckpt"))

    def test_keeps_the_last_good_checkpoint(self, rotten, capsys):
        folder, path = rotten
        before = folder / "runs/before/version_0/checkpoints/last.ckpt"
        said = fails(capsys, "--config", str(path), "--ckpt_path", str(before), "--name", "before")
        assert f"The last good checkpoint is {before}" in said
        state = torch.load(before, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for name, value in state.items() if name.startswith("network."))

    def test_leaves_the_batch_out_when_told_to(self, rotten, caplog):
        folder, path = rotten
        with caplog.at_level("WARNING"):
            fit(path, "--non_finite", "skip")
        skipped = [line for line in caplog.messages if "left out (" in line]
        assert len(skipped) == 3  # once an epoch
        assert "pt_4 slice 3; left out (3 so far)" in skipped[-1]
        checkpoint = final_state(folder)
        assert checkpoint["callbacks"]["FiniteGuard"] == {"skipped": 3}
        for name, value in checkpoint["state_dict"].items():
            if not name.startswith("last_losses."):
                assert torch.isfinite(value).all(), name

    def test_a_network_that_has_gone_wrong_is_not_trained_on(self, tmp_path, data, capsys):
        path = with_fault(tmp_path / "run", data, "Poison", step=6)
        said = fails(capsys, "--config", str(path), "--non_finite", "skip")
        assert "step 6 (epoch 1): the loss or its gradient is not finite" in said
        assert "leaving batches out does not help: " in said
        assert "the network's own numbers are not finite any more. The last good checkpoint is " in said


class TestCheckpointFiles:
    def test_a_full_disk_leaves_the_previous_checkpoint_whole(self, tmp_path):
        path = tmp_path / "last.ckpt"
        AtomicCheckpointIO().save_checkpoint({"adawac_recipe": "first"}, path)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(TrainingError, match=r"cannot be written \(.*\); the one before it is whole: free"):
                AtomicCheckpointIO().save_checkpoint({"adawac_recipe": "", "x": torch.zeros(1 << 16)}, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_a_run_that_finds_the_disk_full_says_so_and_goes_on_later(self, tmp_path, data, unbroken, capsys):
        folder = tmp_path / "run"
        path = with_fault(folder, data, "SignalAt", step=10**6)
        fit(path, "--trainer.max_epochs", "1")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, limits[1]))
        try:
            said = fails(capsys, "--config", str(path), "--resume", "auto")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "free space and go on with --resume auto" in said
        fit(path, "--resume", "auto", "--trainer.max_epochs", "3")
        state = final_state(folder)["state_dict"]
        for name, value in final_state(unbroken)["state_dict"].items():
            if name.startswith("network."):
                assert state[name].shape == value.shape

    def test_auto_takes_the_newest_that_is_whole(self, tmp_path, unbroken):
        there = checkpoints(unbroken)
        assert newest_checkpoint(unbroken / "runs", "resumed") == there / "last.ckpt"
        here = tmp_path / "runs/resumed/version_3/checkpoints"
        shutil.copytree(there, here)
        (here / "last.ckpt").write_bytes((there / "last.ckpt").read_bytes()[:-500])
        torch.save({"global_step": 99}, here / "foreign.ckpt")
        flipped = bytearray((here / "step12.ckpt").read_bytes())
        flipped[len(flipped) // 2] ^= 1
        (here / "step12.ckpt").write_bytes(flipped)
        for best in here.glob("best*"):
            best.unlink()
        assert newest_checkpoint(tmp_path / "runs", "resumed") == here / "step11.ckpt"
        (tmp_path / "runs/resumed/version_11").mkdir()  # begun and never saved
        assert newest_checkpoint(tmp_path / "runs", "resumed") == here / "step11.ckpt"

    def test_auto_begins_a_run_that_has_not_begun(self, tmp_path, data):
        folder = tmp_path / "run"
        fit(config(folder, data, max_epochs=1), "--resume", "auto")
        assert (checkpoints(folder) / "last.ckpt").is_file()

    def test_two_ways_to_say_where_to_go_on(self, tmp_path, data, unbroken, capsys):
        path = config(tmp_path / "run", data)
        both = ["--resume", "auto", "--ckpt_path", str(checkpoints(unbroken) / "last.ckpt")]
        assert "both say where to go on; give one of them" in fails(capsys, "--config", str(path), *both)


@pytest.mark.parametrize("command", ["fit", "test"])
@pytest.mark.parametrize("aloud", [[], ["--weights_only", "false"]], ids=["", "weights_only=false"])
def test_a_checkpoint_that_carries_code_is_refused_and_does_not_run(tmp_path, data, unbroken, capsys, command, aloud):
    checkpoint = torch.load(checkpoints(unbroken) / "last.ckpt", weights_only=True)
    evil = tmp_path / "evil.ckpt"
    torch.save(checkpoint | {"x": Bomb(tmp_path / "boom")}, evil)
    path = config(tmp_path / "run", data)
    assert main([command, "--config", str(path), "--ckpt_path", str(evil), *aloud]) == 2
    assert "evil.ckpt: not readable as a checkpoint of tensors and plain values" in capsys.readouterr().err
    assert not (tmp_path / "boom").exists()


class TestChanges:
    """A run goes on with what it was trained on, or not at all."""

    @pytest.fixture
    def place(self, tmp_path, data, unbroken) -> tuple[Path, Path]:
        root = tmp_path / "msd"
        shutil.copytree(data, root)
        return root, checkpoints(unbroken) / "step7.ckpt"

    def refused(self, capsys, tmp_path, place, *options: str) -> str:
        root, checkpoint = place
        said = fails(capsys, "--config", str(config(tmp_path / "run", root)), "--ckpt_path", str(checkpoint), *options)
        assert "this checkpoint does not belong to this run; undo the change, or start anew from" in said
        return said

    def test_moved_data_are_no_change(self, tmp_path, place, unbroken):
        root, checkpoint = place
        fit(config(tmp_path / "run", root), "--ckpt_path", str(checkpoint))
        assert_same_run(final_state(tmp_path / "run"), final_state(unbroken))

    def test_another_image(self, tmp_path, place, capsys):
        image, _ = make_case(np.random.default_rng(9), (7, 32, 32))
        save_nifti(place[0] / "imagesTr/pt_4.nii.gz", image[0])
        assert "train case pt_4: other voxels or labels than then\n" in self.refused(capsys, tmp_path, place)

    def test_another_case(self, tmp_path, place, capsys):
        for folder in ("imagesTr", "labelsTr"):
            (place[0] / folder / "pt_4.nii.gz").rename(place[0] / folder / "pt_44.nii.gz")
        listed = place[0] / "dataset.json"
        listed.write_text(listed.read_text().replace("pt_4.", "pt_44."))
        split = place[0] / "mine.json"
        split.write_text('{"train": ["pt_1", "pt_44"], "val": ["pt_3"], "test": ["pt_2"]}')
        said = self.refused(capsys, tmp_path, place, "--data.split=FileSplit", f"--data.split.path={split}")
        assert "train case pt_4: only then\n" in said
        assert "train case pt_44: only now\n" in said

    def test_other_slices(self, tmp_path, place, capsys):
        said = self.refused(capsys, tmp_path, place, "--data.subset", "HalfSlice")
        assert "training slices of case pt_4: 7 then, 4 now" in said

    @pytest.mark.parametrize(
        ("option", "difference"),
        [
            ("--data.drop=[right_kidney]", "classes.names: ['background', 'left_kidney', 'right_kidney'] then"),
            ("--model.network.arguments.dropout=0.1", "network.arguments.dropout: 0.2 then, 0.1 now"),
            ("--data.size=[16,16]", "preprocessing.grid.size: [32, 32] then, [16, 16] now"),
        ],
    )
    def test_other_classes_network_or_grid(self, tmp_path, place, capsys, option, difference):
        mirror = ["--data.mirror_pairs=null", "--model.augmentation.mirror_left_right=0"] if "drop" in option else []
        assert difference in self.refused(capsys, tmp_path, place, option, *mirror)

    def test_other_classes_are_not_tested(self, tmp_path, place, capsys):
        root, checkpoint = place
        path = str(config(tmp_path / "run", root))
        options = ["--data.drop=[right_kidney]", "--data.mirror_pairs=null", "--model.augmentation.mirror_left_right=0"]
        assert main(["test", "--config", path, "--ckpt_path", str(checkpoint), *options]) == 2
        assert "give the checkpoint of a run with these settings" in capsys.readouterr().err
