"""What may be said: estimates, comparisons and ranks, worked out on paper or by scipy, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from adawac.errors import ConfigError, DataError
from adawac.evaluation import MEAN_OF_CLASSES, CaseRow, compare, estimate, rank_methods
from adawac.evaluation.statistics import critical_difference, holm, paired_test

ERM = [0.91, 0.87, 0.94, 0.62, 0.81, 0.85, 0.79, 0.90]
GAINS = [0.020, 0.031, 0.012, 0.043, 0.025, 0.036, 0.017, 0.028]


def rows(values, run="0", name="liver", metric="dice", patients=None):
    """A row a case: ct0, ct1, ..."""
    return [
        CaseRow(run, "m", f"ct{i}", patients[i] if patients else f"ct{i}", name, "all", metric, float(value), "skip")
        for i, value in enumerate(values)
    ]


def added(values, gains):
    return [value + gain for value, gain in zip(values, gains, strict=True)]


def against(method, reference, metric="dice"):
    """The comparison of the mean of classes, and of each class by name."""
    found = compare({"erm": reference, "new": method}, "erm", metric)
    return {each.class_name: each for each in found}


class TestEstimate:
    def test_mean_of_classes_first_then_each_class(self):
        # liver 0.8 0.6, spleen 0.4 0.4: of the cases (0.8 + 0.4) / 2 = 0.6 and 0.5
        mean, liver, spleen = estimate(rows([0.8, 0.6]) + rows([0.4, 0.4], name="spleen"))
        assert (mean.class_name, liver.class_name, spleen.class_name) == (MEAN_OF_CLASSES, "liver", "spleen")
        assert (mean.mean, liver.mean, spleen.mean) == pytest.approx((0.55, 0.7, 0.4))
        # two values 0.6 and 0.5: t(0.975, 1) * 0.05
        assert (mean.low, mean.high) == pytest.approx((0.55 - 12.7062 * 0.05, 0.55 + 12.7062 * 0.05), abs=1e-4)
        assert (spleen.low, spleen.high) == (0.4, 0.4)
        assert (mean.n, mean.runs, mean.left_out) == (2, 1, ())

    def test_no_case_one_case_and_those_without_a_value(self):
        _, liver, spleen = estimate(rows([0.8, math.nan]) + rows([math.nan] * 2, name="spleen"))
        assert (liver.mean, liver.n, liver.left_out) == (0.8, 1, ("ct1",))
        assert (spleen.n, spleen.left_out) == (0, ("ct0", "ct1"))
        assert np.isnan([liver.low, liver.high, spleen.mean, spleen.low, spleen.high]).all()

    def test_runs_are_averaged_and_their_spread_counts(self):
        apart = rows([0.8, 0.6, 0.7], "1") + rows([0.9, 0.7, 0.8], "2")
        alike = rows([0.85, 0.65, 0.75], "1") + rows([0.85, 0.65, 0.75], "2")
        (_, one), (_, two) = estimate(apart), estimate(alike)
        assert (one.mean, one.runs) == (pytest.approx(0.75), 2)
        assert (two.mean, two.runs) == (pytest.approx(0.75), 2)
        assert one.high - one.low > two.high - two.low

    def test_two_cases_of_a_patient_are_one_value(self):
        _, liver = estimate(rows([0.5, 0.7, 0.9], patients=["p", "p", "q"]))
        assert (liver.mean, liver.n) == (pytest.approx(0.75), 2)  # (0.6 + 0.9) / 2


class TestCompare:
    def test_numbers_are_those_of_scipy(self):
        liver = against(rows(added(ERM, GAINS)), rows(ERM))["liver"]
        theirs = stats.ttest_rel(added(ERM, GAINS), ERM)
        assert (liver.low, liver.high) == pytest.approx(tuple(theirs.confidence_interval()))
        assert liver.p_mean == pytest.approx(theirs.pvalue)
        assert liver.p_rank == pytest.approx(stats.wilcoxon(GAINS).pvalue)  # 2 / 2^8
        assert liver.p_holm == max(liver.p_mean, liver.p_rank)
        assert (liver.difference, liver.n, liver.runs) == (pytest.approx(np.mean(GAINS)), 8, (1, 1))
        assert liver.verdict == "better"

    def test_the_verdict_follows_the_direction_of_the_metric(self):
        more, fewer = rows(added(ERM, GAINS)), rows(ERM)
        assert against(fewer, more)["liver"].verdict == "worse"
        distances = [row._replace(metric="hd95_mm") for row in more], [row._replace(metric="hd95_mm") for row in fewer]
        assert against(*distances, "hd95_mm")["liver"].verdict == "worse"
        assert against(*reversed(distances), "hd95_mm")["liver"].verdict == "better"

    def test_equal_methods_are_not_told_apart(self):
        liver = against(rows(ERM), rows(ERM))["liver"]
        assert (liver.difference, liver.p_holm, liver.verdict) == (0, 1, "not told apart")

    def test_one_extreme_case_does_not_decide(self):
        # seven cases a little worse, one far better: the mean rises, the signed ranks do not
        gains = [-0.010, -0.011, -0.012, -0.013, -0.014, -0.015, -0.016, 0.35]
        liver = against(rows(added(ERM, gains)), rows(ERM))["liver"]
        assert liver.difference > 0
        assert (liver.p_holm, liver.verdict) == (1, "not told apart")  # mean and ranks point in opposite directions

    def test_fewer_than_six_patients_are_never_told_apart(self):
        five, six = (against(rows([0.5 + 0.1 * i / 9 for i in range(n)]), rows([0.1] * n))["liver"] for n in (5, 6))
        assert five.p_mean < 0.001
        assert five.p_rank == pytest.approx(2 / 2**5)
        assert (five.verdict, six.verdict) == ("not told apart", "better")

    def test_nor_are_five_with_equal_differences(self):
        # the normal approximation, which ties take, says 0.037; of 2^5 signs two are so extreme
        five = against(rows([value + 0.1 for value in ERM[:5]]), rows(ERM[:5]))["liver"]
        assert (five.p_rank, five.verdict) == (2 / 2**5, "not told apart")

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_few_cases_make_no_verdict_and_no_noise(self, n):
        values = [0.9, 0.8][:n] + [math.nan] * (3 - n)
        liver = against(rows([0.7, 0.5, 0.6]), rows(values))["liver"]
        assert (liver.n, len(liver.left_out), liver.verdict) == (n, 3 - n, "not told apart")
        assert math.isnan(liver.difference) is (n == 0)
        assert math.isnan(liver.low) is (n < 2)

    def test_a_case_without_a_value_in_one_run_is_left_out_of_both_methods(self):
        two_runs = rows(added(ERM, GAINS), "1") + rows([math.nan, *added(ERM, GAINS)[1:]], "2")
        liver = against(two_runs, rows(ERM))["liver"]
        assert (liver.n, liver.runs, liver.left_out) == (7, (2, 1), ("ct0",))
        assert liver.difference == pytest.approx(np.mean(GAINS[1:]))

    def test_a_lucky_run_makes_the_interval_longer(self):
        alike = rows(added(ERM, GAINS), "1") + rows(added(ERM, GAINS), "2")
        apart = rows([v - 0.02 for v in added(ERM, GAINS)], "1") + rows([v + 0.02 for v in added(ERM, GAINS)], "2")
        one, two = (against(method, rows(ERM))["liver"] for method in (alike, apart))
        assert one.difference == pytest.approx(two.difference)
        assert two.high - two.low > 3 * (one.high - one.low)
        assert (one.verdict, two.verdict) == ("better", "not told apart")

    def test_classes_are_corrected_and_their_mean_stands_alone(self):
        organs = ("liver", "spleen", "aorta")
        reference = [row for name in organs for row in rows(ERM, name=name)]
        method = [row for name in organs for row in rows(added(ERM, GAINS), name=name)]
        found = against(method, reference)
        alone = against(rows(added(ERM, GAINS)), rows(ERM))["liver"].p_holm
        assert found[MEAN_OF_CLASSES].p_holm == pytest.approx(alone)
        assert [found[name].p_holm for name in organs] == pytest.approx([3 * alone] * 3)

    def test_rounding_of_means_breaks_no_ties(self):
        # 0.1 each, in floats 0.09999999999999998 or 0.10000000000000009: eight tied ranks, all of one sign
        reference = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
        liver = against(rows([value + 0.1 for value in reference]), rows(reference))["liver"]
        tied = stats.wilcoxon([0.1] * 8, correction=True, method="approx").pvalue
        assert liver.p_rank == pytest.approx(tied)

    def test_errors(self):
        with pytest.raises(ConfigError, match="reference 'pair' is no method here; choose one of erm, new"):
            compare({"erm": rows(ERM), "new": rows(ERM)}, "pair")
        with pytest.raises(ConfigError, match=r"'volume_error': neither more nor less .*choose one with a direction"):
            compare({"erm": rows(ERM), "new": rows(ERM)}, "erm", "volume_error")
        with pytest.raises(
            DataError, match=r"new, run '0', case ct1: all/hd95_mm/liver is infinite, .*; write the diagonal"
        ):
            compare(
                {"erm": rows([1, 2], metric="hd95_mm"), "new": rows([1, math.inf], metric="hd95_mm")}, "erm", "hd95_mm"
            )
        with pytest.raises(DataError, match=r"new, run '0' lacks ct7, .*evaluate all methods on the same cases"):
            compare({"erm": rows(ERM), "new": rows(ERM[:7])}, "erm")


class TestPairedTest:
    def test_zeros_and_ties_are_those_of_scipy(self):
        differences = np.array([0.0, 0.1, 0.1, -0.1, 0.2, 0.3, 0.3, 0.4])[:, None]
        expected = stats.wilcoxon(differences[:, 0], correction=True, method="approx").pvalue
        assert paired_test(differences, np.zeros_like(differences)).p_rank == pytest.approx(expected)

    def test_more_than_fifty_cases_are_approximated(self):
        differences = np.random.default_rng(0).normal(0.1, 1, (60, 1))
        expected = stats.wilcoxon(differences[:, 0], method="approx").pvalue
        assert paired_test(differences, np.zeros((60, 1))).p_rank == pytest.approx(expected)

    def test_many_problems_at_once_are_each_as_alone(self):
        rng = np.random.default_rng(0)
        first = rng.normal(0, 1, (6, 9, 1)).round(1)  # some of them tied, some not
        second = rng.normal(0, 1, (6, 9, 1)).round(1)
        second[0] = first[0]
        together = paired_test(first, second)
        for i in range(6):
            alone = paired_test(first[i], second[i])
            assert (together.p_rank[i], together.p[i]) == (alone.p_rank, alone.p)
        assert together.p[0] == 1

    def test_without_cases_there_is_nothing(self):
        nothing = paired_test(np.empty((0, 2)), np.empty((0, 1)))
        assert np.isnan([nothing.p, nothing.p_rank, nothing.interval.estimate]).all()


class TestHolm:
    def test_steps_worked_out_on_paper(self):
        # sorted 0.01 0.02 0.04: 3 * 0.01 = 0.03; 2 * 0.02 = 0.04; 1 * 0.04
        assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
        # 4 * 0.001; 3 * 0.02 = 0.06; 2 * 0.03 is not below it; 0.5
        assert holm([0.5, 0.001, 0.03, 0.02]) == pytest.approx([0.5, 0.004, 0.06, 0.06])

    def test_nothing_exceeds_1_and_nan_does_not_count(self):
        assert holm([0.6, 0.7]) == [1, 1]
        assert holm([0.02, math.nan]) == pytest.approx([0.02, math.nan], nan_ok=True)
        assert holm([]) == []


class TestRanks:
    def test_ranks_are_worked_out_on_paper(self):
        #         one 1   two 2   three 3        ranks
        #   ct0   0.9     0.8     0.7            1    2    3
        #   ct1   0.9     0.9     0.7            1.5  1.5  3     a tie
        #   ct2   0.6     0.8     0.7            3    1    2
        #   ct3   0.9     0.8     0.7            1    2    3
        # sums 6.5, 6.5, 11 of 4 cases
        tables = {
            "three": rows([0.7, 0.7, 0.7, 0.7]),
            "one": rows([0.9, 0.9, 0.6, 0.9]),
            "two": rows([0.8, 0.9, 0.8, 0.8]),
        }
        ranking = rank_methods(tables)
        assert dict(ranking.ranks) == {"one": 1.625, "two": 1.625, "three": 2.75}
        assert list(ranking.ranks)[-1] == "three"  # best first
        expected = stats.friedmanchisquare([0.9, 0.9, 0.6, 0.9], [0.8, 0.9, 0.8, 0.8], [0.7] * 4).pvalue
        assert ranking.p == pytest.approx(expected)
        assert (ranking.n, ranking.left_out) == (4, ())

    def test_of_distances_the_shortest_ranks_first(self):
        tables = {name: rows([value] * 3, metric="hd95_mm") for name, value in (("a", 3), ("b", 1), ("c", 2))}
        assert dict(rank_methods(tables, "hd95_mm").ranks) == {"b": 1, "c": 2, "a": 3}

    def test_equal_methods_share_the_middle_rank(self):
        ranking = rank_methods({name: rows(ERM) for name in "abc"})
        assert set(ranking.ranks.values()) == {2}
        assert ranking.p == 1

    def test_cases_without_a_value_are_left_out(self):
        ranking = rank_methods({"a": rows([0.9, math.nan, 0.8]), "b": rows([0.8, 0.9, 0.7]), "c": rows([0.7] * 3)})
        assert (ranking.n, ranking.left_out) == (2, ("ct1",))

    def test_critical_differences_are_demsar_s(self):
        # Demšar (2006), table 5: q of 2, 3, 4, 5 and 10 methods at 0.05
        for methods, q in {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 10: 3.164}.items():
            n = 30
            assert critical_difference(methods, n) == pytest.approx(
                q * math.sqrt(methods * (methods + 1) / (6 * n)), abs=2e-3
            )

    def test_errors(self):
        with pytest.raises(ConfigError, match="ranks need three methods, found a, b; use `compare` for two"):
            rank_methods({"a": rows(ERM), "b": rows(ERM)})
        with pytest.raises(DataError, match="ranks need 2 patients with values, found 1; evaluate more cases"):
            rank_methods({name: rows([0.5]) for name in "abc"})
        with pytest.raises(ConfigError, match="choose one with a direction"):
            rank_methods({name: rows(ERM) for name in "abc"}, "predicted_voxels")
