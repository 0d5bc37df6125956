"""What the report says, from rows whose numbers are plain to see."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from adawac.errors import ConfigError, DataError
from adawac.evaluation import ANY_CLASS, CaseRow, Metadata, read_table, write_table
from adawac.report.blocks import Finding
from adawac.report.contents import Report, choose_reference, subset_results
from adawac.report.details import OF, organs, suspects
from adawac.report.document import document
from adawac.report.runs import MethodRun, check_runs, on_shared_cases
from adawac.report.seed_noise import COMMITTED, seed_noise
from adawac.report.sources import Source, evaluate_sources
from adawac.report.wording import summary_sentence
from adawac.report.write import results

CASES = [f"ct_{i}" for i in range(8)]


def rows_of(dice, cases=CASES, organs=("liver", "spleen")):
    """A case table: Dice of each case, the same for both organs; the spleen of the first case is absent."""
    rows = []
    for i, (case, value) in enumerate(zip(cases, dice, strict=True)):
        row = CaseRow("0", "", case, case, "", "all", "dice", value, "penalise")
        for organ in organs:
            row = row._replace(class_name=organ)
            voxels = 0 if (i, organ) == (0, "spleen") else 100 * (i + 1)
            rows += [
                row,
                row._replace(group="dense"),
                row._replace(metric="reference_voxels", value=voxels),
                row._replace(metric="missed", value=float(voxels > 0 and value == 0)),
                row._replace(metric="false_alarm", value=float(voxels == 0)),
                row._replace(metric="hd95_mm", value=10 * (1 - value)),
            ]
            for place in range(1, 6):  # the ends of the volume are empty, and that is worth a Dice of 1
                position = row._replace(group=f"position {place} of 5")
                rows.append(position if place in (2, 3, 4) else position._replace(value=1.0))
                rows.append(position._replace(metric="reference_voxels", value=float(100 * (place in (2, 3, 4)))))
        sparse = row._replace(class_name=ANY_CLASS, group="sparse")
        rows += [
            sparse._replace(metric="slices", value=10.0),
            sparse._replace(metric="false_positive_slices", value=2.0),
            sparse._replace(metric="false_positive_voxels", value=6.0),
        ]
    return rows


WORSE = [0.80, 0.74, 0.9, 0.62, 0.71, 0.85, 0.69, 0.78]
BETTER = [value + 0.05 + 0.002 * i for i, value in enumerate(WORSE)]


def run(method, dice, subset="full", name=None, **kwargs):
    return MethodRun(method, subset, name or f"{method}-{subset}", rows_of(dice), **kwargs)


def seeds(method, dice, subset="full", apart=0.0):
    """Two runs, which differ in Dice by so much."""
    return [
        run(method, [value + sign * apart / 2 for value in dice], subset, f"{method}-{subset}-{sign}")
        for sign in (-1, 1)
    ]


def test_verdict_difference_and_sentence():
    [result] = subset_results([*seeds("pair", WORSE), *seeds("adawac", BETTER)], "pair")
    found = result.comparisons["adawac"][0]
    assert (found.verdict, found.n, found.runs) == ("better", 8, (2, 2))
    assert found.difference == pytest.approx(0.057)
    sentence = summary_sentence([result], "pair")
    assert sentence.startswith("adawac is better than pair on training subset full (+0.057 Dice, 95 % interval +0.0")
    assert sentence.endswith("Measured on 8 patients, with 2 runs of each method.")


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
        "1 run each: differences of up to 5.7 points are seed noise, as seeds fell in adawac's own studies." in sentence
    )
    assert "of these trained networks, not of the methods; train at least three seeds of each" in sentence
    assert not {"better", "worse"} & set(sentence.replace("(", " ").split())
    findings = [b for section in document(report).sections for b in section.blocks if isinstance(b, Finding)]
    assert [finding.verdict for finding in findings] == ["single run"] * 2
    [table] = [block for block in organs(report) if getattr(block, "header", ("",))[0] == "difference of Dice"]
    assert all(cell.endswith(": single run") for line in table.lines for cell in line[1:])
    assert not {"better", "worse"} & set(text_of(report, TRUST).replace(",", " ").split())


def test_seed_noise_is_that_of_the_methods_in_view_with_several_runs():
    """Two pairs 0.02 and 0.04 apart: variances 0.0002 and 0.0008, mean 0.0005; 1.96 sqrt(2 * 0.0005) = 0.062."""
    runs = [*seeds("pair", WORSE, apart=0.02), *seeds("erm", WORSE, "sparse", apart=0.04), run("adawac", BETTER)]
    assert seed_noise(runs) == pytest.approx(0.06198, abs=1e-4)
    assert seed_noise(runs[-1:]) is None
    sentence = summary_sentence(subset_results(runs, "pair"), "pair", runs)
    assert "1 run against 2: differences of up to 6.2 points are seed noise, as those of methods here" in sentence


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
    assert pytest.approx(1.96 * math.sqrt(2 * squares / freedom), abs=5e-4) == COMMITTED


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


def test_counts_of_misses_false_alarms_and_slices_are_over_runs():
    missed = [0.0, *WORSE[1:]]
    [result] = subset_results([run("pair", missed, name="a"), run("pair", WORSE, name="b")], "pair")
    [method] = result.methods
    assert str(method.missed) == "1 of 30 (3.3%)"  # two organs of 8 cases in 2 runs, but for the first case's spleen
    assert str(method.false_alarms) == "2 of 2 (100.0%)"
    assert str(method.false_slices) == "32 of 160 (20.0%)"
    assert method.false_voxels == 6.0
    assert result.comparisons == {}
    sentence = summary_sentence([result], "pair")
    assert "over 8 patients and 2 runs, nothing to compare with (runs of one method are its seeds; METHOD" in sentence


def test_empty_ends_of_the_volume_decide_nothing():
    [result] = subset_results([run("pair", WORSE), run("adawac", BETTER)], "pair")
    positions = next(family for family in result.families if family.title.startswith("Position"))
    summary = positions.summaries["pair"]
    assert [group.n for group in summary.groups] == [0, 8, 8, 8, 0]
    assert math.isnan(summary.groups[0].mean)
    assert summary.groups[1].mean == pytest.approx(sum(WORSE) / 8)
    assert list(positions.differences["adawac"]) == [f"position {i} of 5" for i in (2, 3, 4)]


def test_groups_of_the_metadata_keep_those_without_cases():
    sites = Metadata("site", "case", {case: "A" for case in CASES} | {"elsewhere": "B"})
    [result] = subset_results([run("pair", WORSE), run("adawac", BETTER)], "pair", [sites])
    family = result.families[-1]
    assert (family.title, family.groups) == ("site", ("site: A", "site: B"))
    assert [group.n for group in family.summaries["adawac"].groups] == [8, 0]


def test_ranks_need_three_methods():
    two = [run("pair", WORSE), run("adawac", BETTER)]
    assert subset_results(two, "pair")[0].ranking is None
    [result] = subset_results([*two, run("erm", [v - 0.1 for v in WORSE])], "pair")
    assert dict(result.ranking.ranks) == {"adawac": 1.0, "pair": 2.0, "erm": 3.0}


def test_the_reference_is_pair_then_erm_then_the_first():
    assert choose_reference(["AdaWAC", "ERM", "Pair"]) == "Pair"
    assert choose_reference(["AdaWAC", "ERM"]) == "ERM"
    assert choose_reference(["AdaWAC", "ERM"], "AdaWAC") == "AdaWAC"
    with pytest.raises(ConfigError, match=r"no such method; choose one of AdaWAC, ERM"):
        choose_reference(["AdaWAC", "ERM"], "nnU-Net")


def test_runs_that_do_not_fit_together_are_refused_all_at_once():
    short = MethodRun("adawac", "full", "short", rows_of(WORSE[:7], CASES[:7]))
    skip = MethodRun("erm", "full", "skip", [row._replace(policy="skip") for row in rows_of(WORSE)])
    with pytest.raises(DataError) as refused:
        check_runs([run("pair", WORSE), short, skip, short])
    message = str(refused.value)
    assert "run short: comes 2 times; give each run once" in message
    assert "run short: lacks case ct_7, which another has; evaluate all on the same cases" in message
    assert "--shared-cases" in message
    assert "policies are penalise, skip; test all with the same" in message


def test_a_run_without_dice_is_refused():
    bare = MethodRun("adawac", "full", "bare", [row for row in rows_of(BETTER) if row.metric != "dice"])
    with pytest.raises(DataError, match=r"run bare: its case table has no Dice .*write it with `case_rows`"):
        check_runs([bare])


def test_methods_of_a_table_may_call_their_seeds_alike(tmp_path):
    table = {"pair": WORSE, "adawac": BETTER}
    rows = [
        row._replace(method=name, run=seed) for name, dice in table.items() for seed in "01" for row in rows_of(dice)
    ]
    write_table(tmp_path / "cases.csv", rows)
    runs = [each.run for each in evaluate_sources([Source.parse(str(tmp_path / "cases.csv"))], None, "penalise")]
    assert [(each.method, each.name) for each in runs] == [
        ("pair", "0 pair"),
        ("pair", "1 pair"),
        ("adawac", "0 adawac"),
        ("adawac", "1 adawac"),
    ]
    check_runs(runs)


def test_a_copy_of_a_checkpoint_is_no_second_seed():
    first, copy, other = (
        MethodRun(method, "full", name, [row._replace(checkpoint_hash="abc") for row in rows_of(WORSE)])
        for method, name in (("pair", "a"), ("pair", "b"), ("adawac", "c"))
    )
    with pytest.raises(
        DataError, match=r"runs a, b of pair: the same checkpoint is one run, not 2 seeds; give it once"
    ):
        check_runs([first, copy])
    check_runs([first, other])  # two methods may name one network


def test_means_of_other_organs_are_not_compared():
    less = MethodRun("adawac", "full", "less", rows_of(BETTER, organs=("liver",)))
    with pytest.raises(DataError, match=r"run less: has no rows of spleen, which another has, .*the same classes"):
        check_runs([run("pair", WORSE), less])
    check_runs([run("pair", WORSE, "sparse"), less])  # side by side in a report, but not compared


def test_shared_cases_are_kept_and_the_others_named():
    short = MethodRun("adawac", "full", "short", rows_of(WORSE[:7], CASES[:7]))
    kept, left_out = on_shared_cases([run("pair", WORSE), short])
    assert left_out == ("case ct_7: not in short",)
    check_runs(kept)
    assert all(each.cases == set(CASES[:7]) for each in kept)


def report_of(*runs, policy="penalise"):
    return Report(title="t", reference="pair", runs=runs, subsets=subset_results(runs, "pair"), policy=policy)


def text_of(report, title):
    """All words of a chapter."""
    [section] = [section for section in document(report).sections if section.title == title]
    return " ".join(
        [block.text for block in section.blocks if hasattr(block, "text")]
        + [cell for block in section.blocks for line in getattr(block, "lines", ()) for cell in line]
    )


def cut(method, dice, axis, slices):
    """A run whose case table cuts every volume into so many slices, half of them label-dense."""
    whole = [row._replace(class_name=ANY_CLASS, metric="slices", value=slices) for row in rows_of(dice)[:1]]
    halves = [row._replace(group="dense", value=slices / 2) for row in whole]
    return MethodRun(method, "full", method, [*rows_of(dice), *whole, *halves], axis=axis)


def test_slices_cut_along_other_axes_are_not_compared_and_that_is_said():
    pair, alike = cut("pair", WORSE, "axial", 20), cut("adawac", BETTER, "", 20)
    same = report_of(pair, alike)
    assert same.subsets[0].false_slices
    assert "are cut" not in text_of(same, WHERE)
    other = report_of(pair, alike, cut("coronal", BETTER, "coronal", 64))
    [found] = other.subsets
    assert found.comparisons["coronal"][0].n == 8  # of whole volumes
    assert not found.false_slices
    assert [family.title for family in found.families] == ["Organ size"]
    said = text_of(other, WHERE)
    assert "axial (case ct_0: 20 slices, 10 label-dense): pair" in said
    assert "coronal (case ct_0: 64 slices, 32 label-dense): coronal" in said
    assert "test all with the same data.axis" in said


def test_images_seen_of_slices_and_of_patches_are_told_apart():
    runs = run("pair", WORSE, unit="slice"), run("adawac", BETTER, unit="patch")
    said = text_of(report_of(*runs), "Methods side by side")
    assert "What an image is differs here: slice: pair; patch: adawac." in said


WHERE = "Where it helps, and where not"
TRUST = "Can these numbers be trusted?"


def few(method, dice, patients):
    return [MethodRun(method, "full", f"{method} {i}", rows_of(dice[:patients], CASES[:patients])) for i in range(2)]


def test_what_so_few_patients_could_never_have_found_is_said():
    five = report_of(*few("pair", WORSE, 5), *few("adawac", BETTER, 5))
    said = (
        "This study could not have found a difference of means, however large: of 5 patients p is at least 0.0625, and "
        "1 comparison must be corrected for. 6 patients could."
    )
    assert summary_sentence(five.subsets, "pair").endswith(said)
    assert said in text_of(five, TRUST)
    assert "95 % interval without ends" in text_of(five, "Verdicts")
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


def test_ranks_are_said_of_trained_models():
    report = report_of(run("pair", WORSE), run("adawac", BETTER), run("erm", [v - 0.1 for v in WORSE]))
    [picture] = [block for block in organs(report) if getattr(block, "name", "") == "ranks_0"]
    assert "these trained networks" in picture.caption
    assert "not a verdict on methods" in picture.caption
    assert "critical" not in picture.caption


def test_false_alarms_that_a_comparison_leaves_out_are_counted_and_said():
    # the first case has no spleen: pair leaves it empty, adawac finds one
    def skip(method, dice, of_absent):
        rows = [row._replace(policy="skip") for row in rows_of(dice, organs=("spleen",))]
        absent = (CASES[0], "spleen", "dice")
        return MethodRun(
            method,
            "full",
            method,
            [r._replace(value=of_absent) if (r.case, r.class_name, r.metric) == absent else r for r in rows],
        )

    report = report_of(skip("pair", WORSE, math.nan), skip("adawac", BETTER, 0.0), policy="skip")
    assert "7 patients (1 case left out)" in text_of(report, "Verdicts")
    assert "false alarms decide nothing in it: see organs falsely found" in text_of(report, TRUST)


def test_an_organ_that_no_case_has_gets_no_verdict():
    def without(method, dice):
        return [
            r._replace(value=math.nan) if (r.class_name, r.metric) == ("spleen", "dice") else r for r in rows_of(dice)
        ]

    report = report_of(*(MethodRun(m, "full", m, without(m, d)) for m, d in (("pair", WORSE), ("adawac", BETTER))))
    [table] = [block for block in organs(report) if getattr(block, "header", ("",))[0] == "difference of Dice"]
    assert table.lines[-1] == ("spleen", "n = 0")


def test_training_slices_that_most_runs_name_come_first():
    named = {"a": ("p:1", "p:2"), "b": ("p:2", "p:3"), "c": (), "not recorded": None}
    runs = [run("pair", WORSE, name=name, suspects=found) for name, found in named.items()]
    report = Report(title="t", reference="pair", runs=runs, subsets=subset_results(runs, "pair"), policy="penalise")
    [table] = suspects(report)
    assert table.lines == (("p:2", f"2{OF}3 runs"), ("p:1", f"1{OF}3 runs"), ("p:3", f"1{OF}3 runs"))
    assert table.note.startswith("3 slices in all")


def test_a_run_that_finds_no_organ_names_no_training_slice():
    runs = [run("pair", WORSE, name="sees", suspects=("p:1",)), run("pair", [0.0] * 8, name="blind", suspects=("p:2",))]
    report = Report(title="t", reference="pair", runs=runs, subsets=subset_results(runs, "pair"), policy="penalise")
    said, table = suspects(report)
    assert said.text.startswith("blind: no organ reaches a Dice of 0.3 on the test cases.")
    assert table.lines == (("p:1", f"1{OF}1 run"),)
    blind = Report(title="t", reference="pair", runs=runs[1:], subsets=subset_results(runs[1:], "pair"), policy="skip")
    assert [type(block).__name__ for block in suspects(blind)] == ["Paragraph"]


def test_an_organ_is_not_found_by_leaving_it_out_where_it_is_absent():
    absent = ("spleen", CASES[0], "dice", "all")
    rows = [
        row._replace(value=1.0) if (row.class_name, row.case, row.metric, row.group) == absent else row
        for row in rows_of([0.0] * 8)
    ]
    assert rows != rows_of([0.0] * 8)
    assert MethodRun("pair", "", "0", rows).best_dice == 0
