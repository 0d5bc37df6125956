"""Tiny data sets in every layout: blobs whose intensity shows the label, the end slices empty."""

import json
import math
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np

CLASS_NAMES = (
    "background",
    "left_kidney",
    "right_kidney",
    "liver",
    "spleen",
    "stomach",
    "aorta",
    "gallbladder",
    "pancreas",
)
"""Names of the first classes in the layouts that name their own."""

Shape = tuple[int, int, int]


def make_case(rng, shape: Shape, channels: int = 1, num_classes: int = 3):
    """Canonical image (C, Z, Y, X) int16 in HU and label (Z, Y, X) uint8.

    The last class has 240 HU, those before it less, in a body of -60 HU amid air; class 1 lies on the
    patient's left (large x).
    """
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij")
    body = ((y - 0.5) / 0.48) ** 2 + ((x - 0.5) / 0.48) ** 2 < 1
    label = np.zeros(shape, np.uint8)
    columns = math.ceil(math.sqrt(num_classes - 1))
    rows = math.ceil((num_classes - 1) / columns)
    inner = np.abs(z - 0.5) < 0.5 - 1 / shape[0]  # at least one slice at each end stays empty
    for k in range(1, num_classes):
        row, column = divmod(k - 1, columns)
        centre_y = 0.15 + 0.7 * (row + 0.5) / rows + rng.uniform(-0.03, 0.03)
        centre_x = 0.85 - 0.7 * (column + 0.5) / columns + rng.uniform(-0.03, 0.03)
        radius = 0.3 / max(rows, columns) * rng.uniform(0.9, 1.1)
        label[inner & ((y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2)] = k
    clean = np.where(label > 0, 240 / (num_classes - 1) * label, np.where(body, -60.0, -1000.0))
    image = clean + 50 * np.arange(channels).reshape(-1, 1, 1, 1) + rng.normal(0, 10, (channels, *shape))
    return image.astype(np.int16), label


def save_nifti(path: Path, canonical, spacing=(3.0, 0.9, 0.8)) -> None:
    """Save (Z, Y, X) or (C, Z, Y, X) with file axes Left, Posterior, Superior, channels last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = canonical.T  # (X, Y, Z) or (X, Y, Z, C)
    z, y, x = spacing
    affine = np.array([[-x, 0, 0, 12.5], [0, -y, 0, -7], [0, 0, z, 100], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(array, affine), path)


def cut(path: Path) -> None:
    """Truncate a file, as a copy that was broken off."""
    path.write_bytes(path.read_bytes()[:-50])


def erase(path: Path, values: list[int]) -> None:
    """Make these label values of a NIfTI file background."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.where(np.isin(array, values), 0, array).astype(np.uint8), image.affine), path)


def _cases(cases: int, shape: Shape, channels: int, num_classes: int, seed: int):
    rng = np.random.default_rng(seed)
    for number in range(1, cases + 1):
        yield number, *make_case(rng, shape, channels, num_classes)


def _unit(image):
    """HU to [0, 1] with Synapse's window; the first channel only."""
    return np.clip((image[0].astype(np.float32) + 125) / 400, 0, 1)


def write_msd(
    root: Path, cases=4, shape: Shape = (6, 16, 16), channels=1, num_classes=3, seed=0, names=CLASS_NAMES
) -> Path:
    """Decathlon: dataset.json with a training list, channels last."""
    training = []
    for number, image, label in _cases(cases, shape, channels, num_classes, seed):
        save_nifti(root / f"imagesTr/pt_{number}.nii.gz", image if channels > 1 else image[0])
        save_nifti(root / f"labelsTr/pt_{number}.nii.gz", label)
        pair = {"image": f"./imagesTr/pt_{number}.nii.gz", "label": f"./labelsTr/pt_{number}.nii.gz"}
        training.append(pair)
    dataset = {
        "name": "tiny",
        "modality": {str(i): "CT" for i in range(channels)},
        "labels": {str(value): name for value, name in enumerate(names[:num_classes])},
        "numTraining": cases,
        "training": training,
        "numTest": 0,
        "test": [],
    }
    (root / "dataset.json").write_text(json.dumps(dataset))
    return root


def write_nnunet(
    root: Path, cases=4, shape: Shape = (6, 16, 16), channels=1, num_classes=3, seed=0, test_cases=0
) -> Path:
    """nnU-Net v2: one file a channel; the last `test_cases` go to imagesTs and labelsTs."""
    for number, image, label in _cases(cases + test_cases, shape, channels, num_classes, seed):
        part = "Tr" if number <= cases else "Ts"
        for i, channel in enumerate(image):
            save_nifti(root / f"images{part}/pt_{number}_{i:04d}.nii.gz", channel)
        save_nifti(root / f"labels{part}/pt_{number}.nii.gz", label)
    dataset = {
        "channel_names": {str(i): "CT" for i in range(channels)},
        "labels": {name: value for value, name in enumerate(CLASS_NAMES[:num_classes])},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(dataset))
    return root


def write_folders(root: Path, cases=4, shape: Shape = (6, 16, 16), channels=1, num_classes=3, seed=0) -> Path:
    """Two plain folders, images/ and labels/."""
    for number, image, label in _cases(cases, shape, channels, num_classes, seed):
        save_nifti(root / f"images/pt_{number}.nii.gz", image if channels > 1 else image[0])
        save_nifti(root / f"labels/pt_{number}.nii.gz", label)
    return root


def write_synapse(root: Path, cases=4, shape: Shape = (6, 16, 16), num_classes=9, seed=0, test_cases=2) -> Path:
    """Synapse/train_npz slices, Synapse/test_vol_h5 volumes and their lists; labels are float32."""
    lists = {"train": [], "test_vol": []}
    for folder in ("Synapse/train_npz", "Synapse/test_vol_h5", "lists/lists_Synapse"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, image, label in _cases(cases + test_cases, shape, 1, num_classes, seed):
        name = f"case{number:04d}"
        image, label = _unit(image), label.astype(np.float32)
        if number > cases:
            lists["test_vol"].append(name)
            with h5py.File(root / f"Synapse/test_vol_h5/{name}.npy.h5", "w") as file:
                file["image"], file["label"] = image, label
            continue
        for k in range(len(label)):
            lists["train"].append(f"{name}_slice{k:03d}")
            path = root / f"Synapse/train_npz/{name}_slice{k:03d}.npz"
            np.savez_compressed(path, image=image[k], label=label[k])
    for name, lines in lists.items():
        (root / f"lists/lists_Synapse/{name}.txt").write_text("\n".join(lines) + "\n")
    return root


def _acdc(cases: int, shape: Shape, num_classes: int, seed: int, first_patient: int = 1):
    """Two frames a patient."""
    for number, image, label in _cases(cases, shape, 1, num_classes, seed):
        patient, frame = first_patient + (number - 1) // 2, (10, 1)[number % 2]
        yield f"patient{patient:03d}_frame{frame:02d}", _unit(image), label


def write_acdc_slices(root: Path, cases=4, shape: Shape = (6, 16, 16), num_classes=4, seed=0) -> Path:
    """ACDC_training_slices only."""
    folder = root / "ACDC_training_slices"
    folder.mkdir(parents=True, exist_ok=True)
    for name, image, label in _acdc(cases, shape, num_classes, seed):
        for k in range(len(label)):
            with h5py.File(folder / f"{name}_slice_{k}.h5", "w") as file:
                file["image"], file["label"] = image[k], label[k]
    return root


def write_acdc_volumes(root: Path, cases=4, shape: Shape = (6, 16, 16), num_classes=4, seed=0, first_patient=1) -> Path:
    """ACDC_training_volumes only."""
    folder = root / "ACDC_training_volumes"
    folder.mkdir(parents=True, exist_ok=True)
    for name, image, label in _acdc(cases, shape, num_classes, seed, first_patient):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["image"], file["label"] = image, label
    return root
