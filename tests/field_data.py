"""Tiny data in layouts of the field, to be spoilt in one place by a test, and what reads them."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from tiny_data import make_case, save_nifti

from adawac.data import checkup
from adawac.data.checkup import Checkup
from adawac.data.classes import Classes
from adawac.data.datamodule import SegmentationData
from adawac.data.facts import DataFacts
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.inference.segmenter import Segmenter
from adawac.networks import NetworkSpec
from adawac.runs.checkpoint import Recipe

SHAPE = (6, 16, 16)
SPACING = (3.0, 0.9, 0.8)
LPS = np.array([[-0.8, 0, 0, 12.5], [0, -0.9, 0, -7], [0, 0, 3.0, 100], [0, 0, 0, 1]])
"""Affine of what `save_nifti` writes."""

LABELS = {"background": 0, "a": 1, "b": 2}


def volumes(cases: int = 4, channels: int = 1):
    """Image (C, Z, Y, X) in HU and label (Z, Y, X) of each case."""
    rng = np.random.default_rng(0)
    return {f"case_{i:02d}": make_case(rng, SHAPE, channels) for i in range(cases)}


def folders(root: Path, cases: int = 4, ending: str = ".nii.gz", channels: int = 1) -> Path:
    """images/ and labels/."""
    for name, (image, label) in volumes(cases, channels).items():
        save_nifti(root / f"images/{name}{ending}", image[0] if channels == 1 else image)
        save_nifti(root / f"labels/{name}{ending}", label)
    return root


def msd(root: Path, cases: int = 4, **settings) -> Path:
    """Decathlon; settings change dataset.json."""
    pairs = []
    for name, (image, label) in volumes(cases).items():
        save_nifti(root / f"imagesTr/{name}.nii.gz", image[0])
        save_nifti(root / f"labelsTr/{name}.nii.gz", label)
        pairs.append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
    plain = {
        "modality": {"0": "CT"},
        "labels": {str(value): name for name, value in LABELS.items()},
        "training": pairs,
    } | settings
    (root / "dataset.json").write_text(json.dumps({key: value for key, value in plain.items() if value is not None}))
    return root


def nnunet(
    root: Path, cases: int = 4, ending: str = ".nii.gz", channels: tuple[str, ...] = ("CT",), **settings
) -> Path:
    """nnU-Net v2; settings change dataset.json."""
    for name, (image, label) in volumes(cases, len(channels)).items():
        for i, channel in enumerate(image):
            save_nifti(root / f"imagesTr/{name}_{i:04d}{ending}", channel)
        save_nifti(root / f"labelsTr/{name}{ending}", label)
    plain = {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": LABELS,
        "numTraining": cases,
        "file_ending": ending,
    } | settings
    (root / "dataset.json").write_text(json.dumps(plain))
    return root


def edit(path: Path, change, dtype=np.int16) -> None:
    """Write the voxels of a NIfTI file anew."""
    image = nib.load(path)
    array = change(np.asarray(image.dataobj).astype(dtype))
    nib.save(nib.Nifti1Image(array.astype(dtype), image.affine), path)


def header(path: Path, change) -> None:
    """Change the header of a NIfTI file in place, its voxels left as they are."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    change(image.header)
    made = nib.Nifti1Image(array, None, image.header)
    made.header["xyzt_units"] = image.header["xyzt_units"]
    nib.save(made, path)


def check(root: Path, **settings) -> Checkup:
    """What `adawac check` finds."""
    return checkup.check(root, **settings)


def prepare(root: Path, **settings) -> SegmentationData:
    """As far as `adawac fit` goes before its first step."""
    data = SegmentationData(str(root), size=(16, 16), store=str(root.parent / "store"), **settings)
    data.prepare_data()
    data.setup("fit")
    return data


def model(modality="ct", channels: int = 1) -> Segmenter:
    """An untrained network of two classes, always the same."""
    torch.manual_seed(0)
    spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
    preprocessing = Preprocessing(modality, grid=Grid((16, 16)))
    facts = DataFacts(channels, Classes.from_labels({1: "a", 2: "b"}), None, preprocessing)
    return Segmenter(Recipe(spec, facts), spec.build(channels, 3).eval())
