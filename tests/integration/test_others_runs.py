"""Run folders of others: `test` and `rerun` run no code of theirs unasked; what is passed on names nobody."""

import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_data import make_case, save_nifti, write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.runs.checkpoint import read_checkpoint
from adawac.runs.folder import RunFolder

EVIL = """
from pathlib import Path
import lightning.pytorch as pl
from adawac import ERM
from adawac.io.readers import Reader
Path(__file__).with_name("made").touch()
class Watch(pl.Callback): ...
class Plain(ERM): ...
class Gipl(Reader):
    endings = (".gipl",)
    def read(self, path): ...
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Home of a run of a single step."""
    home = tmp_path_factory.mktemp("home_of_jane_doe")
    settings = tiny_settings(home, write_msd(home / "msd", cases=4))
    settings["trainer"] |= {"max_steps": 1, "limit_val_batches": 1}
    settings["model"]["weighting"] = "ERM"
    assert main(["fit", str(write_config(home, settings))]) == 0
    return home


@pytest.fixture
def run(trained, tmp_path, monkeypatch) -> RunFolder:
    """The run, and a module in the working folder that leaves a mark when it is imported."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("evilmod", None)
    Path("evilmod.py").write_text(EVIL)
    run = RunFolder(trained / "runs/tiny/version_0")
    before = run.config_file.read_text()
    yield run
    run.config_file.write_text(before)
    sys.modules.pop("evilmod", None)


def change(run: RunFolder, *path: str, value) -> None:
    content = yaml.safe_load(run.config_file.read_text())
    place = content
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    run.config_file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("command", ["test", "validate"])
def test_what_trains_and_writes_is_left_out(run, command):
    change(run, "trainer", "callbacks", value=[{"class_path": "evilmod.Watch"}])
    change(run, "trainer", "profiler", value={"class_path": "SimpleProfiler", "init_args": {"dirpath": "elsewhere"}})
    change(run, "trainer", "default_root_dir", value="elsewhere")
    before = set(os.listdir())
    assert main([command, str(run.path)]) == 0
    assert set(os.listdir()) == before


FOREIGN = [
    (("model", "weighting"), {"class_path": "evilmod.Plain"}),
    (("model", "weighting"), "evilmod.Plain"),
    (("model", "network", "architecture"), "evilmod.Net"),
    (("model", "network", "architecture"), "os.system"),
    (("data", "readers"), ["evilmod.Gipl"]),
    (("data", "split"), {"class_path": "evilmod.Split"}),
    (("trainer", "strategy"), "evilmod.Strategy"),
]


@pytest.mark.parametrize(("path", "value"), FOREIGN)
def test_code_of_others_is_refused(run, capsys, path, value):
    change(run, *path, value=value)
    for command in (["test"], ["validate"], ["rerun"]):
        assert main([*command, str(run.path)]) == 2
        said = capsys.readouterr().err
        assert "names code of others" in said
        assert "--trust" in said
    assert not Path("made").exists()


def test_a_file_may_be_called_as_a_module_is(run):
    change(run, "data", "split", value={"class_path": "FileSplit", "init_args": {"path": "evilmod.json"}})
    assert main(["test", str(run.path)]) == 0  # with the run's own split
    assert not Path("made").exists()


def test_code_of_others_is_run_where_it_is_trusted(run):
    change(run, "data", "readers", value=["evilmod.Gipl"])
    assert main(["test", str(run.path), "--trust"]) == 0
    assert Path("made").exists()


def test_what_is_passed_on_names_no_place_and_no_machine(run, trained, tmp_path):
    assert main(["export", str(run.path), "--format", "monai-bundle", "-o", "bundle"]) == 0
    assert main(["export", str(run.path), "--format", "onnx", "-o", "model.onnx"]) == 0
    image, _ = make_case(np.random.default_rng(0), (6, 32, 32))
    save_nifti(tmp_path / "images/a.nii.gz", image[0], (1.0, 1.0, 1.0))
    command = ["predict", str(run.path), "-i", str(tmp_path / "images"), "-o", "labels", "--device", "cpu"]
    assert main(command) == 0
    record = json.loads(Path("labels/predictions.json").read_text())
    assert list(record["checkpoints"].values()) == ["tiny/version_0/checkpoints/best.ckpt"]
    secrets = [trained.name, str(Path(sys.prefix).parent), os.uname().nodename]
    contents = {}
    for path in [*run.checkpoints, *Path("bundle").rglob("*"), *Path("labels").rglob("*.json"), Path("model.onnx")]:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents |= {f"{path}/{name}": archive.read(name) for name in archive.namelist()}
        elif path.is_file():
            contents[str(path)] = path.read_bytes()
    assert len(contents) > 20
    assert not [name for name, content in contents.items() if any(secret.encode() in content for secret in secrets)]
    assert not [name for name in contents if name.endswith(".debug_pkl")]
    assert torch.jit.load("bundle/models/model.ts")(torch.zeros(2, 1, 32, 32)).shape == (2, 3, 32, 32)


def test_paths_are_of_where_the_checkpoint_lies_now(run, trained):
    from adawac.runs.atomic_checkpoint import AtomicCheckpointIO

    said = json.dumps(read_checkpoint(run.last)["callbacks"], default=str)
    assert "{run}/checkpoints/best.ckpt" in said
    said = json.dumps(AtomicCheckpointIO().load_checkpoint(run.last)["callbacks"], default=str)
    assert str(run.best) in said
    assert "{run}" not in said
