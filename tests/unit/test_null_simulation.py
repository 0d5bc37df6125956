"""Studies of equal methods: they are drawn as they were estimated, and the committed simulation keeps its promises."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nulls():
    """The script that simulates."""
    spec = importlib.util.spec_from_file_location("null_simulation", ROOT / "scripts/null_simulation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def spread(nulls):
    """Two organs, correlated in every part, each part of another size."""
    together = np.array([[1.0, 0.5], [0.5, 1.0]])
    return nulls.Spreads(np.array([1.0, 0.0]), 0.25 * together, 0.04 * together, 0.09 * together, 0.16 * together)


def test_spreads_are_estimated_as_they_are_drawn(nulls, spread):
    rng = np.random.default_rng(0)
    found = [
        nulls.Spreads.of(logit(spread.draw(60, 5, rng)[0]).transpose(0, 2, 1, 3))  # methods, runs, patients, organs
        for _ in range(40)
    ]
    for name, true in spread._asdict().items():
        assert np.mean([getattr(each, name) for each in found], axis=0) == pytest.approx(true, abs=0.03), name


def test_of_a_single_run_the_truth_is_that_of_its_network(nulls, spread):
    dice, truth = spread.draw(50_000, 1, np.random.default_rng(0))
    assert dice.mean(axis=(1, 2)) == pytest.approx(truth, abs=0.005)
    assert np.ptp(truth, axis=0).min() > 0.01


def test_of_several_runs_it_is_that_of_all_networks(nulls, spread):
    rng = np.random.default_rng(0)
    means = [spread.draw(200, 3, rng)[0].mean(axis=(0, 1, 2)) for _ in range(100)]
    _, truth = spread.draw(2, 3, rng)
    assert np.mean(means, axis=0) == pytest.approx(truth[0], abs=0.01)
    assert np.ptp(truth, axis=0).max() == 0


def test_single_runs_get_no_verdict_though_their_p_is_small(nulls, spread):
    single = nulls.simulate(spread, 12, 1, 100, 0)
    assert single["any false verdict"] == 0
    assert single["p below 0.05"] > 0.2
    assert single["difference held"] > 0.88


def test_the_committed_simulation_keeps_what_is_promised(nulls):
    rows = json.loads((ROOT / "docs/results/null_simulation.json").read_text())["rows"]
    assert {(row["patients"], row["runs"]) for row in rows} == {(n, r) for n in nulls.PATIENTS for r in nulls.SEEDS}
    for row in rows:
        assert row["any false verdict"] <= (0 if row["runs"] == 1 else 0.06), row
        longest = 0.995 if row["patients"] == 6 else 0.985  # of six patients p falls in steps of 1/32
        for name in ("difference held", "difference held, an organ", "mean held"):
            assert 0.92 <= row[name] <= longest, (name, row)
