"""What a user may not read or write is called that, wherever it is met, and not damaged, missing or full."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from closed_places import closed
from tiny_data import write_msd
from tiny_run import one_epoch

from adawac.cli import main
from adawac.errors import DataError
from adawac.evaluation import read_csv
from adawac.networks.published import read_npz, read_state_dict
from adawac.runs.suspects import read_suspects

READ = "Permission denied; let it be read"


class Place(NamedTuple):
    """A data set, the configuration of a training on it, and its run."""

    data: Path
    config: Path
    run: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    home = tmp_path_factory.mktemp("home")
    data = write_msd(home / "msd", cases=5, shape=(4, 32, 32))
    config = one_epoch(home / "settings", data)
    assert main(["fit", "--config", str(config)]) == 0
    return Place(data, config, home / "settings/runs/tiny/version_0")


def refused(capsys, *argv: object) -> str:
    capsys.readouterr()
    assert main(list(map(str, argv))) == 2
    told = capsys.readouterr()
    return told.out + told.err


@pytest.mark.parametrize("name", ["imagesTr", "labelsTr", "."])
@pytest.mark.parametrize("command", ["check", "init"])
def test_a_closed_folder_of_the_data(place, capsys, tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    with closed(place.data / name):
        said = refused(capsys, command, place.data)
    assert f"{(place.data / name).resolve()}: {READ}" in said


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_a_closed_image_or_label_is_a_problem_of_its_case(place, capsys, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    file = sorted((place.data / folder).iterdir())[1]
    with closed(file):
        said = refused(capsys, "check", place.data)
    assert f"case pt_2: {file}: {READ}" in said
    assert "1 problem;" in said


def test_a_closed_list_of_the_data(place, capsys):
    with closed(place.data / "dataset.json"):
        assert f"{place.data / 'dataset.json'}: {READ}" in refused(capsys, "check", place.data)


@pytest.mark.parametrize("name", ["checkpoints/best.ckpt", "checkpoints", "config.yaml", "split.json"])
def test_a_closed_part_of_a_run(place, capsys, name):
    with closed(place.run / name):
        assert f"{(place.run / name).resolve()}: {READ}" in refused(capsys, "test", place.run)


def test_a_closed_configuration(place, capsys):
    with closed(place.config):
        assert f"{place.config}: {READ}" in refused(capsys, "fit", "--config", place.config)


def test_a_closed_array_of_the_store(place, capsys):
    array = sorted((place.data.parent / "store").rglob("image.npy"))[0]
    with closed(array):
        assert f"{array}: {READ}" in refused(capsys, "fit", "--config", place.config)


def test_a_place_that_may_be_read_alone_is_not_written_to(place, capsys, tmp_path):
    for out in (tmp_path, tmp_path / "new"):
        with closed(tmp_path, mode=0o555):
            said = refused(capsys, "predict", place.run, "-i", place.data / "imagesTr", "-o", out)
        assert "Permission denied; let it be written, or name another place" in said


@pytest.mark.parametrize("read", [read_csv, read_npz, read_state_dict, read_suspects])
def test_files_that_libraries_call_damaged(tmp_path, read):
    """Each says another thing of a file that it cannot open."""
    file = tmp_path / "file.csv"
    np.savez(tmp_path / "arrays.npz", np.ones(2))
    torch.save({}, file)
    with closed(file), pytest.raises(DataError, match=f"{file}: {READ}"):
        read(file)
