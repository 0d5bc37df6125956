"""What a case table says of itself, against plain loops over its rows."""

import re
from statistics import fmean

import numpy as np
import pytest

from adawac.evaluation import CaseRow
from adawac.evaluation.shown_table import CaseTable

ORGANS = ("liver", "spleen", "ghost")
PATIENTS = {"a_pre": "a", "a_post": "a", "b": "b", "c": "c"}


def table(methods=("AdaWAC",), runs=("0", "1"), subset=""):
    """Two visits of one patient, an organ that one case lacks, one that no case holds."""
    rng = np.random.default_rng(3)
    rows = []
    for method in methods:
        for run in runs:
            for case, patient in PATIENTS.items():
                for organ in ORGANS:
                    value = float("nan") if (case, organ) == ("b", "spleen") else float(rng.uniform(0.2, 0.9))
                    who = (f"{method} {subset} {run}", method, case, patient, organ, "all")
                    rows.append(CaseRow(*who, "dice", value, "skip", subset=subset))
                    voxels = 0.0 if organ == "ghost" or np.isnan(value) else 50.0
                    rows.append(CaseRow(*who, "reference_voxels", voxels, "skip", subset=subset))
    return rows


def mean_by_loops(rows):
    """Runs, then visits of a patient, then patients, then organs; not the organ that nobody has."""
    of_organs = []
    for organ in ORGANS[:2]:
        of_patients = []
        for patient in dict.fromkeys(PATIENTS.values()):
            of_cases = []
            for case in (case for case, whose in PATIENTS.items() if whose == patient):
                found = [r.value for r in rows if (r.case, r.class_name, r.metric) == (case, organ, "dice")]
                if not np.isnan(found).any():
                    of_cases.append(fmean(found))
            if of_cases:
                of_patients.append(fmean(of_cases))
        of_organs.append(fmean(of_patients))
    return fmean(of_organs)


def test_the_line_at_a_prompt_is_the_mean_of_the_means():
    rows = table()
    plain = fmean(row.value for row in rows if row.metric == "dice" and not np.isnan(row.value))
    mean = mean_by_loops(rows)
    assert abs(mean - plain) > 0.002  # else it would not tell which mean it is
    said = f"AdaWAC, 4 cases of 3 patients x 2 runs, Dice {mean:.3f} (1 of 3 classes left out)"
    assert repr(CaseTable(rows)) == f"CaseTable({said})"


def test_methods_and_training_subsets_stand_apart():
    rows = [*table(("AdaWAC", "Pair"), subset="full"), *table(("AdaWAC",), subset="half")]
    said = dict(re.findall(r"(\w+ on \w+), 4 cases of 3 patients x 2 runs, Dice (0\.\d+)", repr(CaseTable(rows))))
    for method, subset in (("AdaWAC", "full"), ("Pair", "full"), ("AdaWAC", "half")):
        own = [row for row in rows if (row.method, row.subset) == (method, subset)]
        assert said[f"{method} on {subset}"] == f"{mean_by_loops(own):.3f}"


def test_a_notebook_shows_the_means_and_every_case():
    rows = table(runs=("0",))
    page = CaseTable(rows)._repr_html_()
    cells = [re.findall(r"<t[dh]>(.*?)</t[dh]>", line) for line in re.findall(r"<tr>(.*?)</tr>", page)]
    shown = {line[0]: line[1:] for line in cells}
    assert shown["cases"] == ["4 of 3 patients"]
    assert shown["Dice, mean of classes"] == [f"{mean_by_loops(rows):.3f} (1 of 3 classes left out)"]
    for case in PATIENTS:
        values = {row.class_name: row.value for row in rows if (row.case, row.metric) == (case, "dice")}
        assert shown[case][1:] == ["-" if np.isnan(values[organ]) else f"{values[organ]:.3f}" for organ in ORGANS]


@pytest.mark.parametrize(("value", "shown"), [(0.99961, "0.9996"), (0.0004, "0.0004"), (1.0, "1.000"), (0.0, "0.000")])
def test_what_is_not_perfect_is_not_shown_as_that(value, shown):
    row = CaseRow("0", "erm", "a", "a", "liver", "all", "dice", value, "penalise")
    assert repr(CaseTable([row])) == f"CaseTable(erm, 1 case, Dice {shown})"
    assert f"<td>{shown}</td>" in CaseTable([row])._repr_html_()


def test_rows_that_have_no_common_mean_are_shown_all_the_same():
    row = CaseRow("0", "erm", "a", "a", "liver", "all", "dice", 0.5, "penalise")
    rows = CaseTable([row, row._replace(method="pair", run="1", case="b")])
    assert re.fullmatch(r"CaseTable\(2 rows, no means: .* lacks .*\)", repr(rows))
    assert "no means: " in rows._repr_html_()
    assert "<td>0.500</td>" in rows._repr_html_()
