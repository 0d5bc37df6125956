"""Which runs fit together in a report, and which of them are seeds of one method."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from report_runs import BETTER, CASES, WORSE, report_of, rows_of, run

import adawac
from adawac.errors import DataError
from adawac.evaluation import write_table
from adawac.report.runs import MethodRun, check_runs, check_seeds, on_shared_cases
from adawac.report.shown_patients import by_patient
from adawac.report.sources import Source, evaluate_sources
from adawac.report.wording import summary as report_summary

pytestmark = pytest.mark.usefixtures("undrawn")


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


@pytest.mark.parametrize("name", ["background", "Background", "<mean>"])
def test_what_is_no_organ_is_refused_as_one(name):
    """Tables that others write may hold it: its Dice is near 1, and would count in the mean of organs."""
    rows = [row._replace(class_name=name) if row.class_name == "spleen" else row for row in rows_of(BETTER)]
    with pytest.raises(
        DataError, match=rf"run theirs: its case table has rows of {name}, which is no organ .*leave them out"
    ):
        check_runs([MethodRun("adawac", "full", "theirs", rows)])


def test_methods_of_a_table_may_call_their_seeds_alike(tmp_path):
    table = {"pair": WORSE, "adawac": BETTER}
    rows = [
        row._replace(method=name, run=seed)
        for name, dice in table.items()
        for seed in "01"
        for row in rows_of([each - 0.01 * int(seed) for each in dice])
    ]
    write_table(tmp_path / "cases.csv", rows)
    runs = evaluate_sources([Source.parse(str(tmp_path / "cases.csv"))], None, "penalise")
    assert [(each.method, each.name) for each in runs] == [
        ("pair", "0 pair"),
        ("pair", "1 pair"),
        ("adawac", "0 adawac"),
        ("adawac", "1 adawac"),
    ]
    check_runs(runs)


def test_runs_of_one_name_in_two_folders_are_told_apart(tmp_path):
    """As a/mine/version_0 and b/mine/version_0 are; a folder that is given twice still comes twice."""
    for folder, dice in (("a", WORSE), ("b", BETTER)):
        (tmp_path / folder).mkdir()
        write_table(tmp_path / folder / "cases.csv", [row._replace(run="mine/version_0") for row in rows_of(dice)])
    sources = [Source.parse(f"{name}={tmp_path / name / 'cases.csv'}") for name in "ab"]
    runs = evaluate_sources(sources, None, "penalise")
    check_runs(runs)
    for one, name in zip(runs, "ab", strict=True):
        assert (one.method, one.name) == (name, f"mine/version_0 ({tmp_path / name / 'cases.csv'})")
        assert {row.run for row in one.rows} == {one.name}
    twice = evaluate_sources([sources[0], sources[0]], None, "penalise")
    with pytest.raises(DataError, match="comes 2 times; give each run once"):
        check_runs(twice)


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


def test_shared_cases_are_kept_and_the_others_named():
    short = MethodRun("adawac", "full", "short", rows_of(WORSE[:7], CASES[:7]))
    kept, left_out = on_shared_cases([run("pair", WORSE), short])
    assert left_out == ("case ct_7: not in short",)
    check_runs(kept)
    assert all(each.cases == set(CASES[:7]) for each in kept)


def test_runs_of_one_method_that_differ_in_more_than_their_seeds_are_named(tmp_path, caplog):
    rates = {"a": (0.1, 0), "b": (0.1, 1), "c": (0.2, 1)}
    runs = []
    for name, (rate, seed) in rates.items():
        folder = tmp_path / name / "version_0"
        folder.mkdir(parents=True)
        settings = {"seed_everything": seed, "name": name, "model": {"optimizer": {"init_args": {"lr": rate}}}}
        (folder / "config.yaml").write_text(json.dumps(settings))
        runs.append(run("AdaWAC", [each - rate * seed for each in WORSE], name=name, made={"from": str(folder)}))
    check_seeds(runs)
    [said] = caplog.messages
    assert said.startswith(
        "a and c count as seeds of AdaWAC, but their settings differ (model.optimizer.init_args.lr 0.1, 0.2);"
    )


def test_methods_that_were_trained_on_other_cases_are_told():
    def said(**training):
        runs = [
            run(method, WORSE, name=f"{method}{i}", training=tuple(of))
            for method, each in training.items()
            for i, of in enumerate(each)
        ]
        return report_summary(report_of(*runs))

    told = "Methods were not trained on the same cases: pair on 3, adawac on 2."
    assert told in said(pair=["abc", "abc"], adawac=["ab", "ab"])
    assert "pair on 2, adawac on 2." in said(pair=["ab", "ab"], adawac=["ac", "ac"])
    for alike in ({"pair": ["ab", "ac"], "adawac": ["ac", "ab"]}, {"pair": ["ab"] * 2, "adawac": [""] * 2}):
        assert "same cases" not in said(**alike)  # of folds each has all; of others nothing is known


def test_one_training_done_twice_is_no_two_seeds(tmp_path):
    """As `adawac fit mine.yaml`, typed twice: another folder, another device, but every number the same."""
    runs = []
    for k, (name, seed, device) in enumerate((("a", 1234, "gpu"), ("b", 1234, "cpu"), ("c", 7, "cpu"))):
        folder = tmp_path / name / "version_0"
        folder.mkdir(parents=True)
        settings = {"seed_everything": seed, "name": name, "runs": str(tmp_path), "trainer": {"accelerator": device}}
        (folder / "config.yaml").write_text(json.dumps(settings))
        runs.append(run("AdaWAC", [each - 0.01 * k for each in WORSE], name=name, made={"from": str(folder)}))
    check_seeds([runs[0], runs[2]])
    with pytest.raises(
        DataError, match=r"runs a, b of AdaWAC: .* one training done 2 times .* another --seed_everythi"
    ):
        check_seeds(runs)
    check_seeds([runs[0], MethodRun(**{**vars(runs[1]), "method": "other"})])  # whose luck is the same, as it may be
    (tmp_path / "b/version_0/run.json").write_text(json.dumps({"data": {"ct_0": "of labels that were corrected"}}))
    check_seeds(runs)


@pytest.mark.parametrize("how", ["a copy", "compressed otherwise", "another format and type", "a case less"])
def test_predictions_that_are_the_same_are_no_two_seeds(tmp_path, how):
    """Of other tools, whose checkpoints nobody knows: by what they hold, however it is written."""
    rng = np.random.default_rng(0)
    for i in range(3):
        label, preds = np.zeros((2, 8, 8, 4), np.uint8)
        label[1:5, 1:5] = preds[1:5, 1 : 5 + i % 2] = 1
        other = np.where(rng.random(preds.shape) < 0.1, 0, preds).astype(np.uint8)
        kind, ending = (np.int16, "nii") if how.startswith("another") else (np.uint8, "nii.gz")
        for folder, array, name in (
            ("labels", label, f"ct_{i}.nii.gz"),
            ("one", preds, f"ct_{i}.nii.gz"),
            ("same", preds.astype(kind), f"ct_{i}.{ending}"),
            ("other", other, f"ct_{i}.nii.gz"),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / name)
    if how.startswith("compressed"):
        for path in (tmp_path / "same").iterdir():
            path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    if how == "a case less":
        (tmp_path / "same/ct_1.nii.gz").unlink()

    def of(*names):
        return adawac.evaluate(
            [f"a={tmp_path / name}" for name in names], labels=tmp_path / "labels", shared_cases=True
        )

    with pytest.raises(DataError, match=r"runs \S+one, \S+same of a: every number of every case is the same, so they"):
        of("one", "same")
    assert [len(method.runs) for method in of("one", "other").contents.subsets[0].methods] == [2]
    named = {"a": tmp_path / "one", "b": tmp_path / "same", "c": tmp_path / "other"}
    said = adawac.evaluate(named, labels=tmp_path / "labels", shared_cases=True).summary
    assert "The same predictions under two names, number for number: a and b." in said


def _table(path, patients, shift=0.0):
    write_table(
        path,
        [
            row._replace(run=path.stem, method=path.stem, patient=patients[row.case])
            for row in rows_of([each + shift for each in WORSE])
        ],
    )
    return str(path)


def test_tables_that_contradict_each_other_about_patients_are_refused_in_any_order(tmp_path):
    """The number of patients, and every interval, was that of whichever table came first."""
    pairs = _table(tmp_path / "pairs.csv", {case: f"p{number // 2}" for number, case in enumerate(CASES)})
    each = _table(tmp_path / "each.csv", {case: f"q{number}" for number, case in enumerate(CASES)}, 0.01)
    renamed = _table(tmp_path / "renamed.csv", {case: f"r{number // 2}" for number, case in enumerate(CASES)}, 0.02)
    bare = _table(tmp_path / "bare.csv", {case: case for case in CASES}, 0.03)
    for sources in ([pairs, each], [each, pairs]):
        with pytest.raises(DataError, match=r"case ct_1: the case table of .* says patient .*--patient-pattern"):
            adawac.evaluate(sources)
        assert f"Measured on {len(CASES)} patients" in adawac.evaluate(sources, patient_pattern=None).summary
    for sources in ([pairs, renamed, bare], [bare, renamed, pairs]):  # they part the cases alike, or say nothing of it
        assert f"Measured on {len(CASES) // 2} patients" in adawac.evaluate(sources).summary


def test_a_case_of_two_patients_is_refused(tmp_path):
    path = _table(tmp_path / "torn.csv", {case: f"p{number // 2}" for number, case in enumerate(CASES)})
    text = (tmp_path / "torn.csv").read_text()
    (tmp_path / "torn.csv").write_text(text.replace('"ct_0","p0"', '"ct_0","p3"', 1))
    with pytest.raises(DataError, match="run torn: case ct_0 is of patients p0, p3 in its case table"):
        adawac.evaluate([path])
    (tmp_path / "torn.csv").write_text(text.replace('"ct_0","p0"', '"ct_0",""', 1))
    assert f"{len(CASES) // 2} patients" in adawac.evaluate([path]).summary


@pytest.mark.parametrize(
    ("pattern", "related"),
    [("auto", ("s0_1", "s1_1")), (None, ()), (r"(s\d+)_", ("s0_1", "s1_1")), (r"_(\d)", ("s1_0",)), (".csv", ())],
)
def test_who_was_trained_on_another_case_of_a_patient_follows_what_was_said_of_patients(tmp_path, pattern, related):
    """Names suggest that s0_0 and s0_1 are one patient; a table of the test cases alone says nothing of the others."""
    cases = ["s0_1", "s1_0", "s1_1", "s2_1"]
    if pattern == ".csv":
        (tmp_path / "who.csv").write_text("case,patient\n" + "".join(f"{case},{case}\n" for case in cases))
        pattern = str(tmp_path / "who.csv")
    mine = MethodRun("erm", "", "mine", rows_of(WORSE[:4], cases), training=("s0_0", "s1_0"))
    [found], _ = by_patient([mine], pattern)
    assert found.related == related
