"""The training grid: where boxes lie, and that the way there and back returns what it should."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from adawac.data.grid import Grid, Placement, body_box, interpolation_matrix, nearest_index
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


def test_label_takes_the_nearest_voxel():
    index, inside = nearest_index(10, 0.0, 10.0, 4)
    assert index.tolist() == [1, 3, 6, 8]
    assert inside.all()


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
