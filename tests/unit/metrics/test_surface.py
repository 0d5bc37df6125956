"""Surface distances against values worked out by hand, medpy (`pooled`) and MONAI (`max`)."""

import itertools
import math
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from medpy.metric import binary
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from adawac.errors import ConfigError, DataError
from adawac.metrics import class_distances, empty_rule, slice_counts, surface_distances
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
    """Each kind against each, twice."""
    rng = np.random.default_rng(0)
    kinds = [blobs, blobs, blobs, single_voxel, corner_box, whole_volume]
    return [(kinds[i % 6](rng), kinds[i // 6 % 6](rng)) for i in range(72)]


def real_masks():
    """The organs of six patients against those of the next, and against themselves a voxel off; with their spacing."""
    files = sorted((Path(os.environ["ADAWAC_DATA"]) / "openkbp-ct/labelsTr").glob("*.nii.gz"))[:6]
    volumes = [nib.load(file) for file in files]
    spacing = tuple(map(float, volumes[0].header.get_zooms()[::-1]))
    labels = [np.asarray(volume.dataobj).T for volume in volumes]
    for one, two in itertools.pairwise(labels):
        slices = min(len(one), len(two))
        for organ in range(1, 8):
            target, other = one[:slices] == organ, two[:slices] == organ
            for pred in (other, np.roll(target, (1, 1), axis=(0, 1)) | target):
                if pred.any() and target.any():  # the surroundings change nothing, but cost medpy minutes
                    box = tuple(slice(max(0, axis.min() - 2), axis.max() + 3) for axis in np.nonzero(pred | target))
                    yield pred[box], target[box], spacing


def monai_surface_dice(pred, target, tolerance, spacing, areas=False):
    pair = (torch.as_tensor(mask)[None, None] for mask in (pred, target))
    return compute_surface_dice(
        *pair, [tolerance], include_background=True, spacing=spacing, use_subvoxels=areas
    ).item()


def check_against_medpy(pred, target, spacing):
    ours = surface_distances(pred, target, spacing)
    assert ours.hd95("pooled") == pytest.approx(binary.hd95(pred, target, spacing), abs=1e-5)
    assert ours.hd() == pytest.approx(binary.hd(pred, target, spacing), abs=1e-5)
    assert ours.assd() == pytest.approx(binary.assd(pred, target, spacing), abs=1e-5)


def check_against_monai(pred, target, spacing):
    hd95 = compute_hausdorff_distance(
        torch.as_tensor(pred)[None, None],
        torch.as_tensor(target)[None, None],
        include_background=True,
        percentile=95,
        spacing=spacing,
    )
    ours = surface_distances(pred, target, spacing)
    assert ours.hd95("max") == pytest.approx(hd95.item(), rel=1e-5)  # float32
    expected = monai_surface_dice(pred, target, 2.03, spacing)  # a tolerance that no distance equals, in float32
    assert ours.surface_dice(2.03) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_pooled_hd95_hd_and_assd_equal_medpy(spacing):
    for pred, target in pairs_of_masks():
        check_against_medpy(pred, target, spacing)


monai_warns = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")


@monai_warns
def test_max_hd95_and_surface_dice_equal_monai():
    for (pred, target), spacing in zip(pairs_of_masks(), itertools.cycle(SPACINGS)):
        check_against_monai(pred, target, spacing)


@monai_warns
@pytest.mark.skipif("ADAWAC_DATA" not in os.environ, reason="ADAWAC_DATA is unset: the real data sets are not here")
def test_real_masks_measure_as_medpy_and_monai_say():
    pairs, finer = list(real_masks()), (1.0, 0.8, 0.8)
    assert len(pairs) == 70
    for pred, target, spacing in pairs[::3]:  # every organ, of another patient and a voxel off
        check_against_medpy(pred, target, spacing)
        check_against_monai(pred, target, spacing)
        counts = slice_counts(pred.astype(np.uint8), target.astype(np.uint8), num_classes=2)
        assert counts.total().dice()[1] == pytest.approx(binary.dc(pred, target), abs=1e-5)
    between_patients = [pair[:2] for pair in pairs[::2]]
    for size, quoted in ((pairs[0][2], (0.16, 0.24)), (finer, (0.54, 0.59))):  # in the docstring of `surface_dice`
        ours = [surface_distances(*masks, size).surface_dice() for masks in between_patients]
        areas = [monai_surface_dice(*masks, 2.0, size, areas=True) for masks in between_patients]
        assert (np.mean(ours), np.mean(areas)) == pytest.approx(quoted, abs=0.005)


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
    # Surface Dice: of 0 | 0 20 two of three are within 2 mm, all within 20.
    assert distances.surface_dice() == pytest.approx(2 / 3)
    assert (distances.surface_dice(0), distances.surface_dice(20)) == (pytest.approx(2 / 3), 1)


def test_a_distance_that_equals_the_tolerance_but_for_rounding_lies_within():
    pred, target = np.zeros((2, 4), bool)
    pred[0] = target[3] = True
    distances = surface_distances(pred, target, spacing=(0.1,))
    assert distances.hd() > 0.3  # 0.30000000000000004
    assert distances.surface_dice(0.3) == 1
    assert distances.surface_dice(0.2999) == 0


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
        expected_dice = (
            empty_rule(policy).one_overlap if pred.any() or target.any() else empty_rule(policy).both_overlap
        )
        assert distances.surface_dice(2, policy) == pytest.approx(expected_dice, nan_ok=True)


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


@pytest.mark.parametrize("tolerance", [-1, math.inf, math.nan])
def test_what_is_no_tolerance_is_refused(tolerance):
    mask = np.ones((2, 2), bool)
    with pytest.raises(ConfigError, match=f"the tolerance is {tolerance}; give a distance of 0 or more, such as 2"):
        surface_distances(mask, mask).surface_dice(tolerance)


class TestIgnoredVoxels:
    @pytest.mark.parametrize("seed", range(8))
    def test_surface_voxels_have_a_known_neighbour_outside(self, seed):
        mask, ignored = np.random.default_rng(seed).random((2, 6, 7, 5)) < [[[[0.6]]], [[[0.2]]]]
        mask &= ~ignored
        expected = []
        for voxel in np.argwhere(mask).tolist():
            for axis, step in itertools.product(range(3), (-1, 1)):
                beside = np.array(voxel)
                beside[axis] += step
                beyond = (beside < 0).any() or (beside >= mask.shape).any()
                if beyond or not (mask[tuple(beside)] or ignored[tuple(beside)]):
                    expected.append(voxel)
                    break
        assert surface_voxels(mask, ignored).tolist() == expected

    def test_a_region_that_nobody_labelled_is_no_wall_at_which_two_masks_agree(self):
        pred, target, ignored = np.zeros((3, 20), bool)
        pred[2:15], target[6:12], ignored[10:] = True, True, True  # where either ends nobody knows
        distances = surface_distances(pred, target, spacing=(0.5,), ignored=ignored)
        assert distances.pred_to_target.tolist() == distances.target_to_pred.tolist() == [2.0]  # from 2 to 6
        assert (distances.assd(), distances.hd95("max"), distances.surface_dice(1)) == (2, 2, 0)

    def test_a_mask_that_lies_wholly_in_ignored_voxels_is_empty(self):
        pred, target = np.zeros((2, 5, 5), bool)
        pred[1:3], target[3:] = True, True
        ignored = target.copy()
        assert surface_distances(pred, target, ignored=ignored).hd() == math.hypot(5, 5)  # a false alarm
        assert surface_distances(target, target, ignored=ignored).hd() == 0  # and nothing at all
        assert surface_distances(target, target, ignored=ignored).surface_dice() == 1

    def test_a_mask_whose_whole_surface_is_hidden_has_no_distances(self):
        pred, target, ignored = np.zeros((3, 7, 7), bool)
        target[3, 3] = True
        ignored[2:5, 2:5] = True
        ignored[3, 3] = False
        pred[3, 3] = pred[6, 6] = True
        for policy in ("penalise", "skip", "paper"):
            distances = surface_distances(pred, target, ignored=ignored)
            values = (distances.hd(policy), distances.assd(policy), distances.hd95("max", policy))
            assert np.isnan([*values, distances.surface_dice(2, policy)]).all()
        pred[:] = False  # then the organ is missed
        assert surface_distances(pred, target, ignored=ignored).hd() == math.hypot(7, 7)

    def test_another_shape_is_refused(self):
        with pytest.raises(DataError, match=r"ignored has shape \(3,\) but target has \(2,\); mark every voxel"):
            surface_distances(np.ones(2), np.ones(2), ignored=np.ones(3))


class TestSteps:
    @pytest.mark.parametrize("seed", range(4))
    def test_distances_on_any_grid_are_those_between_its_points(self, seed):
        rng = np.random.default_rng(seed)
        steps = rng.normal(size=(3, 3)) * [2.0, 1.0, 0.5]
        pred, target = rng.random((2, 5, 6, 4)) < 0.1
        points = [surface_voxels(mask) @ steps.T for mask in (pred, target)]
        between = cdist(*points)
        found = surface_distances(pred, target, steps)
        assert found.pred_to_target == pytest.approx(between.min(1))
        assert found.target_to_pred == pytest.approx(between.min(0))
        corners = np.array(list(itertools.product(*[(0, n) for n in pred.shape]))) @ steps.T
        assert found.diagonal == pytest.approx(cdist(corners, corners).max())

    @pytest.mark.parametrize("steps", [np.zeros((3, 3)), np.full((3, 3), math.nan), np.eye(2), np.diag([1.0, 1, 0])])
    def test_steps_that_span_no_volume_are_refused(self, steps):
        with pytest.raises(DataError, match=r"must be 3 positive numbers .* or as many steps in as many columns"):
            surface_distances(np.ones((2, 2, 2)), np.ones((2, 2, 2)), steps)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize("spacing", [None, (3.0, 0.9, 0.8)])
def test_distances_of_classes_are_those_of_their_whole_masks(dtype, spacing):
    """A class is looked at in its box; the background, absent classes and ignored neighbours are no less right."""
    rng = np.random.default_rng(0)
    target = np.zeros((9, 12, 10), dtype)
    target[1:4, 2:6, :5], target[3:9, 4:12, 3:10], target[5, 5, 5] = 1, 2, 4
    preds = np.roll(target, 1, axis=1)
    target[rng.random(target.shape) < 0.1] = 255
    found = class_distances(preds, target, range(6), spacing)
    for k, ours in enumerate(found):
        whole = surface_distances(preds == k, target == k, spacing, target == 255)
        for name in ("pred_to_target", "target_to_pred", "diagonal", "empty", "unit"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(whole, name))
