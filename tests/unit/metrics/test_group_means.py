import math

import numpy as np
import pytest
from torch import tensor
from torchmetrics.functional.classification import binary_auroc

from adawac.metrics import separation_auroc
from adawac.metrics.group_means import group_means, mean_ratio


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    dense = rng.random(60) < 0.4
    scores = rng.integers(0, 8, 60) + 2.0 * dense  # many ties
    pairs = [(d > s) + 0.5 * (d == s) for d in scores[dense] for s in scores[~dense]]
    assert separation_auroc(scores, dense) == pytest.approx(np.mean(pairs))


def test_auroc_agrees_with_torchmetrics_where_a_sigmoid_does_no_harm():
    rng = np.random.default_rng(1)
    dense = rng.random(200) < 0.5
    scores = rng.normal(dense.astype(float))
    expected = binary_auroc(tensor(scores).sigmoid(), tensor(dense).int())
    assert separation_auroc(scores, dense) == pytest.approx(expected.item(), abs=1e-6)


def test_auroc_orders_log_odds_that_all_have_weight_one():
    scores, dense = np.array([45.0, 40.0, 30.0, 25.0], np.float32), np.array([True, True, False, False])
    assert separation_auroc(scores, dense) == 1.0
    assert separation_auroc(-scores, dense) == 0.0


def test_auroc_before_any_step_is_a_half_and_without_a_group_undefined():
    assert separation_auroc(np.zeros(4), np.array([True, False, False, True])) == 0.5
    assert math.isnan(separation_auroc(np.zeros(4), np.ones(4, bool)))


def test_means_leave_out_unseen_samples_and_empty_groups_are_nan():
    means = group_means(np.array([1.0, np.nan, 2.0]), np.ones(3, bool))
    assert means.dense == 1.5
    assert math.isnan(means.sparse)


@pytest.mark.parametrize("below", [[np.nan, np.nan], [0.0, 0.0]])
def test_ratio_to_nothing_is_nan(below):
    assert math.isnan(mean_ratio(np.ones(2), np.array(below)))
