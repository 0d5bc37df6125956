import os
import time

import nibabel as nib
import numpy as np
import pytest
from tiny_data import make_case, save_nifti, write_msd, write_synapse

from adawac.data.classes import Classes
from adawac.data.layouts import Case, detect
from adawac.data.reading import Digest, for_every_case, read_case
from adawac.errors import DataError
from adawac.types import IGNORE_INDEX


@pytest.fixture
def root(tmp_path):
    return write_msd(tmp_path, cases=1)


def read(root, in_channels=None, **settings):
    layout = detect(root)
    collection = layout.scan(root)
    return read_case(layout, collection.cases[0], Classes.from_labels(collection.labels, **settings), in_channels)


def change(path, edit):
    """Write a file again with its voxels (file order) and affine edited."""
    image = nib.load(path)
    array, affine = edit(np.asarray(image.dataobj).copy(), image.affine.copy())
    nib.save(nib.Nifti1Image(array, affine), path)


def test_image_is_float32_and_label_is_class_indices(root):
    image, label = read(root, in_channels=1)
    hounsfield, values = make_case(np.random.default_rng(0), (6, 16, 16))
    assert (image.array.dtype, label.array.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(image.array, hounsfield)
    np.testing.assert_array_equal(label.array[0], values)
    assert image.geometry.spacing == (3.0, 0.9, 0.8)
    assert not values[[0, -1]].any()
    assert set(np.unique(values)) == {0, 1, 2}


def test_classes_are_encoded(root):
    _, whole = read(root)
    _, label = read(root, drop=["right_kidney"])
    assert set(np.unique(label.array)) == {0, 1}
    np.testing.assert_array_equal(label.array == 1, whole.array == 1)


def test_ignored_voxels(root):
    change(
        root / "labelsTr/pt_1.nii.gz",
        lambda array, affine: (np.where(array == 2, 9, array).astype(np.uint8), affine),
    )
    _, label = read(root, ignore_value=9)
    assert set(np.unique(label.array)) == {0, 1, IGNORE_INDEX}


def test_a_label_in_another_orientation_is_brought_to_the_image(root):
    _, before = read(root)
    path = root / "labelsTr/pt_1.nii.gz"
    nib.save(nib.as_closest_canonical(nib.load(path)), path)
    _, after = read(root)
    np.testing.assert_array_equal(before.array, after.array)


def test_float_labels_of_whole_numbers(tmp_path):
    root = write_synapse(tmp_path, cases=1, test_cases=0)
    image, label = read(root)
    assert (image.array.shape, label.array.dtype) == ((1, 6, 16, 16), np.uint8)
    assert label.array.max() == 8


def crop(array, affine):
    return array[..., :-1], affine


def shift(array, affine):
    affine[2, 3] += 1.5
    return array, affine


def unknown(array, affine):
    array[3, 3, 3] = 42
    return array, affine


def fractional(array, affine):
    array = array.astype(np.float32)
    array[0, 0, :2] = 0.5
    return array, affine


def not_a_number(array, affine):
    array = array.astype(np.float32)
    array[0, 0, :3] = (np.nan, np.inf, -np.inf)
    return array, affine


@pytest.mark.parametrize(
    ("part", "edit", "message"),
    [
        (
            "labels",
            crop,
            r"label has shape \(5, 16, 16\) but \(6, 16, 16\) .*re-export the label on the image's grid",
        ),
        ("labels", shift, r"label lies 1.5 mm off .*re-export the label on the image's grid"),
        ("labels", unknown, r"\[42\] \(1 voxels\).*\[0, 1, 2\] are allowed; name them"),
        ("labels", fractional, "2 voxels are not, such as 0.5; .*or export again with nearest"),
        ("images", not_a_number, "3 of 1536 voxels are NaN or infinite .*repair or export"),
        ("images", crop, "re-export the label"),
    ],
)
def test_bad_voxels_name_the_case_and_the_remedy(root, part, edit, message):
    change(root / f"{part}Tr/pt_1.nii.gz", edit)
    with pytest.raises(DataError, match=f"case pt_1: .*{message}"):
        read(root)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_truncated_files_name_the_case_and_the_file(root, part):
    path = root / f"{part}Tr/pt_1.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=rf"case pt_1: .*{part}Tr/pt_1.nii.gz: .*copy it again"):
        read(root)


def test_number_of_channels(root):
    hounsfield, _ = make_case(np.random.default_rng(0), (6, 16, 16), channels=3)
    save_nifti(root / "imagesTr/pt_1.nii.gz", hounsfield)
    assert read(root)[0].array.shape == (3, 6, 16, 16)
    with pytest.raises(DataError, match="case pt_1: image has 3 channels but 1 are due; correct"):
        read(root, in_channels=1)


def test_what_is_stopped_begins_no_further_case():
    begun = []

    def work(case):
        begun.append(case)
        time.sleep(0.05)

    def stopped(done, total):
        yield next(iter(done))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for_every_case(work, [Case(str(i), ()) for i in range(40 * os.cpu_count())], stopped)
    assert len(begun) < 10 * os.cpu_count()


@pytest.mark.parametrize("digest", [Digest.of, Digest.quick])
def test_a_digest_is_of_the_voxels_in_their_order(root, digest):
    image, label = read(root)
    was = digest(image, label)
    assert digest(*read(root)) == was
    image.array[0, 0, 0, :2] = image.array[0, 0, 0, 1::-1] + [0, 1]  # they are not the same now, whatever they were
    label.array[0, -1, -1, -1] ^= 1
    now = digest(image, label)
    assert now.image != was.image
    assert now.label != was.label
    image.array[:] = image.array[..., ::-1].copy()  # the same values elsewhere
    assert digest(image, label).image != now.image
