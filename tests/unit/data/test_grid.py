"""The training grid: where boxes lie, and that the way there and back returns what it should."""

import numpy as np
import pytest
import SimpleITK
import torch
from scipy import ndimage

from adawac.data.grid import Grid, Placement, body_box, interpolation_matrix
from adawac.errors import ConfigError, DataError


def disc(plane: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: plane[0], : plane[1]] + 0.5
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2).astype(np.float32)


def test_same_size_is_the_identity():
    image = torch.rand(2, 3, 17, 23)
    place = Placement((17, 23), (17, 23), (0.0, 17.0, 0.0, 23.0))
    torch.testing.assert_close(place.to_grid(image), image)
    torch.testing.assert_close(place.to_native(image), image)


def test_upsampling_is_linear_interpolation():
    torch.testing.assert_close(
        interpolation_matrix(8, 0.0, 8.0, 16) @ torch.arange(8.0),
        torch.nn.functional.interpolate(torch.arange(8.0)[None, None], scale_factor=2, mode="linear")[0, 0],
    )


def test_downsampling_matches_torch_antialiased():
    image = torch.rand(1, 1, 64, 48)
    place = Placement((64, 48), (16, 16), (0.0, 64.0, 0.0, 48.0))
    expected = torch.nn.functional.interpolate(image, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(place.to_grid(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("box", [(0.0, 60.0, 0.0, 60.0), (10.0, 50.0, 12.5, 47.5), (-20.0, 80.0, -10.0, 70.0)])
def test_a_disc_comes_back(box):
    mask = disc((60, 60), (30, 30), 12)
    place = Placement((60, 60), (48, 48), box)
    label = place.label_to_grid(mask.astype(np.uint8))
    scores = torch.stack([torch.from_numpy(label == k).float() for k in range(2)])[None]
    back = place.to_native(scores).argmax(1)[0].numpy()
    dice = 2 * (back * mask).sum() / (back.sum() + mask.sum())
    assert dice > 0.95


@pytest.mark.parametrize("box", [(0.0, 60.0, 0.0, 50.0), (6.3, 50.0, 12.5, 47.25), (-20.0, 80.0, -10.5, 70.0)])
def test_the_way_back_is_linear_interpolation(box):
    place = Placement((60, 50), (24, 16), box)
    scores = torch.rand(2, 3, 24, 16)
    top, bottom, left, right = box
    rows = (np.arange(60) + 0.5 - top) / (bottom - top) * 24 - 0.5
    columns = (np.arange(50) + 0.5 - left) / (right - left) * 16 - 0.5
    points = np.meshgrid(rows, columns, indexing="ij")
    expected = [
        [ndimage.map_coordinates(plane.double(), points, order=1, mode="nearest") for plane in s] for s in scores
    ]
    within = ((rows >= -0.5) & (rows <= 23.5))[:, None] & ((columns >= -0.5) & (columns <= 15.5))
    torch.testing.assert_close(
        place.to_native(scores), torch.from_numpy(expected * within).float(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("plane", [(50, 40), (24, 70), (12, 9)])  # finer than the grid, one way, no way
@pytest.mark.parametrize("margin", [0.0, 0.12, -0.07])
@pytest.mark.parametrize("smooth", [0.0, 3.0])
def test_classes_are_those_of_resampled_scores(plane, margin, smooth):
    """All are resampled here; of few classes over large areas hardly any pixel must be."""
    sides = (plane[0], plane[0], plane[1], plane[1])
    box = tuple(side * share for side, share in zip(sides, (margin, 1 - margin, margin / 2, 1 - margin), strict=True))
    place = Placement(plane, (24, 20), box)
    scores = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((3, 5, 24, 20)), (0, 0, smooth, smooth))
    scores = torch.from_numpy(scores).float().softmax(1)
    found = place.classes_to_native(scores)
    np.testing.assert_array_equal(found, place.to_native(scores).numpy().argmax(axis=1))
    assert len(np.unique(found)) > 3


def test_the_way_back_to_coarser_pixels_is_antialiased():
    scores = torch.rand(1, 2, 64, 48)
    place = Placement((16, 12), (64, 48), (0.0, 16.0, 0.0, 12.0))
    expected = torch.nn.functional.interpolate(scores, (16, 12), mode="bilinear", antialias=True)
    torch.testing.assert_close(place.to_native(scores), expected, rtol=1e-4, atol=1e-4)


def test_outside_of_the_box_is_background():
    place = Placement((40, 40), (16, 16), (8.0, 24.0, 8.0, 24.0))
    scores = torch.zeros(1, 3, 16, 16)
    scores[:, 2] = 1
    back = place.to_native(scores).argmax(1)[0]
    assert back[8:24, 8:24].eq(2).all()
    back[8:24, 8:24] = 0
    assert back.eq(0).all()


def test_padding_takes_the_minimum_and_background():
    place = Placement((4, 4), (8, 8), (-2.0, 6.0, -2.0, 6.0))
    image = torch.full((1, 1, 4, 4), 5.0)
    image[..., 0, 0] = -3.0
    assert place.to_grid(image)[0, 0, 0].eq(-3.0).all()
    assert place.label_to_grid(np.ones((1, 4, 4), np.uint8))[0, 0].sum() == 0


def whole(plane: tuple[int, int], size: tuple[int, int]) -> Placement:
    return Placement(plane, size, (0.0, float(plane[0]), 0.0, float(plane[1])))


def smooth(plane: tuple[int, int], seed: int, num_classes: int = 4) -> np.ndarray:
    """A random label (H, W) of wavy regions, none of them symmetric."""
    noise = np.random.default_rng(seed).normal(size=(num_classes, *plane))
    waves = ndimage.gaussian_filter(noise, (0, plane[0] / 16, plane[1] / 16))
    return (waves / waves.std(axis=(1, 2), keepdims=True)).argmax(0).astype(np.uint8)


def there_and_back(place: Placement, label: np.ndarray) -> np.ndarray:
    """A label (H, W) as a network that predicted it perfectly on the grid would have it on the native plane."""
    return back(place, place.label_to_grid(label), int(label.max()) + 1)


def back(place: Placement, reduced: np.ndarray, num_classes: int) -> np.ndarray:
    scores = torch.nn.functional.one_hot(torch.from_numpy(reduced).long(), num_classes).movedim(-1, 0)[None].float()
    return place.to_native(scores).argmax(1)[0].numpy()


def dice(preds: np.ndarray, target: np.ndarray) -> list[float]:
    """Of classes 1 and 2."""
    return [2 * ((preds == k) & (target == k)).sum() / ((preds == k).sum() + (target == k).sum()) for k in (1, 2)]


def centres(masks: np.ndarray) -> np.ndarray:
    """(n, 2) mean row and column of each mask (n, H, W)."""
    rows, columns = (masks.sum(axis, dtype=np.int64) for axis in (2, 1))
    sums = [counts @ np.arange(counts.shape[1]) for counts in (rows, columns)]
    return np.stack(sums, 1) / rows.sum(1, keepdims=True)


class TestLabel:
    """A label keeps its place and its area, whatever grid it is brought to."""

    @pytest.mark.parametrize("size", [(32, 32), (16, 16), (16, 64), (28, 28), (27, 45), (128, 96), (64, 64)])
    def test_no_side_is_preferred(self, size):
        """What is mirrored before is mirrored after; a rule that looks at one side of a tie is found out at once."""
        place = whole((64, 64), size)
        for seed in range(5):
            label = smooth((64, 64), seed)
            reduced = place.label_to_grid(label)
            for axes in (0, 1, (0, 1)):
                np.testing.assert_array_equal(place.label_to_grid(np.flip(label, axes)), np.flip(reduced, axes))

    @pytest.mark.parametrize("size", [(32, 32), (16, 16), (28, 28), (64, 16), (128, 128)])
    def test_discs_stay_where_they_are(self, size):
        """Their mean shift, by their centres of mass, in native pixels; half a pixel is fifty times as far."""
        rng, step = np.random.default_rng(0), 64 / np.array(size)
        labels = np.stack(
            [disc((64, 64), tuple(rng.uniform(22, 42, 2)), rng.uniform(6, 18)).astype(np.uint8) for _ in range(1500)]
        )
        reduced = whole((64, 64), size).label_to_grid(labels)
        shifts = (centres(reduced) + 0.5) * step - (centres(labels) + 0.5)
        areas = reduced.sum((1, 2)) * step.prod() / labels.sum((1, 2))
        uncertain = 2 * np.std(shifts, axis=0) / len(shifts) ** 0.5  # how far single ones are off is no shift of all
        assert (np.abs(np.mean(shifts, axis=0)) < 0.01 + uncertain).all()
        assert np.mean(areas) == pytest.approx(1, abs=0.02)

    @pytest.mark.parametrize("size", [16, 32, 28, 96])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_the_edge_of_a_ramp_comes_back_where_it_was(self, size, axis):
        plane = (64, 64)
        place = whole(plane, (size, 64) if axis == 0 else (64, size))
        edges = np.arange(16, 48)
        found = []
        for edge in edges:
            label = (np.indices(plane)[axis] >= edge).astype(np.uint8)
            found.append(64 - there_and_back(place, label).sum() / 64)
        assert abs(np.mean(found - edges)) < 0.01
        assert np.abs(found - edges).max() <= 0.5 * max(1, 64 / size)

    def test_label_and_image_agree_at_the_edge(self):
        """An image that is its own label is bright where the label is, and dark where it is not."""
        label = disc((96, 96), (47.3, 50.1), 21).astype(np.uint8)
        for size in ((48, 48), (24, 24), (41, 41), (24, 96)):
            place = whole((96, 96), size)
            image = place.to_grid(torch.from_numpy(label)[None].float())[0].numpy()
            reduced = place.label_to_grid(label)
            assert image[reduced == 1].min() > image[reduced == 0].max()

    @pytest.mark.parametrize("box", [(0.0, 64.0, 0.0, 64.0), (8.3, 52.1, 10.0, 61.7), (-9.0, 73.0, -20.5, 84.5)])
    def test_pixels_are_those_of_the_largest_shares(self, box):
        """The rarer of two classes by brute force: the largest of the shares that the image has, up to its area."""
        place = Placement((64, 64), (24, 20), box)
        label = smooth((64, 64), 3, num_classes=2)
        rows, columns = (place.native_span(axis, 0, place.size[axis]) for axis in (0, 1))
        rarer = int((label[rows, columns] == 1).mean() < 0.5)
        share, other = (
            place.to_grid(torch.from_numpy(label == k)[None, None].double())[0, 0].numpy() for k in (rarer, 1 - rarer)
        )
        inside = share + other > 0.5
        expected = np.zeros(place.size, dtype=bool)
        expected.ravel()[np.argsort(-share, axis=None)[: round(share.sum())]] = True
        reduced = place.label_to_grid(label)
        assert ((reduced == rarer)[inside] != expected[inside]).sum() <= 1  # of two equal shares either both or none
        assert reduced[~inside].max(initial=0) == 0

    def test_the_same_grid_is_the_identity(self):
        label = np.random.default_rng(0).choice(np.array([0, 1, 2, 7, 255], np.uint8), (3, 17, 23))
        np.testing.assert_array_equal(whole((17, 23), (17, 23)).label_to_grid(label), label)

    @pytest.mark.parametrize("factor", [2, 3, 4])
    def test_a_finer_grid_and_back_is_the_identity(self, factor):
        label = smooth((40, 48), 1)
        place = whole((40, 48), (40 * factor, 48 * factor))
        assert (there_and_back(place, label) == label).mean() > 0.999

    def test_classes_have_no_rank(self):
        """Which number a class has does not matter: the labels are the same with all numbers exchanged."""
        label, place = smooth((64, 64), 2), whole((64, 64), (21, 32))
        other = np.array([3, 255, 1, 2], np.uint8)
        np.testing.assert_array_equal(place.label_to_grid(other[label]), other[place.label_to_grid(label)])

    @pytest.mark.parametrize("factor", [2, 4, 8])
    @pytest.mark.parametrize("value", [1, 255])
    def test_what_is_thin_or_small_neither_vanishes_nor_spreads(self, factor, value):
        """A line, whose pixels are in a minority everywhere, and a single voxel; organs and what is ignored alike."""
        place = whole((64, 64), (64 // factor, 64 // factor))
        for start in range(8):
            line = np.zeros((64, 64), np.uint8)
            line[16:48, 24 + start] = value
            rows, columns = np.nonzero(place.label_to_grid(line))
            assert 32 / factor - 2 <= len(rows) <= 32 / factor  # its ends are thinner still
            assert set(columns) == {(24 + start) // factor}
            voxel = np.zeros((64, 64), np.uint8)
            voxel[30, 24 + start] = value
            assert np.argwhere(place.label_to_grid(voxel)).tolist() == [[30 // factor, (24 + start) // factor]]

    def test_scribbles_on_what_is_ignored_survive_the_background_among_them(self):
        label = np.full((64, 64), 255, np.uint8)
        label[10, 5:60], label[30, 5:60], label[50, 5:60] = 0, 1, 2
        reduced = whole((64, 64), (32, 32)).label_to_grid(label)
        assert np.bincount(reduced.ravel(), minlength=256)[[0, 1, 2]].tolist() == [26, 26, 26]  # of 27.5

    def test_organs_that_touch_leave_no_background_between_them(self):
        label = np.zeros((60, 60), np.uint8)
        label[10:50, 10:31], label[10:50, 31:50] = 1, 2
        reduced = whole((60, 60), (20, 20)).label_to_grid(label)
        rows, columns = np.nonzero(reduced)
        assert (reduced[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()] > 0).all()  # corners are round
        assert {1, 2} == set(reduced[10, columns.min() + 1 : columns.max()])

    @pytest.mark.parametrize("size", [(48, 48), (24, 24), (42, 42), (96, 24), (24, 48)])
    @pytest.mark.parametrize(
        "interpolator", [SimpleITK.sitkLabelLinear, SimpleITK.sitkLabelGaussian, SimpleITK.sitkNearestNeighbor]
    )
    def test_a_perfect_prediction_is_worth_more_than_of_labels_resampled_by_simpleitk(self, size, interpolator):
        """Thin bent bands and small discs, there and back: mean Dice of the classes over ten planes."""
        place, ours, theirs = whole((96, 96), size), [], []
        step = 96 / np.array(size)
        reference = SimpleITK.Image([size[1], size[0]], SimpleITK.sitkUInt8)
        reference.SetSpacing((step[1], step[0]))
        reference.SetOrigin((step[1] / 2 - 0.5, step[0] / 2 - 0.5))
        for seed in range(10):
            waves = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96)), 9)
            label = (np.abs(waves) < 0.2 * waves.std()).astype(np.uint8)
            label[disc((96, 96), (20.5 + seed, 70), 4.3) > 0] = 2
            identity = SimpleITK.Transform(2, SimpleITK.sitkIdentity)
            resampled = SimpleITK.Resample(SimpleITK.GetImageFromArray(label), reference, identity, interpolator)
            ours.append(dice(there_and_back(place, label), label))
            theirs.append(dice(back(place, SimpleITK.GetArrayFromImage(resampled), 3), label))
        assert np.mean(ours) >= np.mean(theirs)

    def test_what_lies_outside_of_the_box_takes_no_pixel(self):
        label = np.zeros((32, 32), np.uint8)
        label[:, 19], label[12:16, 12:16] = 1, 2
        reduced = Placement((32, 32), (8, 8), (3.0, 19.0, 3.0, 19.0)).label_to_grid(label)
        assert set(np.unique(reduced)) == {0, 2}


def test_fixed_spacing_keeps_millimetres():
    image = np.zeros((1, 3, 100, 100), np.float32)
    image[0, 0] = disc((100, 100), (50, 50), 20)  # radius 20 px of 1.5 mm
    grid = Grid(size=(64, 64), spacing=(3.0, 3.0))
    place = grid.place(image, (5.0, 1.5, 1.5), "a")
    label = place.label_to_grid(image[0].astype(np.uint8))
    assert label[0].sum() * 3.0**2 == pytest.approx(np.pi * 30.0**2, rel=0.03)


def test_body_box_ignores_noise_and_finds_the_body():
    rng = np.random.default_rng(0)
    image = np.stack([disc((100, 120), (40, 60), 25)] * 4)[None]
    image = np.where(image > 0, 0.6, np.abs(rng.normal(0, 0.01, image.shape))).astype(np.float32)
    top, bottom, left, right = body_box(image)
    assert (top, bottom, left, right) == pytest.approx((14, 66, 34, 86), abs=2)


def test_an_empty_image_has_the_whole_plane_as_its_body():
    assert body_box(np.zeros((1, 2, 8, 9), np.float32)) == (0.0, 8.0, 0.0, 9.0)


@pytest.mark.parametrize("value", [0, 2])
def test_a_plane_within_one_native_pixel_is_that_pixel(value):
    label = np.full((16, 16), 1, np.uint8)
    label[7:10, 6:9] = value  # with all that it is interpolated from
    place = Placement(plane=(16, 16), size=(32, 32), box=(8.2, 8.4, 7.5, 7.6))
    assert np.array_equal(place.label_to_grid(label), np.full((32, 32), value, np.uint8))


def test_placement_preserves_smooth_images():
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1, 64, 64)), (0, 6, 6)).astype(np.float32)
    place = Placement((64, 64), (48, 48), (0.0, 64.0, 0.0, 64.0))
    back = place.to_native(place.to_grid(torch.from_numpy(image))[None])
    assert torch.corrcoef(torch.stack([back.flatten(), torch.from_numpy(image).flatten()]))[0, 1] > 0.99


def test_spacing_unknown_is_refused_by_name():
    with pytest.raises(DataError, match=r"case ct_3: .* set data.spacing to null"):
        Grid(spacing=(1.0, 1.0)).place(np.zeros((1, 1, 4, 4), np.float32), None, "ct_3")


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"size": (0, 4)}, "at least 1 pixel"), ({"spacing": (1.0, 0.0)}, "or null to resize")],
)
def test_bad_grids_are_refused(arguments, remedy):
    with pytest.raises(ConfigError, match=remedy):
        Grid(**arguments)
