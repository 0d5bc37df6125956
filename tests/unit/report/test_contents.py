"""What the report says, from rows whose numbers are plain to see."""

import math
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from report_runs import BETTER, CASES, WORSE, few, report_of, rows_of, run, text_of

from adawac.data.sampling.draw_summary import DrawSummary
from adawac.errors import ConfigError, DataError
from adawac.evaluation import ANY_CLASS, Metadata
from adawac.report import charts, patient_figures
from adawac.report.by_patient import by_patient
from adawac.report.contents import Contents, choose_reference, subset_results
from adawac.report.details import OF, _over_runs, organs, suspects, weights
from adawac.report.document import document
from adawac.report.runs import MethodRun, check_runs
from adawac.report.wording import summary_sentence
from adawac.report.worst_cases import worst_cases
from adawac.runs.slice_weights import SliceWeights

pytestmark = pytest.mark.usefixtures("undrawn")


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


def test_means_of_other_organs_are_not_compared():
    less = MethodRun("adawac", "full", "less", rows_of(BETTER, organs=("liver",)))
    with pytest.raises(DataError, match=r"run less: has no rows of spleen, which another has, .*the same classes"):
        check_runs([run("pair", WORSE), less])
    check_runs([run("pair", WORSE, "sparse"), less])  # side by side in a report, but not compared


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
    cube = text_of(report_of(pair, alike, cut("coronal", BETTER, "coronal", 20)), WHERE)
    assert "coronal (case ct_0: 20 slices, 10 label-dense): coronal" in cube


def test_images_seen_of_slices_and_of_patches_are_told_apart():
    runs = run("pair", WORSE, unit="slice"), run("adawac", BETTER, unit="patch")
    said = text_of(report_of(*runs), "Methods side by side")
    assert "What an image is differs here: slice: pair; patch: adawac." in said


WHERE = "Where it helps, and where not"
TRUST = "Can these numbers be trusted?"


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
    assert "7 patients, without ct_0, " in text_of(report, "Verdicts")
    assert "false alarms decide nothing in it: see organs falsely found" in text_of(report, TRUST)


def test_training_slices_that_most_runs_name_come_first():
    named = {"a": ("p:1", "p:2"), "b": ("p:2", "p:3"), "c": (), "not recorded": None}
    runs = [run("pair", WORSE, name=name, suspects=found) for name, found in named.items()]
    report = Contents(title="t", reference="pair", runs=runs, subsets=subset_results(runs, "pair"), policy="penalise")
    [table] = suspects(report)
    assert table.lines == (("p:2", f"2{OF}3 runs"), ("p:1", f"1{OF}3 runs"), ("p:3", f"1{OF}3 runs"))
    assert table.note.startswith("3 slices in all")


def test_a_run_that_finds_no_organ_names_no_training_slice():
    runs = [run("pair", WORSE, name="sees", suspects=("p:1",)), run("pair", [0.0] * 8, name="blind", suspects=("p:2",))]
    report = Contents(title="t", reference="pair", runs=runs, subsets=subset_results(runs, "pair"), policy="penalise")
    said, table = suspects(report)
    assert said.text.startswith("blind: no organ reaches a Dice of 0.3 on the test cases.")
    assert table.lines == (("p:1", f"1{OF}1 run"),)
    blind = Contents(
        title="t", reference="pair", runs=runs[1:], subsets=subset_results(runs[1:], "pair"), policy="skip"
    )
    assert [type(block).__name__ for block in suspects(blind)] == ["Paragraph"]


def test_weights_that_tell_nothing_apart_name_no_suspects():
    n = 40
    dense = np.arange(n) < 20

    def of(log_odds):
        place = np.linspace(0, 1, n)
        return SliceWeights(("p",) * n, tuple(map(str, range(n))), place, dense, 1 / (1 + np.exp(-log_odds)), log_odds)

    apart, mixed = np.where(dense, 2.0, -2.0), np.where(np.arange(n) % 2, 2.0, -2.0)
    runs = [
        run("a", WORSE, name=name, suspects=(f"p:{name}",), weights=of(scores))
        for name, scores in {"sees": apart, "guesses": mixed}.items()
    ]
    said, table = suspects(report_of(*runs, run("pair", BETTER)))
    assert said.text.startswith("guesses: the weights do not set label-dense above label-sparse slices")
    assert table.lines == (("p:sees", f"1{OF}1 run"),)


def test_an_organ_is_not_found_by_leaving_it_out_where_it_is_absent():
    absent = ("spleen", CASES[0], "dice", "all")
    rows = [
        row._replace(value=1.0) if (row.class_name, row.case, row.metric, row.group) == absent else row
        for row in rows_of([0.0] * 8)
    ]
    assert rows != rows_of([0.0] * 8)
    assert MethodRun("pair", "", "0", rows).best_dice == 0


def test_distances_are_of_the_unit_that_more_cases_have():
    runs = [
        MethodRun(
            method,
            "full",
            method,
            [
                row._replace(metric="hd95_voxel") if (row.metric, row.case) == ("hd95_mm", "ct_3") else row
                for row in rows_of(WORSE)
            ],
        )
        for method in ("pair", "adawac")
    ]
    [subset] = report_of(*runs).subsets
    found = subset.methods[0]
    assert (found.unit, found.hd95.n, found.hd95.left_out) == ("mm", 7, ("ct_3",))
    assert "HD95 in mm, liver, spleen, 1 case (ct_3): no value in a run of pair, adawac" in map(str, subset.left_out)


def test_what_was_not_measured_is_not_said_to_be_none():
    rows = [row for row in rows_of(WORSE) if row.metric in ("dice", "reference_voxels")]
    [found] = report_of(MethodRun("pair", "full", "0", rows)).subsets[0].methods
    assert math.isnan(found.false_voxels)
    assert str(found.missed) == "n = 0"


def test_a_run_without_one_of_the_groups_hides_no_range_of_the_others():
    assert _over_runs([0.9, math.nan, 0.7]) == _over_runs([math.nan, 0.7, 0.9]) == "0.700 to 0.900"
    assert _over_runs([math.nan]) == "-"


def test_a_difference_whose_interval_has_no_ends_says_so():
    said = text_of(report_of(*few("pair", WORSE, 4), *few("adawac", BETTER, 4)), WHERE)
    assert "0.00 (without ends)" in said


def test_figures_leave_out_what_the_tables_leave_out(monkeypatch):
    shown = {}
    monkeypatch.setattr(patient_figures, "strips", lambda panels, styles: shown.update(panels) or Figure())
    unlearned = [row._replace(metric="training_units", value=0.0) for row in rows_of(WORSE) if row.metric == "dice"]
    spleen = [row for row in unlearned if (row.class_name, row.group) == ("spleen", "all")]
    full = [row if row.class_name == "liver" else row._replace(value=0.1) for row in rows_of(WORSE)]
    report = report_of(MethodRun("pair", "full", "a", full), MethodRun("pair", "half", "b", [*rows_of(WORSE), *spleen]))
    list(by_patient(report))
    assert [found.mean for found in shown["Dice"]["mean of organs"].values()] == pytest.approx([sum(WORSE) / 8])
    assert worst_cases(report.subsets[0].view, 1) == {"ct_3": pytest.approx(0.62)}


def test_false_positive_voxels_are_the_one_mean_as_their_slices_are():
    """Over the visits of a patient first: three visits of one with 9 voxels each, one of another with 1."""
    rows = [
        row._replace(patient="a" if i < 7 else "b", value=9.0 if i < 7 else 1.0)
        if row.metric.startswith("false_positive")
        else row._replace(patient="a" if i < 7 else "b")
        for i, case in enumerate(CASES)
        for row in rows_of([WORSE[i]], [case])
    ]
    report = report_of(*(MethodRun("pair", "", name, rows) for name in ("0", "1")))
    assert report.subsets[0].methods[0].false_voxels == pytest.approx((9 + 1) / 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [("adawac_s", "AdaWAC-S: one view"), ("AdaWAC", "AdaWAC: two views"), ("adawac_foreground", "AdaWAC: two views")],
)
def test_methods_are_said_to_be_what_they_are(name, said):
    words = text_of(report_of(run("pair", WORSE), run(name, BETTER)), "Methods side by side")
    assert said in words
    assert words.count("AdaWAC") == 1 + (name == "AdaWAC")


def test_weights_are_shown_under_the_name_of_their_run(monkeypatch):
    """Whose first run has none any more."""
    shown = {}
    monkeypatch.setattr(charts, "weights_along", lambda panels: shown.update(panels) or Figure())
    dense = np.arange(4) < 2
    table = SliceWeights(("p",) * 4, ("0",) * 4, np.linspace(0, 1, 4), dense, dense * 0.5, dense * 1.0)
    runs = [run("a", WORSE, name="freed"), run("a", WORSE, name="kept", weights=table), run("pair", BETTER)]
    _, lines = weights(report_of(*runs))
    assert shown == {"a, kept": table}
    assert dict(zip(lines.header, lines.lines[0], strict=True)) == {
        "weights": "a", "runs": "1", "slices": "4", "label-dense": "2",
        "mean, label-dense": "0.500", "mean, label-sparse": "0.000", "AUROC": "1.000",
    }  # fmt: skip


@pytest.mark.parametrize(("unit", "one", "many"), [("patch", "patch", "patches"), ("slice", "slice", "slices")])
def test_what_was_trained_on_is_called_what_it_is(unit, one, many):
    """In the chapters that count training units; whole volumes are cut into slices whatever was trained on."""
    n = 40
    dense = np.arange(n) < 20
    score = np.where(dense, 2.0, -2.0)
    weights = SliceWeights(("p",) * n, tuple(map(str, range(n))), np.linspace(0, 1, n), dense, score / 5 + 0.5, score)
    draws = DrawSummary(0.5, {"liver": 0.5}, 1, 2.0, 3, 30.0)
    facts = {"unit": unit, "weights": weights, "draws": draws, "annotated": (30, 10), "suspects": ("p:0-0-8",)}
    chapters = document(report_of(run("pair", WORSE, **facts), run("adawac", BETTER, **facts))).sections
    of = {section.title: str(section.blocks) for section in chapters}
    titles = ("What the weights do", "What was drawn", "What annotation is worth", f"Training {many} to look at")
    words = " ".join(re.sub(r"<svg.*</svg>", "", of[title], flags=re.DOTALL) for title in titles)
    assert f"effective {many}" in words
    assert f"annotated {many}" in words
    assert f"volume:{one}" in words
    if unit == "patch":
        assert "slice" not in words.casefold().replace("slice 0 to last slice", "")
