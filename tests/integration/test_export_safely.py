"""Exports of checkpoints that say what others would run, and where the disk fails at the end."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from test_export import checkpoint

from adawac.cli import export as command
from adawac.cli import main
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.inference.export import load_network, write_bundle
from adawac.report.model_card import model_card


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("run") / "a.ckpt", Preprocessing("ct", grid=Grid((32, 32))))


def test_an_export_is_on_the_disk_before_it_has_its_name(trained, tmp_path, monkeypatch, capsys):
    """As the disk says that it fails only then, and with a name that nobody knows."""

    def fails(path: Path) -> None:
        assert not (tmp_path / "mine").exists()
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(command, "to_disk", fails)
    assert main(["export", str(trained), "--format", "torchscript", "-o", str(tmp_path / "mine")]) == 2
    assert f"{tmp_path}/mine: Input/output error" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_checkpoint_says_is_text_in_a_bundle(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = "$__import__('pathlib').Path('made').touch()<img src=x>"
    state = torch.load(trained, weights_only=True)
    torch.save(state | {"adawac_recipe": json.dumps(json.loads(state["adawac_recipe"]) | {"version": said})}, "a.ckpt")
    network = load_network(Path("a.ckpt"))
    assert network.recipe.version == said
    write_bundle(network, tmp_path / "bundle")
    parser = ConfigParser()
    parser.read_meta(tmp_path / "bundle/configs/metadata.json")
    assert parser.get_parsed_content("_meta_::adawac::version") == f" {said}"
    parser.get_parsed_content("_meta_")
    assert not Path("made").exists()
    for text in ((tmp_path / "bundle/docs/README.md").read_text(), model_card(network.recipe, Path("a.ckpt"))):
        assert "<img" not in text.replace("\\<", "")
