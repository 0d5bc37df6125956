"""What is planned for data sets that the field knows, and that it fits, is not distorted and holds the labels."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from adawac.data.fingerprint import ClassFacts, Fingerprint, Percentiles, Spread
from adawac.losses import cross_entropy, dice_loss
from adawac.networks import NetworkSpec
from adawac.networks.patch_unet import PatchUNet
from adawac.networks.slice_unet import SliceUNet
from adawac.networks.topology import halvings
from adawac.training.objective import over_scales
from adawac.training.plan import make_plan


def facts(shape, spacing, cases=100, classes=2, channels=1, modality="mr", reach=1.0):
    """A data set whose cases are all alike; labels reach over a share of the volume."""
    known = spacing is not None
    return Fingerprint(
        num_cases=cases,
        num_slices=cases * round(shape[0]),
        channels=("image",) * channels,
        modality=modality,
        classes=tuple(ClassFacts(str(k), cases, 1, 1, None) for k in range(classes)),
        shape=Spread.of([shape]),
        spacing=Spread.of([spacing]) if known else None,
        reach=Spread.of([reach * np.multiply(shape, spacing)]) if known else None,
        intensities=(Percentiles(0, 1, 2),) * channels,
        dense=0.5,
        dense_thirds=(0.5, 0.5, 0.5),
        ignored=0,
        window=None,
        side_pairs={},
    )


def network_for(shape, spacing, small, width=16):
    """What is planned for slices, or for patches."""
    return (SliceUNet if len(shape) == 2 else PatchUNet).of(shape, spacing, small, width)


def test_hippocampus_as_nnunet_plans_it():
    """Patches of 56 x 40 and 40 x 56 x 40, halved thrice from the whole resolution: nnU-Net's of this task."""
    hippocampus = facts((36, 50, 35), (1, 1, 1), cases=260)
    slices, patches = (make_plan(hippocampus, 8.0, patches=each) for each in (False, True))
    assert (slices.size, slices.patch, slices.spacing) == ((56, 40), None, (1.0, 1.0))
    assert slices.network.channels == (16, 32, 64, 128, 256)
    assert (patches.patch, patches.size) == ((40, 56, 40), (56, 40))
    assert patches.network.strides == ((1, 1, 1), *[(2, 2, 2)] * 3)
    assert patches.network.channels == (16, 32, 64, 128)
    assert "half as wide, since an hour of a CPU holds few steps (--device)" in patches.reasons["network"]


def test_for_a_gpu_features_are_as_wide_as_nnunet_s_and_steps_are_ten_times_as_many():
    hippocampus = facts((36, 50, 35), (1, 1, 1), cases=260)
    on_cpu, on_gpu = (make_plan(hippocampus, patches=True, device=device) for device in ("cpu", "gpu"))
    nnunet = json.loads((Path(__file__).parents[2] / "docs/results/plans.json").read_text())["plans"]
    assert list(on_gpu.network.channels) == nnunet["Hippocampus (MSD 04)"]["nnunet"]["3d"]["channels"]
    assert "as nnU-Net's; deepest" in on_gpu.reasons["network"]
    assert on_gpu.patch == on_cpu.patch
    steps_of_an_epoch = 260 / on_gpu.batch_size
    assert on_gpu.epochs * steps_of_an_epoch == pytest.approx(25_000, rel=0.01)
    assert on_cpu.epochs * steps_of_an_epoch < 5_000


def test_where_memory_is_short_a_gpu_s_network_is_narrower_before_pixels_grow():
    plans = [make_plan(facts((138, 169, 138), (1,) * 3), memory, True, "gpu") for memory in (32.0, 3.0, 0.2)]
    assert [plan.network.channels[0] for plan in plans] == [32, 16, 8]
    assert [plan.spacing[0] == 1 for plan in plans] == [True, True, False]
    assert "half as wide, since more takes more memory" in plans[1].reasons["network"]


def test_plans_of_known_data_sets_are_those_in_the_documents_and_their_planes_nnunet_s():
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("plans", root / "scripts/plans.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = json.loads((root / "docs/results/plans.json").read_text())["plans"]
    assert written.keys() == script.DATA_SETS.keys()
    for name, plans in written.items():
        assert script.ours(name) == plans["ours"], f"{name}: run scripts/plans.py"
        ours, nnunet = plans["ours"]["2d"], plans["nnunet"]["2d"]
        assert (ours["patch"], ours["spacing"]) == (nnunet["patch"], nnunet["spacing"]), name


def test_memory_at_its_height_is_estimated_within_a_fifth_of_what_processes_took():
    rows = json.loads((Path(__file__).parents[2] / "docs/results/plans.json").read_text())["memory"]
    assert len(rows) >= 12
    for row in rows:
        topology = network_for(row["shape"], [1.0] * len(row["shape"]), row["small"], row["width"])
        assert topology.memory(row["samples"], 1, row["classes"]) == pytest.approx(row["gib"], rel=0.2)


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("memory", [0.5, 2.0, 8.0])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((103, 512, 512), (5, 0.7, 0.7)), ((20, 320, 256), (3.6, 0.625, 1.25)), ((138, 169, 138), (1,) * 3)],
)
def test_it_fits_and_keeps_the_shape_of_pixels(shape, spacing, memory, patches):
    plan = make_plan(facts(shape, spacing), memory, patches)
    assert plan.memory <= memory
    assert plan.spacing[1] / plan.spacing[0] == pytest.approx(spacing[2] / spacing[1], rel=1e-3)
    for side, step, length, old in zip(plan.size, plan.spacing, shape[1:], spacing[1:], strict=True):
        assert side * step >= length * old * 0.999  # shows the whole plane
    sample = plan.patch or plan.size
    for axis, side in enumerate(sample):
        assert side % math.prod(by[axis] for by in plan.network.strides) == 0
    if patches:
        assert plan.size[0] >= plan.patch[1]
        assert math.prod(plan.patch) >= 0.12 * shape[0] * math.prod(plan.size) * 0.9


def test_more_memory_means_finer_pixels_first_and_then_larger_batches():
    plans = [make_plan(facts((103, 512, 512), (5, 0.7, 0.7)), memory) for memory in (1, 2, 4, 8, 16, 32)]
    pixels = [plan.spacing[0] for plan in plans]
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[-1] == 0.7 < pixels[0]
    assert plans[0].batch_size < 16 < plans[-1].batch_size == 24


def test_the_cut_follows_the_scan():
    assert make_plan(facts((40, 256, 30), (1, 1, 4)), 2.0).axis == "sagittal"
    assert make_plan(facts((40, 30, 256), (1, 4, 1)), 2.0).size == (40, 256)
    assert make_plan(facts((40, 40, 40), (1, 1, 1)), 2.0).axis == "axial"
    assert make_plan(facts((9, 256, 216), None), 2.0).axis == "axial"


@pytest.mark.parametrize(
    ("spacing", "neighbours", "said"),
    [
        ((1, 1, 1), 3, "the next slice is 1 times as far as the next pixel, so those above and below are shown"),
        ((2.5, 4.6, 4.6), 3, "0.54 times as far"),
        ((3, 1, 1), 3, " 3 times as far"),
        ((3.1, 1, 1), 1, "3.1 times as far as the next pixel, so neighbours show other anatomy"),
        ((10, 1.56, 1.56), 1, "6.4 times as far"),
        (None, 1, "spacing is unknown"),
    ],
)
def test_slices_are_shown_with_their_neighbours_where_these_are_near(spacing, neighbours, said):
    """Up to three times as far apart as pixels: nnU-Net's bound of anisotropy."""
    plan = make_plan(facts((40, 64, 64), spacing), 2.0)
    assert plan.neighbours == neighbours
    assert said in plan.reasons["neighbours"]
    assert make_plan(facts((40, 64, 64), spacing), 2.0, patches=True).neighbours == 1
    alone = plan.network.memory(plan.batch_size, 1, 3)
    assert (plan.memory > alone) if neighbours > 1 else (plan.memory == alone)


def test_the_plane_ends_a_quarter_beyond_the_labels():
    plan = make_plan(facts((50, 400, 400), (3, 1, 1), reach=0.4), 8.0)
    assert plan.size == (224, 224)  # 200, in multiples of 32
    assert make_plan(facts((50, 100, 100), (3, 1, 1), reach=1.4), 8.0).size == (160, 160)  # where cases differ


@pytest.mark.parametrize(("cases", "most"), [(1, 0.15), (2, 0.07), (4, 0.03), (9, 0.015), (30, 0.01)])
def test_the_fewer_cases_the_more_of_the_plane_so_that_hardly_a_new_patient_s_labels_lie_outside(cases, most):
    """Labels that reach anywhere, with even chances: how often a new one reaches beyond the plane planned from some."""
    reaches = np.random.default_rng(0).uniform(size=(400, cases + 20))
    outside = []
    for known, new in zip(reaches[:, :cases], reaches[:, cases:], strict=True):
        plan = make_plan(facts((20, 1000, 1000), (1, 1, 1), cases=cases, reach=known.max()), memory=32.0)
        outside.append(np.mean(new > plan.size[0] / 1000))
    assert np.mean(outside) < most
    assert plan.size[0] < 1000 or known.max() > 0.25
    assert ("than from 10 cases" in plan.reasons["size"]) == (cases < 10)


def test_a_handful_of_slices_still_makes_ten_steps():
    plan = make_plan(facts((10, 64, 64), (5, 1, 1), cases=5), 2.0)
    assert plan.batch_size == 5
    assert plan.epochs == 500  # 5000 steps
    assert plan.views == "StrongAugmentation"


@pytest.mark.parametrize(("cases", "views"), [(3, "StrongAugmentation"), (200, "RandomAugmentation")])
def test_views_are_strong_where_slices_are_seen_often(cases, views):
    plan = make_plan(facts((100, 128, 128), (3, 1, 1), cases=cases), 8.0)
    assert (plan.views, plan.epochs >= 30) == (views, views == "StrongAugmentation")


@pytest.mark.parametrize(
    ("shape", "spacing", "classes"),
    [((64, 48), (1, 1), 3), ((128, 96), (1, 1), 14), ((16, 64, 64), (3, 1, 1), 5), ((32, 32, 32), (1, 1, 1), 3)],
)
@pytest.mark.parametrize("small", [False, True])
def test_memory_is_what_torch_keeps(shape, spacing, classes, small):
    """Within a tenth of all that autograd holds when the loss is known, and parameters to the last weight."""
    topology = network_for(shape, spacing, small)
    network = NetworkSpec(topology.architecture, topology.arguments).build(1, classes, len(shape))
    weights = [each for each in network.parameters() if each.ndim > 1]
    assert topology.parameters(1, classes) == sum(each.numel() for each in weights)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    image, label = torch.rand(2, 1, *topology.shape), torch.zeros(2, *topology.shape, dtype=torch.int32)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = network(image)
        scales = (found.logits, *found.coarser)
        loss = over_scales([cross_entropy(each, label).mean() + dice_loss(each, label) for each in scales])
    for each in network.parameters():
        kept.pop(each.untyped_storage().data_ptr(), None)
    measured = sum(storage.nbytes() for storage in kept.values()) + 16 * sum(each.numel() for each in weights)
    assert loss.requires_grad
    estimated = topology.memory(2, 1, classes) * 2**30
    fixed = 16 * topology.parameters(1, classes)
    assert (estimated - fixed) / topology.peak + fixed == pytest.approx(measured, rel=0.1)


def test_an_axis_that_cannot_be_halved_keeps_no_other_waiting():
    """As nnU-Net, whose spacings to compare are those of the axes that still can be."""
    assert halvings((1, 100, 86), (1, 1, 1)) == [(1, 2, 2)] * 4
    assert halvings((300, 20, 20), (3, 0.9, 0.9)) == [(1, 2, 2), (2, 2, 2), *[(2, 1, 1)] * 3]
    assert halvings((20, 300), (1, 1)) == [(2, 2), (2, 2), (1, 2), (1, 2), (1, 2)]
