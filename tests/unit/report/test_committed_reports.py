"""Reports that are committed: every mean in them is one mean, and their intervals hold what they are about."""

import importlib.util
import json
import math
from functools import lru_cache
from pathlib import Path
from statistics import fmean

import pytest

from adawac.report.contents import Contents, subset_results
from adawac.report.details import group_lines, organ_lines
from adawac.report.write import results

ROOT = Path(__file__).parents[3]
STUDIES = sorted(path.parent for path in ROOT.glob("docs/results/*/cases.parquet"))

spec = importlib.util.spec_from_file_location("remake_reports", ROOT / "scripts/remake_reports.py")
remake_reports = importlib.util.module_from_spec(spec)
spec.loader.exec_module(remake_reports)


@lru_cache(maxsize=1)
def runs_of(folder):
    """Its runs; to read them takes seconds."""
    return remake_reports.recorded_runs(folder, json.loads((folder / "results.json").read_text()))


QUICK = {"openkbp5"}
"""Both subsets; the others take as long each, and are walked over where there is time."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(each, id=each.name, marks=[pytest.mark.slow] * (each.name not in QUICK)) for each in STUDIES],
)
def study(request):
    """What is committed, the same computed from the case table, and the subsets that figures are drawn of."""
    committed = json.loads((request.param / "results.json").read_text())
    runs = runs_of(request.param)
    subsets = subset_results(runs, committed["reference"])
    report = Contents("t", committed["reference"], committed["policy"], runs, subsets)
    return committed, json.loads(json.dumps(results(report))), subsets


def compared(numbers):
    """Where it stands, difference with its interval, mean of the method, mean of the reference."""
    reference = numbers["reference"]
    for subset in numbers["subsets"]:
        dice = {method["name"]: method["dice"] for method in subset["methods"]}
        for method, found in subset["comparisons"].items():
            for row, each in enumerate(found):
                place = subset["name"], method, each["class_name"]
                yield place, each, dice[method][row]["mean"], dice[reference][row]["mean"]
        for family in subset["families"]:
            for method, found in family["differences"].items():
                means = {group["name"]: group["mean"] for group in family["summaries"][method]["groups"]}
                theirs = {group["name"]: group["mean"] for group in family["summaries"][reference]["groups"]}
                for group, each in found.items():
                    yield (subset["name"], method, group), each, means[group], theirs[group]


def test_a_difference_is_that_of_the_means_and_lies_in_its_interval(study):
    _, now, _ = study
    for place, each, mine, theirs in compared(now):
        assert each["difference"] == mine - theirs, place
        if each["low"] is None:  # fewer than six patients bound nothing
            assert each["n"] < 6
            assert each["high"] is None
            continue
        assert each["low"] <= each["difference"] <= each["high"], place


def test_an_estimate_lies_in_its_interval(study):
    for subset in study[1]["subsets"]:
        for method in subset["methods"]:
            for each in [*method["dice"], *filter(None, (method["dense"], method["recall"], method["hd95"]))]:
                assert each["low"] <= each["mean"] <= each["high"], (subset["name"], method["name"])


def test_figures_show_the_numbers_of_the_tables(study):
    _, now, subsets = study
    drawn = {}
    for subset in subsets:
        for panels in (organ_lines(subset, now["reference"]), group_lines(subset, now["reference"])):
            for title, lines in panels.items():
                for line in lines:
                    drawn[subset.name, title.split(" \N{MINUS SIGN} ")[0], line.label.split("  (")[0]] = line
    for (subset, method, name), each, _, _ in compared(now):
        line = drawn[subset, method, "mean of organs" if name == "<mean>" else name]
        shown = [end if math.isfinite(end) else None for end in (line.difference, line.low, line.high)]
        assert shown == [each["difference"], each["low"], each["high"]]


def test_the_mean_is_over_runs_then_cases_then_patients_then_organs(study):
    committed, now, _ = study
    folder = next(each for each in STUDIES if json.loads((each / "results.json").read_text()) == committed)
    groups = ["all", *(f"position {i} of 5" for i in range(1, 6))]
    values, empty, patients = {}, set(), {}
    for run in runs_of(folder):
        for row in run.rows:
            patients[row.case] = row.patient
            if row.metric == "dice" and row.group in groups and not math.isnan(row.value):
                key = run.subset, run.method, row.group, row.class_name, row.case
                values.setdefault(key, []).append(row.value)
            if row.metric == "reference_voxels" and row.group != "all" and row.value == 0:
                empty.add((row.group, row.class_name, row.case))

    def mean(*of):
        organs = {}
        for key, found in values.items():
            if key[:3] == of and key[2:] not in empty:
                organs.setdefault(key[3], {}).setdefault(patients[key[4]], []).append(fmean(found))
        return fmean(fmean(map(fmean, by_patient.values())) for by_patient in organs.values()) if organs else None

    for subset in now["subsets"]:
        [family] = [each for each in subset["families"] if each["title"].startswith("Position")]
        for method in subset["methods"]:
            found = [method["dice"][0], *family["summaries"][method["name"]]["groups"]]
            expected = [mean(subset["name"], method["name"], group) for group in groups]
            assert [each["mean"] for each in found] == pytest.approx(expected, abs=1e-12)


def test_what_is_committed_is_what_is_computed_today(study):
    committed, now, _ = study
    was, is_now = ([(p, round(d["difference"], 9), d["n"]) for p, d, *_ in compared(each)] for each in (committed, now))
    assert was == is_now, "run scripts/remake_reports.py"
