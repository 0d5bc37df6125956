"""Labels erased from a copy of tiny data, a study run on it, and what is then said of the erased slices."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from tiny_data import write_msd

from adawac.cli import main as adawac
from adawac.data.datamodule import SegmentationData
from adawac.data.units import UnitTable
from adawac.metrics import separation_auroc
from adawac.runs.slice_weights import SliceWeights
from adawac.runs.suspects import read_suspects

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import erased_labels

TRAIN = ("pt_1", "pt_2")
STUDY = {
    "name": "tiny",
    "common": {
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 1,
        "data.store": "store",
        "data.split": "FileSplit",
        "data.drop": ["liver"],
        "data.size": [16, 16],
        "data.batch_size": 4,
        "model.network": {
            "architecture": "monai.networks.nets.UNet",
            "arguments": {"channels": [4, 8], "strides": [2]},
        },
    },
    "grid": {
        "labels": {"whole": {"data.root": "msd"}, "erased": {"data.root": "erased"}},
        "method": {"erm": {"model.weighting": "ERM"}, "adawac": {"model.weighting": "AdaWAC"}},
        "seed": [0],
    },
}
CELLS = ["whole-erm-seed0", "erased-adawac-seed0"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A data set, one training case of which is stored from superior to inferior, and its copy."""
    home = tmp_path_factory.mktemp("home")
    root = write_msd(home / "msd", cases=4, shape=(10, 16, 16), num_classes=4)
    (root / "splits.json").write_text(json.dumps({"train": TRAIN, "val": ["pt_3"], "test": ["pt_4"]}))
    for path in (root / "imagesTr/pt_1.nii.gz", root / "labelsTr/pt_1.nii.gz"):
        stored = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(stored.dataobj), stored.affine).slicer[:, :, ::-1], path)
    add_liver_alone(root / "labelsTr/pt_2.nii.gz")
    assert erase(root, home / "erased") == 0
    return home


def add_liver_alone(path: Path) -> None:
    """Give the first slice, which is empty, a label of the class that is dropped."""
    image = nib.load(path)
    label = np.asarray(image.dataobj).copy()
    label[4:8, 4:8, 0] = 3
    nib.save(nib.Nifti1Image(label, image.affine), path)


def erase(root: Path, target: Path, share: float = 0.4, *more: str) -> int:
    return erased_labels.main(["erase", str(root), str(target), "--share", str(share), "--drop", "liver", *more])


def slices_of(root: Path, group: str) -> set[str]:
    with (root / "slices.csv").open(newline="") as file:
        return {f"{row['case']}:{row['slice']}" for row in csv.DictReader(file) if row["group"] == group}


def units(root: Path) -> UnitTable:
    """What `adawac fit` would train on."""
    data = SegmentationData(str(root), drop=["liver"], size=(16, 16), store=str(root.parent / "store"))
    data.prepare_data()
    data.setup("fit")
    return data.units


class TestErase:
    def test_takes_this_share_of_the_dense_slices_of_training_cases(self, home):
        erased, dense, sparse = (slices_of(home / "erased", group) for group in ("erased", "dense", "sparse"))
        assert len(erased) == round(0.4 * len(dense | erased)) > 1
        assert {key.partition(":")[0] for key in erased} == set(TRAIN)
        assert "pt_2:0" in sparse

    def test_leaves_the_rest_for_training_to_find_dense(self, home):
        whole, erased = units(home / "msd"), units(home / "erased")
        assert whole.keys() == erased.keys()
        dense, now_dense = ({table.keys()[row] for row in np.flatnonzero(table.dense)} for table in (whole, erased))
        assert now_dense == slices_of(home / "erased", "dense")
        assert dense - now_dense == slices_of(home / "erased", "erased")

    def test_touches_nothing_else(self, home):
        for path in (home / "msd").rglob("*.*"):
            copy = home / "erased" / path.relative_to(home / "msd")
            if path.parent.name != "labelsTr" or path.name[:4] not in TRAIN:
                assert copy.read_bytes() == path.read_bytes()
                continue
            before, after = nib.load(path), nib.load(copy)
            np.testing.assert_array_equal(after.affine, before.affine)
            changed = (np.asarray(before.dataobj) != np.asarray(after.dataobj)).any(axis=(0, 1))
            assert changed.sum() == sum(key.startswith(path.name[:4]) for key in slices_of(home / "erased", "erased"))
            assert not np.asarray(after.dataobj)[:, :, changed].any()

    def test_is_the_same_for_a_seed_and_grows_with_the_share(self, home, tmp_path):
        for name, options in {"again": (), "more": ("--share", "0.6"), "other": ("--seed", "1")}.items():
            assert erase(home / "msd", tmp_path / name, 0.4, *options) == 0
        for path in (home / "erased").rglob("*.*"):
            assert (tmp_path / "again" / path.relative_to(home / "erased")).read_bytes() == path.read_bytes()
        erased = slices_of(home / "erased", "erased")
        assert erased < slices_of(tmp_path / "more", "erased")
        assert erased != slices_of(tmp_path / "other", "erased")

    @pytest.mark.parametrize("share", [0, 0.01, 0.99, 1.5, -0.5])
    def test_some_must_go_and_some_must_stay(self, home, tmp_path, capsys, share):
        assert erase(home / "msd", tmp_path / "copy", share) == 2
        assert f"--share {float(share)} erases" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_nothing_is_overwritten(self, home, capsys):
        assert erase(home / "msd", home / "erased") == 2
        assert "erased is there already; give the name of a folder to be made" in capsys.readouterr().err


@pytest.fixture(scope="module")
def results(home) -> list[dict]:
    """What is measured of two of the four cells."""
    (home / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert adawac(["study", "study.yaml", "--jobs", "2", "--cells", *CELLS]) == 0
        assert erased_labels.main(["measure", "study.yaml", "erased", "-o", "results/stress"]) == 0
    return json.loads((home / "results/stress.json").read_text())


@pytest.mark.slow
class TestMeasure:
    def test_weights_are_those_of_the_run_by_group(self, home, results):
        [found] = [each for each in results if each["options"]["method"] == "adawac"]
        weights = SliceWeights.read(home / "runs/tiny/erased-adawac-seed0/version_0/weights.csv")
        rows = {f"{case}:{z}": row for row, (case, z, *_) in enumerate(zip(*weights, strict=True))}
        of = {name: [rows[key] for key in slices_of(home / "erased", name)] for name in erased_labels.GROUPS}
        assert found["slices"] == {name: len(chosen) for name, chosen in of.items()}
        for name, chosen in of.items():
            assert found["means"]["weight"][name] == pytest.approx(weights.weight[chosen].mean(), rel=1e-4)
        empty = of["erased"] + of["sparse"]
        expected = separation_auroc(weights.score[empty], np.isin(empty, of["erased"]))
        assert found["auroc"]["log-odds"] == pytest.approx(expected)
        named, erased = (
            set(read_suspects(home / "runs/tiny/erased-adawac-seed0/version_0/suspects.csv")),
            slices_of(home / "erased", "erased"),
        )
        assert found["named"] == {
            "slices": len(named),
            "erased of named": pytest.approx(len(named & erased) / max(1, len(named))),
            "named of erased": pytest.approx(len(named & erased) / len(erased)),
        }

    def test_suspects_are_held_against_the_erased_slices_of_the_run(self, tmp_path):
        (tmp_path / "suspects.csv").write_text("case,unit,score\na,1,2.0\na,2,1.5\n")
        group = {("a", 0): "dense", ("a", 1): "erased", ("a", 2): "sparse", ("a", 3): "erased"}
        found = erased_labels.named(tmp_path / "suspects.csv", group)
        assert found == {"slices": 2, "erased of named": 0.5, "named of erased": 0.5}

    def test_a_method_without_weights_has_its_cross_entropy(self, results):
        for found in results:
            assert 0 <= found["auroc"]["cross-entropy"] <= 1
            assert set(found["means"]["cross-entropy"]) == set(erased_labels.GROUPS)
            assert ("weight" in found["means"]) == (found["options"]["method"] == "adawac")

    def test_the_table_has_a_line_a_setting_and_names_what_is_missing(self, home, results):
        text = (home / "results/stress.md").read_text()
        assert text.count("\n| whole | erm | 1 | ") == text.count("\n| erased | adawac | 1 | ") == 1
        assert "Not run to the end: whole-adawac-seed0, erased-erm-seed0." in text

    def test_a_copy_of_other_slices_is_refused(self, home, results, tmp_path, monkeypatch, capsys):
        kept = [line for line in (home / "erased/slices.csv").read_text().splitlines() if "pt_1,7" not in line]
        (tmp_path / "slices.csv").write_text("\n".join(kept))
        monkeypatch.chdir(home)
        assert erased_labels.main(["measure", "study.yaml", str(tmp_path), "-o", str(tmp_path / "stress")]) == 2
        assert "1 of its 20 training slices, such as pt_1:7, are not in slices.csv" in capsys.readouterr().err
