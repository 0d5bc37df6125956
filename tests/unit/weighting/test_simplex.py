"""Reweight-only and pm-dro, against NumPy."""

import numpy as np
import pytest
import torch
from weighting_losses import DENSE, N, assert_agree, make, random_losses

from adawac.types import SampleLosses
from adawac.weighting import PMDRO, ReweightOnly

DTYPES = [torch.float32, torch.float64]
STEP, TEMPERATURE, CAP = 0.5, 0.3, 2.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("weighting", "retention"),
    [
        (ReweightOnly(STEP, CAP), 1.0),
        (PMDRO(STEP, TEMPERATURE, CAP), 1 - STEP * TEMPERATURE),
    ],
)
def test_against_numpy(weighting, retention, dtype):
    rng = np.random.default_rng(0)
    make(weighting, dtype)
    w, capped = np.ones(N), 0
    for _ in range(50):
        losses = random_losses(rng, dtype)
        index = losses.index.numpy()
        w[index] = w[index] ** retention * np.exp(STEP * losses.supervised.numpy().astype(float))
        relative = np.minimum(N * w / w.sum(), CAP)
        capped += (relative == CAP).any()
        assert_agree(weighting.step(losses).supervised, relative[index])
        assert_agree(weighting.weights, relative)
    if retention == 1:
        assert capped  # or the cap was not under test


class Official:
    """The official code's weights, transcribed: a bare vector, float32 as there."""

    def __init__(self, step_size: float, temperature: float):
        self.step_size, self.temperature = step_size, temperature
        self.w = torch.full((N,), 0.5)

    def loss(self, index: torch.Tensor, ce: torch.Tensor) -> torch.Tensor:
        w = self.w[index]
        w = w ** (1 - self.step_size * self.temperature)
        w = w * torch.exp(self.step_size * ce)
        w = w / w.abs().sum()
        self.w[index] = w
        return (w * ce).mean()


@pytest.mark.parametrize("temperature", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("step_size", [0.01, 0.5, 2.0])
def test_official_scaling_is_the_official_code_step_by_step(step_size, temperature):
    rng, official = np.random.default_rng(0), Official(step_size, temperature)
    method = PMDRO(step_size, temperature, official_scaling=True)
    if temperature == 0:
        method = ReweightOnly(step_size, official_scaling=True)
    make(method)
    for step in range(60):
        losses = random_losses(rng, size=int(rng.integers(1, 9)))  # the last batch of an epoch is smaller
        expected = official.loss(losses.index, losses.supervised)
        loss = (method.step(losses).supervised * losses.supervised).mean()
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5, msg=f"step {step}")
        torch.testing.assert_close(method.weights, official.w, rtol=1e-5, atol=1e-5, msg=f"step {step}")
    assert (official.w == 0.5).sum() < N / 4  # or the start alone was compared


def test_official_scaling_survives_losses_that_overflow_the_official_code():
    rng, official = np.random.default_rng(0), Official(8.0, 0.0)
    method = make(ReweightOnly(8.0, official_scaling=True))
    for _ in range(5):
        losses = random_losses(rng)
        losses = losses._replace(supervised=losses.supervised * 40)
        official.loss(losses.index, losses.supervised)
        assert method.step(losses).supervised.sum() == pytest.approx(1)
    assert official.w.isnan().any()
    assert method.weights.isfinite().all()


def test_official_scaling_outside_of_fit_starts_where_fit_does():
    outside, fit = ReweightOnly(official_scaling=True, num_samples=N), make(ReweightOnly(official_scaling=True))
    assert torch.equal(outside.weights, fit.weights)
    torch.testing.assert_close(fit.weights, torch.full((N,), 0.5))


def test_equal_losses_of_all_samples_are_erm():
    weighting = make(ReweightOnly(step_size=2.0))
    for first in range(0, N, 8):
        index = torch.arange(first, first + 8)
        weights = weighting.step(SampleLosses(index, torch.full((8,), 0.7), None, DENSE[index]))
    torch.testing.assert_close(weighting.weights, torch.ones(N))
    torch.testing.assert_close(weights.supervised, torch.ones(8))


def test_official_scaling_is_a_batch_too_small():
    index = torch.arange(8)
    losses = SampleLosses(index, torch.full((8,), 0.7), None, DENSE[index])
    weights = make(ReweightOnly(official_scaling=True)).step(losses)
    torch.testing.assert_close((weights.supervised * losses.supervised).mean(), losses.supervised.mean() / 8)


def test_a_temperature_of_zero_is_reweight_only():
    rng = np.random.default_rng(1)
    cold, plain = make(PMDRO(temperature=0.0)), make(ReweightOnly())
    for _ in range(10):
        losses = random_losses(rng)
        assert torch.equal(cold.step(losses).supervised, plain.step(losses).supervised)


def test_a_non_finite_loss_adds_nothing_by_official_scaling():
    index, ce = torch.tensor([0, 1]), torch.tensor([torch.inf, 0.0])
    weights = make(ReweightOnly(official_scaling=True)).step(SampleLosses(index, ce, None, DENSE[index]))
    torch.testing.assert_close(weights.supervised, torch.tensor([0.5, 0.5]))


def test_a_non_finite_loss_leaves_its_sample_alone_but_weighted():
    weighting = make(PMDRO())
    index = torch.tensor([0, 1])
    weights = weighting.step(SampleLosses(index, torch.tensor([torch.inf, 1.0]), None, DENSE[index]))
    assert weighting.log_weights[0] == 0
    assert weighting.log_weights[1] > 0
    assert weights.supervised.isfinite().all()


def test_usable_without_a_table_of_units():
    weighting = ReweightOnly(num_samples=N)
    weighting.step(random_losses(np.random.default_rng(2)))
    assert weighting.weights.mean() == pytest.approx(1)


def test_a_sample_alone_has_a_weight_of_one():
    weighting = ReweightOnly(num_samples=1)
    losses = SampleLosses(torch.tensor([0]), torch.tensor([3.0]), None, DENSE[:1])
    assert weighting.step(losses).supervised.item() == pytest.approx(1)


def test_a_sample_without_a_label_has_no_share_of_a_batch_by_official_scaling():
    weighting = make(ReweightOnly(official_scaling=True))
    index, ce = torch.tensor([0, 1, 2]), torch.tensor([torch.nan, 0.0, 0.0])
    torch.testing.assert_close(
        weighting.step(SampleLosses(index, ce, None, DENSE[index])).supervised[1:], torch.tensor([0.5, 0.5])
    )
    assert weighting.weights[0] == 0.5  # as it started
