"""One labelled volume stored with its axes in all 48 ways trains, tests and predicts alike, each on its own grid."""

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from nibabel import orientations
from tiny_data import write_msd

from adawac.cli import main
from adawac.evaluation import read_csv
from adawac.io.volumes import read_nifti

ORDERS = list(itertools.permutations(range(3)))
FLIPS = list(itertools.product((1, -1), repeat=3))
ALL = [np.array(list(zip(order, flip, strict=True))) for order in ORDERS for flip in FLIPS]
NAMES = ["".join(orientations.ornt2axcodes(ornt)) for ornt in ALL]


def turned(source: Path, target: Path, ornt) -> None:
    """The same volume with its axes stored in another order and direction."""
    image = nib.load(source)
    transform = orientations.ornt_transform(orientations.io_orientation(image.affine), ornt)
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image.as_reoriented(transform), target)


def write(root: Path, train: list[str], test: list[str]) -> None:
    """A data set of pt_1 in the orientations named, as cases of these names; one more, pt_2, validates."""
    whole = write_msd(root / "source", cases=2, shape=(7, 32, 24))
    split = {"train": train, "val": ["pt_2"], "test": test}
    pairs = [("pt_2", "pt_2", None)] + [(name, "pt_1", name) for name in (*train, *test)]
    for case, source, name in pairs:
        ornt = None if name is None else ALL[NAMES.index(name)]
        for folder in ("imagesTr", "labelsTr"):
            there, here = whole / folder / f"{source}.nii.gz", root / folder / f"{case}.nii.gz"
            turned(there, here, orientations.io_orientation(nib.load(there).affine) if ornt is None else ornt)
    dataset = json.loads((whole / "dataset.json").read_text())
    cases = [*train, "pt_2", *test]
    listed = [{"image": f"imagesTr/{case}.nii.gz", "label": f"labelsTr/{case}.nii.gz"} for case in cases]
    (root / "dataset.json").write_text(json.dumps(dataset | {"training": listed}))
    (root / "splits.json").write_text(json.dumps(split))


def fit(home: Path, root: Path, name: str) -> Path:
    settings = {
        "name": name,
        "pictures": False,
        "runs": str(home / "runs"),
        "seed_everything": 3,
        "trainer": {"accelerator": "cpu", "max_epochs": 2, "enable_progress_bar": False},
        "data": {"root": str(root), "store": str(home / "store"), "size": [32, 32], "batch_size": 4},
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"},
            },
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.03}},
        },
    }
    path = home / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert main(["fit", "--config", str(path)]) == 0
    return home / "runs" / name / "version_0"


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[Path, Path]:
    """A run trained on the volume in its first orientation."""
    home = tmp_path_factory.mktemp("reference")
    write(home / "data", [NAMES[0]], [])
    return home, fit(home, home / "data", "reference")


def test_there_are_48():
    assert len(set(NAMES)) == 48


def test_prediction_is_the_same_on_each_file_s_own_grid(reference, tmp_path):
    home, run = reference
    source = home / "data/source/imagesTr/pt_1.nii.gz"
    for name, ornt in zip(NAMES, ALL, strict=True):
        turned(source, tmp_path / f"in/{name}.nii.gz", ornt)
    assert main(["predict", str(run), "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device=cpu"]) == 0
    first = read_nifti(tmp_path / f"out/{NAMES[0]}.nii.gz").array
    assert len(np.unique(first)) > 1
    for name in NAMES:
        one, other = (nib.load(tmp_path / folder / f"{name}.nii.gz") for folder in ("in", "out"))
        assert one.shape == other.shape
        np.testing.assert_allclose(other.affine, one.affine, atol=1e-5)
        assert np.array_equal(read_nifti(tmp_path / f"out/{name}.nii.gz").array, first), name


def test_the_case_table_is_the_same(reference, tmp_path):
    """All 48 are tested in one go: copies of one image, so they must be said to be one patient's."""
    _, run = reference
    write(tmp_path / "data", [], NAMES)
    (tmp_path / "data/splits.json").write_text(json.dumps({"train": ["pt_2"], "test": NAMES}))
    patients = tmp_path / "patients.csv"
    patients.write_text("case,patient\npt_2,two\n" + "".join(f"{name},one\n" for name in NAMES))
    options = ["--data.root", str(tmp_path / "data"), "--data.patient_pattern", str(patients)]
    split = {"class_path": "FileSplit", "init_args": {"path": str(tmp_path / "data/splits.json")}}
    assert main(["test", str(run), *options, f"--data.split={json.dumps(split)}"]) == 0
    values: dict[tuple[str, str, str], set[str]] = {}
    rows = [row for row in read_csv(run / "cases.csv")]
    assert {row.case for row in rows} == set(NAMES)
    for row in rows:
        values.setdefault((row.class_name, row.group, row.metric), set()).add(str(row.value))
    assert all(len(found) == 1 for found in values.values()), values


@pytest.mark.parametrize(
    "name",
    [name if name in ("LPS", "RAS", "SRA") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:]],
)
def test_training_is_the_same(reference, tmp_path, name):
    expected = torch.load(reference[1] / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    write(tmp_path / "data", [name], [])
    run = fit(tmp_path, tmp_path / "data", "turned")
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for key, value in expected.items():
        assert torch.equal(state[key].nan_to_num(-1), value.nan_to_num(-1)), key
