import gzip
import itertools
import re

import nibabel as nib
import numpy as np
import pytest
from nibabel import orientations
from scipy.spatial.distance import cdist

from adawac.errors import DataError
from adawac.io.canonical import Geometry
from adawac.io.images import stack_channels
from adawac.io.volumes import Volume, as_label, read_nifti, write_label_nifti

AXCODES = [
    codes for axes in itertools.permutations([("L", "R"), ("P", "A"), ("I", "S")]) for codes in itertools.product(*axes)
]
LPS = np.diag([-0.8, -0.9, 3.0, 1.0])


def rotation(degrees, axis):
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    i, j = [k for k in range(3) if k != axis]
    matrix[[i, i, j, j], [i, j, i, j]] = [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]
    return matrix


def save(path, array, affine=LPS, kind=nib.Nifti1Image, codes=(1, 1), dtype=None):
    image = kind(array, None, dtype=dtype)  # with an affine, nibabel would choose the codes itself
    image.header.set_qform(affine, codes[0])
    image.header.set_sform(affine, codes[1])
    nib.save(image, path)
    return path


@pytest.fixture
def canonical():
    return np.random.default_rng(0).integers(0, 9, (4, 5, 6), dtype=np.uint8)


@pytest.mark.parametrize("codes", AXCODES, ids="".join)
@pytest.mark.parametrize("tilt", [0, 20])
def test_any_orientation_reads_canonical_and_writes_back(tmp_path, canonical, codes, tilt):
    world = rotation(tilt, 0) @ rotation(tilt / 2, 2) @ np.diag([0.7, 0.8, 2.5, 1.0])
    to_file = orientations.ornt_transform(orientations.axcodes2ornt("SPL"), orientations.axcodes2ornt("".join(codes)))
    stored = orientations.apply_orientation(canonical, to_file)
    canonical_affine = world @ np.array([[0, 0, -1, 9], [0, -1, 0, 4], [1, 0, 0, -3], [0, 0, 0, 1.0]])
    affine = canonical_affine @ orientations.inv_ornt_aff(to_file, canonical.shape)
    path = save(tmp_path / "in.nii.gz", stored, affine)
    assert tilt or nib.aff2axcodes(affine) == codes

    volume = read_nifti(path)
    np.testing.assert_array_equal(volume.array, canonical[None])
    assert volume.array.dtype == np.uint8
    assert volume.geometry.shape == canonical.shape
    np.testing.assert_allclose(volume.geometry.spacing, (2.5, 0.8, 0.7), rtol=1e-5)
    np.testing.assert_allclose(volume.geometry.canonical_affine, canonical_affine, atol=1e-5)

    write_label_nifti(tmp_path / "out.nii.gz", volume.array[0], volume.geometry)
    out, source = nib.load(tmp_path / "out.nii.gz"), nib.load(path)
    np.testing.assert_array_equal(np.asarray(out.dataobj), stored)
    np.testing.assert_array_equal(out.affine, source.affine)
    np.testing.assert_allclose(out.get_qform(), source.get_qform(), atol=1e-5)
    np.testing.assert_allclose(out.header.get_zooms(), source.header.get_zooms(), rtol=1e-6)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (2, 1), (3, 4)])
def test_header_codes_survive(tmp_path, canonical, codes):
    path = save(tmp_path / "in.nii", canonical, codes=codes)
    volume = read_nifti(path)
    write_label_nifti(tmp_path / "out.nii", volume.array[0], volume.geometry)
    out = nib.load(tmp_path / "out.nii")
    assert (int(out.header["qform_code"]), int(out.header["sform_code"])) == codes
    assert out.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(out.affine, nib.load(path).affine, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(out.dataobj), canonical)


def test_a_qform_of_its_own_survives(tmp_path, canonical):
    image = nib.Nifti1Image(canonical, LPS)
    elsewhere = LPS.copy()  # the scanner's place, where the sform is of an atlas
    elsewhere[:3, 3] += (10, 0, -4)
    image.header.set_sform(LPS, 2)
    image.header.set_qform(elsewhere, 1)
    nib.save(image, tmp_path / "in.nii")
    volume = read_nifti(tmp_path / "in.nii")
    assert re.search(r"its qform lies 10.8 mm off the grid of its sform .*, which is taken", volume.notes[0])
    write_label_nifti(tmp_path / "out.nii", volume.array[0], volume.geometry)
    out = nib.load(tmp_path / "out.nii")
    np.testing.assert_allclose(out.get_qform(), elsewhere, atol=1e-6)
    np.testing.assert_allclose(out.get_sform(), LPS, atol=1e-6)


def test_left_of_the_patient_is_right_of_the_picture(tmp_path):
    array = np.zeros((4, 3, 2), np.uint8)
    array[0, 2, 1] = 1  # axes point Right, Anterior, Superior: this voxel is left, anterior, superior
    volume = read_nifti(save(tmp_path / "a.nii", array, np.eye(4)))
    assert np.argwhere(volume.array[0]).tolist() == [[1, 0, 3]]


def test_channels_come_last_on_disk_and_first_in_memory(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    volume = read_nifti(save(tmp_path / "a.nii", array))
    np.testing.assert_array_equal(volume.array, array.T)
    assert volume.geometry.shape == (5, 4, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, ">i2", np.int64])
def test_integers_stay_as_they_are(tmp_path, dtype):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    volume = read_nifti(save(tmp_path / "a.nii", array, dtype=array.dtype))
    assert volume.array.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(volume.array[0], array.T)


def test_scaled_integers_and_floats_become_float32(tmp_path):
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(2.0 * stored - 1000, LPS), tmp_path / "float.nii")
    content = bytearray(nib.Nifti1Image(stored, LPS).to_bytes())
    content[112:120] = np.array([2.0, -1000.0], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / "scaled.nii").write_bytes(content)
    for name in ("float.nii", "scaled.nii"):
        volume = read_nifti(tmp_path / name)
        assert volume.array.dtype == np.float32
        np.testing.assert_array_equal(volume.array[0], 2 * stored.T - 1000)


def test_nifti2_and_big_endian(tmp_path, canonical):
    volume = read_nifti(save(tmp_path / "two.nii.gz", canonical, kind=nib.Nifti2Image))
    np.testing.assert_array_equal(volume.array[0], canonical.T)
    header = nib.Nifti1Header(endianness=">")
    image = nib.Nifti1Image(canonical, LPS, header)
    nib.save(image, tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    np.testing.assert_array_equal(read_nifti(tmp_path / "big.nii").array[0], canonical.T)


def test_other_units_become_mm(tmp_path, canonical):
    image = nib.Nifti1Image(canonical, np.diag([-500.0, -500.0, 2000.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii").geometry.spacing == (2.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("label", "dtype"),
    [([0, 255], np.uint8), ([0, 256], np.int16), ([-1, 3], np.int16), ([0, 40000], np.int32)],
)
def test_label_type_fits_its_values(tmp_path, label, dtype):
    geometry = Geometry.of_affine((2, 1, 1), LPS)
    write_label_nifti(tmp_path / "a.nii.gz", np.array([[label]]), geometry)
    stored = nib.load(tmp_path / "a.nii.gz")
    assert stored.get_data_dtype() == dtype
    assert np.asarray(stored.dataobj).ravel().tolist() == label


def test_arrays_without_a_grid_round_trip(tmp_path, canonical):
    write_label_nifti(tmp_path / "a.nii.gz", canonical, Geometry(canonical.shape))
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").array[0], canonical)


def test_writing_is_atomic_and_deterministic(tmp_path, canonical):
    geometry = Geometry(canonical.shape)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label_nifti(tmp_path / name, canonical, geometry)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    (tmp_path / "c.nii.gz").mkdir()
    with pytest.raises(OSError, match=r"c\.nii\.gz"):
        write_label_nifti(tmp_path / "c.nii.gz", canonical, geometry)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


def test_writing_refuses_another_shape_or_ending(tmp_path, canonical):
    with pytest.raises(DataError, match="bring it back to the native grid"):
        write_label_nifti(tmp_path / "a.nii", canonical[1:], Geometry(canonical.shape))
    with pytest.raises(DataError, match="rename it"):
        write_label_nifti(tmp_path / "a.png", canonical, Geometry(canonical.shape))


def test_one_grid_in_two_orientations_does_not_differ(tmp_path, canonical):
    first = save(tmp_path / "a.nii", canonical)
    nib.save(nib.as_closest_canonical(nib.load(first)), tmp_path / "b.nii")
    one, other = read_nifti(first), read_nifti(tmp_path / "b.nii")
    assert not np.allclose(one.geometry.affine, other.geometry.affine)
    assert one.geometry.difference(other.geometry) is None
    np.testing.assert_array_equal(one.array, other.array)


@pytest.mark.parametrize(("shift", "differs"), [(0.1, False), (0.3, True)])
def test_grids_may_differ_by_a_quarter_of_a_voxel(shift, differs):
    moved = LPS.copy()
    moved[0, 3] += shift  # of 0.8 mm
    text = Geometry.of_affine((4, 4, 4), moved).difference(Geometry.of_affine((4, 4, 4), LPS))
    assert (text is not None and "0.3 mm off" in text) == differs


def test_channels_on_another_grid_are_named():
    one = Volume(np.zeros((1, 2, 2, 2)), Geometry.of_affine((2, 2, 2), LPS))
    other = Volume(np.zeros((1, 2, 2, 3)), Geometry.of_affine((3, 2, 2), LPS))
    assert stack_channels([one, one], ["a", "b"]).array.shape == (2, 2, 2, 2)
    with pytest.raises(DataError, match=r"b has shape \(2, 2, 3\).*resample it"):
        stack_channels([one, other], ["a", "b"])


def test_labels_are_whole_numbers_of_one_channel():
    geometry = Geometry((1, 1, 2))
    label = as_label(Volume(np.array([[[[0.9999, 2.0]]]]), geometry), "a.nii")
    assert label.array.dtype.kind == "i"
    assert label.array.ravel().tolist() == [1, 2]
    for wrong, remedy in ((0.5, "nearest-neighbour"), (np.inf, "nearest-neighbour"), (np.nan, "write 0 there")):
        with pytest.raises(DataError, match=rf"a.nii: .*1 voxels are not.*{remedy}"):
            as_label(Volume(np.array([[[[1.0, wrong]]]]), geometry), "a.nii")
    with pytest.raises(DataError, match="one label map a case"):
        as_label(Volume(np.zeros((2, 1, 1, 2), int), geometry), "a.nii")


def broken(path, how):
    content = nib.Nifti1Image(np.random.default_rng(0).integers(0, 99, (8, 8, 8), np.int16), LPS).to_bytes()
    packed = bytearray(gzip.compress(content, mtime=0))
    if how == "cut":
        packed = packed[: len(packed) // 2]
    elif how == "checksum":
        packed[-6] ^= 255
    elif how == "flipped":
        packed[len(packed) // 2] ^= 255
    elif how == "plain":
        packed = content
    elif how == "nothing":
        packed = b""
    elif how == "text":
        packed = gzip.compress(b"patient,organ\n" * 50)
    elif how == "header":
        packed = gzip.compress(content[:100])
    elif how == "voxels":
        packed = gzip.compress(content[:-100])
    path.write_bytes(bytes(packed))
    return path


@pytest.mark.parametrize("how", ["cut", "checksum", "flipped", "plain", "nothing", "voxels", "header"])
def test_damaged_files_are_named(tmp_path, how):
    with pytest.raises(DataError, match=r"scan\.nii\.gz: .*(copy it again|not a NIfTI|rename it to scan.nii$)"):
        read_nifti(broken(tmp_path / "scan.nii.gz", how))


def test_other_files_are_no_nifti(tmp_path):
    with pytest.raises(DataError, match=r"scan\.nii\.gz: this is not a NIfTI file.*convert it"):
        read_nifti(broken(tmp_path / "scan.nii.gz", "text"))


def test_truncated_plain_file(tmp_path):
    path = tmp_path / "scan.nii"
    path.write_bytes(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), LPS).to_bytes()[:-9])
    with pytest.raises(DataError, match="copy it again"):
        read_nifti(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="does not exist; correct the path"):
        read_nifti(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((4, 4), np.uint8), "export the slice as"),
        (np.zeros((4, 4, 4, 2, 3), np.uint8), "export one volume a file"),
        (np.zeros((4, 0, 4), np.uint8), "export the file again"),
        (np.zeros((2, 2, 2), np.complex64), "convert the file"),
    ],
)
def test_arrays_that_are_no_volumes(tmp_path, array, remedy):
    with pytest.raises(DataError, match=rf"a\.nii: .*{remedy}"):
        read_nifti(save(tmp_path / "a.nii", array))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_singular_affine(tmp_path, value):
    content = bytearray(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), LPS).to_bytes())
    content[280:296] = np.full(4, value, "<f4").tobytes()  # srow_x
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.nii: the affine must be .*correct the header"):
        read_nifti(tmp_path / "a.nii")


def sheared(cosine):
    """An affine whose third axis meets the second at an angle of this cosine."""
    affine = LPS.copy()
    affine[1, 2], affine[2, 2] = -3.0 * cosine, 3.0 * np.sqrt(1 - cosine**2)
    return affine


@pytest.mark.parametrize("turned", [np.eye(4), rotation(30, 0) @ rotation(-20, 2)])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1)])
def test_steps_of_axes_at_right_angles_are_the_spacing_however_they_lie(turned, flip):
    geometry = Geometry.of_affine((6, 5, 4), turned @ LPS @ np.diag([*flip, 1.0]))
    assert geometry.steps.tolist() == np.diag([3.0, 0.9, 0.8]).tolist()


@pytest.mark.parametrize(("cosine", "is_right"), [(1e-7, True), (9e-5, True), (1.1e-4, False), (0.3, False)])
def test_headers_that_round_are_at_right_angles_and_tilted_gantries_are_not(cosine, is_right):
    steps = Geometry.of_affine((6, 5, 4), sheared(cosine)).steps
    assert (steps == np.diag([3.0, 0.9, 0.8])).all() == is_right
    assert np.linalg.norm(steps, axis=0) == pytest.approx([3.0, 0.9, 0.8])
    assert abs(np.linalg.det(steps)) == pytest.approx(3.0 * 0.9 * 0.8 * np.sqrt(1 - cosine**2), rel=1e-4)


@pytest.mark.parametrize("codes", [(0, 1), (0, 2)])
@pytest.mark.parametrize("turn", [0, 35])
def test_a_sheared_grid_is_read_and_written_as_it_is(tmp_path, canonical, codes, turn):
    affine = rotation(turn, 1) @ sheared(np.sin(np.radians(18)))
    path = save(tmp_path / "in.nii.gz", canonical.T, affine, codes=codes)
    volume = read_nifti(path)
    centres = np.argwhere(np.ones(volume.geometry.shape)) @ volume.geometry.steps.T
    there = nib.affines.apply_affine(volume.geometry.canonical_affine, np.argwhere(np.ones(volume.geometry.shape)))
    assert cdist(centres, centres) == pytest.approx(cdist(there, there), abs=1e-5)
    write_label_nifti(tmp_path / "out.nii.gz", volume.array[0], volume.geometry)
    out, source = nib.load(tmp_path / "out.nii.gz"), nib.load(path)
    np.testing.assert_array_equal(out.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(out.dataobj), np.asarray(source.dataobj))


def test_a_volume_without_a_grid_has_no_steps():
    assert Geometry((4, 5, 6)).steps is None
