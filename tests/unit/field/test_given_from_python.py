"""What is given from Python, or as a pattern, and is none of what can be given."""

import itertools
import re

import nibabel as nib
import numpy as np
import pytest
from field_data import check, edit, folders, nnunet

import adawac
from adawac.cli import main
from adawac.data.datamodule import SegmentationData
from adawac.data.layouts import proposal
from adawac.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: adawac.check({}), "check: root is a dict; give the folder of a data set"),
        (lambda: adawac.check(None), "check: root is None"),
        (lambda: adawac.check(""), "check: root is ''"),
        (lambda: adawac.check(".", layout="Folders"), "layout is 'Folders'; give one of adawac.data.layouts"),
        (lambda: adawac.check(".", split={"train": []}), "check: split is {'train': []}; give a rule"),
        (lambda: adawac.init(3), "init: data is 3; give the folder of a data set"),
        (lambda: adawac.fit({"a": 1}), "fit: config is a dict; give a file, and settings by name"),
        (lambda: adawac.fit(3), "fit: config is 3"),
        (lambda: adawac.fit("openkbp_unet", weighting=""), "model.weighting: '' is no class that is known here"),
        (lambda: adawac.load(None), "load: run is None; name a checkpoint or a run folder"),
        (lambda: adawac.load([]), "load: run is empty; name a checkpoint or a run folder"),
        (lambda: adawac.load(["a", 3]), "load: run is 3"),
        (lambda: adawac.evaluate(None), "evaluate: sources is None; give runs, folders of predictions"),
        (lambda: adawac.evaluate({"a": {}}), "evaluate: sources is a dict"),
        (lambda: adawac.evaluate(3), "evaluate: sources is 3"),
        (lambda: adawac.Run({}), "Run: path is a dict; give a run folder"),
    ],
)
def test_what_is_no_path_is_said_with_its_argument(call, said):
    with pytest.raises(ConfigError, match="^" + re.escape(said)):
        call()


def test_a_pattern_of_patients_and_a_label_value_are_looked_at(tmp_path):
    folders(tmp_path)
    assert "patient_pattern is 3; give a regular expression" in check(tmp_path, patient_pattern=3).problems[0]
    with pytest.raises(ConfigError, match="ignore_label is '255'; give the label value"):
        check(tmp_path, ignore_label="255")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"axis": "x"}, "axis is 'x'; give one of axial, coronal, sagittal"),
        ({"metrics": [len]}, "metrics is a list; give a mapping of names and functions"),
        ({"pictures": "3"}, "pictures is '3'; give a number of cases"),
        ({"pictures": -1}, "pictures is -1; give a number of cases"),
        ({"labels": ["a"]}, "evaluate: labels is a list; give a path"),
        ({"metadata": {"case": []}}, "evaluate: metadata is a dict; give a path"),
    ],
)
def test_what_evaluate_is_given_is_looked_at(tmp_path, given, said):
    folders(tmp_path)
    labels = tmp_path / "labels"
    with pytest.raises(ConfigError, match="^" + re.escape(said)):
        adawac.evaluate({"a": labels}, **{"labels": labels, **given})


def test_classes_are_those_of_their_values_in_any_order(tmp_path):
    folders(tmp_path / "data")
    labels, preds = tmp_path / "data/labels", tmp_path / "preds"
    preds.mkdir()
    for path in labels.iterdir():  # nothing of value 1
        image = nib.load(path)
        array = np.asarray(image.dataobj)
        nib.save(nib.Nifti1Image(np.where(array == 2, array, 0), image.affine), preds / path.name)
    for classes in ({"spleen": 2, "liver": 1}, {"1": "liver", "2": "spleen"}, ["liver", "spleen"]):
        report = adawac.evaluate({"a": preds}, labels=labels, classes=classes)
        dice = {row.class_name: row.value for row in report.cases if (row.metric, row.group) == ("dice", "all")}
        assert dice == {"liver": 0, "spleen": 1}


@pytest.mark.parametrize(("value", "told"), [(0, True), (1, False)])
def test_predictions_of_nothing_are_told(tmp_path, caplog, value, told):
    folders(tmp_path / "data")
    labels, preds = tmp_path / "data/labels", tmp_path / "preds"
    preds.mkdir()
    for path in labels.iterdir():
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.full(image.shape, value, np.uint8), image.affine), preds / path.name)
    adawac.evaluate({"a": preds}, labels=labels)
    assert ("no prediction holds any class: every voxel is background" in caplog.text) == told


def test_a_method_may_be_called_as_its_setting_is(tmp_path, capsys):
    folders(tmp_path / "data")
    labels = tmp_path / "data/labels"
    report = adawac.evaluate({"lr=0.1@full": labels}, labels=labels)
    assert {(row.method, row.subset) for row in report.cases} == {("lr=0.1", "full")}
    out = tmp_path / "report"
    assert main(["evaluate", f"lr=0.1={labels}", "--labels", str(labels), "-o", str(out)]) == 0
    assert {row.method for row in adawac.evaluate(out).cases} == {"lr=0.1"}


def test_a_run_that_was_not_tested_says_so(tmp_path):
    (tmp_path / "config.yaml").write_text("name: a\n")
    with pytest.raises(ConfigError, match=r"has not been tested; do so first: run.test\(\), or adawac test"):
        _ = adawac.Run(tmp_path).cases


@pytest.mark.parametrize("wild", ["case_0[01].nii.gz", "case_0?.nii.gz", "case_0{0,1}.nii.gz", "case_0[01]*"])
def test_wildcards_of_a_shell_are_told_from_those_of_a_pattern(tmp_path, capsys, wild):
    folders(tmp_path / "data")
    alone = r"`\*` alone stands for others"
    given = ["--layout", "Folders", "--layout.images", f"images/{wild}", "--layout.labels", "labels"]
    assert main(["check", str(tmp_path / "data"), *given]) == 2
    assert re.search(alone, capsys.readouterr().err)
    with pytest.raises((ConfigError, DataError), match=alone):
        adawac.evaluate({"a": tmp_path / "data/labels" / wild}, labels=tmp_path / "data/labels")
    with pytest.raises(DataError, match=alone):
        adawac.evaluate({"a": tmp_path / "data/labels"}, labels=tmp_path / "data/labels" / wild)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (["check", ""], "what follows check"),
        (["fit", "mine.yaml", "--data.root="], "--data.root"),
        (["predict", "run", "-i", "", "-o", "out"], "what follows -i"),
        (["evaluate", "a", "--labels", ""], "what follows --labels"),
    ],
)
def test_what_a_shell_leaves_empty_is_no_folder(tmp_path, monkeypatch, capsys, line, what):
    monkeypatch.chdir(tmp_path)
    assert main(line) == 2
    assert f"{what} is empty (a variable of the shell that is not set?); give a value" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_empty_root_of_a_configuration_is_refused():
    with pytest.raises(ConfigError, match=r"data.root is ''; give the folder of a data set"):
        SegmentationData("")
    for number in (-1, 99999):
        with pytest.raises(ConfigError, match=rf"data.num_workers is {number}; give 0 .* to 512"):
            SegmentationData("data", num_workers=number)


def test_patterns_are_tried_for_seconds_and_no_longer(tmp_path, monkeypatch):
    """A folder of everything, of which no pattern is one of cases."""
    for name in range(40):
        for case in range(name % 7 + 2):
            (tmp_path / f"{'ab'[name % 2]}{name}x/seg").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{'ab'[name % 2]}{name}x/seg/{'abcdefghij'[name % 10] * 3}{case}.nii.gz").touch()
    clock = itertools.count(0, proposal.LONGEST)
    monkeypatch.setattr(proposal, "monotonic", lambda: next(clock))
    asked = []
    monkeypatch.setattr(proposal, "named_by", lambda *given: asked.append(given) or [])
    proposal.proposed(tmp_path)
    assert len(asked) <= 3


@pytest.mark.parametrize(
    ("value", "said"), [(77, "no voxel has the label value 77"), (2, "label value 2 is b in"), (3, None)]
)
def test_a_label_to_be_ignored_that_is_none_or_a_class_is_told(tmp_path, value, said):
    nnunet(tmp_path)
    for path in (tmp_path / "labelsTr").iterdir():
        edit(path, lambda array: np.where(np.arange(array.shape[2]) == 0, 3, array), np.uint8)
    if value != 3:
        for path in (tmp_path / "labelsTr").iterdir():
            edit(path, lambda array: np.where(array == 3, 0, array), np.uint8)
    notes = check(tmp_path, ignore_label=value).notes
    assert any(said in note for note in notes) if said else not any("label value" in note for note in notes)
