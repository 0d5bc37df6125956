"""`adawac init` writes the same whatever lies in the cases that its configuration validates and tests on."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny_data import write_folders, write_msd, write_nnunet

from adawac.cli import main
from adawac.data.checkup import check


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def nnunet(root: Path) -> Path:
    """imagesTs and labelsTs test; val is drawn from the others."""
    return write_nnunet(root, cases=6, test_cases=3)


def msd(root: Path) -> Path:
    """Entries of `test` that name a label."""
    write_msd(root, cases=8)
    listed = json.loads((root / "dataset.json").read_text())
    listed |= {"test": listed["training"][6:], "training": listed["training"][:6]}
    (root / "dataset.json").write_text(json.dumps(listed))
    return root


def folders(root: Path) -> Path:
    """Plain folders, whose class names and channels are read from the files, and a split file; pt_1 is held out."""
    write_folders(root, cases=6)
    split = {"train": ["pt_2", "pt_3", "pt_4"], "val": ["pt_5"], "test": ["pt_1", "pt_6"]}
    (root / "splits.json").write_text(json.dumps(split))
    return root


def drawn(root: Path) -> Path:
    """The split is drawn by names."""
    return write_folders(root, cases=8)


def frames(root: Path) -> Path:
    """As is that of patients."""
    write_folders(root, cases=8)
    for path in root.glob("*/*.nii.gz"):
        number = int(path.name[3:].partition(".")[0])
        path.rename(path.with_name(f"patient{number // 2:03d}_frame{number % 2:02d}.nii.gz"))
    return root


def other_voxels(path: Path) -> None:
    """Brighter than any window, coarser and larger; with values that no class stands for."""
    array = np.asarray(nib.load(path).dataobj)
    spoilt = np.tile(array, (2, 2, 2)).astype(np.int16)
    spoilt = np.where(spoilt > 0, 9, 0) if "label" in str(path.parent) else 30_000 - spoilt
    nib.save(nib.Nifti1Image(spoilt.astype(np.int16), np.diag([5.0, 5.0, 5.0, 1.0])), path)


def two_channels(path: Path) -> None:
    if "image" in str(path.parent):
        array = np.asarray(nib.load(path).dataobj)
        nib.save(nib.Nifti1Image(np.stack([array, array], axis=-1), np.eye(4)), path)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("write", [nnunet, msd, folders, drawn, frames])
def test_held_out_cases_are_not_read(write, tmp_path, capsys):
    root = write(tmp_path / "data")
    assert main(["init", str(root), "-o", "before.yaml"]) == 0
    assert "not read: " in capsys.readouterr().out
    before = Path("before.yaml").read_bytes()
    train = trained_on(root, "before.yaml")
    held_out = [
        path
        for path in root.rglob("*.nii.gz")
        if not any(path.name.startswith(f"{id_}.") or path.name.startswith(f"{id_}_0000.") for id_ in train)
    ]
    assert len(held_out) >= 4
    for spoil in (other_voxels, two_channels, emptied):
        for path in held_out:
            spoil(path)
        assert main(["init", str(root), "-o", "after.yaml", "--force"]) == 0
        assert Path("after.yaml").read_bytes() == before, spoil.__name__
        assert main(["init", str(root), "-o", "skipping.yaml", "--skip-bad", "--force"]) == 0
        lines = Path("skipping.yaml").read_text().splitlines()
        assert [line for line in lines if "skip_bad" not in line] == before.decode().splitlines()
    other_voxels(next(path for path in root.rglob("*.nii.gz") if path not in held_out and "image" in str(path.parent)))
    assert main(["init", str(root), "-o", "after.yaml", "--skip-bad", "--force"]) == 0
    assert Path("after.yaml").read_bytes() != before  # what it is trained on matters


def trained_on(root: Path, config: str) -> tuple[str, ...]:
    """By the data module, which trains what the file says."""
    import yaml

    from adawac.data.datamodule import SegmentationData

    said = yaml.safe_load(Path(config).read_text())["data"]
    data = SegmentationData(str(root), patient_pattern=said["patient_pattern"], store="store")
    data.look()
    return data.split.train


def test_what_check_measures_is_of_the_training_cases(tmp_path):
    """It reads everything, to say what is wrong; settings are read off its table."""
    root = folders(tmp_path / "data")
    before = check(root).fingerprint
    for path in root.glob("*/pt_[156].nii.gz"):
        array = np.asarray(nib.load(path).dataobj)
        spoilt = np.where(array > 0, 1, 0) if "label" in str(path.parent) else array + 60
        nib.save(nib.Nifti1Image(spoilt.astype(np.int16), nib.load(path).affine), path)
    checkup = check(root)
    assert checkup.fingerprint == before
    assert before.num_cases == 3
    assert len(checkup.measured) == 6
