"""A store of tiny cases, prepared and opened, for the tests of the store."""

import pytest
from tiny_data import write_msd

from adawac.data.classes import Classes
from adawac.data.grid import Grid
from adawac.data.layouts import detect
from adawac.data.preprocessing import Preprocessing
from adawac.data.store import VolumeStore
from adawac.errors import DataError

SHAPE = (6, 16, 20)


@pytest.fixture
def root(tmp_path):
    return write_msd(tmp_path / "msd", cases=3, shape=SHAPE)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def store_of(root, folder, size=(8, 8), drop=(), in_channels=1, **settings):
    layout = detect(root)
    collection = layout.scan(root)
    recipe = Preprocessing(**{"modality": collection.modality, "grid": Grid(size)} | settings)
    store = VolumeStore(folder, layout, Classes.from_labels(collection.labels, drop=drop), recipe, in_channels)
    return store, collection.cases


def prepare(store, cases):
    """Prepare cases, or raise what is wrong with them."""
    if problems := store.prepare(cases):
        raise DataError.from_problems(list(problems.values()))


def prepared(root, folder, **settings):
    """Prepare every case and open it."""
    store, cases = store_of(root, folder, **settings)
    prepare(store, cases)
    return {case.id: case for case in store.open(cases)}


def traces(folder):
    """All there is in a folder and when it was written."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}
