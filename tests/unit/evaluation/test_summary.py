"""Means over cases and classes, worked out on paper, and the tables made of them."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from adawac.errors import DataError
from adawac.evaluation import CaseRow, MadeBy, Share, case_rows, summarise, summary_table, to_markdown

CLASSES = ("background", "liver", "spleen")

# Three cases of three slices of 1 x 4 voxels (5 x 1 x 1 mm), each a pair (preds, target):
#
#             liver Dice   on dense slices   spleen
#   case a    6/8          6/7               missed
#   case b    4/5          1                 false alarm, on a sparse slice; dense slices: both empty
#   case c    1            1                 both empty
#
#   liver: (0.75 + 0.8 + 1) / 3 = 0.85;            dense (6/7 + 1 + 1) / 3 = 20/21
#   spleen, penalise and paper: (0 + 0 + 1) / 3;   dense (0 + 1 + 1) / 3 = 2/3
#   spleen, skip: (0 + 0) / 2 and 1 left out;      dense 0 / 1 and 2 left out
#   sparse slices 1 + 2 + 2 = 5, of which a: 1, b: 1, c: 0 hold false positives
CASES = {
    "a": ([[[1, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 1, 1, 0]]], [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 1, 2, 0]]]),
    "b": ([[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 2, 1]]], [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]]),
    "c": ([[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]], [[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]]),
}


def table_of(policy="penalise", run="run", classes=CLASSES, spacing=(5, 1, 1)):
    return [
        row
        for case, (preds, target) in CASES.items()
        for row in case_rows(case, case, preds, target, spacing, classes, policy, made_by=MadeBy(run))
    ]


def row(value, case="a", name="liver", group="all", metric="dice", policy="penalise", run="run"):
    return CaseRow(run, "erm", case, case, name, group, metric, value, policy)


@pytest.mark.parametrize(
    ("policy", "spleen", "spleen_dense", "spleen_hd95"),
    [
        ("penalise", (1 / 3, 3, 0), (2 / 3, 3, 0), (2 * math.sqrt(242) / 3, 3, 0)),
        ("skip", (0, 2, 1), (0, 1, 2), (math.sqrt(242), 2, 1)),
        ("paper", (1 / 3, 3, 0), (2 / 3, 3, 0), (0, 3, 0)),
    ],
)
def test_means_and_what_they_leave_out_under_each_policy(policy, spleen, spleen_dense, spleen_hd95):
    summary = summarise(table_of(policy))
    assert summary.policy == policy
    assert summary.classes == ("liver", "spleen")
    assert summary.per_class()["liver"] == pytest.approx((0.85, 3, 0))
    assert summary.per_class()["spleen"] == pytest.approx(spleen)
    assert summary.mean() == pytest.approx(((0.85 + spleen[0]) / 2, 2, 0))
    assert summary.per_class(group="dense")["spleen"] == pytest.approx(spleen_dense)
    assert summary.mean(group="dense").value == pytest.approx((20 / 21 + spleen_dense[0]) / 2)
    assert summary.per_class("hd95_mm")["spleen"] == pytest.approx(spleen_hd95)
    assert summary.worst_class == ("spleen", summary.per_class()["spleen"])
    assert (summary.total("missed"), summary.total("false_alarm")) == (1, 1)


def test_mean_dice_is_over_classes_of_means_over_cases():
    # liver 0.9 and 0.7, spleen 0.2 in one case only: (0.8 + 0.2) / 2, not (0.9 + 0.7 + 0.2) / 3
    rows = [row(0.9), row(0.7, "b"), row(0.2, name="spleen"), row(math.nan, "b", "spleen")]
    assert summarise(rows).mean() == pytest.approx((0.5, 2, 0))


def test_a_class_without_any_value_is_left_out_of_the_mean_and_said_so():
    rows = [row(0.9), row(math.nan, name="spleen")]
    summary = summarise(rows)
    assert summary.mean() == (0.9, 1, 1)
    assert summary.worst_class == ("liver", (0.9, 1, 0))
    markdown = to_markdown({"erm": rows})
    assert "| Dice, spleen | - (1 of 1 cases left out) |" in markdown
    assert "| Dice, mean of classes | 0.900 (1 of 2 classes left out) |" in markdown


def test_runs_of_one_method_are_averaged_and_counted():
    summary = summarise([row(0.5, run="seed 1"), row(0.7, run="seed 2")])
    assert (summary.cases, summary.runs) == (1, 2)
    assert summary.mean().value == pytest.approx(0.6)


def test_the_same_number_twice_is_refused():
    with pytest.raises(DataError, match=r"case a, run 'run': all/dice/liver comes twice; give each run a name"):
        summarise([row(0.5), row(0.7)])


def test_rows_of_two_policies_are_refused():
    with pytest.raises(DataError, match=r"found penalise, skip; evaluate every case with the same policy"):
        summarise([row(0.5), row(0.7, "b", policy="skip")])
    with pytest.raises(DataError, match=r"found no rows; evaluate every case"):
        summarise([])
    with pytest.raises(DataError, match=r"found paper, skip; evaluate them all with the same one"):
        summary_table({"erm": table_of("skip"), "adawac": table_of("paper")})


def test_markdown_holds_the_numbers_worked_out_on_paper():
    lines = to_markdown({"erm": table_of(), "adawac": table_of(run="other")}).splitlines()
    assert lines[0] == "|  | erm | adawac |"
    # HD95: liver a 1 + 0.65 (sqrt(26) - 1); b: the stray voxel (2, 3) is sqrt(26) from (1, 2), pooled 0 0 0 0
    # sqrt(26), place 0.95 * 4 = 3.8; c 0. spleen: twice the diagonal sqrt(242), then 0.
    far = math.sqrt(26)
    hd95 = ((1 + 0.65 * (far - 1) + 0.8 * far) / 3 + 2 * math.sqrt(242) / 3) / 2
    expected = {
        "cases": "3",
        "Dice, liver": "0.850",
        "Dice, spleen": "0.333",
        "Dice, mean of classes": "0.592",
        "Dice, worst class": "0.333 (spleen)",
        "Dice, label-dense slices": "0.810",  # (20/21 + 2/3) / 2
        "false-positive sparse slices": "2 of 5 (40.0%)",
        "HD95 (pooled), mm": f"{hd95:.2f}",
        "organs missed": "1 of 4 (25.0%)",
        "organs falsely found": "1 of 2 (50.0%)",
    }
    assert lines[2:-2] == [f"| {name} | {value} | {value} |" for name, value in expected.items()]
    assert lines[-1].startswith("Empty masks, policy penalise: both empty: Dice 1, distance 0;")


def test_names_from_the_data_are_not_markup():
    classes = ("background", "[red]left|right[/red]", "a\n*b*")
    rows = table_of(classes=classes, spacing=None)
    text = io.StringIO()
    Console(file=text, width=120).print(summary_table({"[bold]erm": rows}, title="[b]Test"))
    text = text.getvalue()
    assert "[b]Test" in text
    assert "Dice, [red]left|right[/red]" in text
    assert "[bold]erm" in text
    assert "HD95 (pooled), voxel" in text
    assert "Empty masks, policy penalise" in text
    markdown = to_markdown({"erm": rows})
    assert r"| Dice, \[red\]left\|right\[/red\] | 0.850 |" in markdown
    assert r"| Dice, a \*b\* | 0.333 |" in markdown


def test_a_class_that_one_method_lacks_counts_in_none_and_that_is_said():
    other = [row(0.5), row(0.6, name="kidney")._replace(method="adawac")]
    lines = to_markdown({"erm": [row(0.9)], "adawac": other}).splitlines()
    assert "| Dice, kidney | - | - (1 of 1 cases left out) |" in lines
    assert "| Dice, mean of classes | 0.900 | 0.500 (1 of 2 classes left out) |" in lines
    assert lines[-1].endswith("Left out of the means: kidney: no value in a run of erm.")
    assert "| false-positive sparse slices | n = 0 | n = 0 |" in lines


def test_a_wholly_ignored_case_says_nothing_and_its_slices_are_counted():
    target = np.full((2, 3, 3), 255)
    rows = [
        row
        for case, label in (("seen", np.eye(3, dtype=int)[None].repeat(2, 0)), ("ignored", target))
        for row in case_rows(case, case, np.ones((2, 3, 3), int), label, None, ("background", "liver", "spleen"))
    ]
    summary = summarise(rows)
    assert (summary.ignored_slices, summary.false_positive_slices) == (2, (0, 0))
    assert summary.missed == (0, 1)
    assert summary.false_alarms == (0, 1)  # the spleen of the case that was labelled
    assert summary.per_class()["liver"].left_out == 1
    assert "| wholly ignored slices | 2 |" in to_markdown({"erm": rows})
    seen = [row for row in rows if row.case == "seen"]
    assert "ignored" not in to_markdown({"erm": seen})


def test_what_hd95_alone_leaves_out_is_said():
    hidden = [row(0.9, metric="hd95_mm"), row(float("nan"), case="b", metric="hd95_mm")]
    said = to_markdown({"erm": [row(0.9), row(0.8, case="b"), *hidden]})
    assert said.rstrip().endswith("Left out of the means: HD95 in mm, liver, 1 case (b): no value in a run of erm.")


def test_what_was_not_measured_is_no_count_of_none():
    summary = summarise([row(0.9), row(9.0, metric="reference_voxels")])
    assert str(summary.missed) == str(summary.false_alarms) == "n = 0"


@pytest.mark.parametrize(
    ("part", "said"), [(0, "0.0%"), (1, "below 0.1%"), (2999, "above 99.9%"), (3000, "100.0%"), (1500, "50.0%")]
)
def test_a_share_is_none_or_all_only_where_it_is(part, said):
    assert str(Share(part, 3000)) == f"{part} of 3000 ({said})"


def test_cases_that_are_averaged_by_patient_say_so():
    rows = [row(value, case)._replace(patient=case[0]) for case, value in (("a1", 0.2), ("a2", 0.4), ("b1", 0.9))]
    table = to_markdown({"erm": rows})
    assert "| cases | 3 of 2 patients |" in table
    assert f"| Dice, liver | {((0.2 + 0.4) / 2 + 0.9) / 2:.3f} |" in table
