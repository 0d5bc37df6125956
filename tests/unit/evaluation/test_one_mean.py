"""One mean: what a plain reference says of random case tables is what summary, statistics, groups and report say."""

import json
import math
from collections import defaultdict
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import rankdata

from adawac.evaluation import (
    SIZE_GROUPS,
    MadeBy,
    Metadata,
    case_rows,
    compare,
    estimate,
    estimate_methods,
    group_summaries,
    metadata_rows,
    position_groups,
    rank_methods,
    size_rows,
    summarise,
    summarise_groups,
    summarise_methods,
    training_rows,
)
from adawac.report.contents import Contents, subset_results
from adawac.report.details import group_lines, organ_lines
from adawac.report.runs import MethodRun
from adawac.report.write import results

CLASSES = ("background", "liver", "spleen", "kidney", "ghost", "unlearned")
GHOST, UNLEARNED = 4, 5
RUNS = {"erm": 2, "pair": 3, "adawac": 1}
PATIENTS = {f"ct{i}": f"p{i // 2 if i < 6 else i}" for i in range(9)}  # three patients with two cases, three with one
SITES = Metadata("site", "case", {case: "AB"[i % 3 == 0] for i, case in enumerate(PATIENTS)})


def random_tables(seed, policy):
    """Case tables of masks: organs that some cases lack, missed and falsely found ones, and two that cannot count."""
    rng = np.random.default_rng(seed)
    tables = {method: [] for method in RUNS}
    for case, patient in PATIENTS.items():
        target = rng.choice(GHOST, (6, 3, 3), p=[0.7, 0.1, 0.1, 0.1])
        target[:, 0, 0] = UNLEARNED
        for k in (1, 2, 3):
            if rng.random() < 0.4:
                target[target == k] = 0
        for method, count in RUNS.items():
            for run in range(count):
                preds = np.where(rng.random(target.shape) < 0.3, rng.integers(0, 6, target.shape), target)
                for k in (1, 2, 3, GHOST):
                    if rng.random() < 0.3:
                        preds[preds == k] = 0
                who = MadeBy(f"{method} {run}", method)
                rows = case_rows(case, patient, preds, target, None, CLASSES, policy, False, made_by=who)
                units = dict.fromkeys(CLASSES, 9) | {"unlearned": 0 if (method, run) == ("pair", 1) else 7}
                tables[method] += rows + training_rows(rows, units)
    return tables


ORGANS = ("liver", "spleen", "kidney")


def reference(tables, group="all", metric="dice", organs=ORGANS):
    """Method -> mean, and method -> patient -> score: over pairs that count everywhere, in plain words."""
    value = {
        (method, row.run, row.case, row.class_name): row.value
        for method, rows in tables.items()
        for row in rows
        if (row.group, row.metric) == (group, metric) and row.class_name in organs
    }
    runs = {(method, run) for method, run, _, _ in value}
    pairs = {(case, k) for _, _, case, k in value}
    pairs = {p for p in pairs if not any(math.isnan(value.get((*run, *p), math.nan)) for run in runs)}
    means, scores = {}, {}
    for method in tables:
        of_class = defaultdict(lambda: defaultdict(list))
        for case, k in pairs:
            of_class[k][PATIENTS[case]].append(fmean(value[(*run, case, k)] for run in runs if run[0] == method))
        means[method] = fmean(fmean(map(fmean, of.values())) for of in of_class.values()) if pairs else math.nan
        patients = {patient for of in of_class.values() for patient in of}
        part = {p: sum(fmean(of[p]) / len(of) for of in of_class.values() if p in of) for p in patients}
        scores[method] = {p: len(patients) / len(of_class) * found for p, found in part.items()}
    return means, scores


@pytest.fixture(scope="module", params=[(seed, policy) for seed in (0, 1) for policy in ("penalise", "skip", "paper")])
def tables(request):
    return random_tables(*request.param)


def near(value):
    return pytest.approx(value, abs=1e-12, nan_ok=True)


def test_a_plain_reference_knows_holes_ghosts_and_patients(tables):
    # what is tested against: under skip pairs are left out, and nowhere do the two classes count that cannot
    expected, scores = reference(tables)
    assert {name: fmean(found.values()) for name, found in scores.items()} == near(expected)
    [policy] = {row.policy for row in tables["erm"]}
    left_out = {each.class_name: each.reason for each in summarise_methods(tables)["erm"].left_out}
    assert left_out.pop("ghost") == "no test case holds it"
    assert left_out.pop("unlearned") == "nothing that pair 1 was trained on holds it"
    assert bool(left_out) is (policy == "skip")


@pytest.mark.parametrize(("group", "metric"), [("all", "dice"), ("dense", "dice"), ("dense", "recall"), ("all", "iou")])
def test_summary_estimates_and_differences(tables, group, metric):
    expected, _ = reference(tables, group, metric)
    assert {m: each.mean(metric, group).value for m, each in summarise_methods(tables).items()} == near(expected)
    estimates = {m: found[0] for m, found in estimate_methods(tables, metric, group).items()}
    assert {m: each.mean for m, each in estimates.items()} == near(expected)
    assert all(each.low <= each.mean <= each.high for each in estimates.values())
    for each in compare(tables, "pair", metric, group):
        if each.class_name == "<mean>":
            assert each.difference == estimates[each.method].mean - estimates["pair"].mean
            assert each.difference == near(expected[each.method] - expected["pair"])
            assert each.low <= each.difference <= each.high


def test_one_method_alone_is_its_own_view(tables):
    for method, rows in tables.items():  # of the three only pair could not learn a class
        learned = ORGANS if method == "pair" else (*ORGANS, "unlearned")
        expected, _ = reference({method: rows}, organs=learned)
        assert [summarise(rows).mean().value, estimate(rows)[0].mean] == near([expected[method]] * 2)


def test_ranks_are_those_of_the_patients_scores(tables):
    _, scores = reference(tables)
    ranking, patients = rank_methods(tables), sorted(scores["erm"])
    ranks = [rankdata([-round(scores[m][p], 12) for m in RUNS]) for p in patients]
    assert dict(ranking.ranks) == near(dict(zip(RUNS, np.mean(ranks, axis=0), strict=True)))
    assert ranking.n == len(patients)


def test_groups(tables):
    together = [row for rows in tables.values() for row in rows]
    lost = dict.fromkeys(("ghost", "unlearned"), "")
    families = {
        SITES.groups: {m: metadata_rows(rows, SITES) for m, rows in tables.items()},
        SIZE_GROUPS[:3]: {m: [row for row in size_rows(together) if row.method == m] for m in tables},
        position_groups(): tables,
    }
    for groups, rows in families.items():
        found = group_summaries(rows, groups, lost=lost)
        for i, group in enumerate(groups):
            expected, _ = reference(rows, group)
            assert {method: each.groups[i].mean for method, each in found.items()} == near(expected)
        for each in found.values():
            means = [group.mean for group in each.groups if group.n]
            assert each.mean == near(fmean(means))
            assert each.worst.mean == min(means)
            assert each.gap == near(max(means) - min(means))


def test_a_class_that_no_case_holds_counts_in_no_group(tables):
    rows = metadata_rows(tables["erm"], SITES)
    with_ghost = summarise_groups([row for row in rows if row.class_name != "unlearned"], SITES.groups)
    without = summarise_groups([row for row in rows if row.class_name not in ("ghost", "unlearned")], SITES.groups)
    assert with_ghost == without


def test_the_report_its_figures_and_its_json_hold_the_same_numbers(tables):
    runs = [
        MethodRun(method, "full", run, [row for row in rows if row.run == run])
        for method, rows in tables.items()
        for run in dict.fromkeys(row.run for row in rows)
    ]
    subsets = subset_results(runs, "pair", [SITES])
    report = Contents("t", "pair", runs[0].rows[0].policy, runs, subsets)
    [plain] = json.loads(json.dumps(results(report)))["subsets"]
    expected, _ = reference(tables)
    assert {each["name"]: each["dice"][0]["mean"] for each in plain["methods"]} == near(expected)
    means = {each["name"]: each["dice"] for each in plain["methods"]}
    organs, groups = organ_lines(subsets[0], "pair"), group_lines(subsets[0], "pair")
    for method, compared in plain["comparisons"].items():
        for row, each in enumerate(compared):
            mine, theirs = means[method][row]["mean"], means["pair"][row]["mean"]
            line = organs[f"{method} \N{MINUS SIGN} pair"][row]
            if each["n"] == 0:
                assert (mine, theirs, each["difference"]) == (None, None, None)
                continue
            assert each["difference"] == mine - theirs == line.difference
            assert each["n"] < 6 or each["low"] <= each["difference"] <= each["high"]  # fewer bound nothing
        drawn = {line.label.split("  (")[0]: line for line in groups[f"{method} \N{MINUS SIGN} pair"]}
        for family in plain["families"]:
            mine, theirs = ({g["name"]: g for g in family["summaries"][m]["groups"]} for m in (method, "pair"))
            assert {name for name, g in mine.items() if g["n"]} == set(family["differences"][method])
            for group, each in family["differences"][method].items():
                assert each["difference"] == mine[group]["mean"] - theirs[group]["mean"] == drawn[group].difference
    assert {each["class_name"] for each in plain["left_out"]} >= {"ghost", "unlearned"}
    assert plain["left_out"][-1]["reason"]
