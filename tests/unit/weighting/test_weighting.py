"""Every weighting against its formula in plain NumPy, and against the contract that all share."""

import copy

import numpy as np
import pytest
import torch

from adawac.errors import ConfigError
from adawac.structures import Terms
from adawac.weighting import ERM, AdaWAC, LastLosses, Pair, Weighting

N = 40
DENSE = torch.arange(N) % 3 != 0


def random_terms(rng: np.random.Generator, dtype=torch.float32, size: int = 8) -> Terms:
    index = rng.permutation(N)[:size]
    return Terms(
        index=torch.from_numpy(index),
        ce=torch.from_numpy(rng.exponential(0.5, size)).to(dtype),
        consistency=torch.from_numpy(rng.exponential(0.3, size)).to(dtype),
        dense=DENSE[index],
    )


def make(method: Weighting) -> Weighting:
    method.allocate(DENSE)
    return method


METHODS = [ERM(), Pair(), AdaWAC(), AdaWAC(step_size=2.0, calibrate=False), AdaWAC(max_log_odds=None)]
METHOD_NAMES = ["erm", "pair", "adawac", "adawac-paper", "adawac-unbounded"]


@pytest.fixture(params=METHODS, ids=METHOD_NAMES)
def method(request) -> Weighting:
    return make(copy.deepcopy(request.param))


def test_paper_rule_is_the_two_column_mirror_descent():
    rng = np.random.default_rng(0)
    weighting = make(AdaWAC(step_size=1.5, calibrate=False).double())
    columns = np.full((N, 2), 0.5)
    for _ in range(50):
        terms = random_terms(rng, torch.float64)
        index = terms.index.numpy()
        columns[index] *= np.exp(1.5 * np.stack([terms.ce.numpy(), terms.consistency.numpy()], 1))
        columns[index] /= columns[index].sum(1, keepdims=True)
        weights = weighting.step(terms)
        np.testing.assert_allclose(weights.ce, columns[index, 0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(weights.consistency, columns[index, 1], rtol=0, atol=1e-12)


def test_calibrated_rule_against_numpy():
    rng = np.random.default_rng(1)
    weighting = make(AdaWAC(step_size=0.3, consistency_ratio=0.6))
    z, sums, decay = np.zeros(N), np.zeros(3), 0.99
    for _ in range(50):
        terms = random_terms(rng)
        ce, ac, index = terms.ce.numpy(), terms.consistency.numpy(), terms.index.numpy()
        sums = decay * sums + (1 - decay) * np.array([ce.mean(), ac.mean(), 1.0])
        mean_ce, mean_ac = sums[0] / sums[2], sums[1] / sums[2]
        z[index] += 0.3 * (ce / mean_ce - 0.6 * ac / mean_ac)
        beta = 1 / (1 + np.exp(-z[index]))
        weights = weighting.step(terms)
        np.testing.assert_allclose(weights.ce, beta, rtol=1e-4)
        np.testing.assert_allclose(weights.consistency, (1 - beta) * 0.6 * mean_ce / mean_ac, rtol=1e-4)


def test_calibrated_weights_do_not_depend_on_the_scale_of_either_loss():
    rng = np.random.default_rng(2)
    plain, scaled = make(AdaWAC()), make(AdaWAC())
    for _ in range(20):
        terms = random_terms(rng)
        plain.step(terms)
        scaled.step(terms._replace(ce=terms.ce * 1000, consistency=terms.consistency / 1000))
    torch.testing.assert_close(plain.log_odds, scaled.log_odds, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("baseline", [ERM(), Pair()])
def test_a_weight_of_one_is_plain_training(baseline):
    terms = random_terms(np.random.default_rng(3))
    weights = baseline.step(terms)
    assert torch.equal((weights.ce * terms.ce).mean(), terms.ce.mean())
    assert weights.consistency is None


def test_untouched_samples_keep_their_state(method):
    terms = random_terms(np.random.default_rng(4))
    before = {name: value.clone() for name, value in method.named_buffers()}
    method.step(terms)
    untouched = torch.ones(N, dtype=torch.bool)
    untouched[terms.index] = False
    for name, value in method.named_buffers():
        if value.shape == (N,):
            assert torch.equal(value[untouched], before[name][untouched])
            assert not torch.equal(value, before[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_stay_finite_under_extreme_losses(method, dtype):
    rng = np.random.default_rng(5)
    extremes = np.array([0.0, 1e-8, 1e4, np.inf, np.nan, 1.0])
    for _ in range(2000):
        draw = torch.from_numpy(rng.choice(extremes, (2, 8), p=[0.3, 0.2, 0.2, 0.01, 0.01, 0.28])).to(dtype)
        index = torch.from_numpy(rng.permutation(N)[:8])
        weights = method.step(Terms(index, draw[0], draw[1], DENSE[index]))
        assert weights.ce.isfinite().all()
        assert ((weights.ce >= 0) & (weights.ce <= 1)).all()
        if weights.consistency is not None:
            assert weights.consistency.isfinite().all()
            assert (weights.consistency >= 0).all()
    for _, buffer in method.named_buffers():
        assert buffer.isfinite().all()


def test_a_non_finite_term_leaves_its_sample_alone():
    weighting = make(AdaWAC())
    index = torch.tensor([0, 1])
    weighting.step(Terms(index, torch.tensor([torch.inf, 1.0]), torch.tensor([0.1, 0.1]), DENSE[index]))
    assert weighting.log_odds[0] == 0
    assert weighting.log_odds[1] != 0


def test_a_saturated_weight_comes_back():
    weighting = make(AdaWAC(step_size=1.0, calibrate=False))
    index, zero, large = torch.tensor([0]), torch.zeros(1), torch.full((1,), 1e4)
    weighting.step(Terms(index, large, zero, DENSE[index]))
    assert weighting.weights[0] == 1
    weighting.step(Terms(index, zero, torch.full((1,), 100.0), DENSE[index]))
    assert weighting.weights[0] < 1e-6


def test_no_gradient_passes_through_the_weights(method):
    terms = random_terms(np.random.default_rng(6))
    terms = terms._replace(ce=terms.ce.requires_grad_(), consistency=terms.consistency.requires_grad_())
    weights = method.step(terms._replace(ce=terms.ce.detach(), consistency=terms.consistency.detach()))
    assert not weights.ce.requires_grad


def test_permuting_the_batch_permutes_the_weights(method):
    other = copy.deepcopy(method)
    terms = random_terms(np.random.default_rng(7))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    weights = method.step(terms)
    permuted = other.step(Terms(terms.index[order], terms.ce[order], terms.consistency[order], terms.dense[order]))
    torch.testing.assert_close(permuted.ce, weights.ce[order])
    if weights.consistency is not None:
        torch.testing.assert_close(permuted.consistency, weights.consistency[order])


def test_state_survives_save_and_load_into_an_unsized_module(method):
    rng = np.random.default_rng(8)
    for _ in range(5):
        method.step(random_terms(rng))
    fresh = type(method)()
    fresh.load_state_dict(method.state_dict())
    for name, value in method.named_buffers():
        assert torch.equal(dict(fresh.named_buffers())[name], value)


def test_last_losses_survive_save_and_load():
    table = LastLosses()
    table.allocate(N)
    terms = random_terms(np.random.default_rng(9))
    table.record(terms)
    fresh = LastLosses()
    fresh.load_state_dict(table.state_dict())
    assert torch.equal(fresh.ce[terms.index], terms.ce)
    assert int(fresh.consistency.isnan().sum()) == N - 8


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"step_size": 0.0}, "for no update use Pair"), ({"max_log_odds": -1.0}, "or null for no bound")],
)
def test_bad_settings_are_refused(arguments, remedy):
    with pytest.raises(ConfigError, match=remedy):
        AdaWAC(**arguments)


def test_one_view_is_refused():
    terms = random_terms(np.random.default_rng(10))._replace(consistency=None)
    with pytest.raises(ConfigError, match="give each sample two views"):
        make(AdaWAC()).step(terms)
