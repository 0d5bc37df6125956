"""Preparing in processes of their own: one that is killed, one that must wait; and on fit's configuration."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_data import write_msd

from adawac import cli
from adawac.io.locking import writing

CASES = 16
PREPARE = """
import logging, sys
from pathlib import Path
from adawac.data.classes import Classes
from adawac.data.grid import Grid
from adawac.data.layouts import MSD
from adawac.data.preprocessing import Preprocessing
from adawac.data.store import VolumeStore
logging.basicConfig()
root, store = map(Path, sys.argv[1:])
collection = MSD().scan(root)
classes, recipe = Classes.from_labels(collection.labels), Preprocessing("ct", grid=Grid((64, 64)))
print("ready", flush=True)
VolumeStore(store, MSD(), classes, recipe, 1).prepare(collection.cases)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Enough volumes, large enough to be interrupted among them."""
    return write_msd(tmp_path_factory.mktemp("prepare") / "msd", cases=CASES, shape=(24, 96, 96))


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def start(root: Path, store: Path) -> subprocess.Popen:
    """A process that has imported everything and begins to prepare."""
    command = [sys.executable, "-c", PREPARE, str(root), str(store)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.communicate()
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
    killed = start(root, store)
    while not images(store) and killed.poll() is None:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
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
    with writing(store):
        second = start(root, store)
        warning = second.stderr.readline()
        assert f"process {os.getpid()} on" in warning
        assert "prepares volumes; waiting for it to end" in warning
        assert not images(store)
    second.communicate(timeout=120)
    assert len(images(store)) == CASES
