"""Layouts of HDF5 and NumPy files: Synapse and ACDC."""

import shutil

import h5py
import numpy as np
import pytest
from tiny_data import (
    cut,
    make_case,
    write_acdc_slices,
    write_acdc_volumes,
    write_synapse,
)

from adawac.data.layouts import ACDC, Case, Synapse, detect
from adawac.errors import DataError


def test_synapse_reads_slices_in_order_and_says_the_split(tmp_path):
    root = write_synapse(tmp_path, cases=2, shape=(12, 8, 8), test_cases=1)
    collection = Synapse().scan(root)
    assert [(case.id, case.split) for case in collection.cases] == [
        ("case0001", "train"),
        ("case0002", "train"),
        ("case0003", "test"),
    ]
    assert collection.labels[8] == "stomach"
    assert collection.modality == "prescaled"
    _, label = make_case(np.random.default_rng(0), (12, 8, 8), num_classes=9)
    read = Synapse().read_label(collection.cases[0])
    np.testing.assert_array_equal(read.array[0], label)
    assert read.geometry.spacing is None


@pytest.mark.parametrize("move", ["Synapse", "data/Synapse", ""])
@pytest.mark.parametrize("lists", [True, False])
def test_synapse_is_found_in_its_usual_places(tmp_path, move, lists):
    root = write_synapse(tmp_path / "a", cases=1, test_cases=1)
    if not lists:
        shutil.rmtree(root / "lists")
    if move == "data/Synapse":
        (root / "data").mkdir()
        (root / "Synapse").rename(root / "data/Synapse")
    elif not move:
        for path in (root / "Synapse").iterdir():
            path.rename(root / path.name)
    assert [case.id for case in detect(root).scan(root).cases] == ["case0001", "case0002"]


def test_synapse_lists_choose_slices(tmp_path):
    root = write_synapse(tmp_path, cases=2, test_cases=1)
    folder = root / "lists/lists_Synapse/half"
    folder.mkdir()
    (folder / "train.txt").write_text("case0002_slice004\ncase0002_slice000\ncase0002_slice002\n")
    cases = Synapse(lists="lists/lists_Synapse/half").scan(root).cases
    assert [case.id for case in cases] == ["case0002", "case0003"]
    assert [path.stem[-1] for path in cases[0].images] == ["0", "2", "4"]
    with pytest.raises(DataError, match="correct `lists`"):
        Synapse(lists="elsewhere").scan(root)
    (folder / "train.txt").write_text("../../case0002_slice004\n")
    with pytest.raises(DataError, match="plain names without folders; correct the list"):
        Synapse(lists="lists/lists_Synapse/half").scan(root)


def test_synapse_missing_slices(tmp_path):
    root = write_synapse(tmp_path, cases=1)
    (root / "Synapse/train_npz/case0001_slice003.npz").unlink()
    with pytest.raises(DataError, match=r"case0001: .*slice003.npz does not exist; restore"):
        Synapse().scan(root)
    shutil.rmtree(root / "lists")
    with pytest.raises(DataError, match=r"case case0001: .*\[3\] are missing; restore"):
        Synapse().scan(root)


def test_synapse_refuses_pickles_and_names_unreadable_slices(tmp_path):
    root = write_synapse(tmp_path, cases=1, test_cases=0)
    case = Synapse().scan(root).cases[0]
    good = case.images[2].read_bytes()
    cut(case.images[2])
    with pytest.raises(DataError, match=r"slice002.npz: .*copy it again"):
        Synapse().read_image(case)
    np.savez(case.images[2], image=np.array([{"a": 1}]), label=np.zeros((16, 16)))
    with pytest.raises(DataError, match=r"slice002.npz: .*voxels must be integers or floats"):
        Synapse().read_image(case)
    np.savez(case.images[2], image=np.zeros((16, 15)), label=np.zeros((16, 16)))
    with pytest.raises(DataError, match=r"slice002.npz: .*\(16, 15\).*export the volume again"):
        Synapse().read_image(case)
    np.savez(case.images[2], image=np.zeros((16, 16)))
    with pytest.raises(DataError, match=r"slice002.npz: .*'label' but there is none"):
        Synapse().read_label(case)
    case.images[2].write_bytes(good)
    assert Synapse().read_label(case).array.shape == (1, 6, 16, 16)


def test_acdc_prefers_volumes_and_takes_either_alone(tmp_path):
    write_acdc_slices(tmp_path, cases=4, shape=(12, 8, 8))
    sliced = {case.id: case for case in ACDC().scan(tmp_path).cases}
    write_acdc_volumes(tmp_path, cases=2, shape=(12, 8, 8))
    both = {case.id: case for case in ACDC().scan(tmp_path).cases}
    assert list(both) == list(sliced)
    assert [len(case.images) for case in both.values()] == [1, 1, 12, 12]
    assert list(both)[:2] == ["patient001_frame01", "patient001_frame10"]
    for case_id in list(both)[:2]:
        np.testing.assert_array_equal(ACDC().read_label(sliced[case_id]).array, ACDC().read_label(both[case_id]).array)


def test_acdc_missing_and_damaged_slices(tmp_path):
    root = write_acdc_slices(tmp_path, cases=1)
    folder = root / "ACDC_training_slices"
    case = ACDC().scan(root).cases[0]
    cut(case.images[1])
    with pytest.raises(DataError, match=r"slice_1.h5: .*copy it again"):
        ACDC().read_image(case)
    (folder / "patient001_frame01_slice_1.h5").unlink()
    with pytest.raises(DataError, match=r"case patient001_frame01: .*\[1\] are missing; restore"):
        ACDC().scan(root)
    (folder / "patient001_odd.h5").touch()
    with pytest.raises(DataError, match="rename or remove it"):
        ACDC().scan(root)


def test_acdc_with_the_folders_of_ssl4mis(tmp_path):
    write_acdc_slices(tmp_path, cases=2)
    (tmp_path / "data").mkdir()
    (tmp_path / "ACDC_training_slices").rename(tmp_path / "data/slices")
    assert len(ACDC(slices="data/slices", volumes="data").scan(tmp_path).cases) == 2
    with pytest.raises(DataError, match="`slices` and `volumes` of the layout"):
        ACDC().scan(tmp_path)


def test_h5_of_the_wrong_shape(tmp_path):
    root = write_acdc_volumes(tmp_path, cases=1)
    case = ACDC().scan(root).cases[0]
    with h5py.File(case.images[0], "a") as file:
        del file["image"]
        file["image"] = np.zeros((2, 3, 4, 5), np.float32)
    with pytest.raises(DataError, match=r"2 or 3 dimensions .*export it again"):
        ACDC().read_image(case)


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_arrays_of_other_names_are_named(tmp_path, kind):
    path, arrays = tmp_path / f"case.{kind}", {"img": np.ones((2, 8, 8)), "mask": np.ones((2, 8, 8))}
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    with pytest.raises(DataError, match=r"array 'image' but there is none; export it again \(it holds img, mask\)"):
        Synapse().read_image(Case("case", (path,), (path,)))


def test_a_label_in_many_files_is_not_blamed_on_the_first(tmp_path):
    labels = np.zeros((3, 8, 8), np.float32)
    labels[2, 0, 0] = np.nan
    paths = [tmp_path / f"case0001_slice{n:03d}.npz" for n in range(3)]
    for path, label in zip(paths, labels, strict=True):
        np.savez(path, image=label, label=label)
    with pytest.raises(
        DataError, match=r"case0001_slice000\.npz to case0001_slice002\.npz: label values must be whole"
    ):
        Synapse().read_label(Case("case0001", tuple(paths), tuple(paths)))


def test_masks_of_truth_values_warn_of_nothing(tmp_path, recwarn):
    path = tmp_path / "case.npz"
    np.savez(path, image=np.zeros((2, 8, 8)), label=np.eye(8, dtype=bool)[None].repeat(2, 0))
    assert Synapse().read_label(Case("case", (path,), (path,))).array.sum() == 16
    assert not recwarn.list
