"""Every YAML in configs/ is fitted for two steps on tiny data; bad settings are refused before reading."""

import copy
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_data import CLASS_NAMES, write_acdc_volumes, write_msd, write_synapse

from adawac.cli import main
from adawac.data.layouts import Folders
from adawac.runs.checkpoint import read_checkpoint

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / "configs"
EXPERIMENTS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
ALIKE = {"acdc_transunet", "acdc_unet", "openkbp5_unet25d", "openkbp5_unet3d", "synapse_resnetunet", "synapse_unet"}
"""Whose network, and whose data set, are tried with another as well."""

TRACKERS = {"mlflow", "wandb"}
"""Overlays that need packages of their own: see test_trackers.py."""

OVERLAYS = sorted({path.stem for path in (CONFIGS / "overlays").glob("*.yaml")} - TRACKERS)

BASE_OF_OVERLAY = {"acdc_25": "acdc_unet", "half_vol_synapse": "synapse_unet"}
"""The others are put on OpenKBP."""

OPENKBP_NAMES = (
    "background",
    "Brainstem",
    "SpinalCord",
    "RightParotid",
    "LeftParotid",
    "Esophagus",
    "Larynx",
    "Mandible",
)

TINY = {
    "pictures": False,
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "limit_train_batches": 2,
        "limit_val_batches": 1,
        "check_val_every_n_epoch": 1,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
    "data": {"size": [32, 32], "batch_size": 2, "num_workers": 0},
}

TINY_NETWORKS = {
    "unet": {"channels": [4, 8], "strides": [2], "num_res_units": 1},
    "unet25d": {"channels": [4, 8], "strides": [2], "num_res_units": 1},
    "unet3d": {"channels": [4, 8], "strides": [2], "num_res_units": 1},
    "transunet": {
        **{"width": 4, "units": [1, 1, 1], "hidden": 8, "layers": 1, "heads": 2, "inner": 8},
        **{"head_channels": 8, "decoder_channels": [8, 4, 4, 4]},
    },
    "resnetunet": {"width": 4, "units": [1, 1, 1, 1], "decoder_channels": [8, 4, 4, 4, 4]},
}
"""Arguments by the network in an experiment's name."""

TINY_UNITS = {"unet3d": {"patch": [4, 16, 16]}}
"""Units that fit, where those of the configuration do not."""


class DataSets(dict):
    """A tiny folder in the layout of each data set, with the names that its configurations use; written when needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, name: str) -> Path:
        self[name] = {
            "phantom": lambda root: write_msd(root, cases=8, num_classes=9, names=CLASS_NAMES),
            "hippocampus": lambda root: write_msd(root, cases=8),
            "openkbp": write_openkbp,
            "openkbp5": write_openkbp,
            "synapse": lambda root: write_synapse(root, cases=39, shape=(4, 16, 16), test_cases=1),
            "acdc": lambda root: write_acdc_volumes(root, cases=2 * 100, shape=(3, 16, 16)),
        }[name](self.folder / name)
        return self[name]


def write_openkbp(root: Path) -> Path:
    write_msd(root, cases=8, num_classes=8, names=OPENKBP_NAMES)
    split = {"train": ["pt_1", "pt_2", "pt_3", "pt_4"], "val": ["pt_5", "pt_6"], "test": ["pt_7", "pt_8"]}
    (root / "splits.json").write_text(json.dumps(split))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> DataSets:
    return DataSets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def acdc_25(tmp_path_factory) -> Path:
    """The patients of the small ACDC sample: 21 to 25 and 31 to 50."""
    folder = tmp_path_factory.mktemp("acdc_25")
    write_acdc_volumes(folder, cases=2 * 5, shape=(3, 16, 16), first_patient=21)
    return write_acdc_volumes(folder, cases=2 * 20, shape=(3, 16, 16), first_patient=31, seed=1)


@pytest.fixture(scope="module")
def tiny_networks(tmp_path_factory) -> dict[str, Path]:
    """Overlays that make any experiment tiny, by its network; prepared volumes are shared by the tests."""
    folder = tmp_path_factory.mktemp("tiny")
    for name, arguments in TINY_NETWORKS.items():
        settings = copy.deepcopy(TINY) | {"model": {"network": {"arguments": arguments}}}
        settings["data"] |= {"store": str(folder / "store")} | TINY_UNITS.get(name, {})
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    return {name: folder / f"{name}.yaml" for name in TINY_NETWORKS}


@pytest.fixture
def tiny(tiny_networks) -> Path:
    """The overlay for MONAI's UNet."""
    return tiny_networks["unet"]


@pytest.fixture(autouse=True)
def _like_a_user(monkeypatch) -> None:
    """In the repository's root, where the commands in the files' comments are meant to be typed."""
    monkeypatch.chdir(REPOSITORY)


def fit(*configs: Path, root: Path, runs: Path, more: tuple[str, ...] = ()) -> dict:
    """Fit, and return the last checkpoint of the only run."""
    options = [part for path in configs for part in ("--config", str(path))]
    assert main(["fit", *options, "--data.root", str(root), "--runs", str(runs), *more]) == 0
    (checkpoint,) = runs.glob("*/version_0/checkpoints/last.ckpt")
    return read_checkpoint(checkpoint)


def refusal(capsys, *argv: str) -> str:
    """What `fit` says on stderr where it exits with 2."""
    try:
        code = main(["fit", *argv])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    return capsys.readouterr().err


def experiment(name: str) -> dict:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


class TestFit:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in EXPERIMENTS]
    )
    def test_two_steps_of_every_experiment(self, name, data, tiny_networks, tmp_path):
        folder, network = name.split("_")
        checkpoint = fit(CONFIGS / f"{name}.yaml", tiny_networks[network], root=data[folder], runs=tmp_path)
        assert checkpoint["global_step"] == 2
        moved = checkpoint["state_dict"].get("weighting.log_odds")
        assert 0 < moved.count_nonzero() <= 4  # two batches of two slices
        has_validation = not name.startswith("synapse")
        assert (tmp_path / name / "version_0/checkpoints/best.ckpt").exists() == has_validation

    @pytest.mark.slow
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_two_steps_of_every_overlay(self, overlay, data, acdc_25, tiny, tmp_path):
        name = BASE_OF_OVERLAY.get(overlay, "openkbp_unet")
        root = acdc_25 if overlay == "acdc_25" else data[name.split("_")[0]]
        configs = [CONFIGS / f"{name}.yaml", CONFIGS / f"overlays/{overlay}.yaml", tiny]
        more = ("--trainer.precision", "32-true") if overlay == "gpu" else ()
        assert fit(*configs, root=root, runs=tmp_path, more=more)["global_step"] == 2

    def test_overlays_compose(self, data, tiny, tmp_path):
        """On an experiment whose classes differ, and under an option of the command line."""
        (tmp_path / "pair.yaml").write_text("model: {weighting: Pair}")
        names = ("overlays/paper_adawac", "overlays/half_slice")
        configs = [CONFIGS / "openkbp_unet.yaml", tmp_path / "pair.yaml", *(CONFIGS / f"{name}.yaml" for name in names)]
        more = ("--model.weighting.step_size", "4", "--name", "mixed")
        fit(*configs, tiny, root=data["openkbp"], runs=tmp_path, more=more)
        written = yaml.safe_load((tmp_path / "mixed/version_0/config.yaml").read_text())
        weighting = written["model"]["weighting"]
        assert weighting["class_path"].endswith("AdaWAC")
        assert (weighting["init_args"]["step_size"], weighting["init_args"]["calibrate"]) == (4, False)
        assert written["data"]["subset"]["class_path"].endswith("HalfSlice")
        assert written["data"]["mirror_pairs"] == {"LeftParotid": "RightParotid"}

    def test_checkpoints_can_be_switched_off(self, data, tiny, tmp_path):
        configs = ["--config", str(CONFIGS / "phantom_unet.yaml"), "--config", str(tiny), "--model.weighting", "ERM"]
        options = ["--data.root", str(data["phantom"]), "--runs", str(tmp_path)]
        assert main(["fit", *configs, *options, "--trainer.enable_checkpointing", "false"]) == 0
        assert not list(tmp_path.rglob("*.ckpt"))

    def test_printed_configuration_runs_as_it_is(self, data, tiny, tmp_path, capsys):
        options = ["--config", str(CONFIGS / "openkbp5_unet.yaml"), "--config", str(tiny)]
        options += ["--data.root", str(data["openkbp5"]), "--runs", str(tmp_path / "runs")]
        printed = self.printed(capsys, *options)
        again = tmp_path / "again.yaml"
        again.write_text(printed)
        assert self.printed(capsys, "--config", str(again)) == printed
        assert main(["fit", "--config", str(again)]) == 0
        assert (tmp_path / "runs/openkbp5_unet/version_0/checkpoints/last.ckpt").exists()

    def test_a_replaced_method_leaves_no_empty_arguments(self, data, tmp_path, capsys):
        weighted = tmp_path / "weighted.yaml"
        weighted.write_text("model: {weighting: {class_path: AdaWAC, init_args: {step_size: 0.2}}}")
        options = ["--config", str(CONFIGS / "openkbp5_unet.yaml"), "--config", str(weighted)]
        printed = yaml.safe_load(self.printed(capsys, *options, "--model.weighting", "ERM"))
        assert printed["model"]["weighting"] == {"class_path": "adawac.ERM"}

    @staticmethod
    def printed(capsys, *options: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["fit", *options, "--print_config"])
        assert stop.value.code == 0
        return capsys.readouterr().out


class TestContent:
    def test_every_data_set_has_its_networks(self):
        ours = {f"{data}_unet{kind}" for data in ("phantom", "openkbp5") for kind in ("", "25d", "3d")}
        papers = {
            f"{data}_{network}" for data in ("synapse", "acdc") for network in ("unet", "transunet", "resnetunet")
        }
        assert {*ours, *papers, "openkbp_unet", "hippocampus_unet"} == set(EXPERIMENTS)

    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in EXPERIMENTS]
    )
    def test_name_and_command_are_the_file_s(self, name):
        assert experiment(name)["name"] == name
        assert f"--config configs/{name}.yaml" in (CONFIGS / f"{name}.yaml").read_text()

    @pytest.mark.parametrize("method", ["ERM", pytest.param("Pair", marks=pytest.mark.slow)])
    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in EXPERIMENTS]
    )
    def test_the_method_is_an_argument(self, name, method, capsys):
        """It changes nothing but itself, so a comparison is fair."""
        recipe = ["--config", str(CONFIGS / f"{name}.yaml")]
        plain, weighted = (
            yaml.safe_load(TestFit.printed(capsys, *recipe, *more)) for more in (["--model.weighting", method], [])
        )
        assert plain["model"].pop("weighting")["class_path"].endswith(f".{method}")
        assert weighted["model"].pop("weighting")["class_path"].endswith(".AdaWAC")
        assert plain == weighted

    def test_openkbp5_is_openkbp_without_two_classes(self):
        five, seven = experiment("openkbp5_unet"), experiment("openkbp_unet")
        assert five["data"].pop("drop") == ["SpinalCord", "Esophagus"]
        del five["name"], seven["name"]
        assert five == seven

    def test_overlay_is_the_paper_s_rule_of_its_recipe(self):
        overlay, recipe = (
            experiment("overlays/paper_adawac")["model"],
            experiment("synapse_unet")["model"],
        )
        assert overlay == {key: recipe[key] for key in overlay}


class TestRefusal:
    """The data's folder does not exist, so whatever is said is said before anything is read."""

    @pytest.mark.parametrize(
        ("option", "named"),
        [
            ("--data.batchsize=8", "data.batchsize"),
            ("--trainer.max_epochs=many", "trainer.max_epochs"),
            ("--data.window=[1]", "data.window"),
            ("--data.batch_size=0", r"data.batch_size is 0"),
            ("--data.axis=diagonal", "data.axis"),
            ("--data.neighbours=2", "data.neighbours is 2; give an odd number"),
            ("--data.neighbours=0", "data.neighbours is 0"),
            ("--data.patch=[16, 64]", "data.patch"),
            ("--data.patch=[0, 64, 64]", r"data.patch is (0, 64, 64); give slices, rows and columns"),
            ("--data.patch=[8, 999, 64]", r"data.patch is (8, 999, 64), but the training grid has"),
            ("--data.subset=HalfSlices", "did you mean HalfSlice?"),
            ("--model.weighting=adawac", "did you mean AdaWAC?"),
            ("--data.layout=Other", "It can be ACDC, Folders, MSD, NNUNet, Synapse, or module.Class."),
            ("--model.weighting.stepsize=1", "stepsize"),
            ("--model.weighting.step_size=0", "step_size is 0"),
            ("--model.dice_ratio=2", "model.dice_ratio is 2"),
            ("--model.network.arguments.chanels=[4, 8]", "chanels"),
            ("--model.network.architecture=monai.networks.nets.UNett", "UNett"),
            ("--model.optimizer.lr=fast", "model.optimizer"),
            ("--model.schedule.power=0", "power is 0"),
            ("--trainer.max_time=soon", "trainer: "),
        ],
    )
    def test_bad_option(self, option, named, capsys):
        config = str(CONFIGS / "openkbp_unet.yaml")
        said = refusal(capsys, "--config", config, "--data.root", "nowhere", option)
        assert named in said
        assert "nowhere" not in said
        assert said.count("--") < 10  # nor is it drowned in the names of all options

    def test_classes_that_others_have_made_are_not_offered(self, capsys):
        elsewhere = type("Elsewhere", (Folders,), {"__module__": "elsewhere"})
        said = refusal(
            capsys, "--config", str(CONFIGS / "openkbp_unet.yaml"), "--data.root", "nowhere", "--data.layout=Other"
        )
        assert elsewhere.__name__ not in said

    @pytest.mark.parametrize("key", ["data.size", "model.network", "model.network.arguments"])
    def test_key_of_a_file_with_nothing_behind_it(self, key, tmp_path, capsys):
        settings = functools.reduce(lambda inner, name: {name: inner}, reversed(key.split(".")), None)
        (tmp_path / "empty.yaml").write_text(yaml.safe_dump(settings))
        config = str(CONFIGS / "openkbp_unet.yaml")
        said = refusal(capsys, "--config", config, "--config", str(tmp_path / "empty.yaml"), "--data.root", "nowhere")
        assert f"{key} has nothing behind it; give it a value, or leave the key out" in said

    def test_unknown_key_in_a_file(self, tmp_path, capsys):
        settings = experiment("phantom_unet")
        settings["trainer"]["max_epoch"] = 3
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(settings))
        assert "max_epoch" in refusal(capsys, "--config", str(tmp_path / "wrong.yaml"))

    def test_folder_that_does_not_exist(self, capsys):
        config = str(CONFIGS / "openkbp_unet.yaml")
        said = refusal(capsys, "--config", config, "--data.root", "nowhere", "--trainer.accelerator", "cpu")
        assert "nowhere" in said

    @pytest.mark.slow
    def test_exit_code_of_the_command(self):
        command = [sys.executable, "-m", "adawac", "fit", "--config", "configs/acdc_unet.yaml"]
        done = subprocess.run([*command, "--data.rot", "nowhere"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "data.rot" in done.stderr
        assert "Traceback" not in done.stderr
