"""The commands, what a run leaves behind, and going on with it from anywhere."""

import copy
import hashlib
import json
import platform
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tiny_data import write_msd

from adawac.cli import main
from adawac.evaluation import position_groups, read_csv
from adawac.runs.checkpoint import read_checkpoint

OVERLAYS = Path(__file__).parents[2] / "configs/overlays"
EPOCHS = 3
SPLIT = {"train": ["pt_1", "pt_2", "pt_3"], "val": ["pt_4"], "test": ["pt_5"]}
SETTINGS = {
    "name": "tiny",
    "pictures": False,  # they take longer than all else
    "trainer": {"accelerator": "cpu", "max_epochs": EPOCHS, "log_every_n_steps": 1, "enable_progress_bar": False},
    "data": {
        "root": "msd",
        "store": "store",
        "split": {"class_path": "FileSplit", "init_args": {"path": "lists/split.json"}},
        "size": [16, 16],
        "batch_size": 8,
    },
    "model": {
        "network": {"architecture": "monai.networks.nets.UNet", "arguments": {"channels": [4, 8], "strides": [2]}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.02}},
    },
}


class Workplace(NamedTuple):
    """A folder in which somebody has worked with relative paths, and the run that came out."""

    home: Path
    run: Path

    def copy(self, folder: Path) -> "Workplace":
        """As if all had happened in another folder: for tests that spoil it."""
        shutil.copytree(self.home, folder)
        run = folder / self.run.relative_to(self.home)
        config = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(config.replace(str(self.home), str(folder)))
        return Workplace(folder, run)


def fit(home: Path, *options: str, settings: dict = SETTINGS) -> Path:
    """Fit in a folder of somebody who works there, and return the newest run."""
    (home / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["fit", "--config", "config.yaml", *options]) == 0
    return max(home.glob("runs/*/version_*"), key=lambda run: run.stat().st_ctime_ns)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Workplace:
    home = tmp_path_factory.mktemp("home")
    write_msd(home / "msd", cases=5, shape=(8, 16, 16))
    (home / "lists").mkdir()
    (home / "lists/split.json").write_text(json.dumps(SPLIT))
    return Workplace(home, fit(home, "--pictures", "true"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty working folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def cases_in(run: Path) -> set[str]:
    return {row.case for row in read_csv(run / "cases.csv")}


def sha256sum(paths: list[Path]) -> str:
    """As the shell says it: cat PATHS | sha256sum | head -c 12."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


class TestWhatIsRefused:
    def test_a_run_without_a_checkpoint(self, work, tmp_path, capsys):
        shutil.copy(work.run / "config.yaml", tmp_path)
        assert main(["test", str(tmp_path)]) == 2
        assert "neither a checkpoint nor a run folder with checkpoints/best.ckpt" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("option", "named"), [("--data.batchsize=8", "data.batchsize"), ("--trainer.max_epochs=many", "max_epochs")]
    )
    @pytest.mark.parametrize("command", ["validate", "test"])
    def test_bad_options_are_named_before_anything_is_read(self, work, elsewhere, capsys, command, option, named):
        with pytest.raises(SystemExit) as stop:
            main([command, str(work.run), "--data.root=nowhere", option])
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert named in said
        assert "nowhere" not in said


class TestWhatARunLeaves:
    def test_files(self, work):
        assert work.run == work.home / "runs/tiny/version_0"
        assert {"config.yaml", "split.json", "run.json"} <= {path.name for path in work.run.iterdir()}
        assert sorted(path.name for path in (work.run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
        assert json.loads((work.run / "split.json").read_text()) == SPLIT

    def test_best_checkpoint_is_the_one_of_the_best_dice(self, work):
        events = EventAccumulator(str(work.run)).Reload().Scalars("val/dice")
        assert len(events) == EPOCHS
        best = max(range(EPOCHS), key=lambda epoch: events[epoch].value)
        checkpoint = read_checkpoint(work.run / "checkpoints/best.ckpt")
        assert checkpoint["epoch"] == best
        (score,) = (state["best_model_score"] for key, state in checkpoint["callbacks"].items() if "val/dice" in key)
        assert score.item() == pytest.approx(events[best].value)
        assert read_checkpoint(work.run / "checkpoints/last.ckpt")["epoch"] == EPOCHS - 1

    def test_tensorboard(self, work):
        tags = EventAccumulator(str(work.run)).Reload().Tags()
        assert set(tags["scalars"]) >= {
            *("train/loss", "train/dice_loss", "train/ce", "train/consistency", "train/feature_std"),
            *("ce/dense", "ce/sparse", "consistency/dense", "consistency/sparse"),
            *("ratio/ac_over_ce", "ratio/ce_over_dice_loss"),
            *("weights/dense_mean", "weights/sparse_mean", "weights/auroc"),
            "train/learning_rate",
            *("val/dice", "val/dice/left_kidney", "val/dice/right_kidney"),
            *("val/dice_dense", "val/false_positive_slices_sparse"),
        }
        assert set(tags["histograms"]) == {"weights/dense", "weights/sparse", "log_odds"}
        assert set(tags["images"]) == {"weights/by_position", "val/pictures/pt_4"}

    def test_without_a_terminal_a_line_a_validation(self, work, caplog):
        with caplog.at_level("INFO"):
            fit(work.home, "--name", "lines", "--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "true")
        lines = [line for line in caplog.messages if line.startswith("epoch ")]
        assert len(lines) == 2
        for number, line in enumerate(lines, start=1):
            assert re.fullmatch(
                rf"epoch {number} of 2, Dice \d\.\d+ in validation, loss \d+\.\d+ of the last batch, 0:\d\d:\d\d left",
                line,
            )
        assert lines[-1].endswith(" 0:00:00 left")

    def test_settings_stand_beside_the_dice_and_a_test_adds_no_events(self, work):
        """As TensorBoard's own reader finds them; a layout of the curves is there, too."""
        before = sorted(work.run.glob("events*"))
        assert main(["test", str(work.run)]) == 0
        assert sorted(work.run.glob("events*")) == before
        summaries = EventAccumulator(str(work.run)).Reload().summary_metadata
        hparams = EventAccumulator(str(work.run)).Reload().PluginTagToContent("hparams")
        started = plugin_data_pb2.HParamsPluginData.FromString(hparams["_hparams_/session_start_info"])
        shown = started.session_start_info.hparams
        assert shown["model.weighting.class_path"].string_value.endswith("AdaWAC")
        assert shown["data.batch_size"].number_value == 8
        [best] = EventAccumulator(str(work.run)).Reload().Scalars("val/best_dice")
        assert best.value == pytest.approx(json.loads((work.run / "run.json").read_text())["val_dice"], abs=1e-6)
        assert "custom_scalars__config__" in summaries

    @pytest.mark.slow
    def test_early_stopping_is_an_overlay(self, work):
        """Nothing is learnt, so the fifth validation after the first is the last; of equals it is kept."""
        options = ("--config", str(OVERLAYS / "early_stopping.yaml"), "--name", "early", "--trainer.max_epochs", "50")
        run = fit(work.home, *options, "--model.optimizer.lr", "0")
        assert read_checkpoint(run / "checkpoints/best.ckpt")["epoch"] == 5
        assert read_checkpoint(run / "checkpoints/last.ckpt")["epoch"] == 5

    def test_overlays_add_up(self, work, capsys):
        overlays = [f"--config={OVERLAYS / name}.yaml" for name in ("early_stopping", "ema")]
        with pytest.raises(SystemExit):
            main(["fit", f"--config={work.run / 'config.yaml'}", *overlays, "--print_config"])
        callbacks = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
        classes = [each["class_path"].rpartition(".")[2] for each in callbacks]
        assert classes == ["EarlyStopping", "EMAWeightAveraging"]

    @pytest.mark.parametrize(
        ("options", "remedy"),
        [
            (("--trainer.overfit_batches", "1"), "train on a few cases name them in a file"),
            (("--trainer.reload_dataloaders_every_n_epochs", "1"), "drawn anew without it"),
            (("--trainer.val_check_interval", "500"), "must be less than or equal to the number of the training batch"),
            (("--trainer.limit_val_batches", "0.1"), "increase the `limit_val_batches` argument"),
            (("--trainer.strategy", "fsdp", "--trainer.accelerator", "cpu"), "requires a GPU accelerator"),
            (
                ("--trainer.callbacks", "StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.1"),
                "take EMAWeightAveraging, as in configs/overlays/ema.yaml",
            ),
            (("--trainer.callbacks", "LearningRateFinder"), "try some with --model.optimizer.init_args.lr"),
            (("--trainer.callbacks", "BatchSizeFinder"), "give data.batch_size"),
            (("--trainer.callbacks", "BackboneFinetuning"), "train all parts"),
            (
                ("--trainer.barebones", "true"),
                "allows neither checkpoints nor records, of which a run is made; leave it",
            ),
        ],
        ids=lambda value: value[1] if isinstance(value, tuple) else "",
    )
    def test_what_the_trainer_cannot_do_is_said_without_a_traceback(self, work, elsewhere, capsys, options, remedy):
        arguments = ["fit", "--config", str(work.run / "config.yaml"), "--runs", str(elsewhere), *options]
        assert main(arguments) == 2
        assert remedy in capsys.readouterr().err

    def test_without_validation_cases_the_last_epoch_is_tested(self, work, elsewhere, capsys):
        settings = copy.deepcopy(SETTINGS)
        (work.home / "lists/no_val.json").write_text(json.dumps(SPLIT | {"val": []}))
        settings["data"]["split"]["init_args"]["path"] = "lists/no_val.json"
        run = fit(work.home, "--name", "no_val", "--trainer.max_epochs", "1", settings=settings)
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
        assert main(["test", str(run)]) == 0
        assert cases_in(run) == {"pt_5"}
        capsys.readouterr()
        assert main(["validate", str(run)]) == 2
        assert "the split names no validation cases; add some, or use `adawac test`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "{home}/msd", "-o", "taken/made.yaml"),
        ("fit", "--config", "{run}/config.yaml", "--runs", "taken"),
        ("predict", "{run}", "-i", "{home}/msd/imagesTr", "-o", "taken/labels"),
        ("export", "{run}", "--format", "torchscript", "-o", "taken/model.ts"),
        ("evaluate", "{run}", "--predict", "-o", "taken/report"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_place_that_cannot_be_written_is_named(work, elsewhere, capsys, arguments):
    """A file where a folder is due; of a folder that is read only the same is said."""
    (elsewhere / "taken").touch()
    assert main([argument.format(home=work.home, run=work.run) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert "taken" in said
    assert "let it be written, or name another place" in said


class TestGoingOn:
    @pytest.fixture
    def mine(self, work, tmp_path) -> Workplace:
        return work.copy(tmp_path / "mine")

    def test_validate_and_test_from_another_folder(self, work, elsewhere, capsys):
        """The configuration names its data, its store and its split relative to where the run was started."""
        before = (work.run / "config.yaml").read_bytes()
        assert main(["validate", str(work.run)]) == 0
        assert "val/dice/right_kidney" in capsys.readouterr().out
        assert main(["test", str(work.run)]) == 0
        assert "Dice, mean of classes" in capsys.readouterr().out
        rows = read_csv(work.run / "cases.csv")
        assert {(row.run, row.method, row.case) for row in rows} == {("tiny", "AdaWAC", "pt_5")}
        assert {row.class_name for row in rows} >= {"left_kidney", "right_kidney"}
        assert {row.group for row in rows} == {"all", "dense", "sparse", "ignored", *position_groups()}
        assert list(elsewhere.iterdir()) == []
        assert (work.run / "config.yaml").read_bytes() == before  # that of the training, not of the test

    def test_every_row_says_which_checkpoint_configuration_and_data_it_comes_from(self, mine, elsewhere):
        best, last = (mine.run / f"checkpoints/{name}.ckpt" for name in ("best", "last"))
        data = [mine.home / f"msd/{folder}/pt_5.nii.gz" for folder in ("imagesTr", "labelsTr")]
        for checkpoint, options in ((best, ()), (last, ("--ckpt_path", str(last))), (last, ("--ckpt_path=last",))):
            assert main(["test", str(mine.run), *options]) == 0
            hashes = {(row.checkpoint_hash, row.config_hash, row.data_hash) for row in read_csv(mine.run / "cases.csv")}
            assert hashes == {tuple(map(sha256sum, ([checkpoint], [mine.run / "config.yaml"], data)))}

    @pytest.mark.usefixtures("undrawn")
    def test_cases_that_a_run_was_trained_on_are_told_where_they_are_measured(self, work, elsewhere, capsys):
        folders = [
            f"--{kind}={work.home / 'msd' / folder}"
            for kind, folder in (("labels", "labelsTr"), ("images", "imagesTr"))
        ]
        assert main(["evaluate", str(work.run), "--predict", *folders, "-o", "all"]) == 0
        told = "3 of the 5 cases have the names of cases that tiny was trained on (pt_1, pt_2, pt_3): where they are"
        assert told in capsys.readouterr().out
        assert told in json.loads(Path("all/results.json").read_text())["summary"]
        assert main(["evaluate", str(work.run), "--predict", "-o", "test"]) == 0
        assert "was trained on" not in capsys.readouterr().out

    def test_the_best_checkpoint_is_tested_unless_another_is_named(self, mine, elsewhere):
        """Networks that see nothing but background, and nothing but the last class."""
        for name, favoured in (("best", 0), ("last", 2)):
            path = mine.run / f"checkpoints/{name}.ckpt"
            checkpoint = read_checkpoint(path)
            *_, bias = [key for key in checkpoint["state_dict"] if key.startswith("network.") and "bias" in key]
            checkpoint["state_dict"][bias][favoured] = 1e4
            torch.save(checkpoint, path)
        missed = []
        for options in ((), ("--ckpt_path", str(mine.run / "checkpoints/last.ckpt"))):
            assert main(["test", str(mine.run), *options]) == 0
            rows = read_csv(mine.run / "cases.csv")
            missed.append({row.class_name: row.value for row in rows if row.metric == "missed" and row.group == "all"})
        assert missed == [{"left_kidney": 1, "right_kidney": 1}, {"left_kidney": 1, "right_kidney": 0}]

    def test_a_run_keeps_its_split(self, mine, elsewhere):
        """Whatever becomes of the file that it was read from."""
        (mine.home / "lists/split.json").write_text(json.dumps({"train": ["pt_5"], "val": ["pt_4"], "test": ["pt_1"]}))
        assert main(["test", str(mine.run)]) == 0
        assert cases_in(mine.run) == {"pt_5"}
        (mine.home / "lists/split.json").unlink()
        assert main(["test", str(mine.run)]) == 0
        own = str(mine.home / "own.json")
        Path(own).write_text(json.dumps({"train": ["pt_5"], "test": ["pt_2"]}))
        assert main(["test", str(mine.run), "--data.split=FileSplit", f"--data.split.path={own}"]) == 0
        assert cases_in(mine.run) == {"pt_2"}

    def test_a_run_of_a_later_fold_keeps_its_split(self, mine, elsewhere):
        config = yaml.safe_load((mine.run / "config.yaml").read_text())
        config["data"]["split"]["init_args"]["fold"] = 3
        (mine.run / "config.yaml").write_text(yaml.safe_dump(config))
        assert main(["test", str(mine.run)]) == 0
        assert cases_in(mine.run) == {"pt_5"}

    def test_a_moved_run_is_tested_in_its_new_place(self, mine, elsewhere):
        moved = elsewhere / "archive"
        mine.run.rename(moved)
        assert main(["test", "archive"]) == 0
        assert cases_in(moved) == {"pt_5"}
        assert not mine.run.exists()

    def test_moved_data_are_named_on_the_command_line(self, mine, elsewhere):
        (mine.home / "msd").rename(elsewhere / "msd")
        assert main(["test", str(mine.run), "--data.root", "msd"]) == 0
        assert cases_in(mine.run) == {"pt_5"}

    def test_a_tested_run_is_trained_on_from_another_folder(self, work, tmp_path, elsewhere):
        """Its configuration is still one of `fit`, it goes on in its own folder, and it remembers its best."""
        home = tmp_path / "own"
        for folder in ("msd", "lists"):
            shutil.copytree(work.home / folder, home / folder)
        run = fit(home, "--trainer.max_epochs", "1")
        best, last = run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt"
        checkpoint = read_checkpoint(last)
        (state,) = (state for key, state in checkpoint["callbacks"].items() if "val/dice" in key)
        best_score = torch.tensor(0.99)  # out of reach
        state |= {"best_model_score": best_score, "best_k_models": {state["best_model_path"]: best_score}}
        torch.save(checkpoint, last)
        before = best.read_bytes()
        assert main(["test", str(run)]) == 0
        options = ["--ckpt_path", str(last), "--trainer.max_epochs", "2"]
        assert main(["fit", "--config", str(run / "config.yaml"), *options]) == 0
        assert read_checkpoint(last)["epoch"] == 1
        assert best.read_bytes() == before
        assert [path.name for path in run.parent.iterdir()] == ["version_0"]
        assert list(elsewhere.iterdir()) == []

    def test_next_steps_are_shown_as_one_types_them(self, work, monkeypatch, capsys, caplog):
        """Relative to where one works, though paths are absolute inside."""
        with caplog.at_level("INFO"):
            fit(work.home, "--name", "short", "--trainer.max_epochs", "1")
        assert "next: adawac test runs/short/version_0" in caplog.messages
        monkeypatch.chdir(work.home)
        assert main(["test", "runs/short/version_0"]) == 0
        said = capsys.readouterr().out
        assert "case table: runs/short/version_0/cases.csv\n" in said
        assert said.endswith("next: adawac evaluate runs/short/version_0 -o report\n")

    @pytest.mark.parametrize("emulated", [True, False])
    def test_bfloat16_where_it_is_slow_is_warned_of(self, work, monkeypatch, caplog, emulated):
        for has in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
            monkeypatch.setattr(torch.cpu, has, lambda: not emulated)
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        short = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "0")
        fit(work.home, "--name", "bfloat16", "--trainer.precision", "bf16-mixed", *short)
        assert any("add --trainer.precision 32-true" in message for message in caplog.messages) is emulated

    def test_init_from_a_run(self, work, elsewhere):
        """Start from its weights, named relative to where one works."""
        run = fit(work.home, "--name", "from", "--model.init_from", "runs/tiny/version_0", "--trainer.max_epochs", "1")
        assert yaml.safe_load((run / "config.yaml").read_text())["model"]["init_from"] == str(work.run)
