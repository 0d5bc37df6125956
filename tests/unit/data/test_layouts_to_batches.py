"""Every layout, from a folder to batches and volumes."""

import numpy as np
import pytest
import torch
from tiny_data import (
    write_acdc_slices,
    write_acdc_volumes,
    write_folders,
    write_msd,
    write_nnunet,
    write_synapse,
)

from adawac.data.datamodule import SegmentationData
from adawac.data.layouts import Folders
from adawac.types import Batch


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def set_up(data):
    data.prepare_data()
    data.setup("fit")
    return data


def first(loader):
    return next(iter(loader))


LAYOUTS = [
    # writer, its settings, settings of the data module, channels, classes, (cases to train, val, test), has spacing
    (write_msd, {"cases": 4}, {}, 1, 3, (2, 1, 1), True),
    (write_msd, {"cases": 4, "channels": 2}, {}, 2, 3, (2, 1, 1), True),
    (write_nnunet, {"cases": 4}, {}, 1, 3, (2, 1, 1), True),
    (write_nnunet, {"cases": 3, "channels": 3, "test_cases": 1}, {}, 3, 3, (2, 1, 1), True),
    (write_folders, {"cases": 4, "channels": 2}, {}, 2, 3, (2, 1, 1), True),
    (write_synapse, {"cases": 3, "test_cases": 2}, {}, 1, 9, (2, 1, 2), False),
    (write_acdc_slices, {"cases": 6}, {"patient_pattern": r"(patient\d+)_"}, 1, 4, (2, 2, 2), False),
    (write_acdc_volumes, {"cases": 6}, {"patient_pattern": r"(patient\d+)_"}, 1, 4, (2, 2, 2), False),
]


@pytest.mark.parametrize(
    ("write", "wanted", "settings", "channels", "num_classes", "parts", "has_spacing"),
    LAYOUTS,
    ids=[f"{row[0].__name__[6:]}-{row[3]}" for row in LAYOUTS],
)
def test_from_a_folder_to_batches_and_volumes(
    tmp_path, store, write, wanted, settings, channels, num_classes, parts, has_spacing
):
    root = write(tmp_path / "data", shape=(6, 16, 20), **wanted)
    data = set_up(SegmentationData(str(root), size=(8, 10), batch_size=5, store=store, **settings))
    assert data.facts.in_channels == channels
    assert len(data.facts.classes) == num_classes
    assert (len(data.split.train), len(data.split.val), len(data.split.test)) == parts
    assert len(data.units) == 6 * parts[0]

    batches = list(data.train_dataloader())
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(len(data.units)))
    assert isinstance(batches[0], Batch)
    size = len(batches[0].index)
    assert size in (4, 5)  # even batches of at most five
    assert batches[0].image.shape == (size, channels, 8, 10)
    assert batches[0].label.shape == (size, 8, 10)
    images = torch.cat([batch.image for batch in batches])
    assert images.min() == 0
    assert images.max() <= 1
    assert torch.cat([batch.label for batch in batches]).max() == num_classes - 1

    volumes = list(data.test_dataloader()) + list(data.val_dataloader())
    assert [item.case for item in volumes] == [*data.split.test, *data.split.val]
    for item in volumes:
        assert (item.image.shape, item.image.dtype) == ((channels, 6, 8, 10), torch.float32)
        assert isinstance(item.target, np.ndarray)
        assert (item.target.shape, item.target.dtype) == ((6, 16, 20), np.uint8)
        assert item.spacing == ((3.0, 0.9, 0.8) if has_spacing else None)
        assert item.spacing is None or isinstance(item.spacing, tuple)
        assert item.patient in item.case


def test_slices_and_volumes_of_one_data_set_are_the_same_to_the_network(tmp_path, store):
    settings = {"patient_pattern": r"(patient\d+)_", "size": (8, 8), "store": store, "batch_size": 12}
    batches = [
        first(set_up(SegmentationData(str(write(tmp_path / name, cases=6)), **settings)).train_dataloader())
        for name, write in (("slices", write_acdc_slices), ("volumes", write_acdc_volumes))
    ]
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


def test_channels_keep_their_order(tmp_path, store):
    root = write_nnunet(tmp_path, cases=4, channels=3)
    item = first(set_up(SegmentationData(str(root), size=(16, 16), store=store)).val_dataloader())
    body = (item.image > 0).all(0) & (item.image < 1).all(0)
    means = [channel[body].mean().item() * 400 for channel in item.image]
    assert np.diff(means) == pytest.approx([50, 50], abs=5)  # HU, as they were written


def test_a_layout_that_is_given_is_not_searched_for(tmp_path, store):
    root = write_folders(tmp_path / "data")
    (root / "labels").rename(root / "masks")
    layout = Folders(labels="masks", label_names={1: "liver", 2: "spleen"}, modality="mr")
    data = set_up(SegmentationData(str(root), layout=layout, size=(8, 8), store=store))
    assert data.facts.classes.names == ("background", "liver", "spleen")
    assert data.facts.preprocessing.modality == "mr"
    assert first(data.train_dataloader()).image.min() < 0
