"""What may be said: estimates, comparisons and ranks, worked out on paper or by scipy, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from adawac.errors import ConfigError, DataError
from adawac.evaluation import MEAN_OF_CLASSES, CaseRow, Comparison, compare, estimate, rank_methods
from adawac.evaluation.statistics import corrected, holm

ERM = [0.91, 0.87, 0.94, 0.62, 0.81, 0.85, 0.79, 0.90]
GAINS = [0.020, 0.031, 0.012, 0.043, 0.025, 0.036, 0.017, 0.028]


def rows(values, run="0", name="liver", metric="dice", patients=None):
    """A row a case: ct0, ct1, ..."""
    return [
        CaseRow(run, "m", f"ct{i}", patients[i] if patients else f"ct{i}", name, "all", metric, float(value), "skip")
        for i, value in enumerate(values)
    ]


def twice(table):
    """Two seeds that agree."""
    return table + [row._replace(run="1") for row in table]


def added(values, gains):
    return [value + gain for value, gain in zip(values, gains, strict=True)]


def against(method, reference, metric="dice"):
    """The comparison of the mean of classes, and of each class by name."""
    found = compare({"erm": reference, "new": method}, "erm", metric)
    return {each.class_name: each for each in found}


class TestEstimate:
    def test_mean_of_classes_first_then_each_class(self):
        # liver 0.8 0.78, spleen 0.4 0.4: of the cases (0.8 + 0.4) / 2 = 0.6 and 0.59
        mean, liver, spleen = estimate(rows([0.8, 0.78]) + rows([0.4, 0.4], name="spleen"))
        assert (mean.class_name, liver.class_name, spleen.class_name) == (MEAN_OF_CLASSES, "liver", "spleen")
        assert (mean.mean, liver.mean, spleen.mean) == pytest.approx((0.595, 0.79, 0.4))
        # two values 0.6 and 0.59: t(0.975, 1) * 0.005
        assert (mean.low, mean.high) == pytest.approx((0.595 - 12.7062 * 0.005, 0.595 + 12.7062 * 0.005), abs=1e-4)
        assert (spleen.low, spleen.high) == (0.4, 0.4)
        assert (mean.n, mean.runs, mean.left_out) == (2, 1, ())

    @pytest.mark.parametrize(("metric", "least", "most"), [("dice", 0, 1), ("hd95_mm", 0, math.inf)])
    def test_an_interval_holds_no_value_that_cannot_be(self, metric, least, most):
        """Where Student's t would go beyond."""
        values = np.array([1.0, 1.0, 1.0, 0.02])
        student = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
        assert student[0] < 0
        assert student[1] > 1
        for each in estimate(rows(values, metric=metric), metric):
            assert least <= each.low <= each.mean <= each.high <= most
        found = against(twice(rows(values, metric=metric)), twice(rows(0 * values, metric=metric)), metric)
        assert all(abs(each.low) <= most or math.isinf(each.low) for each in found.values())

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
        test = stats.permutation_test((GAINS,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert liver.p == liver.p_holm == pytest.approx(test.pvalue)  # 2 / 2^8
        # means of subsets: 12, (12 + 17) / 2, (12 + 20) / 2, (12 + 17 + 20) / 3, 17, (12 + 17 + 25) / 3: with the empty
        # one that is the 7th of 2^8, the first that 2.5 % of them reach
        assert liver.low == pytest.approx(0.018)
        assert (liver.difference, liver.n, liver.runs) == (pytest.approx(np.mean(GAINS)), 8, (1, 1))

    def test_the_verdict_follows_the_direction_of_the_metric(self):
        more, fewer = twice(rows(added(ERM, GAINS))), twice(rows(ERM))
        assert against(more, fewer)["liver"].verdict == "better"
        assert against(fewer, more)["liver"].verdict == "worse"
        distances = [row._replace(metric="hd95_mm") for row in more], [row._replace(metric="hd95_mm") for row in fewer]
        assert against(*distances, "hd95_mm")["liver"].verdict == "worse"
        assert against(*reversed(distances), "hd95_mm")["liver"].verdict == "better"

    @pytest.mark.parametrize("runs", [(1, 1), (2, 1), (1, 2)])
    def test_a_single_run_gets_no_verdict(self, runs):
        method, reference = rows(added(ERM, GAINS)), rows(ERM)
        tables = [twice(table) if count == 2 else table for table, count in zip((method, reference), runs, strict=True)]
        found = against(*tables)
        assert {each.verdict for each in found.values()} == {"single run"}
        assert found["liver"].p < 0.05
        assert found["liver"].low > 0

    def test_equal_methods_show_no_significant_difference(self):
        liver = against(twice(rows(ERM)), twice(rows(ERM)))["liver"]
        assert (liver.difference, liver.low, liver.high, liver.p) == (0, 0, 0, 1)
        assert liver.verdict == "no significant difference"

    def test_one_extreme_case_does_not_decide(self):
        # seven cases a little worse, one far better: with its sign turned the mean is as extreme
        gains = [-0.010, -0.011, -0.012, -0.013, -0.014, -0.015, -0.016, 0.35]
        liver = against(twice(rows(added(ERM, gains))), twice(rows(ERM)))["liver"]
        assert liver.difference > 0
        assert liver.p > 0.9
        assert liver.low < 0 < liver.high

    def test_fewer_than_six_patients_show_no_difference(self):
        five, six = (
            against(twice(rows([0.5 + 0.1 * i / 9 for i in range(n)])), twice(rows([0.1] * n)))["liver"] for n in (5, 6)
        )
        assert (five.p, five.low, five.high) == (2 / 2**5, -math.inf, math.inf)
        assert (five.verdict, six.verdict) == ("no significant difference", "better")

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_few_cases_make_no_verdict_and_no_noise(self, n):
        values = [0.9, 0.8][:n] + [math.nan] * (3 - n)
        liver = against(twice(rows([0.7, 0.5, 0.6])), twice(rows(values)))["liver"]
        verdict = "no significant difference" if n else None
        assert (liver.n, len(liver.left_out), liver.verdict) == (n, 3 - n, verdict)
        assert math.isnan(liver.difference) is math.isnan(liver.low) is (n == 0)
        assert liver.family == (n > 0)

    def test_a_case_without_a_value_in_one_run_is_left_out_of_both_methods(self):
        two_runs = rows(added(ERM, GAINS), "1") + rows([math.nan, *added(ERM, GAINS)[1:]], "2")
        liver = against(two_runs, rows(ERM))["liver"]
        assert (liver.n, liver.runs, liver.left_out) == (7, (2, 1), ("ct0",))
        assert liver.difference == pytest.approx(np.mean(GAINS[1:]))

    def test_a_lucky_run_makes_the_interval_longer(self):
        alike = rows(added(ERM, GAINS), "1") + rows(added(ERM, GAINS), "2")
        apart = rows([v - 0.02 for v in added(ERM, GAINS)], "1") + rows([v + 0.02 for v in added(ERM, GAINS)], "2")
        one, two = (against(method, twice(rows(ERM)))["liver"] for method in (alike, apart))
        assert one.difference == pytest.approx(two.difference)
        assert two.high - two.low > 3 * (one.high - one.low)
        assert (one.verdict, two.verdict) == ("better", "no significant difference")

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


def pair(p_mean, *p_organs, gain=0.1, runs=(3, 3), metric="dice"):
    """A method against a reference on one training subset, with these p."""
    return [
        Comparison("m", "erm", metric, name, gain, 0, 1, p, math.nan, 0, 12, runs, (), None)
        for name, p in zip((MEAN_OF_CLASSES, *"abcdefgh"), (p_mean, *p_organs), strict=False)
    ]


class TestCorrected:
    def test_means_and_organs_are_families_of_their_own_over_all_in_view(self):
        (mean, *organs), (second, *others) = corrected([pair(0.01, 0.004, 0.02), pair(0.02, 0.012, 0.5)])
        assert [each.p_holm for each in (mean, second)] == pytest.approx([0.02, 0.02])
        assert [each.p_holm for each in (*organs, *others)] == pytest.approx([0.016, 0.04, 0.036, 0.5])
        assert {each.family for each in (mean, second)} == {2}
        assert {each.family for each in (*organs, *others)} == {4}
        assert [each.verdict for each in (mean, *organs)] == ["better", "better", "better"]
        assert [each.verdict for each in (second, *others)] == ["better", "better", "no significant difference"]

    def test_an_organ_gets_a_verdict_only_where_the_mean_has_one(self):
        [(mean, organ)] = corrected([pair(0.2, 0.0001)])
        assert organ.p_holm == 0.0001
        assert (mean.verdict, organ.verdict) == ("no significant difference", "not significant after correction")

    def test_what_the_correction_alone_denies_is_said_to_be_so(self):
        """An interval that does not hold 0 beside a flat `no difference` would contradict itself."""
        found = [mean for mean, *_ in corrected([pair(0.03), pair(0.04), pair(0.3), pair(0.001)])]
        denied, small = "not significant after correction", "no significant difference"
        assert [each.verdict for each in found] == [denied, denied, small, "better"]

    def test_what_cannot_be_tested_does_not_count(self):
        [(mean, nothing, organ)] = corrected([pair(0.01, math.nan, 0.02)])
        assert (organ.family, organ.p_holm, organ.verdict) == (1, 0.02, "better")
        assert (mean.family, nothing.verdict) == (1, "no significant difference")

    def test_twenty_equal_methods_are_seldom_called_different(self):
        """Each at 5 % for itself, one of them would be in two studies of three."""
        rng = np.random.default_rng(0)
        studies = [corrected([pair(p, *rng.random(5)) for p in rng.random(20)]) for _ in range(400)]
        wrong = [any(each.verdict == "better" for found in study for each in found) for study in studies]
        assert np.mean(wrong) < 0.07

    def test_single_runs_and_directions(self):
        [single], [distance] = corrected([pair(0.001, runs=(1, 3)), pair(0.001, metric="hd95_mm")])
        assert (single.verdict, distance.verdict) == ("single run", "worse")

    def test_of_compare_all_methods_are_one_family(self):
        tables = {"erm": twice(rows(ERM)), **{name: twice(rows(added(ERM, GAINS))) for name in "abcd"}}
        found = [each for each in compare(tables, "erm") if each.class_name == MEAN_OF_CLASSES]
        assert [(each.family, each.p_holm) for each in found] == [(4, 4 * 2 / 2**8)] * 4


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

    def test_seeds_are_averaged_before_they_are_ranked(self):
        rng = np.random.default_rng(0)
        dice = {name: rng.uniform(0.5, 1, (9, 3)) for name in "abcd"}
        ranking = rank_methods(
            {name: [row for run in range(3) for row in rows(of[:, run], str(run))] for name, of in dice.items()}
        )
        means = [of.mean(axis=1) for of in dice.values()]
        assert ranking.p == pytest.approx(stats.friedmanchisquare(*means).pvalue)
        ranks = stats.rankdata(-np.stack(means, axis=1), axis=1).mean(axis=0)
        assert [ranking.ranks[name] for name in "abcd"] == pytest.approx(ranks.tolist())

    def test_errors(self):
        with pytest.raises(ConfigError, match="ranks need three methods, found a, b; use `compare` for two"):
            rank_methods({"a": rows(ERM), "b": rows(ERM)})
        with pytest.raises(DataError, match="ranks need 2 patients with values, found 1; evaluate more cases"):
            rank_methods({name: rows([0.5]) for name in "abc"})
        with pytest.raises(ConfigError, match="choose one with a direction"):
            rank_methods({name: rows(ERM) for name in "abc"}, "predicted_voxels")
