"""Intervals against values worked out on paper, scipy, and what must not change them."""

import numpy as np
import pytest
from scipy import stats

from adawac.evaluation.intervals import bootstrap_interval, difference_interval, mean_interval

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


class TestDifference:
    def test_of_one_run_each_it_is_the_paired_t_test(self):
        ours, theirs = difference_interval(DICE, OTHER), stats.ttest_rel(DICE[:, 0], OTHER[:, 0])
        expected = theirs.confidence_interval()
        assert ends(ours) == pytest.approx((expected.low, expected.high))
        assert ours.p == pytest.approx(theirs.pvalue)
        assert ours.estimate == pytest.approx(0.13 / 8)

    def test_unequal_runs_are_pooled_as_on_paper(self):
        # first:  0.8 0.9   second: 0 in its only run. Differences of the case means 0.85, 0.65: V_cases = 0.01.
        #         0.6 0.7   Runs: sum of squares 2 * 0.05^2 = 0.005, one degree of freedom, and the mean of a method
        # varies by s^2 / R: (1/2 + 1/1) * 0.005 = 0.0075. V = 0.0175, freedom 1.
        first, second = np.array([[0.8, 0.9], [0.6, 0.7]]), np.zeros((2, 1))
        reach = stats.t.ppf(0.975, 1) * np.sqrt(0.0175)
        assert ends(difference_interval(first, second)) == pytest.approx((0.75 - reach, 0.75 + reach))

    def test_turned_round_it_changes_its_sign_alone(self):
        forth, back = difference_interval(DICE, OTHER), difference_interval(OTHER, DICE)
        assert ends(forth) == pytest.approx(tuple(-end for end in ends(back))[::-1])
        assert forth.p == back.p

    def test_equal_methods_differ_by_0_with_p_1(self):
        interval = difference_interval(DICE, DICE)
        assert (interval.estimate, *ends(interval), interval.p) == (0, 0, 0, 1)

    def test_a_single_case_tells_nothing(self):
        interval = difference_interval(DICE[:1], OTHER[:1])
        assert interval.estimate == pytest.approx(0.01)
        assert np.isnan([*ends(interval), interval.p]).all()

    def test_below_5_percent_zero_lies_outside(self):
        rng = np.random.default_rng(0)
        first = rng.normal(0, 1, (2000, 12, 3)) + rng.normal(0, 0.5, (2000, 1, 3))
        interval = difference_interval(first, rng.normal(0, 1, (2000, 12, 2)))
        outside = (interval.low > 0) | (interval.high < 0)
        assert outside[interval.p < 0.05].all()
        assert (interval.p < 0.05).any()


class TestBootstrap:
    def test_one_run_is_scipy_s_bca(self):
        ours = bootstrap_interval(DICE, resamples=999, seed=5)
        expected = stats.bootstrap((DICE[:, 0],), np.mean, n_resamples=999, method="BCa", rng=5).confidence_interval
        assert ends(ours) == pytest.approx((expected.low, expected.high))

    def test_several_runs_are_resampled_too(self):
        apart = DICE + np.array([0.0, 0.1, 0.2])
        low, high = ends(bootstrap_interval(apart, resamples=999))
        one_low, one_high = ends(bootstrap_interval(apart.mean(axis=1, keepdims=True), resamples=999))
        assert high - low > 1.2 * (one_high - one_low)

    @pytest.mark.parametrize("runs", [1, 3])
    def test_it_repeats_and_differences_turn_round(self, runs):
        first, second = (np.repeat(values, runs, axis=1) for values in (DICE, OTHER))
        forth = bootstrap_interval(first, second, resamples=999)
        assert ends(forth) == ends(bootstrap_interval(first, second, resamples=999))
        assert forth.estimate == pytest.approx(0.13 / 8)
        assert forth.low < forth.estimate < forth.high

    def test_one_case_and_equal_cases(self):
        assert np.isnan(ends(bootstrap_interval(DICE[:1]))).all()
        assert ends(bootstrap_interval(np.full((4, 1), 0.5))) == (0.5, 0.5)
