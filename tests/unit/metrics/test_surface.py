"""Surface distances against values worked out by hand, medpy (`pooled`) and MONAI (`max`)."""

import math

import numpy as np
import pytest
import torch
from medpy.metric import binary
from monai.metrics import compute_hausdorff_distance
from scipy.ndimage import gaussian_filter

from adawac.errors import ConfigError, DataError
from adawac.metrics import surface_distances
from adawac.metrics.surface import surface_voxels

SHAPE = (12, 17, 15)
SPACINGS = [None, (1.0, 1.0, 1.0), (3.0, 0.75, 0.9), (0.7, 2.5, 1.3)]


def blobs(rng):
    """Smooth random pieces; those of a low threshold touch the borders of the volume."""
    smooth = gaussian_filter(rng.standard_normal(SHAPE), rng.uniform(0.7, 2.0), mode="nearest")
    return smooth > np.quantile(smooth, rng.uniform(0.3, 0.98))


def single_voxel(rng):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(rng.integers(0, SHAPE))] = True
    return mask


def corner_box(rng):
    mask = np.zeros(SHAPE, bool)
    mask[: rng.integers(1, 12), : rng.integers(1, 17), -rng.integers(1, 15) :] = True
    return mask


def whole_volume(rng):
    return np.ones(SHAPE, bool)


def pairs_of_masks():
    rng = np.random.default_rng(0)
    kinds = [blobs, blobs, blobs, single_voxel, corner_box, whole_volume]
    return [(kinds[i % 6](rng), kinds[i // 6 % 6](rng)) for i in range(72)]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_pooled_hd95_hd_and_assd_equal_medpy(spacing):
    for pred, target in pairs_of_masks():
        ours = surface_distances(pred, target, spacing)
        assert ours.hd95("pooled") == pytest.approx(binary.hd95(pred, target, spacing), abs=1e-5)
        assert ours.hd() == pytest.approx(binary.hd(pred, target, spacing), abs=1e-5)
        assert ours.assd() == pytest.approx(binary.assd(pred, target, spacing), abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI's own
@pytest.mark.parametrize("spacing", SPACINGS)
def test_max_hd95_equals_monai(spacing):
    for pred, target in pairs_of_masks():
        monai = compute_hausdorff_distance(
            torch.as_tensor(pred)[None, None],
            torch.as_tensor(target)[None, None],
            include_background=True,
            percentile=95,
            spacing=spacing,
        )
        assert surface_distances(pred, target, spacing).hd95("max") == pytest.approx(monai.item(), rel=1e-5)  # float32


def test_definitions_differ_as_worked_out_by_hand():
    # Along a line: the prediction is one voxel at 0, the target voxels 0 and 10 (2 mm each).
    # pred -> target: 0. target -> pred: 0, 20. Pooled 0, 0, 20: its 95th percentile lies 0.9 of the way from
    # the second to the third, 18. Directed: 0 and 0.95 * 20 = 19, the larger is 19. HD 20; ASSD 20 / 3.
    pred, target = np.zeros((2, 11), bool)
    pred[0] = target[0] = target[10] = True
    distances = surface_distances(pred, target, spacing=(2.0,))
    assert distances.hd95("pooled") == pytest.approx(18)
    assert distances.hd95("max") == pytest.approx(19)
    assert distances.hd() == 20
    assert distances.assd() == pytest.approx(20 / 3)


@pytest.mark.parametrize(
    ("policy", "both", "one"),
    [
        ("penalise", 0, math.sqrt(20**2 + 30**2)),
        ("skip", math.nan, math.sqrt(20**2 + 30**2)),
        ("paper", 0, 0),
    ],
)
def test_policy_decides_what_empty_masks_are_worth(policy, both, one):
    empty, full = np.zeros((10, 10), bool), np.ones((10, 10), bool)
    for pred, target, expected in [(empty, empty, both), (empty, full, one), (full, empty, one)]:
        distances = surface_distances(pred, target, spacing=(2.0, 3.0))
        for value in (
            distances.hd95("pooled", policy),
            distances.hd95("max", policy),
            distances.hd(policy),
            distances.assd(policy),
        ):
            assert value == pytest.approx(expected, nan_ok=True)


def test_unit_says_whether_the_spacing_is_known():
    mask = np.ones((2, 2, 2), bool)
    assert surface_distances(mask, mask).unit == "voxel"
    assert surface_distances(mask, mask, (1, 1, 1)).unit == "mm"
    assert surface_distances(mask, ~mask).hd() == pytest.approx(math.sqrt(12))


def test_surface_voxels_of_a_box_at_its_own_place():
    mask = np.zeros((6, 7, 8), bool)
    mask[2:5, 3:6, 4:7] = True  # 3 x 3 x 3: all but its centre (3, 4, 5)
    surface = surface_voxels(mask)
    assert len(surface) == 26
    assert [3, 4, 5] not in surface.tolist()
    assert surface.min(axis=0).tolist() == [2, 3, 4]
    assert surface.max(axis=0).tolist() == [4, 5, 6]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, math.nan, 1.0)])
def test_spacing_that_does_not_fit_is_refused(spacing):
    with pytest.raises(DataError, match=r"3 positive numbers .* pass None to measure in voxels"):
        surface_distances(np.ones((2, 2, 2)), np.ones((2, 2, 2)), spacing)


def test_other_shape_is_refused():
    with pytest.raises(DataError, match=r"\(2, 2\) .* \(2, 3\); predict on the grid of the label"):
        surface_distances(np.ones((2, 2)), np.ones((2, 3)))


def test_unknown_definition_lists_the_known_ones():
    mask = np.ones((2, 2), bool)
    with pytest.raises(ConfigError, match="'Pooled' is unknown; choose 'pooled' or 'max'"):
        surface_distances(mask, mask).hd95("Pooled")
