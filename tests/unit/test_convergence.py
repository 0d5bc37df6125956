"""AdaWAC keeps its guarantee on a convex problem, and the check notices rules that do not."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime, lsq_linear, minimize

from adawac.types import SampleLosses, Weights
from adawac.weighting import AdaWAC, Weighting

SCRIPT = Path(__file__).parents[2] / "scripts" / "convergence.py"
spec = importlib.util.spec_from_file_location("convergence", SCRIPT)
convergence = importlib.util.module_from_spec(spec)
sys.modules["convergence"] = convergence
spec.loader.exec_module(convergence)

HORIZONS = (200, 1000, 5000)


class Flipped(AdaWAC):
    """Descends where it should climb: towards the smaller of the two losses."""

    def step(self, losses: SampleLosses) -> Weights:
        return super().step(losses._replace(supervised=losses.consistency, consistency=losses.supervised))


class Blind(AdaWAC):
    """Moves its weights by the cross-entropy alone."""

    def step(self, losses: SampleLosses) -> Weights:
        return super().step(losses._replace(consistency=losses.consistency * 0))


def uncalibrated(method: type[AdaWAC], step_size: float, samples: int) -> Weighting:
    return method(step_size, calibrate=False, max_log_odds=None, num_samples=samples).double()


WRONG_RULES = {
    "flipped": lambda step_size, samples: uncalibrated(Flipped, step_size, samples),
    "blind": lambda step_size, samples: uncalibrated(Blind, step_size, samples),
    "unscaled": lambda step_size, samples: uncalibrated(
        AdaWAC, step_size * convergence.BATCH_SIZE / samples, samples
    ),  # the gradient of L in beta without the factor n / B
}


@pytest.fixture(scope="module")
def rows():
    return convergence.measure(convergence.Problem.random(), HORIZONS, seeds=(0,))


def test_the_shipped_rule_keeps_the_guarantee(rows):
    assert convergence.fitted_line(rows)[0] <= -0.4
    for row in rows:
        assert 0 < max(row.gaps) <= row.bound
    assert convergence.guarantee_holds(rows)


@pytest.mark.slow
@pytest.mark.parametrize("rule", WRONG_RULES.values(), ids=WRONG_RULES.keys())
def test_a_wrong_rule_fails_the_same_check(rule):
    assert not convergence.guarantee_holds(convergence.measure(convergence.Problem.random(), HORIZONS, (0,), rule))


def test_a_gap_above_its_bound_fails_the_check(rows):
    last = rows[-1]
    above = convergence.Row(last.horizon, [*last.gaps, 1.01 * last.bound], last.bound)
    steep = [convergence.Row(row.horizon, [row.bound], row.bound) for row in rows[:-1]]
    assert not convergence.guarantee_holds([*steep, above])
    assert convergence.guarantee_holds([*steep, convergence.Row(last.horizon, last.gaps, last.bound)])


def saddle_point(problem):
    """Minimise the mean of max(ce, ac); where the two are equal, beta is what makes theta stationary."""
    d, n = problem.views.shape[-1], len(problem)
    result = minimize(
        lambda x: x[d:].mean(),
        np.r_[np.zeros(d), np.ones(n)],
        jac=lambda x: np.r_[np.zeros(d), np.ones(n) / n],
        constraints={"type": "ineq", "fun": lambda x: np.r_[tuple(x[d:] - loss for loss in problem.losses(x[:d]))]},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    theta = result.x[:d]
    ce, ac = problem.losses(theta)
    torn = np.abs(ce - ac) < 1e-6
    beta = np.where(ce > ac, 1.0, 0.0)
    beta[torn] = 0
    gradients = [problem.gradient(theta, one, -one) for one in np.eye(n)[torn]]
    beta[torn] = lsq_linear(np.stack(gradients, 1), -problem.gradient(theta, beta, 1 - beta), (0, 1), tol=1e-15).x
    return theta, beta, torn


def test_the_gap_is_zero_at_the_saddle_point_only():
    problem = convergence.Problem.random(samples=16, features=3)
    theta, beta, torn = saddle_point(problem)
    assert 0 < torn.sum() < 16  # the case that matters: some samples lie between the two losses
    assert {0.0, 1.0} <= set(beta)
    assert np.linalg.norm(theta) < problem.radius
    assert abs(convergence.duality_gap(problem, theta, beta)) < 1e-8
    rng = np.random.default_rng(0)
    for _ in range(20):
        elsewhere = problem.project(theta + rng.normal(scale=0.1, size=3))
        assert convergence.duality_gap(problem, elsewhere, beta) > 1e-6
        assert convergence.duality_gap(problem, theta, rng.random(16)) > 1e-6


@pytest.mark.parametrize("radius", [0.3, 2.0], ids=["at the border", "inside"])
def test_both_oracles_against_brute_force(radius):
    problem = convergence.Problem.random(samples=4, features=2, seed=2)
    problem = convergence.Problem(problem.views, problem.labels, radius, consistency=3.0)
    beta = np.array([0.9, 0.5, 0.6, 0.2])
    best = convergence.best_theta(problem, beta)
    assert (np.linalg.norm(best) > radius - 1e-9) == (radius == 0.3)
    axis = np.linspace(-radius, radius, 151)
    inside = [theta for theta in map(np.array, itertools.product(axis, axis)) if theta @ theta <= radius**2]
    least = min(problem.value(theta, beta, 1 - beta) for theta in inside)
    assert problem.value(best, beta, 1 - beta) - 1e-10 <= least
    assert least == pytest.approx(problem.value(best, beta, 1 - beta), abs=radius * 1e-2)
    theta = np.array([0.1, -0.2])
    most = max(
        problem.value(theta, corner, 1 - corner) for corner in map(np.array, itertools.product((0, 1), repeat=4))
    )
    expected = most - problem.value(best, beta, 1 - beta)
    assert convergence.duality_gap(problem, theta, beta) == pytest.approx(expected, abs=1e-12)


def test_an_unproven_minimum_is_an_error():
    problem = convergence.Problem.random()
    with pytest.raises(RuntimeError, match="not within 1e-10 of the optimum after 3 steps"):
        convergence.best_theta(problem, np.full(64, 0.5), max_steps=3)


def test_gradient_against_differences_and_the_constants_against_the_ball():
    problem = convergence.Problem.random(samples=12)
    difference, ce_bound, ac_bound = problem.extremes()
    rng = np.random.default_rng(1)
    one = np.eye(12)
    for _ in range(50):
        theta = rng.normal(size=5)
        theta *= problem.radius * rng.random() ** 0.2 / np.linalg.norm(theta)
        weights = rng.random((2, 12))
        numeric = approx_fprime(theta, lambda x, weights=weights: problem.value(x, *weights), 1e-7)
        np.testing.assert_allclose(problem.gradient(theta, *weights), numeric, atol=1e-6)
        ce, ac = problem.losses(theta)
        assert (np.abs(ce - ac) <= difference).all()
        for i in range(12):
            assert np.linalg.norm(12 * problem.gradient(theta, one[i], 0 * one[i])) <= ce_bound[i]
            assert np.linalg.norm(12 * problem.gradient(theta, 0 * one[i], one[i])) <= ac_bound[i]


def test_main_writes_numbers_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(convergence, "HORIZONS", (10, 20))
    monkeypatch.setattr(sys, "argv", ["convergence.py", "-o", str(tmp_path / "results" / "convergence")])
    assert convergence.main() == 1  # so short a range is no evidence
    results = json.loads((tmp_path / "results" / "convergence.json").read_text())
    assert [row["horizon"] for row in results["rows"]] == [10, 20]
    assert (tmp_path / "results" / "convergence.png").stat().st_size > 10_000
    assert "FAILS" in capsys.readouterr().out
