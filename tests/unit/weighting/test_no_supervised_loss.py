"""Samples of which nothing is labelled: every method weighs the others as if they were not there."""

import copy

import numpy as np
import pytest
import torch
from weighting_losses import METHODS, UNITS, random_losses

from adawac.data.groups import Density, OrganPresent, PositionBins
from adawac.data.units import UnitTable
from adawac.runs.slice_weights import SliceWeights
from adawac.types import SampleLosses
from adawac.weighting import AdaWAC, LastLosses, TrimRatio, TrimTrainACR
from adawac.weighting.trimming import Trimming

IGNORED = np.isin(np.arange(len(UNITS)), [0, 1, 7, 20, 21, 22, 39])
KEPT = np.flatnonzero(~IGNORED)


def with_ignored():
    voxels = UNITS.voxels.copy()
    voxels[IGNORED] = 0
    return UnitTable(UNITS.cases, UNITS.case, UNITS.start, UNITS.size, UNITS.depth, voxels, UNITS.classes)


def without_labels(losses):
    ignored = torch.from_numpy(IGNORED)[losses.index]
    return losses._replace(supervised=losses.supervised.masked_fill(ignored, torch.nan), dense=losses.dense & ~ignored)


def the_others(losses):
    """The labelled samples of a batch, as rows of a table that holds no others."""
    known = ~losses.supervised.isnan()
    index = torch.from_numpy(np.searchsorted(KEPT, losses.index[known].numpy()))
    return SampleLosses(index, losses.supervised[known], losses.consistency[known], losses.dense[known]), known


def rows(values):
    """Those of the labelled samples, where a buffer has a row for each sample."""
    return values[KEPT] if values.shape == (len(UNITS),) else values


@pytest.mark.parametrize("name", METHODS)
def test_they_change_nothing_for_the_others(name):
    method, alone = copy.deepcopy(METHODS[name]).double(), copy.deepcopy(METHODS[name]).double()
    method.allocate(with_ignored())
    alone.allocate(UNITS.take(KEPT))
    rng, seen = np.random.default_rng(3), 0
    start = {key: value.clone() for key, value in method.named_buffers()}
    for _ in range(40):
        losses = without_labels(random_losses(rng, torch.float64, size=10))
        others, known = the_others(losses)
        weights, expected = method.step(losses), alone.step(others)
        torch.testing.assert_close(weights.supervised[known], expected.supervised)
        if expected.consistency is not None:  # of which there is one for all ten, so that its mean is over ten
            share = 10 / len(others.supervised) if isinstance(method, Trimming) else 1
            torch.testing.assert_close(weights.consistency[known], expected.consistency * share)
        seen += int((~known).sum())
    assert seen > 20
    buffers = dict(alone.named_buffers())
    for key, value in method.named_buffers():
        if key != "samples_seen":  # counts epochs
            torch.testing.assert_close(rows(value), buffers[key])
            if value.shape == (len(UNITS),):
                torch.testing.assert_close(value[IGNORED], start[key][IGNORED])


def test_adawac_leaves_them_their_prior_and_counts_them_for_its_warm_up():
    weighting = AdaWAC(prior=0.3, warm_up=1.0)
    weighting.allocate(with_ignored())
    rng = np.random.default_rng(0)
    for _ in range(4):
        weighting.step(without_labels(random_losses(rng, size=10)))
    assert weighting.samples_seen == 40
    weights = weighting.step(without_labels(random_losses(rng, size=40)))
    assert weighting.weights[IGNORED].tolist() == pytest.approx([0.3] * IGNORED.sum())
    assert (weighting.weights[KEPT] != weighting.weights[0]).all()  # an epoch later they move
    assert (weights.consistency > 0).all()


def test_a_whole_batch_of_them_gives_no_supervised_weight_that_is_no_number():
    for name, method in METHODS.items():
        method = copy.deepcopy(method)
        method.allocate(UNITS)
        losses = random_losses(np.random.default_rng(1))
        weights = method.step(losses._replace(supervised=torch.full_like(losses.supervised, torch.nan)))
        assert weights.supervised.isfinite().all(), name
        assert weights.consistency is None or weights.consistency.isfinite().all(), name


def test_they_are_in_no_group():
    units = with_ignored()
    for grouping in (Density(), PositionBins(2), OrganPresent("liver")):
        groups, alone = grouping(units), grouping(UNITS.take(KEPT))
        assert groups.names == alone.names
        assert groups.member[KEPT].tolist() == alone.member.tolist()
        assert set(groups.member[IGNORED].tolist()) == {-1}


def test_they_are_no_part_of_the_share_that_is_trimmed():
    method, alone = TrimRatio(), TrimRatio()
    method.allocate(with_ignored())
    alone.allocate(UNITS.take(KEPT))
    assert method.ratio == alone.ratio == pytest.approx((~UNITS.dense[KEPT]).mean())


def test_a_dense_sample_whose_views_show_nothing_labelled_is_not_kept():
    losses = SampleLosses(
        torch.arange(4), torch.tensor([torch.nan, 1.0, 2.0, 3.0]), torch.ones(4), torch.tensor([1, 1, 1, 0]) > 0
    )
    weights = TrimTrainACR().step(losses)
    assert weights.supervised.tolist() == [0, 0.75, 0.75, 0]  # the mean of three is half of the mean of the two kept
    assert weights.consistency.tolist() == [1, 1, 1, 0]  # so is the mean of four; the first has nothing but consistency


def test_they_keep_their_last_loss_and_stay_unseen_without_one():
    table = LastLosses()
    table.allocate(3)
    ones, nan = torch.ones(3), torch.tensor([torch.nan, torch.nan, 0.5])
    table.record(SampleLosses(torch.arange(3), torch.tensor([2.0, torch.nan, 3.0]), ones, ones > 0))
    table.record(SampleLosses(torch.arange(3), nan, ones, ones > 0))
    assert table.supervised[[0, 2]].tolist() == [2.0, 0.5]
    assert table.supervised[1].isnan()


def test_the_table_of_weights_leaves_them_out():
    units, weight = with_ignored(), np.linspace(0, 1, len(UNITS))
    table = SliceWeights.of_units(units, weight, weight**2)
    assert [f"{case}:{unit}" for case, unit in zip(table.case, table.unit, strict=True)] == UNITS.take(KEPT).keys()
    assert table.weight.tolist() == weight[KEPT].tolist()
    assert table.score.tolist() == (weight**2)[KEPT].tolist()
    drawn = np.arange(len(UNITS)) % 2 == 0
    few = SliceWeights.of_units(units, weight, weight**2, drawn)
    assert few.weight.tolist() == [value for value, seen in zip(weight[KEPT], drawn[KEPT], strict=True) if seen]
