"""Whatever the layout, shape, spacing and orientation: prepared and cut into slices, or refused with a remedy."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel import orientations

from adawac.data.classes import Classes
from adawac.data.datamodule import SegmentationData
from adawac.data.grid import Grid
from adawac.data.layouts import ACDC, Folders, Synapse, detect
from adawac.data.layouts.base import Case
from adawac.data.preprocessing import Preprocessing
from adawac.data.splits import FileSplit
from adawac.data.store import VolumeStore
from adawac.errors import AdaWACError, DataError
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti, write_label_nifti

ORIENTATIONS = [
    np.array(list(zip(order, flip, strict=True)))
    for order in itertools.permutations(range(3))
    for flip in itertools.product((1, -1), repeat=3)
]
few = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def volumes(draw):
    """Image in HU and label (Z, Y, X), spacing, orientation; 1 to 200 classes or none; from 1 x 2 x 2 voxels."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 19), st.integers(2, 19)))
    num_classes = draw(st.sampled_from([1, 2, 3, 200]))
    spacing = draw(st.tuples(*[st.floats(0.05, 30.0)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    label = rng.integers(0, num_classes + 1, shape) if draw(st.booleans()) else np.zeros(shape, np.int64)
    image = rng.normal(0, 100, shape)
    image.flat[0] = -1000  # some air
    return image.astype(np.int16), label.astype(np.uint8), spacing, draw(st.sampled_from(ORIENTATIONS))


def save(path: Path, array, spacing, ornt) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    image = nib.Nifti1Image(array.T, affine)
    nib.save(image.as_reoriented(orientations.ornt_transform(orientations.io_orientation(affine), ornt)), path)


@given(volume=volumes())
@few
def test_every_volume_survives_the_store(volume):
    image, label, spacing, ornt = volume
    with TemporaryDirectory() as folder:
        home = Path(folder)
        save(home / "images/a.nii.gz", image, spacing, ornt)
        save(home / "labels/a.nii.gz", label, spacing, ornt)
        names = {value: f"class_{value}" for value in range(1, 201)}
        layout = Folders(label_names={0: "background"} | names)
        (case,) = layout.scan(home).cases
        store = VolumeStore(
            home / "store", layout, Classes.from_labels(names), Preprocessing("ct", grid=Grid((8, 8))), 1
        )
        store.prepare([case])
        (prepared,) = store.open([case])
        assert np.array_equal(prepared.native_label, label)
        assert prepared.image.shape == (1, len(label), 8, 8)
        assert np.isfinite(prepared.image).all()
        assert prepared.voxels.sum() == label.size
        assert prepared.spacing == pytest.approx(spacing, rel=1e-4)
        back = home / "back.nii.gz"
        write_label_nifti(back, prepared.native_label, layout.read_image(case).geometry)
        theirs, ours = nib.load(home / "labels/a.nii.gz"), nib.load(back)
        assert np.array_equal(np.asarray(theirs.dataobj), np.asarray(ours.dataobj))
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)


@given(
    volumes=st.lists(volumes(), min_size=1, max_size=3), kind=st.sampled_from(["nifti", "h5"]), size=st.integers(1, 9)
)
@few
def test_every_data_set_gives_batches_or_says_why_not(volumes, kind, size):
    with TemporaryDirectory() as folder:
        root = Path(folder, "data")
        for number, (image, label, spacing, ornt) in enumerate(volumes):
            if kind == "nifti":
                save(root / f"images/p{number}.nii.gz", image, spacing, ornt)
                save(root / f"labels/p{number}.nii.gz", label, spacing, ornt)
                continue
            (root / "ACDC_training_volumes").mkdir(parents=True, exist_ok=True)
            with h5py.File(root / f"ACDC_training_volumes/patient{number}.h5", "w") as file:
                file["image"], file["label"] = image.astype(np.float32) / 1000, label % 4
        split = Path(folder, "split.json")
        split.write_text(str({"train": [case.id for case in detect(root).scan(root).cases]}).replace("'", '"'))
        data = SegmentationData(
            str(root), split=FileSplit(str(split)), size=(size, size), batch_size=2, store=str(Path(folder, "store"))
        )
        try:
            data.prepare_data()
            data.setup("fit")
        except AdaWACError as error:  # such as no foreground class anywhere
            if "; " not in str(error):  # what is wrong; the remedy
                raise
            return
        batches = list(data.train_dataloader())
        assert sum(len(batch.index) for batch in batches) == sum(len(label) for _, label, _, _ in volumes)
        assert all(batch.image.isfinite().all() and batch.image.shape[2:] == (size, size) for batch in batches)


@given(content=st.binary(max_size=600), ending=st.sampled_from([".nii", ".nii.gz"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_bytes_get_past_the_reader(content, ending):
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a{ending}")
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.nii.*(copy it again|convert it|export|crop|correct)"):
            read_nifti(path)


@given(place=st.integers(0, 351), value=st.integers(0, 255))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_a_damaged_header_is_read_or_refused_and_nothing_else(place, value):
    content = bytearray(nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)).to_bytes())
    content[place] = value
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.nii")
        path.write_bytes(content)
        try:
            volume = read_nifti(path)
        except DataError as error:
            if "; " not in str(error):
                raise
        else:
            assert volume.array.shape[1:] == volume.geometry.shape


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), key=st.sampled_from(["image", "label"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_damaged_h5_file_is_read_or_refused_and_nothing_else(place, bit, key):
    with TemporaryDirectory() as folder:
        path = Path(folder, "patient1.h5")
        with h5py.File(path, "w") as file:
            file["image"], file["label"] = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8)
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1 << bit
        path.write_bytes(content)
        case = Case("patient1", (path,), (path,))
        try:
            (ACDC().read_image if key == "image" else ACDC().read_label)(case)
        except DataError as error:
            if "; " not in str(error):
                raise


META = (
    b"ObjectType = Image\nNDims = 3\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    b"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\n"
    b"DimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
NRRD = (
    b"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 4\n"
    b"space directions: (1,0,0) (0,1,0) (0,0,2)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    b"space origin: (0,0,0)\n\n"
)
SPELT = (
    b"\n",
    b"\r",
    b" ",
    b":",
    b"=",
    b"%",
    b"-",
    b"9",
    b"LIST",
    b"../a.raw",
    b"\x00",
    b"\xff",
    b"data file: a.raw\n",
)


@given(
    kind=st.sampled_from([".mha", ".mhd", ".nrrd", ".nhdr"]),
    edits=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(SPELT), st.integers(0, 4)), max_size=3),
    cut=st.integers(0, 60),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_damaged_header_of_itk_is_read_or_refused_and_nothing_else(kind, edits, cut):
    content = bytearray((META if kind.startswith(".m") else NRRD) + np.arange(24, dtype="<i2").tobytes())
    for place, text, removed in edits:
        content[place : place + removed] = text
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.raw").write_bytes(bytes([42]) * 500)  # beside the data
        path = Path(folder, "in", f"a{kind}")
        path.parent.mkdir()
        path.write_bytes(content[: max(0, len(content) - cut)] if cut > 30 else content)
        try:
            volume = read_image([path])
        except DataError as error:
            if "; " not in str(error):
                raise
        else:
            assert volume.array.shape[1:] == volume.geometry.shape
            assert not (volume.array == 0x2A2A).any()


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.integers(0, 300))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_damaged_npz_file_is_read_or_refused_and_nothing_else(place, bit, cut):
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        np.savez_compressed(path, image=np.zeros((3, 4), np.float32))
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1 << bit
        path.write_bytes(content[: len(content) - cut] if cut < 100 else content)
        try:
            Synapse().read_image(Case("a", (path,)))
        except DataError as error:
            if "; " not in str(error):
                raise


@given(place=st.integers(128, 2000), value=st.integers(0, 255), cut=st.integers(0, 200))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_damaged_dicom_file_is_read_or_refused_and_nothing_else(place, value, cut):
    with TemporaryDirectory() as folder:
        files = write_series(Path(folder, "a"), np.full((8, 8, 3), 40.0), np.diag([-1.0, -1, 2, 1]))
        content = bytearray(files[1].read_bytes())
        content[place % len(content)] = value
        files[1].write_bytes(content[: len(content) - cut] if cut < 100 else content)
        try:
            volume = read_image(files)
        except DataError as error:
            if "; " not in str(error):
                raise
        else:
            assert volume.array.shape == (1, 3, 8, 8)
