"""Kinds of bad input, each refused before training with its own remedy; each a real folder broken in one place."""

import gzip
import json
import struct
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from tiny_data import make_case, save_nifti, write_acdc_slices, write_folders, write_msd, write_nnunet, write_synapse

from adawac.data.datamodule import SegmentationData
from adawac.data.splits import FileSplit
from adawac.errors import AdaWACError

SIZE = (6, 16, 16)
ACDC_FIRST = "ACDC_training_slices/patient001_frame01"


def prepare(root: Path, **settings) -> None:
    """As far as `adawac fit` goes before its first step."""
    data = SegmentationData(str(root), size=(16, 16), store=str(root.parent / "store"), **settings)
    data.prepare_data()
    data.setup("fit")


def nifti(path: Path, array, **header) -> None:
    image = nib.Nifti1Image(array, np.diag([-0.8, -0.9, 3.0, 1.0]))
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)


def edited(path: Path, edit) -> None:
    """The file again, its voxels edited in place or anew."""
    image = nib.load(path)
    array = np.asarray(image.dataobj).astype(np.float32)
    result = edit(array)
    nib.save(nib.Nifti1Image(array if result is None else result, image.affine), path)


def set_voxel(value):
    def edit(array):
        array[3, 4, 2] = value

    return edit


def bytes_at(position: int, content: bytes):
    """Change bytes of the file that a .nii.gz holds."""

    def damage(path: Path) -> None:
        plain = bytearray(gzip.decompress(path.read_bytes()))
        plain[position : position + len(content)] = content
        path.write_bytes(gzip.compress(plain))

    return damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def rgb(path: Path) -> None:
    nifti(path, np.zeros((16, 16, 6), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])))


IMAGES = {
    "not compressed": (lambda path: path.write_bytes(b"no gzip at all"), "copy it again"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-200]), "copy it again"),
    "without its check sum": (lambda path: path.write_bytes(path.read_bytes()[:-8]), "copy it again"),
    "a byte flipped": (flip, "copy it again"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty, .*; copy it again"),
    "a web page": (
        lambda path: path.write_bytes(gzip.compress(b"<html>" * 100)),
        "a web page.* download the file again",
    ),
    "a folder": (folder_in_place, "restore the file"),
    "one plane": (lambda path: nifti(path, np.ones((16, 16), np.int16)), r"export the slice as \(16, 16, 1\)"),
    "five dimensions": (lambda path: nifti(path, np.ones((4, 4, 4, 2, 2), np.int16)), "export one volume a file"),
    "an axis of nothing": (bytes_at(42, struct.pack("<h", 0)), "export the file again"),
    "negative size": (bytes_at(42, struct.pack("<h", -5)), "copy it again"),
    "unknown type of voxels": (bytes_at(70, struct.pack("<h", 999)), "convert it to .nii.gz"),
    "complex voxels": (lambda path: nifti(path, np.ones((16, 16, 6), np.complex64)), "convert the file"),
    "colours": (rgb, "convert the file"),
    "of a flat affine": (bytes_at(312, bytes(16)), "correct the header's sform or qform"),
    "of an affine of NaN": (bytes_at(280, struct.pack("<f", np.nan)), "correct the header's sform or qform"),
    "scaled by NaN": (bytes_at(112, struct.pack("<ff", 1.0, np.nan)), "correct the header"),
    "NaN": (lambda path: edited(path, set_voxel(np.nan)), "repair or export the image again"),
    "infinite": (lambda path: edited(path, set_voxel(np.inf)), "repair or export the image again"),
    "constant": (lambda path: edited(path, lambda array: array * 0 - 1000), "an image shows something; export"),
    "from 0 to 1": (lambda path: edited(path, lambda array: (array + 2000) / 4000), "rescale the image to HU"),
    "beyond all scanners": (lambda path: edited(path, set_voxel(1e6)), "rescale the image to HU"),
    "two channels": (
        lambda path: save_nifti(path, make_case(np.random.default_rng(0), SIZE, channels=2)[0]),
        "correct the channel names or the file",
    ),
    "missing": (lambda path: path.unlink(), "restore the file or take the case off the list"),
}
LABELS = {
    "a slice less": (lambda path: edited(path, lambda array: array[..., :-1]), "re-export the label on the image's"),
    "shifted": (bytes_at(292, struct.pack("<f", 99.0)), "mm off the grid .*; re-export the label on the image's"),
    "half a class": (lambda path: edited(path, set_voxel(0.5)), "export again with nearest-neighbour"),
    "NaN": (lambda path: edited(path, set_voxel(np.nan)), "write 0 there, if they are background"),
    "unknown class": (lambda path: edited(path, set_voxel(7)), r"\[7\] .*stand for no class, .*; name them"),
    "negative class": (
        lambda path: edited(path, set_voxel(-1)),
        r"\[-1\] .*stand for no class, .*; correct the label, or set data.ignore_label to -1",
    ),
    "one-hot": (
        lambda path: edited(path, lambda array: np.stack([array == 1, array == 2], -1).astype(np.uint8)),
        "export one label map a case",
    ),
    "missing": (lambda path: path.unlink(), "restore the file or take the case off the list"),
}


@pytest.mark.parametrize(("damage", "remedy"), IMAGES.values(), ids=IMAGES)
def test_an_image_that_is(tmp_path, damage, remedy):
    root = write_msd(tmp_path / "msd", cases=3, shape=SIZE)
    damage(root / "imagesTr/pt_2.nii.gz")
    with pytest.raises(AdaWACError, match=rf"(?s)^case pt_2: .*(?:{remedy})"):
        prepare(root)


@pytest.mark.parametrize(("damage", "remedy"), LABELS.values(), ids=LABELS)
def test_a_label_that_is(tmp_path, damage, remedy):
    root = write_msd(tmp_path / "msd", cases=3, shape=SIZE)
    damage(root / "labelsTr/pt_2.nii.gz")
    with pytest.raises(AdaWACError, match=rf"(?s)^case pt_2: .*(?:{remedy})"):
        prepare(root)


def listing(**changes):
    """Change keys of dataset.json; None removes one, a function changes what is there."""

    def damage(root: Path) -> None:
        path = root / "dataset.json"
        dataset = json.loads(path.read_text())
        for key, value in changes.items():
            dataset[key] = value(dataset[key]) if callable(value) else value
        path.write_text(json.dumps({key: value for key, value in dataset.items() if value is not None}))

    return damage


def text(content: str):
    return lambda root: (root / "dataset.json").write_text(content)


LISTINGS = {
    "not JSON": (text("{"), "this is not readable JSON .*; correct or restore the file"),
    "a list": (text("[]"), "a JSON object is due but this is a list; correct the file"),
    "endless brackets": (text("[" * 10**6), "this is not readable JSON .*; correct or restore the file"),
    "without labels": (listing(labels=None), "`labels` must be a mapping, not None; write"),
    "labels that are no numbers": (listing(labels={"none": "background", "one": "a"}), "has no whole number; write"),
    "one name for two labels": (
        listing(labels={"0": "background", "1": "a", "2": "a"}),
        r"\['a'\] occur twice; rename them, then merge",
    ),
    "no case": (listing(training=[]), "no case was found; check that the download is complete"),
    "a case twice": (
        listing(training=lambda pairs: [*pairs, pairs[0]]),
        "case pt_1: .* lists pt_1.nii.gz twice; take one of them off the list",
    ),
    "a pair without label": (
        listing(training=lambda pairs: [{"image": pairs[0]["image"]}, *pairs[1:]]),
        "needs `image` and `label` .*; complete it",
    ),
    "a way out": (
        listing(training=lambda pairs: [{**pairs[0], "image": "../x.nii.gz"}, *pairs[1:]]),
        r"a path inside the data set and relative to it, without '..'; correct it",
    ),
}


@pytest.mark.parametrize(("damage", "remedy"), LISTINGS.values(), ids=LISTINGS)
def test_a_dataset_json_with(tmp_path, damage, remedy):
    root = write_msd(tmp_path / "msd", cases=3, shape=SIZE)
    damage(root)
    with pytest.raises(AdaWACError, match=rf"(?s){remedy}"):
        prepare(root)


SPLITS = {
    "not JSON": ("{", "is not valid JSON .*write it so"),
    "other keys": ('{"everyone": ["pt_1"]}', "names are strings; write it so"),
    "numbers for names": ('{"train": [1]}', "names are strings; write it so"),
    "unknown names": ('{"train": ["pt_1", "pt_9"]}', "pt_9 is neither a case nor a patient .*remove the name"),
    "nothing to train on": ('{"train": [], "val": ["pt_1"]}', "put at least one case into train"),
    "a case in two parts": ('{"train": ["pt_1"], "val": ["pt_1"]}', "move all its cases into one part"),
}


@pytest.mark.parametrize(("content", "remedy"), SPLITS.values(), ids=SPLITS)
def test_a_split_file_with(tmp_path, content, remedy):
    root = write_msd(tmp_path / "msd", cases=3, shape=SIZE)
    (root / "splits.json").write_text(content)
    with pytest.raises(AdaWACError, match=rf"(?s){remedy}"):
        prepare(root)


SETTINGS = {
    "a fold too many": ({"split": FileSplit("two.json", fold=2)}, "choose one below that"),
    "no split file": ({"split": FileSplit("none.json")}, "give the path of a split file"),
    "a pattern that fits no case": (
        {"patient_pattern": "case(.*)"},
        "finds no patient in pt_1, .*; write one that fits every case",
    ),
    "a pattern that is none": ({"patient_pattern": "pt_(["}, "is not a regular expression .*; write one such as"),
    "a patient in two parts": (
        {"patient_pattern": "(p)", "split": FileSplit("two.json")},
        "patient p lies in more than one part .*; move all its cases into one part, or correct patient_pattern",
    ),
    "a class that is not there": ({"drop": ["heart"]}, "no classes of this data set; choose from"),
    "a merge of what is not there": (
        {"merge": {"kidney": ["left_kidney", "heart"]}},
        "no classes of this data set; choose",
    ),
    "a pair of sides that is not there": (
        {"mirror_pairs": {"left_kidney": "liver"}},
        "name two of .* or leave the pair out",
    ),
    "all classes dropped": ({"drop": ["left_kidney", "right_kidney"]}, "change `drop` or `merge`"),
}


@pytest.mark.parametrize(("settings", "remedy"), SETTINGS.values(), ids=SETTINGS)
def test_settings_with(tmp_path, settings, remedy):
    root = write_msd(tmp_path / "msd", cases=3, shape=SIZE)
    (root / "two.json").write_text(json.dumps([{"train": ["pt_1", "pt_2"], "val": ["pt_3"]}] * 2))
    with pytest.raises(AdaWACError, match=rf"(?s){remedy}"):
        prepare(root, **settings)


def test_an_image_under_two_names(tmp_path):
    root = write_msd(tmp_path / "msd", cases=3, shape=SIZE)
    (root / "imagesTr/pt_2.nii.gz").write_bytes((root / "imagesTr/pt_1.nii.gz").read_bytes())
    with pytest.raises(AdaWACError, match=r"case pt_2: its image is that of case pt_1.*; remove one of them, or say"):
        prepare(root)


def nnunet(tmp_path: Path) -> Path:
    return write_nnunet(tmp_path / "nnunet", cases=3, shape=SIZE, channels=2)


def folders(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "folders", cases=3, shape=SIZE)


def synapse(tmp_path: Path) -> Path:
    return write_synapse(tmp_path / "synapse", cases=2, shape=SIZE, test_cases=1)


def acdc(tmp_path: Path) -> Path:
    root = write_acdc_slices(tmp_path / "acdc", cases=4, shape=SIZE)
    (root / "splits.json").write_text(json.dumps({"train": ["patient001"], "val": ["patient002"]}))
    return root


def nothing(tmp_path: Path) -> Path:
    (tmp_path / "nothing").mkdir()
    return tmp_path / "nothing"


def copied(old: str, new: str):
    return lambda root: (root / new).write_bytes((root / old).read_bytes())


def removed(name: str):
    return lambda root: (root / name).unlink()


def without_label(root: Path) -> None:
    with h5py.File(root / f"{ACDC_FIRST}_slice_2.h5", "a") as file:
        del file["label"]


def other_size(root: Path) -> None:
    np.savez(
        root / "Synapse/train_npz/case0001_slice002.npz",
        image=np.zeros((8, 8), np.float32),
        label=np.zeros((8, 8), np.float32),
    )


LAYOUTS = {
    "no folder": (
        lambda tmp_path: tmp_path / "nowhere",
        lambda root: None,
        "the data folder does not exist; correct the path",
    ),
    "an empty folder": (nothing, lambda root: None, "the data folder is empty; put a data set there"),
    "nnU-Net without a channel": (nnunet, removed("imagesTr/pt_2_0001.nii.gz"), "case pt_2: .*; complete the files or"),
    "nnU-Net without a label": (nnunet, removed("labelsTr/pt_2.nii.gz"), "case pt_2: .*; restore the label"),
    "nnU-Net with a case less": (
        nnunet,
        listing(numTraining=4),
        "`numTraining` is 4 but 3 cases lie in imagesTr; complete the folder or correct the number",
    ),
    "nnU-Net of another format": (nnunet, listing(file_ending=".png"), "`file_ending` must be one of .*; convert"),
    "folders without a label": (folders, removed("labels/pt_2.nii.gz"), "case pt_2: .*; add it or remove the"),
    "folders without an image": (folders, removed("images/pt_2.nii.gz"), "case pt_2: .*; add it or remove the"),
    "folders with a case twice": (
        folders,
        copied("images/pt_2.nii.gz", "images/pt_2.nii"),
        "case pt_2: pt_2.nii and pt_2.nii.gz are the same image; keep one",
    ),
    "Synapse without a slice": (
        synapse,
        removed("Synapse/train_npz/case0001_slice002.npz"),
        "restore the file or take",
    ),
    "Synapse with a smaller slice": (
        synapse,
        other_size,
        "slices of a volume share one shape .*; export the volume again",
    ),
    "ACDC without an array": (acdc, without_label, "an array 'label' but there is none; export it again"),
    "ACDC without a slice": (acdc, removed(f"{ACDC_FIRST}_slice_2.h5"), r"\[2\] are missing; restore their files"),
}


@pytest.mark.parametrize(("make", "damage", "remedy"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_folder_that_is(tmp_path, make, damage, remedy):
    root = make(tmp_path)
    damage(root)
    with pytest.raises(AdaWACError, match=rf"(?s){remedy}"):
        prepare(root)
