"""Phantom CT: seeded synthetic abdomens with eight labelled organs, for demos and tests without downloads."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from adawac.errors import ConfigError
from adawac.phantom.ct import render
from adawac.phantom.organs import ORGANS

__all__ = ["ORGANS", "generate", "render"]

_SMALLEST, _LARGEST = (8, 32, 32), (512, 1024, 1024)


def generate(
    out: Path,
    patients: int,
    size: tuple[int, int, int] = (48, 128, 128),
    spacing_mm: tuple[float, float, float] | None = None,
    seed: int = 0,
) -> Path:
    """Write a data set of abdominal CTs in the layout of the Medical Segmentation Decathlon.

    `imagesTr/*.nii.gz` holds int16 HU, `labelsTr/*.nii.gz` uint8 classes, `dataset.json` their names and
    `splits.json` the case ids of train, val and test (about 60, 15 and 25 %). Every patient is a pure
    function of (seed, its number, size), so a larger data set begins with the smaller one.

    Args:
        out: a folder that is empty or does not exist yet.
        patients: how many, at least 1.
        size: voxels along (Z, Y, X), from (8, 32, 32) on; small organs need (24, 64, 64) to be always seen.
        spacing_mm: (Z, Y, X) of all patients in mm; by default each patient's own field of view sets it.
        seed: at least 0.

    Returns:
        `out`.

    Raises:
        ConfigError: naming the argument that breaks a rule.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     root = generate(Path(folder) / "ct", patients=3, size=(8, 32, 32))
        ...     sorted(path.name for path in root.iterdir())
        ['dataset.json', 'imagesTr', 'labelsTr', 'splits.json']
    """
    _validate_args(out, patients, size, spacing_mm, seed)
    ids = [f"phantom_{patient:03d}" for patient in range(patients)]
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for patient, case in enumerate(ids):
        image, label, affine = render(seed, patient, size, spacing_mm)
        for folder, volume in (("imagesTr", image), ("labelsTr", label)):
            nifti = nib.Nifti1Image(np.ascontiguousarray(volume.T), affine)
            nifti.header.set_xyzt_units("mm")
            nib.save(nifti, out / folder / f"{case}.nii.gz")
    (out / "splits.json").write_text(json.dumps(_split(ids), indent=1) + "\n")
    description = {
        "name": "Phantom abdominal CT",
        "description": f"Synthetic, made by `adawac phantom`: seed {seed}, size {'x'.join(map(str, size))}",
        "licence": "CC0-1.0",
        "modality": {"0": "CT"},
        "tensorImageSize": "3D",
        "labels": {str(value): name for value, name in enumerate(("background", *ORGANS))},
        "numTraining": patients,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in ids],
        "test": [],
    }
    (out / "dataset.json").write_text(json.dumps(description, indent=1) + "\n")
    return out


def _split(ids: list[str]) -> dict[str, list[str]]:
    """About 60 / 15 / 25 %, at least one case each from three cases on; the last ones are tested."""
    test = max(1, round(0.25 * len(ids))) if len(ids) > 1 else 0
    val = max(1, round(0.15 * len(ids))) if len(ids) > 2 else 0
    train = len(ids) - val - test
    return {"train": ids[:train], "val": ids[train : train + val], "test": ids[train + val :]}


def _validate_args(
    out: Path,
    patients: int,
    size: tuple[int, int, int],
    spacing_mm: tuple[float, float, float] | None,
    seed: int,
) -> None:
    if patients < 1:
        raise ConfigError(f"patients must be at least 1, not {patients}; three or more fill train, val and test")
    if len(size) != 3 or not all(a <= n <= b for a, n, b in zip(_SMALLEST, size, _LARGEST, strict=True)):
        raise ConfigError(f"size (Z, Y, X) must lie between {_SMALLEST} and {_LARGEST}, not {size}; try 48 128 128")
    if spacing_mm is not None and (len(spacing_mm) != 3 or not all(0 < mm < np.inf for mm in spacing_mm)):
        raise ConfigError(f"spacing_mm (Z, Y, X) must be three positive numbers, not {spacing_mm}; try 5 3 3")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, but is {seed}; choose 0 or more")
    if out.is_file():
        raise ConfigError(f"{out} is a file, but the phantom is a folder; choose another name")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty, and nothing is overwritten; empty it or choose another folder")
