"""What classes of somebody's own give back wrongly is said with the class: some of it weighed or drew in silence."""

import importlib
import re
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from field_data import folders, prepare

import adawac
from adawac.data.layouts import Folders
from adawac.data.sampling.sampling import Sampling, drawn_rows
from adawac.data.split import Split
from adawac.data.splits import SplitRule
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError
from adawac.networks import SegmentationNetwork
from adawac.report import compare
from adawac.training.objective import mean_of_views, weights_of
from adawac.training.schedules import by_progress
from adawac.types import SampleLosses, Weights
from adawac.weighting import Weighting


class Own(Weighting):
    """Gives what it is made with."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def step(self, losses):
        return self.given


LOSSES = SampleLosses(torch.arange(4), torch.rand(4), None, torch.ones(4, dtype=torch.bool))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "gives NoneType (NoneType of []) for 4 samples"),
        ((torch.ones(4), torch.ones(4)), "gives tuple"),
        (Weights([1.0] * 4, None), "(list of []) for 4 samples"),
        (Weights(torch.ones(1), None), "(Tensor of [1]) for 4 samples; give adawac.Weights of tensors of shape (4,)"),
        (Weights(torch.ones(4), torch.ones(())), "(Tensor of [4] and Tensor of [])"),
        (Weights(torch.ones(4, 1), None), "(Tensor of [4, 1])"),
    ],
)
def test_weights_are_one_a_sample(given, said):
    with pytest.raises(ConfigError, match="Own.step .*" + re.escape(said)):
        weights_of(Own(given), LOSSES)


def test_weights_of_any_number_type_are_taken():
    for weights in (Weights(torch.ones(4), None), Weights(torch.ones(4, dtype=torch.int64), torch.zeros(4).double())):
        assert weights_of(Own(weights), LOSSES) is weights


@pytest.mark.parametrize("losses", [torch.tensor(0.5), torch.rand(1), torch.rand(4, 8, 8), torch.rand(8)])
def test_supervised_losses_are_one_a_sample(losses):
    with pytest.raises(
        ConfigError, match=r"model.supervised gives losses of shape .* for 4 samples; give one a sample"
    ):
        mean_of_views(losses, torch.zeros(4, 8, 8, dtype=torch.uint8), views=1)


class Drawn(Sampling):
    """Draws what it is made with."""

    def __init__(self, given):
        self.given = given

    def draw(self, units, losses, size, rng):
        return self.given


UNITS = UnitTable.of_slices(["a"], [np.array([[9, 0]] * 6)], (3, 3), ("background", "liver"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "an array () of object"),
        (np.arange(2), "an array (2,) of int64"),
        (np.arange(3.0), "an array (3,) of float64"),
        (np.ones(3, bool), "an array (3,) of bool"),
        (np.array([0, 1, 6]), "rows 0 to 6"),
        (np.array([-1, 0, 1]), "rows -1 to 1"),
        (np.array([2, 2, 1]), "rows 1 to 2"),
    ],
)
def test_a_draw_is_different_rows_of_the_table(given, said):
    wanted = f"Drawn.draw gives {said} for a batch of 3; give 3 different whole numbers from 0 to 5"
    with pytest.raises(ConfigError, match=re.escape(wanted)):
        drawn_rows(Drawn(given), UNITS, np.full(6, np.nan, np.float32), 3, np.random.default_rng(0))


@pytest.mark.parametrize("given", [[0, 5, 3], np.array([0, 5, 3], np.uint8), (0, 5, 3)])
def test_rows_of_any_kind_are_taken(given):
    assert drawn_rows(Drawn(given), UNITS, np.zeros(6, np.float32), 3, np.random.default_rng(0)) == [0, 5, 3]


@pytest.mark.parametrize(("last", "refused"), [(torch.nn.Softmax(1), True), (torch.nn.Identity(), False)])
def test_a_network_gives_logits(last, refused):
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3, padding=1), last)
    network = SegmentationNetwork(inner, in_channels=1, num_classes=3, feature_layer="0")
    if refused:
        with pytest.raises(ConfigError, match=r"Sequential returns probabilities .* leave its own out"):
            network.probe((8, 8))
    else:
        assert network.probe((8, 8)) == ((3, 8, 8),)


class Split1(SplitRule):
    """Deals out what it is made with."""

    def __init__(self, given):
        self.given = given

    def assign(self, root, cases, patients):
        return self.given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": ["case_00"]}, "Split1.assign gives back a dict where a Split is due"),
        (None, "Split1.assign gives back None where a Split is due"),
        (Split(("case_00", "nobody"), ("case_01",)), "the split names nobody, which is no case of the data"),
        (Split(("case_00", "case_00"), ("case_01",)), "train names case_00 2 times; once is due"),
    ],
)
def test_a_split_is_one_of_the_data(tmp_path, given, said):
    folders(tmp_path / "data")
    with pytest.raises((ConfigError, DataError), match=said):
        prepare(tmp_path / "data", split=Split1(given))


class Own2(Folders):
    """Gives what a function makes of what the layout gives."""

    def __init__(self, **change):
        super().__init__()
        self.change = change

    def scan(self, root):
        return self.change.get("scan", lambda found: found)(super().scan(root))

    def read_image(self, case):
        return self.change.get("image", lambda found: found)(super().read_image(case))

    def read_label(self, case):
        return self.change.get("label", lambda found: found)(super().read_label(case))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scan": lambda found: found.cases}, "Own2.scan gives back a tuple where a Collection is due"),
        ({"label": lambda found: replace(found, array=found.array * 0.5)}, "label values must be whole numbers"),
        ({"image": lambda found: replace(found, array=found.array[:, 1:])}, "has a grid of shape"),
    ],
)
def test_a_layout_gives_what_is_due(tmp_path, change, said):
    folders(tmp_path / "data")
    with pytest.raises((ConfigError, DataError), match=said):
        prepare(tmp_path / "data", layout=Own2(**change))


def test_labels_of_a_layout_may_be_floats_of_whole_numbers(tmp_path):
    folders(tmp_path / "data")
    as_floats = Own2(label=lambda found: replace(found, array=found.array.astype(float)))
    held = prepare(tmp_path / "data", layout=as_floats).units.voxels.sum()
    assert held == sum(
        np.asarray(nib.load(tmp_path / f"data/labels/{case}.nii.gz").dataobj).size for case in _trained(tmp_path)
    )


def _trained(folder):
    return prepare(folder / "data").split.train


@pytest.mark.parametrize("given", [None, -1.0, float("nan"), "fast", torch.ones(2)])
def test_a_schedule_gives_a_factor(given):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    with pytest.raises(ConfigError, match=r"model.schedule: function gives .* give a number from 0"):
        by_progress(lambda progress: given, optimizer, SimpleNamespace())


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (lambda preds, target: 1.0, "cannot be called with three arguments"),
        ("dice", "metric 'mine' is a str; give a function"),
        (lambda preds, target, steps: None, "metric 'mine' gives None for a class; give a number"),
        (lambda preds, target, steps: np.ones(3), "metric 'mine' gives array"),
        (lambda preds, target, steps: "x", "metric 'mine' gives 'x'"),
    ],
)
def test_a_metric_gives_a_number(tmp_path, metric, said):
    folders(tmp_path / "data")
    labels = tmp_path / "data/labels"
    with pytest.raises(ConfigError, match=re.escape(said)):
        adawac.evaluate({"a": labels}, labels=labels, metrics={"mine": metric})


def test_a_section_that_fails_loses_nothing_that_was_measured(tmp_path):
    folders(tmp_path / "data")
    labels = tmp_path / "data/labels"
    with pytest.raises(ConfigError, match="<lambda> gives back None where a Section is due"):
        adawac.evaluate({"a": labels}, tmp_path / "report", labels=labels, sections=[lambda contents: None])
    again = adawac.evaluate({"a": tmp_path / "report"})
    assert {row.value for row in again.cases if row.metric == "dice" and row.group == "all"} == {1.0}


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    folders(tmp_path / "data")
    (tmp_path / "file").touch()
    monkeypatch.setattr(compare, "evaluate_sources", lambda *_, **__: pytest.fail("it has begun"))
    with pytest.raises(NotADirectoryError):
        adawac.evaluate({"a": tmp_path / "data/labels"}, tmp_path / "file/report", labels=tmp_path / "data/labels")


def test_prepared_volumes_are_made_anew_where_a_layout_of_ones_own_has_changed(tmp_path, monkeypatch):
    folders(tmp_path / "data")
    code = (
        "from dataclasses import replace\n"
        "from adawac.data.layouts import Folders\n"
        "class Mine(Folders):\n"
        "    def __init__(self, only=(1, 2)):\n"
        "        super().__init__()\n"
        "        self.only = only\n"
        "    def read_label(self, case):\n"
        "        found = super().read_label(case)\n"
        "        return replace(found, array=found.array * sum(found.array == value for value in self.only))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    held = {}
    for name, text, settings in (
        ("whole", code, {}),
        ("setting", code, {"only": (1,)}),
        ("corrected", code.replace("= only", "= only[:1]"), {}),
    ):
        (tmp_path / "percase_own.py").write_text(text)
        sys.modules.pop("percase_own", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        layout = importlib.import_module("percase_own").Mine(**settings)
        held[name] = prepare(tmp_path / "data", layout=layout).units.voxels.sum(axis=0)
    first = [np.asarray(nib.load(tmp_path / f"data/labels/{case}.nii.gz").dataobj) for case in _trained(tmp_path)]
    values = np.bincount(np.concatenate([array.ravel() for array in first]))
    assert held["whole"].tolist() == values.tolist()
    assert held["setting"].tolist() == held["corrected"].tolist() == [values[0] + values[2], values[1]]
