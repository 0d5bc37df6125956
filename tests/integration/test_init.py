"""`adawac init` on each layout; what it writes is trained on as it stands."""

import json
import math
import os
import re
import shlex
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from tiny_data import (
    write_acdc_slices,
    write_acdc_volumes,
    write_folders,
    write_msd,
    write_nnunet,
    write_synapse,
)

from adawac.cli import main
from adawac.cli.init import plan
from adawac.data.checkup import check
from adawac.study import read_study
from adawac.study.runner import resolve


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs, prepared volumes and configurations go where the test is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def init(root, *arguments, output="made.yaml"):
    """Run init and return what the file says."""
    assert main(["init", str(root), "-o", output, *arguments]) == 0
    return yaml.safe_load(Path(output).read_text())


def fit(*arguments, config="made.yaml"):
    quick = [
        "--trainer.max_epochs",
        "1",
        "--trainer.limit_train_batches",
        "2",
        "--trainer.accelerator",
        "cpu",
    ]
    quick += ["--pictures", "false"]
    often = ["--trainer.check_val_every_n_epoch", "1", "--trainer.limit_val_batches", "1"]
    assert main(["fit", "--config", config, *quick, *often, *arguments]) == 0


@pytest.mark.parametrize(
    ("write", "layout", "modality"),
    [
        (write_msd, "MSD", "ct"),
        pytest.param(write_nnunet, "NNUNet", "ct", marks=pytest.mark.slow),
        (write_folders, "Folders", "ct"),
        (write_synapse, "Synapse", "prescaled"),
        pytest.param(write_acdc_slices, "ACDC", "prescaled", marks=pytest.mark.slow),
        (write_acdc_volumes, "ACDC", "prescaled"),
    ],
)
def test_each_layout_is_configured_and_trained(tmp_path, write, layout, modality):
    root = write(tmp_path / "data", cases=6)
    said = init(root)["data"]
    assert said["root"] == str(root.resolve())
    assert (said["layout"], said["modality"]) == (layout, modality)
    assert ("window" in said) == (modality == "ct")
    assert ("spacing" in said) == (modality == "ct")  # the others' files do not say it
    assert said["sampling"] == "ClassBalanced"
    assert not re.search(r"# *['\"]", Path("made.yaml").read_text())  # no comment is quoted, as YAML's values are
    fit()
    assert list(Path("runs/data").glob("version_0/checkpoints/last.ckpt"))


def test_what_is_printed_next_runs_as_printed(tmp_path, capsys):
    init(write_msd(tmp_path / "data", cases=4))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  adawac")]
    assert lines == [["adawac", "fit", "made.yaml"], ["adawac", "study", "made_study.yaml"]]
    quick = ["--trainer.fast_dev_run", "true", "--trainer.accelerator", "cpu"]
    assert main([*lines[0][1:], *quick]) == 0
    assert main([*lines[1][1:], "--dry-run"]) == 0
    assert "16 of 16 cells to run" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "-Kopf & Hals: CT", "läsionen"])
def test_the_study_compares_methods_of_equal_compute(tmp_path, name):
    made = init(write_msd(tmp_path / "data", cases=4), f"--name={name}")
    made["trainer"]["max_epochs"] = 7  # by hand, as its first line allows
    Path("made.yaml").write_text(yaml.safe_dump(made))
    cells = read_study(Path("made_study.yaml"), Path("runs")).cells
    texts = resolve(cells)
    configs = {cell.options["method"]: yaml.safe_load(texts[cell.name]) for cell in cells}
    lengths = {method: config["trainer"]["max_epochs"] * config.get("times", 1) for method, config in configs.items()}
    assert lengths == {"pair": 7, "adawac": 7, "erm_twice": 14, "shuffled": 7}
    assert configs["pair"]["data"]["sampling"]["class_path"].endswith("ClassBalanced")
    assert configs["shuffled"]["data"].get("sampling") is None
    assert made["model"]["augmentation"]["class_path"] == "StrongAugmentation"  # few slices, seen often
    assert {config["model"]["augmentation"]["init_args"]["cut_mix"] for config in configs.values()} == {0.0}


def test_patches_are_planned_on_demand(tmp_path):
    made = init(write_msd(tmp_path / "data", cases=4), "--3d", "--memory", "0.01")
    depth, *plane = made["data"]["patch"]
    assert made["data"]["overlap"] == 0.5
    assert all(side <= edge for side, edge in zip(plane, made["data"]["size"], strict=True))
    smaller = init(tmp_path / "data", "--3d", "--memory", "0.001", "--force")["data"]["patch"]
    assert math.prod(smaller) < depth * math.prod(plane)
    fit()


def test_the_budget_is_that_of_the_device_that_will_train(tmp_path):
    root = write_msd(tmp_path / "data", cases=4)
    cpu, gpu = (init(root, "--3d", "--device", device, "--force") for device in ("cpu", "gpu"))
    first = [made["model"]["network"]["arguments"]["filters"][0] for made in (cpu, gpu)]
    assert first == [16, 32]
    assert gpu["trainer"]["max_epochs"] > cpu["trainer"]["max_epochs"]
    assert gpu["trainer"]["precision"] == "bf16-mixed"


def test_a_study_that_is_there_is_not_overwritten(tmp_path, capsys):
    root = write_msd(tmp_path / "data", cases=4)
    Path("made_study.yaml").write_text("mine")
    assert main(["init", str(root), "-o", "made.yaml"]) == 2
    assert "made_study.yaml exists already; add --force" in capsys.readouterr().err
    assert Path("made_study.yaml").read_text() == "mine"
    assert not Path("made.yaml").exists()


def test_sides_are_mirrored_only_where_the_files_record_the_orientation(tmp_path):
    msd = init(write_msd(tmp_path / "msd"), output="msd.yaml")
    assert msd["data"]["mirror_pairs"] == {"left_kidney": "right_kidney"}
    assert msd["model"]["augmentation"]["init_args"]["mirror_left_right"] == 0.5
    synapse = init(write_synapse(tmp_path / "synapse"), output="synapse.yaml")
    assert synapse["data"]["mirror_pairs"] is None
    assert synapse["model"]["augmentation"]["init_args"]["mirror_left_right"] == 0
    assert "{left_kidney: right_kidney}" in Path("synapse.yaml").read_text()  # as a hint


def test_patients_are_seen_in_the_ids(tmp_path):
    root = write_acdc_volumes(tmp_path / "data", cases=8)
    assert init(root)["data"]["patient_pattern"]
    assert init(root, "--force", "--patient_pattern", "(.+)")["data"]["patient_pattern"] == "(.+)"


def test_what_the_files_do_not_say_is_told_with_either_dash(tmp_path):
    root = write_msd(tmp_path / "data")
    told = ["--modality", "mr", "--ignore_label", "2", "--patient_pattern", "(.+)"]
    said = init(root, *told)["data"]
    assert (said["modality"], said["ignore_label"], said["patient_pattern"]) == ("mr", 2, "(.+)")
    assert "window" not in said
    assert check(root, modality="mr", ignore_label=2).classes == ("background", "left_kidney")
    assert main(["check", str(root), *(word.replace("_", "-") for word in told)]) == 0


def test_odd_names_survive(tmp_path):
    names = ("background", 'left "kidney": #1', 'right "kidney": #1', "[bold]no, {x}")
    root = write_msd(tmp_path / 'we"ird: #data', num_classes=4, names=names)
    said = init(root, "--name", "yes", output="odd name.yaml")
    assert said["name"] == "yes"
    assert said["data"]["root"] == str(root.resolve())
    assert said["data"]["mirror_pairs"] == {names[1]: names[2]}
    fit(config="odd name.yaml")


def test_a_layout_is_given_with_its_settings(tmp_path):
    root = write_folders(tmp_path / "data")
    (root / "images").rename(root / "scans")
    said = init(root, "--layout", "Folders", "--layout.images", "scans", "--layout.modality", "mr")
    assert said["data"]["layout"]["init_args"]["images"] == "scans"
    assert said["data"]["modality"] == "mr"
    fit()


def test_the_file_is_named_after_the_folder(tmp_path, capsys):
    write_msd(tmp_path / "Task 1")
    assert main(["init", "Task 1"]) == 0
    assert yaml.safe_load(Path("Task_1.yaml").read_text())["name"] == "Task_1"
    assert "too few for a verdict: the study tests each" in capsys.readouterr().out
    plan("Task 1")
    assert "study" not in capsys.readouterr().out  # where none is written


def test_an_existing_file_is_kept(tmp_path, capsys):
    root = write_msd(tmp_path / "data")
    Path("made.yaml").write_text("mine")
    assert main(["init", str(root), "-o", "made.yaml"]) == 2
    assert "made.yaml exists already; add --force" in capsys.readouterr().err
    assert Path("made.yaml").read_text() == "mine"
    assert init(root, "--force")["name"] == "data"


def test_bad_cases_are_listed_and_nothing_is_written(tmp_path, capsys):
    root = write_msd(tmp_path / "data")
    (root / "splits.json").write_text(json.dumps({"train": ["pt_1", "pt_2", "pt_3"], "test": ["pt_4"]}))
    for number in (1, 3):
        (root / f"labelsTr/pt_{number}.nii.gz").write_bytes(b"")
    assert main(["init", str(root), "-o", "made.yaml"]) == 2
    said = capsys.readouterr().err
    assert "2 problems" in said
    assert "case pt_1" in said
    assert "case pt_3" in said
    assert not Path("made.yaml").exists()


@pytest.mark.parametrize("command", ["check", "init"])
def test_the_advice_for_folders_of_other_names_can_be_followed(command, tmp_path, capsys):
    root = write_folders(tmp_path / "data")
    (root / "images").rename(root / "scans")
    (root / "labels").rename(root / "masks")
    assert main([command, str(root)]) == 2
    [advice] = re.findall(r"such as (--layout .*)", capsys.readouterr().err)
    assert "--layout.images scans --layout.labels masks" in advice  # not scans/pt_*: pt_1 would be called 1
    assert main([command, str(root), *shlex.split(advice)]) == 0
    with pytest.raises(SystemExit):  # of fit: it shall not be taken for the folder of the data
        main([command, str(root), "--data.layout.labels", "masks"])
    assert "--data.layout.labels" in capsys.readouterr().err


def test_bad_cases_are_left_out_where_asked_and_by_the_training_too(tmp_path, capsys):
    root = write_msd(tmp_path / "data", cases=6)
    (root / "labelsTr/pt_1.nii.gz").write_bytes(b"")
    (root / "imagesTr/pt_3.nii.gz").unlink()
    split = {"train": ["pt_1", "pt_2", "pt_4"], "val": ["pt_5"], "test": ["pt_6"]}
    (root / "splits.json").write_text(json.dumps(split))
    data = init(root, "--skip-bad")["data"]
    said = capsys.readouterr().out
    assert "left out: case pt_1: " in said
    assert "left out: case pt_3: " in said
    assert data["skip_bad"] is True
    fit()
    record = json.loads(Path("runs/data/version_0/run.json").read_text())
    assert len(record["skipped"]) == 2
    assert "skip_bad" not in init(write_msd(tmp_path / "sound"), "--force")["data"]


def test_where_slices_were_scanned_in_another_direction_the_axis_says_so(tmp_path):
    root = write_folders(tmp_path / "sagittal", shape=(24, 24, 6))
    for path in root.glob("*/*.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), np.diag([-5.0, -1.0, 1.0, 1.0])), path)
    data = init(root)["data"]
    assert (data["axis"], data["spacing"]) == ("sagittal", [1.0, 1.0])
    [line] = [line for line in Path("made.yaml").read_text().splitlines() if "axis:" in line]
    assert line == "  axis: sagittal  # scanned so: slices are 5 mm apart, pixels 1 x 1 mm"
    for write in (write_folders, write_synapse):  # axial; and of unknown spacing
        assert init(write(tmp_path / write.__name__), "--force")["data"]["axis"] == "axial"


@pytest.mark.skipif("ADAWAC_DATA" not in os.environ, reason="ADAWAC_DATA is unset: the real data sets are not here")
@pytest.mark.parametrize(
    ("folder", "size", "train", "pairs"),
    [
        ("openkbp-ct", [80, 56], 24, {"RightParotid": "LeftParotid"}),
        ("acdc-h5", [256, 224], 32, None),
    ],
)
def test_real_data(folder, size, train, pairs):
    said = init(Path(os.environ["ADAWAC_DATA"], folder))["data"]
    assert said["size"] == size
    assert said["mirror_pairs"] == pairs
    assert f"{train} train" in Path("made.yaml").read_text()
    if pairs:
        low, high = said["window"]
        assert -250 <= low <= -120
        assert 120 <= high <= 300


def test_the_documented_layout_of_one_s_own(tmp_path, monkeypatch):
    """A user's class, in a file of the working folder: check, init, prepare and fit all find it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    howto = (Path(__file__).parents[2] / "docs/howto.md").read_text()
    (code,) = re.findall(r"^```python\n# percase\.py\n(.*?)^```", howto, re.MULTILINE | re.DOTALL)
    Path("percase.py").write_text(code)
    plain = write_folders(tmp_path / "plain", cases=6)
    for image in (plain / "images").iterdir():
        folder = tmp_path / "data" / image.name.removesuffix(".nii.gz")
        folder.mkdir(parents=True)
        image.rename(folder / "ct.nii.gz")
        (plain / "labels" / image.name).rename(folder / "organs.nii.gz")
    own = ("--layout", "percase.FolderPerCase")
    path = list(sys.path)
    for command in (
        ["check", "data", *own],
        ["init", "data", "-o", "made.yaml", *own],
        ["prepare", "--config", "made.yaml"],
    ):
        sys.path[:] = path
        sys.modules.pop("percase", None)
        assert main(command) == 0
    assert yaml.safe_load(Path("made.yaml").read_text())["data"]["layout"]["class_path"] == "percase.FolderPerCase"
    sys.path[:] = path
    sys.modules.pop("percase", None)
    fit()


def test_another_method_does_not_inherit_adawac_s_step_size(tmp_path, capsys):
    init(write_msd(tmp_path / "data", cases=6))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", "--config", "made.yaml", "--model.weighting", "GroupDRO", "--print_config"])
    weighting = yaml.safe_load(capsys.readouterr().out)["model"]["weighting"]
    assert weighting["class_path"].endswith("GroupDRO")
    assert weighting["init_args"]["step_size"] == 0.01
