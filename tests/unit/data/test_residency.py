"""Wherever the training units lie, the batches are the same."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tiny_data import write_msd

from adawac.data.datamodule import SegmentationData
from adawac.data.datasets import UnitDataset
from adawac.data.residency import ResidentUnits, bytes_of, dataset_of
from adawac.data.splits import FractionSplit
from adawac.data.subsets import HalfSparse


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("residency")
    write_msd(folder / "msd", cases=4, channels=2)
    return folder


def data_of(folder, **settings):
    data = SegmentationData(
        str(folder / "msd"),
        split=FractionSplit(val=0.25, test=0.0),
        subset=HalfSparse(),
        size=(8, 10),
        batch_size=4,
        store=str(folder / "store"),
        **settings,
    )
    data.prepare_data()
    data.setup("fit")
    return data


def batches(data, epochs=2):
    loader, found = data.train_dataloader(), []
    for epoch in range(epochs):
        loader.order.set_epoch(epoch)
        found += list(loader)
    return found


@pytest.mark.parametrize("residency", ["auto", "device", "memory"])
@pytest.mark.parametrize("unit", [{}, {"neighbours": 3}, {"patch": (4, 4, 5)}], ids=["2d", "25d", "3d"])
def test_batches_are_the_disk_s_bit_for_bit(folder, residency, unit):
    expected = batches(data_of(folder, residency="disk", **unit))
    found = batches(data_of(folder, residency=residency, **unit))
    assert len(found) == len(expected) > 4
    for one, other in zip(expected, found, strict=True):
        for part, same in zip(one, other, strict=True):
            assert part.dtype == same.dtype
            assert torch.equal(part, same)


def test_a_processor_reads_from_the_disk_unless_told_otherwise(folder):
    kinds = {
        choice: type(data_of(folder, residency=choice).train_dataloader().dataset) for choice in ("auto", "memory")
    }
    assert kinds == {"auto": UnitDataset, "memory": ResidentUnits}


def test_what_it_takes_is_what_it_weighs(folder):
    data = data_of(folder)
    dataset = dataset_of("memory", data._train, data.units, torch.device("cpu"))
    assert dataset.images.nbytes + dataset.labels.nbytes == bytes_of(data._train, data.units)
    assert dataset.images.nbytes == len(data.units) * 2 * 8 * 10 * 2


def test_a_slice_lies_there_once_however_many_neighbours_are_shown(folder):
    data = data_of(folder, neighbours=5)
    dataset = dataset_of("memory", data._train, data.units, torch.device("cpu"))
    assert (len(data.units), len(dataset.images)) == (3 * 4, 3 * 6)  # slices 0 to 3 of 6, and the two above them
    assert dataset.images.nbytes + dataset.labels.nbytes == bytes_of(data._train, data.units)


def test_a_batch_may_be_written_to(folder):
    dataset = data_of(folder, residency="memory").train_dataloader().dataset
    dataset[[1, 2]].label.fill_(9)
    dataset[[1, 2]].image.zero_()
    assert dataset[[1, 2]].label.max() < 9
    assert dataset[[1, 2]].image.any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_has_room_holds_the_units(folder):
    data = data_of(folder)
    data.trainer = pl.Trainer(accelerator="gpu", devices=1, logger=False)
    dataset = data.train_dataloader().dataset
    assert isinstance(dataset, ResidentUnits)
    assert dataset[[0]].image.is_cuda
    np.testing.assert_array_equal(dataset[[3]].image.cpu(), UnitDataset(data._train, data.units)[[3]].image)
