"""What a number is of, said beside it, so that nobody takes it for something else."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from report_runs import BETTER, CASES, WORSE, report_of, rows_of, run, seeds, text_of

import adawac
from adawac.data.sampling.draw_summary import DrawSummary
from adawac.evaluation import Metadata
from adawac.report.contents import subset_results
from adawac.report.document import document
from adawac.report.drawn import drawn
from adawac.report.runs import MethodRun
from adawac.report.wording import summary

pytestmark = pytest.mark.usefixtures("undrawn")


def test_cases_and_runs_without_which_all_numbers_are():
    """They may be those on which something failed."""
    report = report_of(run("pair", WORSE), run("adawac", BETTER))
    assert "left out" not in summary(report)
    without = replace(report, left_out=("case ct_9: not in adawac",), unfinished={"adawac-seed1": "failed"})
    said = summary(without)
    assert "1 case left out: case ct_9: not in adawac." in said
    assert "1 planned run not in this: adawac-seed1 (failed)." in said


@pytest.mark.parametrize(
    ("facts", "did"), [({"training": ("ct_1",)}, "was trained on"), ({"chosen": ("ct_1",)}, "was chosen on")]
)
def test_cases_that_a_run_knows(facts, did):
    said = summary(report_of(run("pair", WORSE, **facts), run("adawac", BETTER)))
    assert f"1 of the 8 cases have the names of cases that pair-full {did} (ct_1): where they are the same" in said
    assert "too good" not in summary(report_of(run("pair", WORSE, chosen=("pt_1",)), run("adawac", BETTER)))


def test_groups_of_several_cases_of_one_patient():
    """Two scans of each of four patients: a group of two cases is one of one patient."""
    runs = [
        MethodRun(method, "full", method, [row._replace(patient=f"p{int(row.case[3:]) // 2}") for row in rows_of(dice)])
        for method, dice in (("pair", WORSE), ("adawac", BETTER))
    ]
    site = Metadata("site", "case", {case: "A" if case in CASES[:2] else "B" for case in CASES})
    report = replace(report_of(*runs), subsets=subset_results(runs, "pair", [site]))
    words = text_of(report, "Where it helps, and where not")
    assert "(n = 2 of 1 patient)" in words
    assert "(n = 6 of 3 patients)" in words


def test_no_case_at_all_is_no_difference():
    empty = [
        MethodRun(
            name, "full", name, [r._replace(value=0.0) if r.metric == "reference_voxels" else r for r in rows_of(d)]
        )
        for name, d in (("pair", WORSE), ("adawac", BETTER))
    ]
    assert "Nothing can be compared: no case counts in all methods." in summary(report_of(*empty))


def test_a_median_of_an_even_count_is_not_rounded():
    draws = DrawSummary(0.5, {}, least=1, median=float(np.median([1, 2, 3, 9])), most=9, effective=2.4)
    [table, _] = drawn(report_of(*seeds("pair", WORSE), run("adawac", BETTER, draws=draws)))
    assert table.lines[0][table.header.index("median")] == "2.5"


def test_a_mean_names_what_it_leaves_out_and_why():
    """Of label-dense slices, too: in one case the reference has none."""
    runs = [
        MethodRun(
            name,
            "full",
            name,
            [
                r._replace(value=np.nan) if (r.case, r.group, r.metric) == ("ct_3", "dense", "dice") else r
                for r in rows_of(d)
            ],
        )
        for name, d in (("pair", WORSE), ("adawac", BETTER))
    ]
    words = {section.title: str(section.blocks) for section in document(report_of(*runs)).sections}
    where = words["Where it helps, and where not"]
    assert ", without ct_3" in where
    why = "Dice on label-dense slices, liver, spleen, 1 case (ct_3): no value in a run of pair, adawac"
    assert why in where


@pytest.mark.parametrize("patients", [None, r"(ct_\d)", "auto"])
def test_one_case_under_two_names_is_told_to_count_twice(tmp_path, patients, caplog):
    """Unless both are said to be of one patient."""
    rng = np.random.default_rng(0)
    for i in range(3):
        label = np.zeros((8, 8, 4), np.uint8)
        label[2:6, 2 : 4 + i] = 1
        preds = np.where(rng.random(label.shape) < 0.2, 0, label).astype(np.uint8)
        for name in (f"ct_{i}", f"ct_{i}_again")[: 2 if i == 1 else 1]:
            for folder, array in (("labels", label), ("preds", preds)):
                (tmp_path / folder).mkdir(exist_ok=True)
                nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / f"{name}.nii.gz")
    found = adawac.evaluate({"a": tmp_path / "preds"}, labels=tmp_path / "labels", patient_pattern=patients)
    told = [each for each in caplog.messages if "every number is the same" in each]
    count = found.contents.subsets[0].methods[0].dice[0].n
    assert len(told) == (count == 4)
    assert all(each.startswith("ct_1 and ct_1_again: ") and each in found.summary for each in told)
    assert count == (4 if patients is None else 3) or patients == "auto"


def test_folders_of_one_name_that_nobody_named_are_told_to_be_seeds(tmp_path, caplog):
    rng = np.random.default_rng(0)
    label = np.zeros((8, 8, 4), np.uint8)
    label[2:6, 2:6] = 1
    for folder in ("labels", "mine/preds", "theirs/preds"):
        (tmp_path / folder).mkdir(parents=True)
        array = label if folder == "labels" else np.where(rng.random(label.shape) < 0.2, 0, label).astype(np.uint8)
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / "ct_1.nii.gz")
    both = [tmp_path / "mine/preds", tmp_path / "theirs/preds"]
    summary = adawac.evaluate(both, labels=tmp_path / "labels").summary
    [said] = [each for each in caplog.messages if "count as seeds" in each]
    assert said == f"{both[0]}, {both[1]} count as seeds of preds, as they are called so; METHOD=PATH tells them apart"
    assert f" {said}." in summary  # whoever reads the report has not seen the warning
    caplog.clear()
    adawac.evaluate([f"a={each}" for each in both], labels=tmp_path / "labels")
    assert not caplog.messages
