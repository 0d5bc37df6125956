"""Intervals against values worked out on paper, scipy, plain loops, and what must not change them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adawac.evaluation.intervals import ENUMERATED, mean_interval, paired_test

DICE = np.array([0.93, 0.91, 0.90, 0.94, 0.88, 0.92, 0.55, 0.93])[:, None]
OTHER = DICE - np.array([0.01, 0.03, -0.01, 0.02, 0.00, 0.05, 0.02, 0.01])[:, None]


def ends(interval):
    return interval.low.item(), interval.high.item()


class TestMean:
    def test_of_symmetric_values_it_is_the_t_interval(self):
        values = np.array([0.70, 0.75, 0.80, 0.85, 0.90])
        expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        assert ends(mean_interval(values[:, None])) == pytest.approx(expected, abs=1e-5)

    def test_of_values_with_a_tail_it_is_longer_towards_the_tail(self):
        interval = mean_interval(DICE)
        low, high = ends(interval)
        assert interval.estimate == pytest.approx(DICE.mean())
        assert interval.estimate - low > 3 * (high - interval.estimate) > 0
        mirrored = mean_interval(1 - DICE)  # and nothing prefers one side
        assert ends(mirrored) == pytest.approx((1 - high, 1 - low))

    def test_runs_and_cases_are_put_together_as_on_paper(self):
        # two cases in two runs:  0.8 0.9   mean 0.75; cases 0.85 0.65, s^2 = 0.02,  V_cases = 0.02 / 2  = 0.01
        #                         0.6 0.7              runs 0.7 0.8,    s^2 = 0.005, V_runs = 0.005 / 2 = 0.0025
        # no residual, V_both = 0. V = 0.0125; freedom of both 1, so 1. No skewness in two values.
        # t(0.975, 1) = 12.7062; 12.7062 * sqrt(0.0125) = 1.42060
        interval = mean_interval(np.array([[0.8, 0.9], [0.6, 0.7]]))
        assert ends(interval) == pytest.approx((0.75 - 1.42060, 0.75 + 1.42060), abs=1e-4)

    def test_freedom_lies_between_that_of_cases_and_of_runs(self):
        # 31 cases of one value each run, runs 0.1 apart: V_cases = 0, all is V_runs, freedom 1.
        runs_only = np.tile([0.7, 0.8], (31, 1))
        reach = stats.t.ppf(0.975, 1) * np.sqrt(0.005 / 2)
        assert ends(mean_interval(runs_only)) == pytest.approx((0.75 - reach, 0.75 + reach), abs=1e-4)

    def test_runs_that_agree_are_worth_one(self):
        once, thrice = mean_interval(DICE), mean_interval(np.repeat(DICE, 3, axis=1))
        assert once.estimate == pytest.approx(thrice.estimate)
        assert ends(once) == pytest.approx(ends(thrice))

    def test_a_lucky_run_makes_it_longer_whatever_the_number_of_cases(self):
        def width(cases):
            even = np.random.default_rng(0).normal(0.8, 0.05, (cases, 1))
            low, high = ends(mean_interval(even + np.array([0.0, 0.02, 0.04])))
            return high - low

        # three runs 0.02 apart: t(2) * 0.02 / sqrt(3) = 0.0497 to either side remain with any number of cases
        assert width(100_000) == pytest.approx(2 * 0.0497, rel=0.01)
        assert width(100) > 0.09

    def test_a_single_case_has_no_interval_and_equal_cases_one_of_no_length(self):
        one = mean_interval(np.array([[0.9, 0.8]]))
        assert one.estimate == pytest.approx(0.85)
        assert np.isnan(ends(one)).all()
        assert ends(mean_interval(np.full((5, 2), 0.5))) == (0.5, 0.5)

    def test_two_cases_have_a_long_one(self):
        low, high = ends(mean_interval(np.array([[0.8], [0.9]])))
        assert (low, high) == pytest.approx((0.85 - 12.7062 * 0.05, 0.85 + 12.7062 * 0.05), abs=1e-4)

    def test_many_problems_are_solved_at_once(self):
        both = mean_interval(np.stack([DICE, OTHER]))
        for i, values in enumerate((DICE, OTHER)):
            alone = mean_interval(values)
            assert (both.estimate[i], both.low[i], both.high[i]) == (alone.estimate, alone.low, alone.high)
        assert np.isnan(both.p).all()


def sign_flips(scores, weights, difference):
    """The exact p of a hypothesised difference, by a loop over all signs."""
    scores = [score - difference * weight for score, weight in zip(scores, weights, strict=True)]
    observed = sum(scores)
    sums = [float(np.dot(signs, scores)) for signs in product((1, -1), repeat=len(scores))]
    slack = 1e-9 * max(1.0, max(map(abs, scores)))
    above = sum(value >= observed - slack for value in sums) / len(sums)
    below = sum(value <= observed + slack for value in sums) / len(sums)
    return min(1.0, 2 * min(above, below))


def column(values):
    return np.array(values, dtype=np.float64)[:, None]


def of_scores(scores, weights=None):
    """Of a single run each, whose differences are these."""
    return paired_test(column(scores), np.zeros((len(scores), 1)), None if weights is None else np.array(weights))


tied = st.integers(-4, 4).map(lambda tenth: tenth / 10)
"""Zeros and ties, such as missed organs and small test sets make."""

seeds = st.lists(st.lists(st.one_of(tied, st.floats(-1, 1, width=32)), min_size=4, max_size=4), min_size=1, max_size=9)
"""Two runs of either method on up to nine patients."""


class TestOneRunEach:
    def test_five_of_twelve_that_differ_are_two_of_32_ways(self):
        found = of_scores([1] * 5 + [0] * 7)
        assert found.p == 0.0625
        assert (found.low, found.estimate, found.high) == (0, pytest.approx(5 / 12), pytest.approx(0.75))

    @given(st.lists(st.integers(-4, 4), min_size=2, max_size=9))  # of whole numbers it reads all ties as such
    def test_p_is_scipy_s(self, scores):
        expected = stats.permutation_test((scores,), np.mean, permutation_type="samples", n_resamples=np.inf, batch=99)
        assert of_scores(scores).p == pytest.approx(expected.pvalue)

    @given(st.lists(st.one_of(tied, st.floats(-1, 1, width=16)), min_size=1, max_size=7), st.data())
    def test_the_interval_holds_just_what_a_loop_does_not_reject(self, scores, data):
        weights = data.draw(st.lists(st.sampled_from([0.5, 1.0, 1.25]), min_size=len(scores), max_size=len(scores)))
        found = of_scores(scores, weights)
        assert found.p == sign_flips(scores, weights, 0)
        for difference in (found.low - 1e-3, found.low + 1e-6, found.estimate, found.high - 1e-6, found.high + 1e-3):
            if np.isfinite(difference) and (found.low + 1e-5 < found.high):
                held = found.low <= difference <= found.high
                assert held == (sign_flips(scores, weights, difference) >= 0.05), (difference, found)

    def test_more_patients_than_can_be_gone_through_are_drawn(self):
        scores = np.random.default_rng(3).normal(0.35, 1, ENUMERATED + 12)
        expected = stats.permutation_test(
            (scores,), np.mean, permutation_type="samples", n_resamples=200_000, rng=0, batch=1000
        ).pvalue
        assert of_scores(scores).p == pytest.approx(expected, abs=0.01)

    def test_of_many_normal_differences_it_is_nearly_t(self):
        scores = np.random.default_rng(0).normal(0.1, 1, 400)
        expected = stats.ttest_1samp(scores, 0).confidence_interval()
        found = of_scores(scores)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)

    @pytest.mark.parametrize("n", [1, 5])
    def test_fewer_than_six_patients_bound_nothing(self, n):
        found = of_scores([0.5] * n)
        assert (found.estimate, found.low, found.high, found.p) == (0.5, -np.inf, np.inf, 2.0 ** (1 - n))

    def test_no_patient_tells_nothing(self):
        assert np.isnan(paired_test(np.empty((0, 2)), np.empty((0, 1)))).all()

    def test_rounding_of_means_makes_no_difference(self):
        # 0.1 each, in floats 0.09999999999999998 or 0.10000000000000009: as good as tied
        base = np.arange(1, 13) / 10
        found = paired_test(column(base + 0.1), column(base))
        assert (found.low, found.high, found.p) == (pytest.approx(0.1), pytest.approx(0.1), 2 / 2**12)
        noise = paired_test(np.tile([0.1, 0.2, 0.3], (12, 1)), np.tile([0.3, 0.1, 0.2], (12, 1)))
        assert (noise.estimate, noise.p) == (0, 1)


class TestSeveralRuns:
    @given(seeds)
    def test_below_5_percent_the_interval_does_not_hold_0_and_only_then(self, values):
        first, second = np.hsplit(np.array(values), 2)
        found = paired_test(first, second)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
        assert found.low <= found.estimate <= found.high

    @given(seeds)
    def test_methods_swapped_change_the_sign_alone(self, values):
        first, second = np.hsplit(np.array(values), 2)
        forth, back = paired_test(first, second), paired_test(second, first)
        assert (forth.estimate, forth.low, forth.high) == (-back.estimate, -back.high, -back.low)
        assert forth.p == back.p

    @given(seeds, st.sampled_from([0.125, 4.0, 1024.0]))
    def test_another_unit_changes_no_p(self, values, scale):
        first, second = np.hsplit(np.array(values), 2)
        one, other = paired_test(first, second), paired_test(scale * first, scale * second)
        assert other.p == one.p  # units that floats hold exactly: others may part what is tied
        assert np.array_equal(scale * np.array(one[:3]), other[:3])

    def test_neither_does_the_order_of_patients(self):
        rng = np.random.default_rng(0)
        for n in (9, 30):
            first, second, weights = rng.normal(0, 1, (n, 3)), rng.normal(0, 1, (n, 2)), rng.uniform(0.5, 1.5, n)
            order = rng.permutation(n)
            one, other = paired_test(first, second, weights), paired_test(first[order], second[order], weights[order])
            assert np.allclose(one, other)

    @pytest.mark.parametrize(("n", "runs", "gain"), [(6, 3, 0.9), (9, 2, 0.9), (12, 3, 0.6), (30, 4, 0.3)])
    def test_p_and_ends_are_those_of_plain_draws(self, n, runs, gain):
        """Signs and the variation between runs drawn half a million times, by the formulas of the module."""
        rng = np.random.default_rng(n)
        first = gain + rng.normal(0, 0.5, (n, runs)) + rng.normal(0, 0.3, runs)
        second = rng.normal(0, 0.5, (n, runs)) + rng.normal(0, 0.3, runs)
        between = sum(np.var(x.mean(axis=0), ddof=1) for x in (first, second)) / runs
        two = [x - x.mean(axis=0) - x.mean(axis=1, keepdims=True) + x.mean() for x in (first, second)]
        within = sum((x**2).sum() for x in two) / ((runs - 1) * (n - 1)) / (n * runs)
        luck = np.sqrt(between - 0.75 * within) * rng.standard_t(2 * runs - 2, 500_000)
        scores, signs = (first - second).mean(axis=1), rng.choice([-1.0, 1.0], (500_000, n))

        def p(difference):
            drawn = signs @ (scores - difference) / n + luck
            return 2 * min(
                (drawn >= (scores - difference).mean()).mean(), (drawn <= (scores - difference).mean()).mean()
            )

        found = paired_test(first, second)
        assert found.p == pytest.approx(p(0), rel=0.05, abs=0.004 if n > 6 else 2 / 2**6)  # none turned counts in full
        if n > 6:
            assert [p(found.low), p(found.high)] == pytest.approx([0.05, 0.05], abs=0.005)

    def test_a_lucky_run_makes_it_longer_however_many_the_patients(self):
        def width(n):
            scores = np.random.default_rng(0).normal(0.05, 0.01, (n, 1))
            found = paired_test(scores + np.array([0.0, 0.02, 0.04]), np.zeros((n, 3)))
            return found.high - found.low

        # runs of one method 0.02 apart, of the other alike: 4 degrees of freedom, s^2 = 0.02^2 / 2, twice over 3 runs
        reach = stats.t.ppf(0.975, 4) * np.sqrt(0.02**2 / 2 * 2 / 3)
        assert width(2000) == pytest.approx(2 * reach, rel=0.02)
        assert width(12) > 2 * reach

    def test_runs_that_agree_are_worth_one(self):
        once, thrice = paired_test(DICE, OTHER), paired_test(np.repeat(DICE, 3, axis=1), np.repeat(OTHER, 3, axis=1))
        assert np.allclose(once, thrice)

    def test_ties_are_not_split_by_a_little_luck(self):
        first = column([1.0] * 5 + [0.0] * 7) + np.array([-1e-9, 1e-9])
        assert paired_test(first, np.zeros((12, 2))).p >= 0.0625
