"""Methods over the same cases: arrays worked out on paper, what is left out, what is refused."""

import math

import numpy as np
import pytest

from adawac.errors import DataError
from adawac.evaluation import ANY_CLASS, MEAN_OF_CLASSES, CaseRow
from adawac.evaluation.pairing import SharedCases


def rows(values, run="0", name="liver", patients=None, metric="dice", group="all", policy="skip"):
    """A row a case: a, b, c, ..."""
    return [
        CaseRow(run, "m", case, (patients or {}).get(case, case), name, group, metric, value, policy)
        for case, value in zip("abcdefgh", values, strict=False)
    ]


def values(table, name):
    """Scores of each method, and the cases that are left out."""
    found = table.select(name)
    return found.scores, found.left_out


def shared(tables, metric="dice", group="all"):
    return SharedCases.of(tables, metric, group)


def test_unequal_runs_stand_side_by_side():
    one = rows([0.5, 0.7], "seed 1") + rows([0.6, 0.9], "seed 2")
    (first, second), left_out = values(shared({"one": one, "two": rows([0.1, 0.2])}), "liver")
    assert first.tolist() == [[0.5, 0.6], [0.7, 0.9]]
    assert second.tolist() == [[0.1], [0.2]]
    assert left_out == ()


def test_a_case_without_a_value_in_any_run_is_left_out_of_all_methods():
    one = rows([0.5, 0.7, 0.9], "seed 1") + rows([0.6, math.nan, 0.8], "seed 2")
    (first, second), left_out = values(shared({"one": one, "two": rows([0.1, 0.2, math.nan])}), "liver")
    assert (first.tolist(), second.tolist()) == ([[0.5, 0.6]], [[0.1]])
    assert left_out == ("b", "c")


def test_the_mean_of_classes_is_over_the_pairs_that_all_methods_have():
    # one: liver 0.8, spleen 0.4 | 0.6, none | none, none.  two: 0.7, 0.5 | 0.2, 0.3 | none, 0.9
    # liver of a and b: 0.7 against 0.45; spleen of a alone: 0.4 against 0.5. So 0.55 against 0.475.
    # Scores, n = 2 patients of K = 2 classes: a 0.8 / 2 + 0.4 / 1 against 0.7 / 2 + 0.5 / 1; b 0.6 / 2 against 0.2 / 2
    one = rows([0.8, 0.6, math.nan]) + rows([0.4, math.nan, math.nan], name="spleen")
    two = rows([0.7, 0.2, math.nan]) + rows([0.5, 0.3, 0.9], name="spleen")
    table = shared({"one": one, "two": two})
    assert table.names == (MEAN_OF_CLASSES, "liver", "spleen")
    found = table.select(MEAN_OF_CLASSES)
    assert found.means == pytest.approx((0.55, 0.475))
    assert found.scores[0][:, 0] == pytest.approx([0.8, 0.3])
    assert found.scores[1][:, 0] == pytest.approx([0.85, 0.1])
    assert found.weights == pytest.approx([1.5, 0.5])
    # levels of one: 0.55 + (0.8 - 0.7) / 2 + (0.4 - 0.4) / 1, and 0.55 + (0.6 - 0.7) / 2
    assert found.levels[0][:, 0] == pytest.approx([0.6, 0.5])
    # and what is shown of a and b themselves: (0.8 + 0.4) / 2, and 0.6, the only organ that counts
    assert found.own[0][:, 0] == pytest.approx([0.6, 0.6])
    assert (found.patients, found.cases, found.left_out) == (("a", "b"), 2, ("c",))
    assert table.select("spleen").left_out == ("b", "c")


def test_cases_of_one_patient_are_averaged_first():
    # patients p: a and c, q: b
    patients = {"a": "p", "b": "q", "c": "p"}
    (only,), _ = values(shared({"one": rows([0.5, 0.9, 0.7], patients=patients)}), "liver")
    assert only[:, 0] == pytest.approx([0.6, 0.9])


def test_cases_come_in_any_order():
    (first, second), _ = values(shared({"one": rows([0.1, 0.2, 0.3]), "two": rows([0.4, 0.5, 0.6])[::-1]}), "liver")
    assert (second - first)[:, 0] == pytest.approx([0.3, 0.3, 0.3])


def test_what_is_measured_of_all_classes_together_is_taken_as_it_is():
    table = shared({"one": rows([3, 5], name=ANY_CLASS, metric="false_positive_slices") + rows([0.5, 0.6])},
                   "false_positive_slices")  # fmt: skip
    assert table.names == (ANY_CLASS,)
    (only,), _ = values(table, ANY_CLASS)
    assert only[:, 0].tolist() == [3, 5]


def test_what_is_measured_of_all_classes_together_is_no_class_of_their_mean():
    table = shared({"one": rows([9, 9], name=ANY_CLASS) + rows([1, 3]) + rows([4, 8], name="spleen")})
    assert table.select(MEAN_OF_CLASSES).means == ((2 + 6) / 2,)


def test_nothing_is_left_where_no_case_has_a_value():
    (only,), left_out = values(shared({"one": rows([math.nan, math.nan])}), "liver")
    assert only.shape == (0, 1)
    assert left_out == ("a", "b")


def test_a_case_of_a_run_that_lacks_this_metric_is_left_out():
    # run 1 has case b, as its rows of another metric say, but no Dice of it
    table = shared({"one": rows([0.5, 0.6]) + rows([0.7], "1") + rows([1, 2], "1", metric="hd")})
    assert table.select("liver").left_out == ("b",)
    assert np.isnan(table.values[0]).sum() == 1


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"one": rows([1, 2, 3]), "two": rows([1])}, "two, run '0' lacks b, c, which .*evaluate all methods on the sa"),
        ({"one": rows([1, 2]) + rows([1], "seed 2")}, "one, run 'seed 2' lacks b, which another has"),
        ({"one": rows([1] * 8), "two": rows([1])}, "lacks b, c, d, e, f and 2 more, which another"),
        ({"one": rows([1]), "two": rows([1], policy="paper")}, "policies differ: paper, skip; evaluate all with the"),
        ({"one": rows([1]), "two": []}, "two has no rows; evaluate it first"),
        ({"one": rows([1]) + rows([2])}, "one, run '0', case a: all/dice/liver comes twice; give each run a name"),
        ({"one": rows([1], metric="iou")}, "no case has dice in group 'all'; choose a metric and a group"),
        ({"one": rows([1], group="dense")}, "no case has dice in group 'all'; choose a metric and a group"),
    ],
)
def test_what_does_not_fit_together_is_refused(tables, message):
    with pytest.raises(DataError, match=message):
        shared(tables)
