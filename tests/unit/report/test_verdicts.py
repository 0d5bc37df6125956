"""Verdicts of a report: better, worse, no significant difference, none."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from report_runs import BETTER, WORSE, few, report_of, rows_of, run, seeds, text_of

from adawac.evaluation import Comparison, read_table, write_table
from adawac.report.blocks import Finding
from adawac.report.compute import unequal_compute
from adawac.report.contents import subset_results
from adawac.report.details import organs
from adawac.report.document import document
from adawac.report.runs import MethodRun
from adawac.report.seed_noise import COMMITTED, seed_noise
from adawac.report.sources import Source, evaluate_sources
from adawac.report.wording import MINUS, interval, p_value, powerless, signed, summary_sentence
from adawac.report.write import results

pytestmark = pytest.mark.usefixtures("undrawn")

TRUST = "Can these numbers be trusted?"


def test_verdict_difference_and_sentence():
    [result] = subset_results([*seeds("pair", WORSE), *seeds("adawac", BETTER)], "pair")
    found = result.comparisons["adawac"][0]
    assert (found.verdict, found.n, found.runs) == ("better", 8, (2, 2))
    assert found.difference == pytest.approx(0.057)
    sentence = summary_sentence([result], "pair")
    assert sentence.startswith("adawac is better than pair on training subset full (+0.057 Dice, 95 % interval +0.0")
    assert sentence.endswith("Measured on 8 patients, with 2 runs of each method.")


def test_other_methods_of_one_verdict_are_named_together():
    better = [each for method in ("adawac", "erm_twice", "group_dro") for each in seeds(method, BETTER, "Full")]
    [result] = subset_results([*seeds("pair", WORSE, "Full"), *better], "pair")
    sentence = summary_sentence([result], "pair")
    assert "Against pair, erm_twice and group_dro are better on all training slices." in sentence


def test_single_runs_get_no_verdict_anywhere():
    runs = [run("pair", WORSE), run("adawac", BETTER), run("erm", WORSE)]
    report = report_of(*runs)
    [result] = report.subsets
    assert {found.verdict for each in result.comparisons.values() for found in each} == {"single run"}
    assert result.comparisons["adawac"][0].low > 0  # of these two networks
    sentence = summary_sentence(report.subsets, "pair", runs)
    assert "adawac gets no verdict against pair on training subset full (+0.057 Dice" in sentence
    assert "erm gets no verdict against pair." in sentence
    assert (
        "1 run each: differences of up to 0.058 Dice are seed noise, as seeds fell in adawac's own studies." in sentence
    )
    assert "of these trained networks, not of the methods; train at least three seeds of each" in sentence
    assert not {"better", "worse"} & set(sentence.replace("(", " ").split())
    findings = [b for section in document(report).sections for b in section.blocks if isinstance(b, Finding)]
    assert [finding.verdict for finding in findings] == ["single run"] * 2
    [table] = [block for block in organs(report) if getattr(block, "header", ("",))[0] == "difference of Dice"]
    assert all(cell.endswith(": single run") for line in table.lines for cell in line[1:])
    assert not {"better", "worse"} & set(text_of(report, TRUST).replace(",", " ").split())


def test_seed_noise_is_that_of_the_methods_in_view_with_several_runs():
    """Two pairs 0.02 and 0.04 apart: variances 0.0002 and 0.0008, mean 0.0005; t of 2 degrees is 4.303."""
    runs = [*seeds("pair", WORSE, apart=0.02), *seeds("erm", WORSE, "sparse", apart=0.04), run("adawac", BETTER)]
    assert seed_noise(runs) == pytest.approx(4.3027 * math.sqrt(2 * 0.0005), abs=1e-4)
    assert seed_noise(runs[-1:]) is None
    sentence = summary_sentence(subset_results(runs, "pair"), "pair", runs)
    # the mean of two runs varies less than one run does: sqrt((1 + 1/2) / 2) of that
    assert "1 run against 2: differences of up to 0.118 Dice are seed noise, as those of methods here" in sentence


def test_one_run_against_three_differs_by_no_more_than_is_said_19_times_in_20():
    """Of 40 seeds, and simulated from the same spread; and what p and interval are then about."""
    rng = np.random.default_rng(0)
    drawn = 0.6 + 0.02 * rng.normal(size=40)
    known = [run("erm", [each] * 8, "other", f"erm {i}") for i, each in enumerate(drawn)]
    some = [run("pair", [each] * 8, name=f"pair {i}") for i, each in enumerate(drawn[:3])]
    runs = [*known, *some, run("adawac", [0.6] * 8)]
    sentence = summary_sentence(subset_results(runs, "pair"), "pair", runs)
    [said] = re.findall(r"1 run against 3: differences of up to (\S+) Dice are seed noise", sentence)
    apart = drawn.std(ddof=1) * (rng.normal(size=200_000) - rng.normal(size=(3, 200_000)).mean(0))
    assert float(said) == pytest.approx(np.quantile(np.abs(apart), 0.95), rel=0.05)
    assert "of these trained networks" not in sentence
    assert "Intervals and p take the seeds of a single run to differ as those of the other method do" in sentence
    # as they do: of one run each the exact test of eight patients finds 2 / 2^8, with the spread of seeds more
    several = subset_results([run("adawac", BETTER), *seeds("pair", WORSE, apart=0.02)], "pair")
    alone = subset_results([run("adawac", BETTER), run("pair", WORSE)], "pair")
    assert several[0].comparisons["adawac"][0].p > alone[0].comparisons["adawac"][0].p == 2 / 2**8


def test_where_no_case_counts_there_is_no_verdict():
    """One method has no value anywhere: that is no "no significant difference"."""
    nothing = seeds("adawac", [math.nan] * 8)
    report = report_of(*seeds("pair", WORSE), *nothing)
    assert {found.verdict for found in report.subsets[0].comparisons["adawac"]} == {None}
    assert summary_sentence(report.subsets, "pair") == "Nothing can be compared: no case counts in all methods."
    blocks = [block for section in document(report).sections for block in section.blocks]
    assert [block.verdict for block in blocks if isinstance(block, Finding)] == [None]


def test_brackets_are_spoken_of_where_there_are_any():
    one = report_of(*seeds("pair", WORSE), *seeds("adawac", BETTER))
    two = report_of(*one.runs, *seeds("erm", WORSE))
    assert [("In brackets" in text_of(each, "Verdicts"), "(" in verdicts_of(each)) for each in (one, two)] == [
        (False, False),
        (True, True),
    ]


def verdicts_of(report):
    """The p of all verdicts."""
    blocks = [block for section in document(report).sections for block in section.blocks]
    return " ".join(block.text.partition("p = ")[2] for block in blocks if isinstance(block, Finding))


def test_two_single_runs_differ_by_less_than_seed_noise_19_times_in_20():
    """Simulated: what two seeds of one method say of the noise, and two others, which differ by it alone."""
    rng, below, times = np.random.default_rng(0), 0, 400
    for _ in range(times):
        dice = 0.6 + 0.02 * rng.normal(size=4)
        noise = seed_noise([run("pair", [each] * 8, name=str(i)) for i, each in enumerate(dice[:2])])
        below += abs(dice[2] - dice[3]) < noise
    assert 0.92 < below / times < 0.98  # by the normal quantile 0.70


@pytest.mark.slow
def test_seed_noise_of_the_committed_studies_is_what_stands_in_the_code():
    """The standard deviation of the runs' mean Dice within method and subset, by plain loops over the case tables."""
    squares, freedom = 0.0, 0
    for study in ("acdc", "openkbp5", "openkbp5_small", "phantom"):
        folder = Path(__file__).parents[3] / "docs/results" / study
        subset_of = {each["name"]: each["subset"] for each in json.loads((folder / "results.json").read_text())["runs"]}
        dice = {}
        for row in read_table(folder / "cases.parquet"):
            if (row.metric, row.group) == ("dice", "all"):
                dice.setdefault((row.method, subset_of[row.run]), {}).setdefault(row.run, []).append(row.value)
        for runs in dice.values():
            squares += sum((np.mean(values) - np.mean(list(runs.values()))) ** 2 for values in runs.values())
            freedom += len(runs) - 1
    assert pytest.approx(1.988 * math.sqrt(2 * squares / freedom), abs=5e-4) == COMMITTED  # t of 85 degrees


def test_verdicts_are_corrected_over_all_methods_and_subsets_in_view():
    runs = [each for name in ("full", "sparse") for method in ("a", "b", "c") for each in seeds(method, BETTER, name)]
    runs += [each for name in ("full", "sparse") for each in seeds("pair", WORSE, name)]
    report = report_of(*runs)
    means = [found[0] for subset in report.subsets for found in subset.comparisons.values()]
    assert [(each.family, each.p_holm, each.verdict) for each in means] == [(6, 6 * 2 / 2**8, "better")] * 6
    organ = report.subsets[0].comparisons["a"][1]
    assert (organ.family, organ.p_holm) == (12, 12 * 2 / 2**8)
    assert organ.verdict == "not significant after correction"
    assert "Holm over the 6 comparisons of means in this report" in text_of(report, "Verdicts")
    [table] = [b for b in organs(report) if getattr(b, "header", ("",))[0] == "difference of Dice"][:1]
    assert "the mean by Holm over the 6 comparisons of means in this report" in table.note
    assert "organs by Holm over the 12 comparisons of organs in this report" in table.note
    assert table.lines[0][1] == "+0.057, p = 0.008 (0.047): better"
    plain = results(report)["subsets"][0]["comparisons"]["a"][0]
    assert (plain["p"], plain["p_holm"], plain["family"]) == (2 / 2**8, 6 * 2 / 2**8, 6)


def test_what_is_only_to_be_looked_at_gets_no_verdict():
    [result] = subset_results([*seeds("pair", WORSE), *seeds("adawac", BETTER)], "pair")
    looked_at = [result.false_slices["adawac"]]
    looked_at += [found for family in result.families for found in family.differences["adawac"].values()]
    assert len(looked_at) > 3
    assert {(each.verdict, each.family) for each in looked_at} == {(None, 0)}


def test_a_verdict_for_each_training_subset():
    runs = [
        *seeds("pair", WORSE),
        *seeds("adawac", BETTER),
        *seeds("pair", BETTER, "sparse"),
        *seeds("adawac", WORSE, "sparse"),
    ]
    found = subset_results(runs, "pair")
    assert [each.comparisons["adawac"][0].verdict for each in found] == ["better", "worse"]
    sentence = summary_sentence(found, "pair")
    assert "better than pair on training subset full" in sentence
    assert "worse than it on training subset sparse" in sentence


def test_what_so_few_patients_could_never_have_found_is_said():
    five = report_of(*few("pair", WORSE, 5), *few("adawac", BETTER, 5))
    said = (
        "This study could not have found a difference of means, however large: of 5 patients p is at least 0.0625, and "
        "1 comparison must be corrected for. 6 patients could."
    )
    assert summary_sentence(five.subsets, "pair").endswith(said)
    assert said in text_of(five, TRUST)
    assert "95 % interval without ends" in text_of(five, "Verdicts")
    one = report_of(*few("pair", WORSE, 1), *few("adawac", BETTER, 1))
    assert "of 1 patient p is at least 1, and 1 comparison must be" in summary_sentence(one.subsets, "pair")
    # of 6 patients the least p is 0.031, twice that with two organs
    six = report_of(*few("pair", WORSE, 6), *few("adawac", BETTER, 6))
    nothing = "not significant after correction"
    assert [each.verdict for each in six.subsets[0].comparisons["adawac"]] == ["better", nothing, nothing]
    assert "could not have found" not in summary_sentence(six.subsets, "pair")
    assert (
        "could not have found a difference of single organs, however large: of 6 patients p is at least 0.03125, and 2 "
        "comparisons must be corrected for. 7 patients could, or 1 comparison at most."
    ) in text_of(six, TRUST)
    assert "could not have found" not in text_of(report_of(*seeds("pair", WORSE), *seeds("adawac", BETTER)), TRUST)


def test_so_many_methods_that_no_p_can_pass_are_named():
    many = report_of(*few("pair", WORSE, 8), *(each for name in "abcdefg" for each in few(name, BETTER, 8)))
    assert {found[0].verdict for found in many.subsets[0].comparisons.values()} == {"not significant after correction"}
    said = "7 comparisons must be corrected for. 9 patients could, or 6 comparisons at most."
    assert said in summary_sentence(many.subsets, "pair")


def test_an_organ_that_no_case_has_gets_no_verdict():
    def without(method, dice):
        return [
            r._replace(value=math.nan) if (r.class_name, r.metric) == ("spleen", "dice") else r for r in rows_of(dice)
        ]

    report = report_of(*(MethodRun(m, "full", m, without(m, d)) for m, d in (("pair", WORSE), ("adawac", BETTER))))
    [table] = [block for block in organs(report) if getattr(block, "header", ("",))[0] == "difference of Dice"]
    assert table.lines[-1] == ("spleen", "n = 0")


def test_rounding_moves_nothing_over_a_border():
    for value in (0.00043, -0.00043, 0.0000042, 0.5):
        assert math.copysign(1, float(signed(value).replace(MINUS, "-"))) == math.copysign(1, value)
    for p in (0.04980469, 0.0499996, 0.0500004, 0.0502, 0.5):
        assert (float(p_value(p).removeprefix("p = ")) < 0.05) == (p < 0.05)
    assert (signed(1e-17), p_value(0.25), interval(0.0, 0.02, sign=True)) == ("0.000", "p = 0.250", "0.000 to +0.020")


def test_a_small_gain_is_not_said_to_be_none():
    gained = [value + 0.0004 + 0.00001 * i for i, value in enumerate(WORSE)]
    [result] = subset_results([*seeds("pair", WORSE), *seeds("adawac", gained)], "pair")
    assert result.comparisons["adawac"][0].verdict == "better"
    assert "(+0.0004 Dice, 95 % interval +0.0004 to +0.0005)" in summary_sentence([result], "pair")


def test_compute_is_that_of_all_runs_not_of_the_longest():
    pair = [run("pair", WORSE, name=f"pair-{i}", network_passes=1000) for i in range(3)]
    others = [run("adawac", BETTER, name=f"a{i}", network_passes=n) for i, n in enumerate((1000, 400, 400))]
    assert "of the network passes of pair, adawac took 0.6 times." in unequal_compute(report_of(*pair, *others))
    assert unequal_compute(report_of(*pair)) == ""


def test_as_many_passes_of_another_network_or_size_are_no_equal_compute(tmp_path):
    """As a study has whose methods set `data.size` or the network's channels: the settings themselves are compared."""
    settings = {
        "model": {"network": {"architecture": "UNet", "arguments": {"channels": [4, 8]}}},
        "data": {"size": [24, 24]},
    }
    others = {
        "wide": {**settings, "model": {"network": {"architecture": "UNet", "arguments": {"channels": [8, 16]}}}},
        "large": {**settings, "data": {"size": [48, 48]}},
        "layer": {
            "model": {"network": {**settings["model"]["network"], "feature_layer": "model.1"}},
            "data": settings["data"],
        },
    }
    settings["data"]["neighbours"] = 1  # which runs of before did not write
    sources = []
    for name, config in {"pair": settings, **others}.items():
        folder = tmp_path / name / "version_0"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        write_table(folder / "cases.csv", [row._replace(run=name, method=name) for row in rows_of(WORSE)])
        sources.append(Source.named(name, str(folder)))
    report = report_of(*evaluate_sources(sources, None, "penalise"))
    assert unequal_compute(report) == (
        "Passes do not cost the same: set otherwise than in pair are data.size of large, "
        "model.network.arguments.channels of wide."
    )


def test_a_method_that_is_better_here_is_said_to_show_nothing_there():
    here = [*seeds("pair", WORSE, "Full"), *seeds("adawac", BETTER, "Full"), *seeds("x", BETTER, "Full")]
    there = [*seeds("pair", WORSE, "half"), *seeds("adawac", WORSE, "half"), *seeds("x", WORSE, "half")]
    sentence = summary_sentence(subset_results([*here, *there], "pair"), "pair")
    assert "Against pair, x is better on all training slices. " in sentence
    assert "x shows no significant difference from pair on training subset half." in sentence


def test_so_many_organs_that_a_sample_of_signs_cannot_tell_are_named():
    # of more than 20 patients 2^14 signs are gone through, of which 2 are the fewest: 468 times that is above 0.05
    one = Comparison("a", "b", "dice", "liver", 0.1, 0.1, 0.1, 2 / 2**14, 468 * 2 / 2**14, 468, 40, (3, 3), (), None)
    assert powerless([one], "single organs").endswith(
        "of 40 patients p is at least 0.00012, and 468 comparisons must be corrected for. "
        "409 comparisons at most could."
    )
    assert not powerless([replace(one, family=400)], "single organs")
