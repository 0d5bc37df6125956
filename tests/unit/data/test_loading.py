"""The order of batches, its resumption, and what a batch and a volume hold."""

import itertools
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import write_msd
from torch.utils.data import DataLoader

from adawac.data import prepared_case
from adawac.data.classes import Classes
from adawac.data.datasets import UnitDataset, VolumeDataset, VolumeItem
from adawac.data.grid import Grid, Placement
from adawac.data.layouts import detect
from adawac.data.loading import EpochOrder, ResumableLoader
from adawac.data.prepared_case import PreparedCase
from adawac.data.preprocessing import Preprocessing
from adawac.data.residency import ResidentUnits
from adawac.data.store import VolumeStore
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError
from adawac.types import Batch

SLICES, BATCH, BATCHES = 18, 4, 5
"""Three volumes of six slices; the last batch of an epoch has two."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    root = write_msd(folder / "msd", cases=3, channels=2)
    layout = detect(root)
    collection = layout.scan(root)
    recipe = Preprocessing("ct", grid=Grid((8, 10)))
    store = VolumeStore(folder / "store", layout, Classes.from_labels(collection.labels), recipe, in_channels=2)
    store.prepare(collection.cases)
    return store.open(collection.cases)


@pytest.fixture(scope="module")
def units(cases):
    names = ("background", "left_kidney", "right_kidney")
    return UnitTable.of_slices([case.id for case in cases], [case.voxels for case in cases], (8, 10), names)


def rows_of(batches):
    return [batch.index.tolist() for batch in batches]


class TestEpochOrder:
    def test_every_row_once_an_epoch(self):
        order = EpochOrder(num_samples=23, batch_size=5, seed=0)
        for epoch in range(3):
            order.set_epoch(epoch)
            batches = list(order)
            assert [len(batch) for batch in batches] == [4, 5, 4, 5, 5]  # even, rather than a last one of 3
            assert len(batches) == len(order)
            assert sorted(itertools.chain(*batches)) == list(range(23))

    def test_seed_and_epoch_say_everything(self):
        def batches(seed, epoch, drawn_before=0):
            order = EpochOrder(23, 5, seed)
            for _ in range(drawn_before):
                list(order)
                np.random.rand()  # noqa: NPY002
            order.set_epoch(epoch)
            return list(order)

        settings = list(itertools.product((0, 1, 2), repeat=2))
        orders = [batches(seed, epoch) for seed, epoch in settings]
        assert orders == [batches(seed, epoch, drawn_before=2) for seed, epoch in settings]
        assert all(one != other for one, other in itertools.combinations(orders, 2))

    def test_the_same_epoch_again_stays_where_a_resume_has_led(self):
        order = EpochOrder(23, 5, seed=0)
        whole = list(order)
        order.first_batch = 3
        order.set_epoch(0)
        assert list(order) == whole[3:]

    def test_another_epoch_begins_at_its_start(self):
        order = EpochOrder(23, 5, seed=0)
        order.first_batch = 3
        order.set_epoch(1)
        assert len(list(order)) == 5

    def test_one_batch_larger_than_all_rows(self):
        assert [sorted(batch) for batch in EpochOrder(3, 24, seed=0)] == [[0, 1, 2]]

    @pytest.mark.parametrize("world", [2, 3])
    def test_processes_share_every_batch(self, world):
        whole = list(EpochOrder(23, 5, seed=0))
        shares = zip(*(EpochOrder(23, 5, seed=0, share=(rank, world)) for rank in range(world)), strict=True)
        for batch, parts in zip(whole, shares, strict=True):
            assert sorted(itertools.chain(*parts)) == sorted(batch)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_more_processes_than_rows_in_a_batch(self):
        with pytest.raises(ConfigError, match=r"batch of 2 .* shared by 3 processes; raise data.batch_size"):
            EpochOrder(8, 3, seed=0, share=(0, 3))


@pytest.fixture(params=[0, 2], ids=["in-process", "2-workers"])
def make_loader(request, cases, units):
    """Loaders over the same units; their workers end with the test."""

    def make():
        options = {"num_workers": request.param, "persistent_workers": request.param > 0}
        return ResumableLoader(UnitDataset(cases, units), EpochOrder(len(units), BATCH, seed=1), **options)

    return make


class TestResumableLoader:
    def test_hands_out_the_order(self, make_loader):
        loader = make_loader()
        assert rows_of(loader) == list(EpochOrder(SLICES, BATCH, seed=1))
        assert len(loader) == BATCHES

    @pytest.mark.parametrize("stop", [1, 3, BATCHES - 1])
    def test_goes_on_in_mid_epoch(self, make_loader, stop):
        loader = make_loader()
        loader.order.set_epoch(2)
        batches = iter(loader)
        before = rows_of(itertools.islice(batches, stop))
        state = loader.state_dict()
        assert state == {"epoch": 2, "batches": stop}  # not those that workers have fetched ahead
        rest = rows_of(batches)

        other = make_loader()
        other.load_state_dict(state)
        assert other.state_dict() == state
        other.order.set_epoch(2)  # as Lightning does before the epoch goes on
        assert rows_of(other) == rest
        assert len(before) + len(rest) == BATCHES

        loader.order.set_epoch(3)
        other.order.set_epoch(3)
        assert rows_of(other) == rows_of(loader) == list(epoch_order(3))

    def test_a_finished_epoch_is_followed_by_a_whole_one(self, make_loader):
        loader = make_loader()
        list(loader)
        assert loader.state_dict() == {"epoch": 0, "batches": BATCHES}
        other = make_loader()
        other.load_state_dict(loader.state_dict())
        other.order.set_epoch(1)
        assert rows_of(other) == list(epoch_order(1))
        assert len(list(loader)) == BATCHES  # without set_epoch: the same epoch again

    def test_an_epoch_that_stopped_early_is_left_behind(self, make_loader):
        loader = make_loader()
        for epoch in range(3):
            loader.order.set_epoch(epoch)
            assert rows_of(itertools.islice(loader, 2)) == list(epoch_order(epoch))[:2]
            assert loader.state_dict() == {"epoch": epoch, "batches": 2}

    def test_no_global_generator_is_drawn_from(self, make_loader):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        rows = rows_of(make_loader())
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(4)
        assert rows_of(make_loader()) == rows


def epoch_order(epoch):
    order = EpochOrder(SLICES, BATCH, seed=1)
    order.set_epoch(epoch)
    return order


class TestBatch:
    def test_shapes_and_types(self, make_loader, units):
        for batch in make_loader():
            assert isinstance(batch, Batch)
            size = len(batch.index)
            assert (batch.image.shape, batch.image.dtype) == ((size, 2, 8, 10), torch.float32)
            assert (batch.label.shape, batch.label.dtype) == ((size, 8, 10), torch.uint8)
            assert batch.index.dtype == torch.int64
            assert (batch.dense.shape, batch.dense.dtype) == ((size,), torch.bool)
            np.testing.assert_array_equal(batch.dense, units.dense[batch.index])

    def test_every_row_is_its_own_slice(self, cases, units):
        batch = UnitDataset(cases, units)[[13, 0, 8]]
        assert units.keys()[13] == "pt_3:1"
        for i, (case, position) in enumerate([(2, 1), (0, 0), (1, 2)]):
            np.testing.assert_array_equal(batch.image[i], cases[case].image[:, position].astype(np.float32))
            np.testing.assert_array_equal(batch.label[i], cases[case].label[position])

    def test_rows_of_a_subset_count_within_it(self, cases, units):
        kept = units.take(np.array([2, 7, 15]))
        batch = UnitDataset(cases, kept)[[0, 2]]
        assert batch.index.tolist() == [0, 2]
        np.testing.assert_array_equal(batch.label[1], cases[2].label[3])

    def test_a_batch_may_be_written_to(self, cases, units):
        dataset = UnitDataset(cases, units)
        before = dataset[[3]]
        changed = dataset[[3]]
        changed.image.zero_()
        changed.label.fill_(9)
        changed.dense.logical_not_()
        again = dataset[[3]]
        assert all(torch.equal(one, other) for one, other in zip(before, again, strict=True))

    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_case_that_cannot_be_read_any_more_is_named(self, workers, tmp_path):
        """The file of prepared labels shrinks under a run; a memory map is told so by the operating system alone."""
        np.save(tmp_path / "image.npy", np.zeros((1, 3, 4, 4), np.float16))
        np.save(tmp_path / "label.npy", np.zeros((2, 4, 4), np.uint8))  # a slice of the label is gone
        case = PreparedCase("pt_9", str(tmp_path), None, None, np.ones((3, 2), np.int64), "")
        units = UnitTable.of_slices(["pt_9"], [case.voxels], (4, 4), ("background", "a"))
        loader = DataLoader(UnitDataset([case], units), sampler=[[0, 1], [1, 2]], batch_size=None, num_workers=workers)
        with pytest.raises(DataError, match=r"(?s)case pt_9, slice 2: its prepared arrays cannot be read .*made anew"):
            list(loader)


class TestMaps:
    def test_few_at_once_give_the_same_batches(self, cases, units, monkeypatch, tmp_path):
        """As many volumes as there are: Linux ends a process that maps too many files."""
        monkeypatch.setattr(prepared_case, "_mapped", lru_cache(2)(prepared_case._mapped.__wrapped__))
        copies = [replace(case, folder=str(shutil.copytree(case.folder, tmp_path / case.id))) for case in cases]
        for first in range(3):
            rows = list(range(first, SLICES, 3))  # of all three volumes: six arrays
            batch = UnitDataset(copies, units)[rows]
            assert mapped_of(copies) == 2
            expected = ResidentUnits(cases, units, torch.device("cpu"))[rows]
            assert all(torch.equal(one, other) for one, other in zip(batch, expected, strict=True))

    @pytest.mark.parametrize(
        "damage", [lambda path: path.write_bytes(path.read_bytes()[:-9]), lambda path: path.unlink()]
    )
    def test_a_file_that_was_lost_since_is_named(self, cases, tmp_path, damage):
        copy = shutil.copytree(cases[0].folder, tmp_path / "case")
        damage(copy / "native_label.npy")
        case = replace(cases[0], folder=str(copy))
        with pytest.raises(DataError, match=f"case pt_1: its prepared arrays cannot be read .* delete {copy}"):
            VolumeDataset([case], {"pt_1": "pt_1"})[0]


def mapped_of(cases):
    """How many of their files the operating system has mapped into this process."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells its maps")
    return sum(any(case.folder in line for case in cases) for line in maps.read_text().splitlines())


class TestVolumes:
    def test_a_volume_holds_both_grids(self, cases):
        patients = {case.id: f"patient of {case.id}" for case in cases}
        dataset = VolumeDataset(cases, patients)
        assert len(dataset) == 3
        for item, case in zip(map(dataset.__getitem__, range(3)), cases, strict=True):
            assert isinstance(item, VolumeItem)
            assert (item.case, item.patient) == (case.id, f"patient of {case.id}")
            assert (item.image.shape, item.image.dtype) == ((2, 6, 8, 10), torch.float32)
            assert (item.target.shape, item.target.dtype) == ((6, 16, 16), np.uint8)
            assert item.placement == Placement((16, 16), (8, 10), (0.0, 16.0, 0.0, 16.0))
            assert item.spacing == (3.0, 0.9, 0.8)
            np.testing.assert_array_equal(item.image, case.image.astype(np.float32))
            np.testing.assert_array_equal(item.target, case.native_label)
