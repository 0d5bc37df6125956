"""Every weighting against its formula in plain NumPy, and against the contract that all share."""

import copy

import numpy as np
import pytest
import torch
from weighting_losses import DENSE, METHODS, UNITS, B, N, make, random_losses

from adawac.errors import ConfigError
from adawac.types import SampleLosses
from adawac.weighting import (
    PMDRO,
    AdaWAC,
    CVaRDRO,
    GroupDRO,
    LastLosses,
    ReweightOnly,
    TrimRatio,
    TrimRatioACR,
    Weighting,
)

LARGEST = {
    "trim-train": B,
    "trim-train-acr": B / 2,
    "trim-ratio": B,
    "trim-ratio-acr": B / 2,
    "reweight-only": 10,
    "pm-dro": 10,
    "group-dro": B,
    "cvar-dro": B,
}
"""Bound on the weights of the supervised loss where it is not 1."""


@pytest.fixture(params=METHODS)
def name(request) -> str:
    return request.param


@pytest.fixture
def method(name) -> Weighting:
    return make(copy.deepcopy(METHODS[name]))


@pytest.fixture(scope="module")
def extremes() -> list[SampleLosses]:
    """500 batches of losses that are 0, tiny, huge or, now and then, not finite; half of them in float16."""
    rng = np.random.default_rng(5)
    values = np.array([0.0, 1e-8, 1e4, np.inf, np.nan, 1.0])
    draws = torch.from_numpy(rng.choice(values, (500, 2, B), p=[0.3, 0.2, 0.2, 0.01, 0.01, 0.28]))
    rows = torch.from_numpy(rng.permuted(np.tile(np.arange(N), (500, 1)), axis=1)[:, :B])
    dtypes = [torch.float32, torch.float16]
    return [
        SampleLosses(index, *draw.to(dtypes[step % 2]), DENSE[index])
        for step, (draw, index) in enumerate(zip(draws, rows, strict=True))
    ]


def test_paper_rule_is_the_two_column_mirror_descent():
    rng = np.random.default_rng(0)
    weighting = make(AdaWAC(step_size=1.5, calibrate=False), torch.float64)
    columns = np.full((N, 2), 0.5)
    for _ in range(50):
        losses = random_losses(rng, torch.float64)
        index = losses.index.numpy()
        columns[index] *= np.exp(1.5 * np.stack([losses.supervised.numpy(), losses.consistency.numpy()], 1))
        columns[index] /= columns[index].sum(1, keepdims=True)
        weights = weighting.step(losses)
        np.testing.assert_allclose(weights.supervised, columns[index, 0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(weights.consistency, columns[index, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_calibrated_rule_against_numpy(threshold):
    rng = np.random.default_rng(1)
    weighting = make(AdaWAC(step_size=0.3, consistency_ratio=0.6, threshold=threshold, mean_decay=0.95))
    z, sums, decay = np.zeros(N), np.zeros(3), 0.95
    offset = threshold - 0.6
    for _ in range(50):
        losses = random_losses(rng)
        ce, ac, index = losses.supervised.numpy(), losses.consistency.numpy(), losses.index.numpy()
        sums = decay * sums + (1 - decay) * np.array([ce.mean(), ac.mean(), 1.0])
        mean_ce, mean_ac = sums[0] / sums[2], sums[1] / sums[2]
        z[index] += 0.3 * (ce / mean_ce - 0.6 * ac / mean_ac - offset)
        beta = 1 / (1 + np.exp(-z[index]))
        weights = weighting.step(losses)
        np.testing.assert_allclose(weights.supervised, beta, rtol=1e-4)
        np.testing.assert_allclose(weights.consistency, (1 - beta) * 0.6 * mean_ce / mean_ac, rtol=1e-4)


def test_warm_up_prior_and_decay_against_numpy():
    rng = np.random.default_rng(3)
    weighting = make(AdaWAC(step_size=0.5, calibrate=False, prior=0.8, warm_up=0.5, decay=0.5).double())
    z, seen = np.full(N, np.log(4.0)), 0
    for _ in range(100):
        losses = random_losses(rng, torch.float64)
        index = losses.index.numpy()
        epochs = seen / N
        if epochs >= 0.5:
            z[index] += 0.5 / np.sqrt(1 + epochs) * (losses.supervised.numpy() - losses.consistency.numpy())
        seen += len(index)
        np.testing.assert_allclose(weighting.step(losses).supervised, 1 / (1 + np.exp(-z[index])), rtol=1e-6)
    assert seen > 2 * N


def test_calibrated_weights_do_not_depend_on_the_scale_of_either_loss():
    rng = np.random.default_rng(2)
    plain, scaled = make(AdaWAC()), make(AdaWAC())
    for _ in range(20):
        losses = random_losses(rng)
        plain.step(losses)
        scaled.step(losses._replace(supervised=losses.supervised * 1000, consistency=losses.consistency / 1000))
    torch.testing.assert_close(plain.log_odds, scaled.log_odds, rtol=1e-4, atol=1e-5)


def test_untouched_samples_keep_their_state(method):
    losses = random_losses(np.random.default_rng(4))
    before = {name: value.clone() for name, value in method.named_buffers()}
    method.step(losses)
    untouched = torch.ones(N, dtype=torch.bool)
    untouched[losses.index] = False
    for name, value in method.named_buffers():
        if value.shape == (N,):
            assert torch.equal(value[untouched], before[name][untouched])
            assert torch.equal(value, before[name]) != value.is_floating_point()


def test_weights_stay_finite_and_in_range_under_extreme_losses(name, method, extremes):
    weights = [method.step(losses) for losses in extremes]
    ce = torch.stack([batch.supervised for batch in weights])
    assert ce.dtype == torch.float32
    assert ce.isfinite().all()
    assert ((ce >= 0) & (ce <= LARGEST.get(name, 1))).all()
    assert method.uses_consistency == (weights[0].consistency is not None)
    if method.uses_consistency:
        consistency = torch.stack([batch.consistency for batch in weights])
        assert consistency.isfinite().all()
        assert (consistency >= 0).all()
    for _, buffer in method.named_buffers():
        assert buffer.isfinite().all()


def test_a_batch_without_a_finite_loss_leaves_the_state_alone(method):
    losses = random_losses(np.random.default_rng(11))
    method.step(losses)
    before = {name: value.clone() for name, value in method.named_buffers()}
    nothing = torch.full((B,), torch.nan)
    weights = method.step(losses._replace(supervised=nothing, consistency=nothing))
    assert weights.supervised.isfinite().all()
    for name, value in method.named_buffers():
        torch.testing.assert_close(value, before[name])


def test_a_non_finite_term_leaves_its_sample_alone():
    weighting = make(AdaWAC())
    index = torch.tensor([0, 1, 2])
    weighting.step(
        SampleLosses(index, torch.tensor([torch.inf, 1.0, 3.0]), torch.tensor([0.1, 0.1, 0.1]), DENSE[index])
    )
    assert weighting.log_odds[0] == 0
    assert weighting.log_odds[1] < 0 < weighting.log_odds[2]


def test_a_saturated_weight_comes_back():
    weighting = make(AdaWAC(step_size=1.0, calibrate=False))
    index, zero, large = torch.tensor([0]), torch.zeros(1), torch.full((1,), 1e4)
    weighting.step(SampleLosses(index, large, zero, DENSE[index]))
    assert weighting.weights[0] == 1
    weighting.step(SampleLosses(index, zero, torch.full((1,), 100.0), DENSE[index]))
    assert weighting.weights[0] < 1e-6


def test_no_gradient_passes_through_the_weights(method):
    losses = random_losses(np.random.default_rng(6))
    losses = losses._replace(
        supervised=losses.supervised.requires_grad_(), consistency=losses.consistency.requires_grad_()
    )
    weights = method.step(
        losses._replace(supervised=losses.supervised.detach(), consistency=losses.consistency.detach())
    )
    assert not weights.supervised.requires_grad


def test_permuting_the_batch_permutes_the_weights(method):
    other = copy.deepcopy(method)
    losses = random_losses(np.random.default_rng(7))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    weights = method.step(losses)
    permuted = other.step(
        SampleLosses(losses.index[order], losses.supervised[order], losses.consistency[order], losses.dense[order])
    )
    torch.testing.assert_close(permuted.supervised, weights.supervised[order])
    if weights.consistency is not None:
        torch.testing.assert_close(permuted.consistency, weights.consistency[order])


def test_state_survives_save_and_load(name, method):
    rng = np.random.default_rng(8)
    for _ in range(5):
        method.step(random_losses(rng))
    unsized, resumed = copy.deepcopy(METHODS[name]), make(copy.deepcopy(METHODS[name]))
    unsized.load_state_dict(method.state_dict())
    resumed.load_state_dict(method.state_dict())
    for name, value in method.named_buffers():
        assert torch.equal(dict(unsized.named_buffers())[name], value)
    losses = random_losses(rng)
    assert torch.equal(resumed.step(losses).supervised, method.step(losses).supervised)


def test_the_table_of_weights_has_a_row_a_sample(method):
    method.step(random_losses(np.random.default_rng(12)))
    if method.weights is not None:
        assert method.weights.shape == (len(UNITS),)
        assert method.weights.isfinite().all()


def test_a_sample_whose_loss_is_no_number_has_been_seen():
    table = LastLosses()
    table.allocate(2)
    infinite, nan = torch.tensor([torch.inf]), torch.tensor([torch.nan])
    table.record(SampleLosses(torch.tensor([1]), infinite, nan, torch.tensor([True])))
    assert table.supervised.isnan().tolist() == table.consistency.isnan().tolist() == [True, False]
    assert not table.supervised.isfinite().any()


def test_last_losses_survive_save_and_load():
    table = LastLosses()
    table.allocate(N)
    losses = random_losses(np.random.default_rng(9))
    table.record(losses)
    fresh = LastLosses()
    fresh.load_state_dict(table.state_dict())
    assert torch.equal(fresh.supervised[losses.index], losses.supervised)
    assert int(fresh.consistency.isnan().sum()) == N - 8


@pytest.mark.parametrize(
    ("method", "arguments", "remedy"),
    [
        (AdaWAC, {"step_size": 0.0}, "for no update use Pair"),
        (AdaWAC, {"consistency_ratio": 0.0}, "for none use Pair"),
        (AdaWAC, {"prior": 1.0}, "between 0 and 1"),
        (AdaWAC, {"warm_up": -1.0}, "at least 0"),
        (AdaWAC, {"mean_decay": 1.0}, "between 0 and 1"),
        (AdaWAC, {"max_log_odds": -1.0}, "or null for no bound"),
        (TrimRatio, {"ratio": 1.0}, "give a share from 0 to below 1, or null"),
        (TrimRatioACR, {"ratio": -0.1}, "TrimRatioACR: ratio is -0.1; give a share"),
        (ReweightOnly, {"step_size": 0.0}, "for no update use ERM"),
        (ReweightOnly, {"max_weight": 0.5}, "it must be at least 1"),
        (AdaWAC, {"step_size": float("nan")}, "AdaWAC: step_size is nan; it must be above 0"),
        (PMDRO, {"step_size": float("nan")}, "PMDRO: step_size is nan; it must be above 0"),
        (PMDRO, {"step_size": 2.0, "temperature": 0.5}, "lower one of them"),
        (GroupDRO, {"step_size": -1.0}, "it must be above 0"),
        (CVaRDRO, {"alpha": 0.0}, "1 is ERM"),
        (CVaRDRO, {"alpha": 1.5}, "1 is ERM"),
        (AdaWAC, {"num_samples": -3}, r"AdaWAC: num_samples is -3; give the number of training samples"),
        (ReweightOnly, {"num_samples": 10.5}, "ReweightOnly: num_samples is 10.5; give the number"),
        (PMDRO, {"num_samples": "10"}, "PMDRO: num_samples is '10'; give the number"),
    ],
)
def test_bad_settings_are_refused(method, arguments, remedy):
    with pytest.raises(ConfigError, match=remedy):
        method(**arguments)


def test_one_view_is_refused_where_consistency_is_needed(method):
    losses = random_losses(np.random.default_rng(10))._replace(consistency=None)
    if method.uses_consistency:
        with pytest.raises(ConfigError, match=f"{type(method).__name__} needs .* give each sample two views"):
            method.step(losses)
    else:
        assert method.step(losses).consistency is None
