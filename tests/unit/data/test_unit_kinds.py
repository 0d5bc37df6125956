"""What the network is shown of a volume: slices, slices with neighbours, patches."""

import dataclasses

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from tiny_data import write_msd

from adawac.data.datamodule import SegmentationData
from adawac.data.grid import Placement
from adawac.data.groups import PositionBins
from adawac.data.sampling import ForegroundOversampling, GroupBalanced, HardnessWeighted
from adawac.data.splits import FractionSplit
from adawac.data.subsets import HalfSlice, HalfSparse, HalfVolume, SparseMix, Trim
from adawac.data.unit_kinds import PatchUnit, SliceUnit, unit_kind
from adawac.errors import ConfigError, DataError
from adawac.types import IGNORE_INDEX


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


class TestPatches:
    """Volumes of 6 x 8 x 10 voxels in patches of 4 x 4 x 5: two by two by two, the slices of which overlap."""

    PATCH = (4, 4, 5)

    def test_the_grid_covers_every_voxel_with_few_patches(self):
        for shape in ((6, 8, 10), (3, 4, 5), (13, 11, 7), (4, 4, 5)):
            kind, seen = PatchUnit(self.PATCH), np.zeros(shape, dtype=int)
            starts = kind.starts(shape)
            for z, y, x in starts:
                seen[z : z + 4, y : y + 4, x : x + 5] += 1
            assert seen.min() >= 1
            assert len(starts) == np.prod([-(-extent // side) for extent, side in zip(shape, self.PATCH, strict=True)])
            assert (starts >= 0).all()
            assert (starts + self.PATCH <= np.maximum(shape, self.PATCH)).all()

    def test_a_sample_is_its_box(self, folder):
        data = data_of(folder, patch=self.PATCH)
        assert len(data.units) == 3 * 8
        assert data.units.keys()[:3] == ["pt_1:0-0-0", "pt_1:0-0-5", "pt_1:0-4-0"]
        batch = item(data, [0, 7])
        image, label = data._train[0].image, data._train[0].label
        assert batch.image.dtype == torch.float32
        np.testing.assert_array_equal(batch.image[1], np.asarray(image[:, 2:6, 4:8, 5:10], np.float32))
        np.testing.assert_array_equal(batch.label[1], label[2:6, 4:8, 5:10])
        np.testing.assert_array_equal(batch.dense, data.units.dense[[0, 7]])

    def test_beyond_the_last_slice_it_is_repeated_and_nothing_is_learnt(self, folder):
        data = data_of(folder, patch=(8, 8, 10))
        batch = item(data, [0])
        image, label = np.asarray(data._train[0].image, np.float32), data._train[0].label
        np.testing.assert_array_equal(batch.image[0, :, :6], image)
        np.testing.assert_array_equal(batch.image[0, :, 6:], image[:, [5, 5]])
        np.testing.assert_array_equal(batch.label[0, :6], label)
        assert (batch.label[0, 6:] == IGNORE_INDEX).all()
        assert data.units.position.tolist() == [0.5] * 3
        assert PositionBins(2)(data.units).names == ("position 0.50 to 1.00",)

    def test_voxels_are_counted_on_the_native_grid(self, folder):
        """On twice the plane a patch of a quarter of it holds the native voxels of that quarter."""
        data = data_of(folder, patch=(6, 4, 5))
        quarters = [(rows, columns) for rows in (slice(0, 8), slice(8, 16)) for columns in (slice(0, 8), slice(8, 16))]
        for row, (rows, columns) in enumerate(quarters):
            box = data._train[0].native_label[:, rows, columns]
            np.testing.assert_array_equal(data.units.voxels[row], np.bincount(box.ravel(), minlength=3))
        assert data.units.voxels[:4].sum() == data._train[0].voxels.sum()

    def test_a_body_box_says_which_native_voxels_those_are(self):
        place = Placement(plane=(16, 16), size=(4, 4), box=(2.0, 14.0, -4.0, 12.0))  # 3 rows and 4 columns a pixel
        assert [place.native_span(0, i, i + 1) for i in range(4)] == [slice(2 + 3 * i, 5 + 3 * i) for i in range(4)]
        assert [place.native_span(1, i, i + 2) for i in (0, 2)] == [slice(0, 4), slice(4, 12)]

    def test_patches_of_no_foreground_are_label_sparse(self, folder):
        data = data_of(folder, patch=(1, 4, 5))
        for row, dense in enumerate(data.units.dense.tolist()):
            if item(data, [row]).label.any():
                assert dense
        assert 0 < data.units.dense.sum() < len(data.units)

    @pytest.mark.parametrize(
        ("subset", "kept"), [(HalfSlice(), 36), (HalfSparse(), 39), (HalfVolume(), 48), (SparseMix(0.5), 36)]
    )
    def test_subsets_choose_patches(self, folder, subset, kept):
        data = data_of(folder, patch=(1, 4, 5), subset=subset)
        assert len(data.units) == kept
        assert len(item(data, list(range(kept))).image) == kept

    def test_messages_speak_of_patches(self, folder):
        units = data_of(folder, patch=(6, 8, 10)).units
        sparse = dataclasses.replace(units, voxels=np.zeros_like(units.voxels))
        with pytest.raises(DataError, match="Trim keeps none of the 3 training patches"):
            Trim().select(sparse)

    @pytest.mark.parametrize("sampling", [ForegroundOversampling(), GroupBalanced(), HardnessWeighted()])
    def test_samplers_draw_patches(self, folder, sampling):
        data = data_of(folder, patch=self.PATCH, sampling=sampling)
        assert sum(len(batch.index) for batch in data.train_dataloader()) == len(data.units)

    @pytest.mark.parametrize("shape", [(9, 8, 10), (2, 8, 10)], ids=["longer", "shorter"])
    def test_a_volume_is_put_together_from_overlapping_patches(self, shape):
        """A predictor that looks at single voxels cannot tell patches from the whole."""
        kind = PatchUnit(self.PATCH)
        image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
        seen = []

        def predict(patches):
            seen.append(patches)
            return torch.cat([patches, patches.square()], dim=1)

        found = list(kind.probabilities(predict, image, batch_size=8))
        expected = torch.cat([image, image.square()]).movedim(1, 0)
        torch.testing.assert_close(torch.cat(found), expected, rtol=1e-5, atol=1e-6)
        trained_on = torch.stack([kind.cut(image, start) for start in kind.starts(shape)])
        assert torch.equal(torch.cat(seen), trained_on)
        assert max(map(len, seen)) == 2  # eight slices
        assert max(map(len, found)) <= 8

    def test_where_patches_overlap_their_mean_counts(self):
        """Of slices 0 to 5 in two patches of four, slices 2 and 3 are seen by both."""
        answers = iter((0.0, 1.0))
        found = torch.cat(
            list(
                PatchUnit((4, 8, 10)).probabilities(
                    lambda patches: torch.full_like(patches, next(answers)), torch.zeros(1, 6, 8, 10), batch_size=4
                )
            )
        )
        assert found.mean((1, 2, 3)).tolist() == [0, 0, 0.5, 0.5, 1, 1]

    def test_half_overlapping_patches_are_averaged_as_monai_does(self):
        """Where both lay out the same windows: sides in whole halves of the patch."""
        image = torch.from_numpy(np.random.default_rng(0).random((1, 12, 16, 24), dtype=np.float32))
        ramp = torch.linspace(0, 1, 8 * 8 * 8).view(1, 1, 8, 8, 8)  # what is found depends on the place in a window

        def predict(patches):
            return torch.cat([patches * ramp, patches + ramp], 1)

        found = torch.cat(list(PatchUnit((8, 8, 8), overlap=0.5).probabilities(predict, image, batch_size=8)))
        due = sliding_window_inference(
            image[None], (8, 8, 8), 4, predict, overlap=0.5, mode="gaussian", sigma_scale=0.125
        )
        torch.testing.assert_close(found.movedim(1, 0), due[0], rtol=1e-3, atol=1e-4)

    def test_overlapping_patches_share_half_of_a_side_at_least(self):
        kind = unit_kind(patch=(4, 8, 10), overlap=0.5)
        assert kind == unit_kind(**kind.to_json())
        for axis, side in enumerate(kind.patch):
            steps = np.diff(np.unique(kind.starts((9, 21, 40))[:, axis]))
            assert steps.max() <= side / 2
        with pytest.raises(ConfigError, match=r"data.overlap is 1.0; give a share of a patch from 0 to below 1"):
            unit_kind(patch=(4, 8, 10), overlap=1.0)

    @pytest.mark.parametrize("patch", [(0, 4, 4), (4, 4), (4, -1, 4)])
    def test_patches_without_extent_are_refused(self, patch):
        with pytest.raises(ConfigError, match=r"data.patch is .*; give slices, rows and columns of at least 1"):
            unit_kind(patch=patch)

    def test_patches_larger_than_the_plane_are_refused(self):
        with pytest.raises(ConfigError, match=r"but the training grid has 8 rows and 10 columns .* that fits"):
            PatchUnit((4, 8, 11)).size((8, 10))

    def test_a_patch_needs_no_neighbours(self):
        with pytest.raises(ConfigError, match=r"data.neighbours is 3 and data.patch is \(4, 4, 4\); .* one of the two"):
            unit_kind(3, (4, 4, 4))
