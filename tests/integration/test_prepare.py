"""Preparing in processes of their own: one that is killed, one that must wait; and on fit's configuration."""

import logging
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_data import write_msd

from adawac import cli
from adawac.data.classes import Classes
from adawac.data.grid import Grid
from adawac.data.layouts import MSD
from adawac.data.preprocessing import Preprocessing
from adawac.data.store import VolumeStore
from adawac.io.locking import writing

CASES = 16


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Enough volumes, large enough to be interrupted among them."""
    return write_msd(tmp_path_factory.mktemp("prepare") / "msd", cases=CASES, shape=(24, 96, 96))


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def start(root: Path, store: Path, said: int) -> multiprocessing.Process:
    """A process that prepares the volumes and logs into a pipe; forked, for it has all imported then."""

    def work() -> None:
        logging.basicConfig(stream=os.fdopen(said, "w"), force=True)
        collection = MSD().scan(root)
        classes, recipe = Classes.from_labels(collection.labels), Preprocessing("ct", grid=Grid((64, 64)))
        VolumeStore(store, MSD(), classes, recipe, 1).prepare(collection.cases)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def prepare(root: Path, store: Path, *options: str) -> None:
    """By the command, with a configuration as `fit` takes it."""
    settings = {
        "name": "any",
        "trainer": {"max_epochs": 3},
        "data": {"root": str(root), "size": [64, 64], "split": "FractionSplit", "store": str(store)},
        "model": {"network": {"architecture": "monai.networks.nets.UNet"}},
    }
    path = store.parent / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert cli.main(["prepare", str(path), *options]) == 0


def images(store: Path) -> dict[str, np.ndarray]:
    return {path.parent.parent.name: np.load(path) for path in store.glob("pt_*/[!.]*/image.npy")}


def test_a_killed_preparation_goes_on_where_it_was(root, store, tmp_path, capsys):
    killed = start(root, store, os.dup(2))
    while not images(store) and killed.is_alive():
        time.sleep(0.002)
    killed.kill()
    killed.join()
    before = {path: path.stat().st_mtime_ns for path in store.glob("pt_*/[!.]*/image.npy")}
    assert 0 < len(before) < CASES

    prepare(root, store)
    assert f"{CASES} prepared volumes in {store}" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(store.glob("pt_*/.*"))  # what the killed one had begun is swept away

    prepare(root, tmp_path / "fresh")
    found, fresh = images(store), images(tmp_path / "fresh")
    assert found.keys() == fresh.keys()
    for case, image in found.items():
        np.testing.assert_array_equal(image, fresh[case])


def test_a_second_writer_waits_and_says_so(root, store):
    listening, said = os.pipe()
    with os.fdopen(listening) as lines, writing(store):
        second = start(root, store, said)
        os.close(said)
        warning = lines.readline()
        assert f"process {os.getpid()} on" in warning
        assert "prepares volumes; waiting for it to end" in warning
        assert not images(store)
    second.join(120)
    assert second.exitcode == 0
    assert len(images(store)) == CASES
