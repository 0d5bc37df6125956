"""The package from Python: a folder checked, trained on, tested, predicted with and compared, without a command."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

import adawac
from adawac.errors import ConfigError, DataError
from adawac.io.volumes import read_nifti

PUBLIC = {
    *("check", "evaluate", "fit", "init", "load"),
    *("CaseTable", "Checkup", "Report", "Run", "Segmenter"),
    *("AdaWAC", "ERM", "Pair", "Weighting", "Weights", "SampleLosses", "FeatureConsistency", "__version__"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("python")
    write_msd(folder / "msd", cases=5)
    return folder


@pytest.fixture(scope="module")
def config(home) -> Path:
    return write_config(home / "mine", tiny_settings(home, home / "msd"))


@pytest.fixture(scope="module")
def run(config) -> adawac.Run:
    return adawac.fit(config, weighting=adawac.ERM, name="mine", trainer={"max_epochs": 2, "logger": False})


def test_names_are_those_that_are_meant(home):
    assert set(dir(adawac)) == PUBLIC
    for name in PUBLIC:
        assert getattr(adawac, name)
    with pytest.raises(AttributeError, match="has no attribute 'fti'"):
        adawac.fti  # noqa: B018


@pytest.mark.slow
def test_what_the_documents_show_runs(tmp_path, monkeypatch):
    document = (Path(__file__).parents[2] / "docs/api.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_msd(Path("DATA"), cases=6, shape=(6, 32, 32))
    names: dict = {}
    exec(code, names)
    assert repr(names["run"]).startswith("Run(mine, AdaWAC, 2 epochs, validation Dice 0.")
    assert Path("report/report.html").is_file()
    assert names["labels"].shape == (6, 32, 32)


@pytest.mark.slow
def test_the_notebook_runs_from_a_folder_to_a_picture_and_a_report(tmp_path, monkeypatch):
    """Cell by cell, and what a notebook would show of the last value of each."""
    notebook = json.loads((Path(__file__).parents[2] / "docs/notebook.ipynb").read_text())
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    shown = []
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        *body, last = ast.parse("".join(cell["source"])).body
        value = isinstance(last, ast.Expr)
        exec(compile(ast.Module([*body, *([] if value else [last])], []), "cell", "exec"), names)
        if value:
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    checked, run, cases, figure, files, report = (each for each in shown if each is not None)
    assert repr(checked) == "Checkup(8 sound cases, no problems)"
    assert repr(run).startswith("Run(mine, AdaWAC, 2 epochs, validation Dice ")
    assert "<table>" in cases._repr_html_()
    assert len(figure.axes) == 1
    assert [file.name for file in files] == [f"{names['case']}.nii.gz"]
    assert report.page.is_file()
    assert "<iframe" in report._repr_html_()


def test_import_costs_nothing():
    """CPU seconds of a process that imports it, over those of one that does not; the best of three."""
    code = "import resource, sys\n{}\nprint(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"

    def seconds(line: str) -> float:
        commands = [[sys.executable, "-c", code.format(line)]] * 3
        return min(float(subprocess.run(each, capture_output=True, check=True).stdout) for each in commands)

    assert seconds("import adawac") - seconds("") <= 0.15


def test_check_says_what_is_wrong(home, tmp_path):
    assert repr(adawac.check(str(home / "msd"))) == "Checkup(5 sound cases, no problems)"
    root = write_msd(tmp_path / "bad", cases=4)
    (root / "labelsTr/pt_2.nii.gz").unlink()
    (line,) = adawac.check(root).problems
    assert "pt_2" in line
    assert line in repr(adawac.check(root))


def test_init_writes_what_fit_takes(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert adawac.init(home / "msd", name="mine", patient_pattern=r"(pt_\d)") == Path("mine.yaml")
    assert "patient_pattern: (pt_" in Path("mine.yaml").read_text()
    with pytest.raises(ConfigError, match="force"):
        adawac.init(home / "msd", name="mine")
    with pytest.raises(ConfigError, match="did you mean patient_pattern"):
        adawac.init(home / "msd", patients_pattern=None)


def test_fit_takes_what_the_command_takes(run, home):
    assert run.path == home / "runs/mine/version_0"
    assert repr(run).startswith("Run(mine, ERM, 2 epochs, validation Dice 0.")
    assert run.folder.record["epochs"] == 2
    assert Path(run) == run.path
    assert repr(adawac.Run(run.path)) == repr(run)
    with pytest.raises(ConfigError, match=r"did you mean --data\.size"):
        adawac.fit(run.path / "config.yaml", data={"sise": [32, 32]})


def test_fit_refuses_in_a_line_what_is_no_class_file_or_setting(run):
    """As the command does; the parser's message has a dozen lines."""
    config = run.path / "config.yaml"
    for weighting in ("adawac", "Adawac"):
        with pytest.raises(
            ConfigError, match=r"^model.weighting: '\w+' is no class .*; did you mean AdaWAC\? .*$"
        ) as said:
            adawac.fit(config, weighting=weighting)
        assert "\n" not in str(said.value)
    with pytest.raises(ConfigError, match=r"weighting is made already, .* give AdaWAC, or model="):
        adawac.fit(config, weighting=adawac.AdaWAC(10))
    with pytest.raises(ConfigError, match="config is a dict; give a file, and settings by name"):
        adawac.fit({"name": "mine"})


def test_fit_plans_for_a_folder_as_init_does(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = {"max_epochs": 1, "accelerator": "cpu", "limit_train_batches": 1, "logger": False}
    planned = adawac.fit(data=home / "msd", weighting="Pair", trainer=tiny, pictures=False)
    assert repr(planned).startswith("Run(msd, Pair, 1 epoch, validation Dice 0.")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]  # no configuration beside
    adawac.init(home / "msd")
    wanted, made = (yaml.safe_load(path.read_text()) for path in (Path("msd.yaml"), planned.path / "config.yaml"))
    assert made["data"]["size"] == wanted["data"]["size"]
    assert made["data"]["sampling"]["class_path"].endswith(wanted["data"]["sampling"])
    assert made["model"]["network"]["arguments"] == wanted["model"]["network"]["arguments"]
    with pytest.raises(ConfigError, match="neither a configuration nor a folder of data"):
        adawac.fit(data={"size": [32, 32]})


def test_test_gives_the_case_table(run):
    cases = run.test()
    assert cases == run.cases
    dice = [row.value for row in cases if (row.metric, row.group) == ("dice", "all")]
    assert repr(cases) == f"CaseTable(ERM, 1 case, Dice {np.mean(dice):.3f})"
    assert "<th>right_kidney</th>" in cases._repr_html_()


def test_predict_writes_what_the_loaded_model_says(run, home, tmp_path):
    """Of a file as text, as a path, of an array and of a tensor with their spacing, of one and of several."""
    images = [home / f"msd/imagesTr/pt_{i}.nii.gz" for i in (1, 2)]
    files = run.predict(images, tmp_path / "labels")
    assert [file.name for file in files] == ["pt_1.nii.gz", "pt_2.nii.gz"]
    model = adawac.load(run)
    volume = read_nifti(images[0])
    expected = read_nifti(files[0]).array[0]
    forms = (str(images[0]), images[0], volume, volume.array[0], torch.from_numpy(volume.array))
    for image in forms:
        spacing = volume.geometry.spacing if isinstance(image, np.ndarray | torch.Tensor) else None
        assert np.array_equal(model.predict(image, spacing=spacing), expected)
    both = model.predict(list(map(str, images)))
    assert [each.shape for each in both] == [expected.shape] * 2
    assert np.array_equal(both[0], expected)


def test_arrays_are_refused_with_the_remedy(run, home):
    model = adawac.load(run)
    with pytest.raises(DataError, match=r"shape \(Z, Y, X\) or \(C, Z, Y, X\)"):
        model.predict(np.zeros((4, 4)))
    with pytest.raises(DataError, match=r"give \(z, y, x\) in mm"):
        model.predict(np.zeros((4, 8, 8)), spacing=(0, 1, 1))
    with pytest.raises(DataError, match="holds 5 images; name one"):
        model.predict(home / "msd/imagesTr")
    with pytest.raises(DataError, match="image is a Nifti1Image; give its file, or an array whose axes"):
        model.predict(nib.load(home / "msd/imagesTr/pt_1.nii.gz"))
    array = read_nifti(home / "msd/imagesTr/pt_1.nii.gz").array[0]
    with pytest.raises(DataError, match=r"this has \(\d+, \d+\); give a slice as array\[None\]"):
        model.predict(array[2], spacing=(1, 1))
    assert model.predict(array[2][None], spacing=(1, 1, 1)).shape == (1, *array.shape[1:])
    grid = replace(model.recipe.data.preprocessing.grid, spacing=(1.0, 1.0))
    data = replace(model.recipe.data, preprocessing=replace(model.recipe.data.preprocessing, grid=grid))
    spaced = adawac.Segmenter(replace(model.recipe, data=data), model.network)
    with pytest.raises(DataError, match=r"pixels of \(1.0, 1.0\) mm; give spacing=\(z, y, x\)"):
        spaced.predict(array)
    assert spaced.predict(array, spacing=(3, 1, 1)).shape == array.shape


def test_evaluate_gives_a_report_that_shows_itself(run, home, tmp_path, undrawn):
    pair = adawac.fit(run.path / "config.yaml", weighting="Pair", name="pair")
    run.test(), pair.test()
    labels, images = (home / f"msd/{kind}Tr" for kind in ("labels", "images"))
    report = adawac.evaluate({"mine": run, "again": pair}, tmp_path / "report", title="Two of one")
    assert report.page == tmp_path / "report/report.html"
    assert report.page.is_file()
    assert "against" in repr(report)
    assert "Two of one" in report._repr_html_()
    assert {row.method for row in report.cases} == {"mine", "again"}
    for one in (run, run.path, str(run.path)):  # a text is a path, not its letters
        assert [each.name for each in adawac.evaluate(one).contents.runs] == ["mine"]
    seeds = adawac.evaluate({"both": [run, pair]}).contents.runs
    assert [(each.method, each.name) for each in seeds] == [("both", "mine"), ("both", "pair")]
    shown = adawac.evaluate([run], labels=labels, images=images, predict=True, pictures=1)
    assert shown.page is None
    assert len({row.case for row in shown.cases}) == 5
