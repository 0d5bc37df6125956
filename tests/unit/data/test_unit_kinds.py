"""What the network is shown of a volume: slices, slices with neighbours."""

import numpy as np
import pytest
import torch
from tiny_data import write_msd

from adawac.data.datamodule import SegmentationData
from adawac.data.splits import FractionSplit
from adawac.data.subsets import HalfSlice
from adawac.data.unit_kinds import SliceUnit, unit_kind
from adawac.errors import ConfigError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four cases of six slices and two channels."""
    folder = tmp_path_factory.mktemp("units")
    write_msd(folder / "msd", cases=4, channels=2)
    return folder


def data_of(folder, **settings) -> SegmentationData:
    data = SegmentationData(
        str(folder / "msd"),
        split=FractionSplit(val=0.25, test=0.0),
        store=str(folder / "store"),
        **{"size": (8, 10), "batch_size": 4} | settings,
    )
    data.prepare_data()
    data.setup("fit")
    return data


def item(data: SegmentationData, rows: list[int]):
    return data.train_dataloader().dataset[rows]


class TestNeighbours:
    def test_the_channels_are_the_slices_around_it(self, folder):
        data = data_of(folder, neighbours=3)
        image = np.asarray(data._train[0].image, np.float32)  # (2, 6, 8, 10)
        batch = item(data, [0, 2, 5])
        for found, shown in zip(batch.image, ([0, 0, 1], [1, 2, 3], [4, 5, 5]), strict=True):
            expected = [image[channel, number] for channel in (0, 1) for number in shown]
            np.testing.assert_array_equal(found, expected)

    def test_label_and_table_are_those_of_the_slice_itself(self, folder):
        single, data = data_of(folder), data_of(folder, neighbours=5)
        rows = list(range(len(data.units)))
        np.testing.assert_array_equal(item(data, rows).label, item(single, rows).label)
        np.testing.assert_array_equal(data.units.dense, single.units.dense)
        assert data.units.keys() == single.units.keys()
        assert data.describe() == single.describe()

    def test_neighbours_are_taken_from_the_volume_not_from_the_subset(self, folder):
        data = data_of(folder, neighbours=3, subset=HalfSlice())
        assert data.units.keys()[:3] == ["pt_1:0", "pt_1:2", "pt_1:4"]
        np.testing.assert_array_equal(item(data, [1]).image[0, 0], np.asarray(data._train[0].image[0, 1], np.float32))

    def test_another_number_prepares_nothing_anew(self, folder):
        data_of(folder)
        before = {path: path.stat().st_mtime_ns for path in (folder / "store").rglob("*.npy")}
        data_of(folder, neighbours=7)
        assert {path: path.stat().st_mtime_ns for path in (folder / "store").rglob("*.npy")} == before

    @pytest.mark.parametrize("batch_size", [1, 2, 7])
    def test_a_volume_is_predicted_from_what_training_shows(self, folder, batch_size):
        data = data_of(folder, neighbours=3)
        shown = item(data, list(range(6))).image
        seen = list(
            data.unit.probabilities(lambda images: images, torch.tensor(np.float32(data._train[0].image)), batch_size)
        )
        assert len(seen) == -(-6 // batch_size)
        torch.testing.assert_close(torch.cat(seen), shown, rtol=0, atol=0)

    @pytest.mark.parametrize("number", [0, -1, 2, 4])
    def test_numbers_without_a_middle_are_refused(self, number):
        with pytest.raises(ConfigError, match=rf"data.neighbours is {number}; give an odd number .* 1 \(2D\), 3"):
            SliceUnit(number)

    def test_json_round_trip(self):
        assert unit_kind(**SliceUnit(3).to_json()) == SliceUnit(3)
