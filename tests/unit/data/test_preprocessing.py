"""Intensities, cut and grid: the recipe that training and prediction share."""

import json

import numpy as np
import pytest
import torch
from tiny_data import make_case

from adawac.data.grid import Grid
from adawac.data.preprocessing import AXES, Preprocessing, cut_steps
from adawac.errors import ConfigError, DataError
from adawac.io.canonical import Geometry
from adawac.io.steps import spacing_of
from adawac.io.volumes import Volume
from adawac.types import IGNORE_INDEX

SHAPE = (6, 16, 20)
SPACING = (3.0, 0.9, 0.8)
CUT_SHAPES = {"axial": (6, 16, 20), "coronal": (16, 6, 20), "sagittal": (20, 6, 16)}


@pytest.fixture
def hounsfield():
    """(1, 6, 16, 20)."""
    return make_case(np.random.default_rng(0), SHAPE)[0].astype(np.float32)


def volume_of(array, spacing=SPACING):
    return Volume(array, Geometry(shape=array.shape[1:], spacing=spacing))


class TestIntensities:
    def test_ct_is_windowed_to_0_and_1(self, hounsfield):
        result = Preprocessing("ct", window=(-60.0, 140.0)).intensities(hounsfield)
        np.testing.assert_allclose(result, ((hounsfield + 60) / 200).clip(0, 1), atol=1e-6)
        assert (result.min(), result.max(), result.dtype) == (0, 1, np.float32)

    def test_mr_is_standardised_channel_by_channel_whatever_its_scale(self, hounsfield):
        image = np.concatenate([hounsfield, 40 * hounsfield + 3000])
        result = Preprocessing("mr").intensities(image)
        np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 1, atol=1e-4)
        np.testing.assert_allclose(result[0], result[1], atol=1e-3)
        assert result.dtype == np.float32

    def test_mr_clips_its_brightest_voxels(self, hounsfield):
        spiked = hounsfield.copy()
        spiked[0, 3, 8, 8] = 1e6
        plain, clipped = (Preprocessing("mr").intensities(image) for image in (hounsfield, spiked))
        assert clipped.max() < 1.5 * plain.max()
        np.testing.assert_allclose(np.median(clipped), np.median(plain), atol=0.05)

    def test_an_empty_mr_volume_stays_finite(self):
        flat = np.full((1, 2, 4, 4), 1000.1, np.float32)
        assert np.isfinite(Preprocessing("mr").intensities(flat)).all()

    def test_unit_is_left_alone(self, hounsfield):
        np.testing.assert_array_equal(Preprocessing("prescaled").intensities(hounsfield), hounsfield)

    def test_the_image_that_was_read_is_not_written_to(self, hounsfield):
        before = hounsfield.copy()
        for modality in ("ct", "mr", "prescaled"):
            Preprocessing(modality, grid=Grid((16, 20))).apply(volume_of(hounsfield), "a").image[:] = 7
        np.testing.assert_array_equal(hounsfield, before)


class TestCut:
    @pytest.mark.parametrize("axis", AXES)
    def test_the_axis_comes_first_and_goes_back(self, axis, hounsfield):
        recipe = Preprocessing("ct", axis=axis)
        cut = recipe.cut(hounsfield)
        assert cut.shape == (1, *CUT_SHAPES[axis])
        np.testing.assert_array_equal(recipe.uncut(cut), hounsfield)
        np.testing.assert_array_equal(cut[0, 2], np.take(hounsfield[0], 2, axis=AXES.index(axis)))

    @pytest.mark.parametrize(
        ("axis", "spacing"), [("axial", (3.0, 0.9, 0.8)), ("coronal", (0.9, 3.0, 0.8)), ("sagittal", (0.8, 3.0, 0.9))]
    )
    def test_spacing_follows_the_axes(self, axis, spacing):
        assert spacing_of(cut_steps(np.diag(SPACING), axis)) == spacing
        assert cut_steps(None, axis) is None

    def test_left_and_right_lie_in_axial_and_coronal_slices(self):
        assert [Preprocessing("ct", axis=axis).left_right_in_plane for axis in AXES] == [True, True, False]


class TestApply:
    @pytest.mark.parametrize("axis", AXES)
    @pytest.mark.parametrize("modality", ["ct", "mr", "prescaled"])
    def test_slices_lie_on_the_training_grid(self, axis, modality, hounsfield):
        image = np.concatenate([hounsfield, hounsfield])
        slices = Preprocessing(modality, axis=axis, grid=Grid((8, 12))).apply(volume_of(image), "a")
        assert slices.image.shape == (2, CUT_SHAPES[axis][0], 8, 12)
        assert (slices.image.dtype, slices.image.flags.c_contiguous) == (np.float32, True)
        assert slices.placement.plane == CUT_SHAPES[axis][1:]

    def test_integers_as_read_will_do(self, hounsfield):
        recipe = Preprocessing("ct", grid=Grid((8, 12)))
        np.testing.assert_array_equal(
            recipe.apply(volume_of(hounsfield.astype(np.int16)), "a").image,
            recipe.apply(volume_of(hounsfield), "a").image,
        )

    def test_fixed_spacing_in_a_coronal_cut_reaches_as_many_millimetres(self, hounsfield):
        recipe = Preprocessing("ct", axis="coronal", grid=Grid((9, 8), spacing=(2.0, 1.6)))
        slices = recipe.apply(volume_of(hounsfield), "a")
        top, bottom, left, right = slices.placement.box
        assert ((bottom - top) * 3.0, (right - left) * 0.8) == pytest.approx((9 * 2.0, 8 * 1.6))
        assert (top + bottom, left + right) == pytest.approx((6, 20))

    def test_the_body_fills_the_grid(self):
        rows, columns = np.mgrid[:40, :60]
        body = (rows - 24) ** 2 + (columns - 20) ** 2 < 10**2
        image = np.where(body, 40.0, -1000.0).astype(np.float32) * np.ones((1, 4, 1, 1), np.float32)
        whole = Preprocessing("ct", grid=Grid((40, 40))).apply(volume_of(image), "a")
        cropped = Preprocessing("ct", grid=Grid((40, 40), body=True)).apply(volume_of(image), "a")
        assert cropped.placement.box == pytest.approx((15, 34, 11, 30), abs=1)
        assert cropped.image.mean() > 4 * whole.image.mean()

    @pytest.mark.parametrize(
        "grid", [Grid((5, 7)), Grid((31, 33)), Grid((8, 8), spacing=(2.0, 2.5)), Grid((9, 9), body=True)]
    )
    @pytest.mark.parametrize("axis", AXES)
    def test_labels_are_never_mixed(self, grid, axis, hounsfield):
        recipe = Preprocessing("ct", axis=axis, grid=grid)
        values = np.array([0, 3, 7, IGNORE_INDEX], np.uint8)
        label = values[np.random.default_rng(1).integers(0, 4, (1, *SHAPE))]
        on_grid = recipe.apply(volume_of(hounsfield), "a").placement.label_to_grid(recipe.cut(label)[0])
        assert (on_grid.shape, on_grid.dtype) == ((CUT_SHAPES[axis][0], *grid.size), np.uint8)
        assert set(np.unique(on_grid)) == set(values.tolist())

    @pytest.mark.parametrize("axis", AXES)
    @pytest.mark.parametrize(("size", "least"), [(None, 1.0), ((40, 44), 0.95), ((12, 14), 0.75)])
    def test_predictions_come_back_to_the_volume_s_own_grid(self, axis, size, least):
        shape = (18, 30, 34)
        image, label = make_case(np.random.default_rng(3), shape)
        plane = Preprocessing("ct", axis=axis).cut(image).shape[2:]
        recipe = Preprocessing("ct", axis=axis, grid=Grid(size or plane))
        slices = recipe.apply(volume_of(image), "a")
        on_grid = slices.placement.label_to_grid(recipe.cut(label[None])[0])
        scores = torch.stack([torch.from_numpy(on_grid == k).float() for k in range(3)], dim=1)
        preds = slices.placement.to_native(scores).argmax(1).numpy()
        back = recipe.uncut(preds[None])[0]
        assert back.shape == label.shape
        for k in (1, 2):
            dice = 2 * ((back == k) & (label == k)).sum() / ((back == k).sum() + (label == k).sum())
            assert dice >= least


class TestRecipe:
    @pytest.mark.parametrize(
        "recipe",
        [
            Preprocessing("ct"),
            Preprocessing("mr", (-1.5, 2.5), "coronal", Grid((9, 7), (1.5, 2.0), body=True)),
            Preprocessing("prescaled", axis="sagittal"),
        ],
    )
    def test_survives_json(self, recipe):
        assert Preprocessing.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe

    @pytest.mark.parametrize(
        ("settings", "remedy"),
        [
            ({"window": (275.0, -125.0)}, r"data.window is \(275.0, -125.0\); give the lower HU first"),
            ({"window": (40.0, 40.0)}, "give the lower HU first"),
            ({"modality": "CT"}, r"data.modality is 'CT'; did you mean ct\? choose one of ct, mr, prescaled"),
            ({"axis": "z"}, "data.axis is 'z'; choose one of axial, coronal, sagittal"),
        ],
    )
    def test_settings_that_mean_nothing(self, settings, remedy):
        with pytest.raises(ConfigError, match=remedy):
            Preprocessing(**{"modality": "ct"} | settings)


class TestShearedGrids:
    """A gantry tilted by 20 degrees: slices are shifted along the rows' axis, rows and columns are at right angles."""

    STEPS = np.array([[3.0, 0, 0], [3.0 * np.tan(np.radians(20)), 0.9, 0], [0, 0, 0.8]])

    @pytest.mark.parametrize("axis", ["axial", "coronal"])
    def test_a_fixed_spacing_is_one_where_pixels_are_rectangles(self, hounsfield, axis):
        slices = Preprocessing("ct", axis=axis, grid=Grid((8, 8), spacing=(2.0, 2.0))).slices(
            hounsfield, self.STEPS, "a"
        )
        top, bottom, left, right = slices.placement.box
        row, column = np.linalg.norm(slices.steps, axis=0)[1:]
        assert ((bottom - top) * row, (right - left) * column) == pytest.approx((16, 16), rel=1e-6)

    def test_elsewhere_it_is_refused_with_what_to_do(self, hounsfield):
        recipe = Preprocessing("ct", axis="sagittal", grid=Grid((8, 8), spacing=(2.0, 2.0)))
        message = (
            r"case pt_3: rows and columns .* meet at 70 degrees.* resample it, cut it along another data.axis .* null"
        )
        with pytest.raises(DataError, match=message):
            recipe.slices(hounsfield, self.STEPS, "pt_3")
        recipe.slices(hounsfield, np.diag(SPACING) + 1e-5 * self.STEPS, "pt_3")  # a header that rounds
        Preprocessing("ct", axis="sagittal", grid=Grid((8, 8))).slices(hounsfield, self.STEPS, "pt_3")
