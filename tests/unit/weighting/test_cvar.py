"""CVaR DRO, against NumPy."""

import numpy as np
import pytest
import torch
from weighting_losses import DENSE, B, assert_agree, random_losses

from adawac.types import SampleLosses
from adawac.weighting import CVaRDRO


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.5, 1.0])
def test_against_numpy(alpha, dtype):
    rng = np.random.default_rng(0)
    for _ in range(50):
        losses = random_losses(rng, dtype)
        expected, budget = np.zeros(B), alpha * B
        for i in np.argsort(-losses.supervised.numpy()):
            expected[i] = min(budget, 1) / alpha
            budget = max(budget - 1, 0)
        assert_agree(CVaRDRO(alpha).step(losses).supervised, expected)


def test_the_loss_is_the_largest_that_weights_bounded_by_one_over_alpha_can_reach():
    rng = np.random.default_rng(1)
    losses, alpha = random_losses(rng, torch.float64), 0.3
    reached = (CVaRDRO(alpha).step(losses).supervised * losses.supervised).mean().item()
    # The dual form: the minimum over t of t + mean(max(ce - t, 0)) / alpha, attained at one of the losses.
    ce = losses.supervised.numpy()
    assert reached == pytest.approx(min(t + np.maximum(ce - t, 0).mean() / alpha for t in ce))


def test_alpha_of_one_is_erm():
    assert torch.equal(CVaRDRO(1.0).step(random_losses(np.random.default_rng(2))).supervised, torch.ones(B))


def test_equal_losses_share_the_boundary():
    ce = torch.tensor([0.5, 0.2, 0.5, 0.1])
    weights = CVaRDRO(alpha=0.25).step(SampleLosses(torch.arange(4), ce, None, DENSE[:4])).supervised
    assert weights.tolist() == [2, 0, 2, 0]


def test_non_finite_losses_rank_last():
    ce = torch.tensor([torch.inf, 0.2, torch.inf, 0.1])
    weights = CVaRDRO(alpha=0.25).step(SampleLosses(torch.arange(4), ce, None, DENSE[:4])).supervised
    assert weights.tolist() == [0, 4, 0, 0]
