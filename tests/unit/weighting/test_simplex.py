"""Reweight-only and pm-dro, against NumPy."""

import numpy as np
import pytest
import torch
from weighting_terms import DENSE, N, assert_agree, make, random_terms

from adawac.structures import Terms
from adawac.weighting import PMDRO, ReweightOnly

DTYPES = [torch.float32, torch.float64]
STEP, TEMPERATURE, CAP = 0.5, 0.3, 2.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize(
    ("weighting", "retention"),
    [
        (ReweightOnly(STEP, CAP), 1.0),
        (PMDRO(STEP, TEMPERATURE, CAP), 1 - STEP * TEMPERATURE),
    ],
)
def test_against_numpy(weighting, retention, official, dtype):
    rng = np.random.default_rng(0)
    weighting.official_scaling = official
    make(weighting, dtype)
    w, capped = np.ones(N), 0
    for _ in range(50):
        terms = random_terms(rng, dtype)
        index = terms.index.numpy()
        w[index] = w[index] ** retention * np.exp(STEP * terms.ce.numpy().astype(float))
        relative = np.minimum(N * w / w.sum(), CAP)
        capped += (relative == CAP).any()
        expected = w[index] / w[index].sum() if official else relative[index]
        assert_agree(weighting.step(terms).ce, expected)
        assert_agree(weighting.weights, relative)
    if retention == 1:
        assert capped  # or the cap was not under test


def test_equal_losses_of_all_samples_are_erm():
    weighting = make(ReweightOnly(step_size=2.0))
    for first in range(0, N, 8):
        index = torch.arange(first, first + 8)
        weights = weighting.step(Terms(index, torch.full((8,), 0.7), None, DENSE[index]))
    torch.testing.assert_close(weighting.weights, torch.ones(N))
    torch.testing.assert_close(weights.ce, torch.ones(8))


def test_official_scaling_is_a_batch_too_small():
    index = torch.arange(8)
    terms = Terms(index, torch.full((8,), 0.7), None, DENSE[index])
    weights = make(ReweightOnly(official_scaling=True)).step(terms)
    torch.testing.assert_close((weights.ce * terms.ce).mean(), terms.ce.mean() / 8)


def test_a_temperature_of_zero_is_reweight_only():
    rng = np.random.default_rng(1)
    cold, plain = make(PMDRO(temperature=0.0)), make(ReweightOnly())
    for _ in range(10):
        terms = random_terms(rng)
        assert torch.equal(cold.step(terms).ce, plain.step(terms).ce)


def test_a_non_finite_loss_leaves_its_sample_alone_but_weighted():
    weighting = make(PMDRO())
    index = torch.tensor([0, 1])
    weights = weighting.step(Terms(index, torch.tensor([torch.inf, 1.0]), None, DENSE[index]))
    assert weighting.log_weights[0] == 0
    assert weighting.log_weights[1] > 0
    assert weights.ce.isfinite().all()


def test_usable_without_a_table_of_units():
    weighting = ReweightOnly(num_samples=N)
    weighting.step(random_terms(np.random.default_rng(2)))
    assert weighting.weights.mean() == pytest.approx(1)
