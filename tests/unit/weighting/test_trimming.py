"""Trimming by label and by loss, against NumPy."""

import numpy as np
import pytest
import torch
from weighting_losses import DENSE, UNITS, B, assert_agree, make, random_losses

from adawac.errors import ConfigError
from adawac.types import SampleLosses
from adawac.weighting import TrimRatio, TrimRatioACR, TrimTrain, TrimTrainACR

DTYPES = [torch.float32, torch.float64]
SPARSE_SHARE = 1 - DENSE.float().mean().item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", [TrimTrain, TrimTrainACR, TrimRatio, TrimRatioACR])
def test_against_numpy(method, dtype):
    rng = np.random.default_rng(0)
    weighting = make(method())
    for _ in range(50):
        losses = random_losses(rng, dtype)
        ce = losses.supervised.numpy()
        by_label = method in (TrimTrain, TrimTrainACR)
        kept = losses.dense.numpy() if by_label else ce > np.quantile(ce, SPARSE_SHARE)
        weight = kept * B / kept.sum()
        weights = weighting.step(losses)
        if method in (TrimTrain, TrimRatio):
            assert_agree(weights.supervised, weight)
            assert weights.consistency is None
        else:
            assert_agree(weights.supervised, weight / 2)
            assert_agree(weights.consistency, weight / 2)


@pytest.mark.parametrize("method", [TrimTrain(), TrimRatio(ratio=0.5)])
def test_the_loss_is_the_mean_over_what_is_kept(method):
    losses = random_losses(np.random.default_rng(1))
    kept = method.kept(losses)
    assert 0 < kept.sum() < B
    torch.testing.assert_close(
        (method.step(losses).supervised * losses.supervised).mean(), losses.supervised[kept].mean()
    )


def test_a_batch_without_a_label_dense_sample_counts_nothing():
    losses = random_losses(np.random.default_rng(2))._replace(dense=torch.zeros(B, dtype=torch.bool))
    assert torch.equal(TrimTrain().step(losses).supervised, torch.zeros(B))


def test_losses_at_the_threshold_are_dropped():
    losses = random_losses(np.random.default_rng(3))._replace(supervised=torch.ones(B))
    assert torch.equal(TrimRatio(ratio=0.5).step(losses).supervised, torch.zeros(B))


def test_a_non_finite_loss_is_dropped_and_does_not_move_the_threshold():
    ce = torch.tensor([torch.inf, 0.1, 0.2, torch.inf, 0.3])
    weights = TrimRatio(ratio=0.5).step(SampleLosses(torch.arange(5), ce, None, DENSE[:5]))
    assert weights.supervised.tolist() == [0, 0, 0, 0, 5]


def test_default_ratio_is_the_share_of_label_sparse_samples():
    again = make(TrimRatio())
    assert again.ratio == pytest.approx(SPARSE_SHARE)
    again.allocate(UNITS.take(np.flatnonzero(UNITS.dense)))
    assert again.ratio == 0  # of the training set at hand, not of the first
    assert make(TrimRatio(ratio=0.1)).ratio == 0.1
    with pytest.raises(ConfigError, match="call it or give ratio"):
        TrimRatio().step(random_losses(np.random.default_rng(4)))
