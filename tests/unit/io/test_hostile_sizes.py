"""Files that claim, or unpack to, more than is read: refused within little memory."""

import gzip
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from tiny_data import write_synapse

from adawac.data.layouts import ACDC, Synapse, arrays
from adawac.data.layouts.base import Case
from adawac.errors import ConfigError, DataError
from adawac.io import itk, nifti_files
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti

MOST_MEMORY = 64 << 20
"""Bytes: far less than what the bombs would unpack to."""


@pytest.fixture
def little_memory():
    """Fails a test that allocates more than `MOST_MEMORY` at once."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_MEMORY


def header_of(shape, kind=nib.Nifti1Header, offset=544) -> bytes:
    header = kind()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = offset
    return bytes(header.binaryblock + bytes(4))


def zeros(path, head: bytes, gibibytes: int) -> None:
    """A gzip file of a header and many zeros, small on disk: one compressed block, repeated."""
    block = gzip.compress(bytes(1 << 24), 9)
    path.write_bytes(gzip.compress(head) + block * (64 * gibibytes))


class TestBombs:
    @pytest.mark.parametrize(
        ("kind", "shape"), [(nib.Nifti1Header, (32000, 32000, 32000)), (nib.Nifti2Header, (10**6, 10**6, 10**6))]
    )
    def test_a_nifti_that_claims_more_than_anyone_scans(self, tmp_path, little_memory, kind, shape):
        path = tmp_path / "bomb.nii.gz"
        zeros(path, header_of(shape, kind), 2)
        assert path.stat().st_size < 4 << 20
        with pytest.raises(DataError, match=r"bomb.nii.gz: the header claims .* voxels.*; crop or resample the volume"):
            read_nifti(path)

    def test_a_nifti_with_endless_zeros_behind_its_voxels(self, tmp_path, little_memory):
        path = tmp_path / "bomb.nii.gz"
        zeros(path, header_of((4, 4, 4)), 8)
        with pytest.raises(DataError, match=r"over 64 MiB follow the voxels .*; export it again"):
            read_nifti(path)

    def test_a_nifti_whose_voxels_begin_nowhere(self, tmp_path, little_memory):
        path = tmp_path / "bomb.nii.gz"
        zeros(path, header_of((4, 4, 4), offset=1e12), 1)
        with pytest.raises(DataError, match=r"voxels begin at byte 1e\+12, .*; export it again"):
            read_nifti(path)

    def test_an_npz_that_unpacks_to_a_flood(self, tmp_path, little_memory):
        root = write_synapse(tmp_path, cases=1)
        path = next((root / "Synapse/train_npz").glob("*slice002.npz"))
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("image.npy", "w") as stream:
            stream.write(head.getvalue())
            stream.write(bytes(1 << 22))
        case = Synapse().scan(root).cases[0]
        with pytest.raises(DataError, match=r"slice002.npz: the header claims 1.1e\+12 voxels.*; crop or resample"):
            Synapse().read_image(case)

    def test_an_h5_of_a_trillion_voxels_in_no_file_at_all(self, tmp_path, little_memory):
        path = tmp_path / "bomb.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("image", (10**4, 10**4, 10**4), "f4", chunks=(1, 100, 100))
        assert path.stat().st_size < 1 << 20
        with pytest.raises(DataError, match=r"bomb.h5: the header claims 1e\+12 voxels.*; crop or resample"):
            ACDC().read_image(Case("bomb", (path,)))

    def test_the_ceiling_can_be_moved(self, tmp_path, monkeypatch):
        path = tmp_path / "a.nii.gz"
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)
        monkeypatch.setenv("ADAWAC_MAX_VOXELS", "63")
        with pytest.raises(DataError, match=r"claims 64 voxels.*or set ADAWAC_MAX_VOXELS if you trust the file"):
            read_nifti(path)
        monkeypatch.setenv("ADAWAC_MAX_VOXELS", "64")
        assert read_nifti(path).array.shape == (1, 4, 4, 4)
        monkeypatch.setenv("ADAWAC_MAX_VOXELS", "many")
        with pytest.raises(ConfigError, match="ADAWAC_MAX_VOXELS is 'many'; give a number of voxels"):
            read_nifti(path)


MEMORY = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
import SimpleITK
SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
from adawac.data.layouts import ACDC, Synapse
from adawac.data.layouts.base import Case
from adawac.errors import DataError
from adawac.io.images import read_image
def read(path):
    if path.suffix in (".npz", ".h5"):
        return (Synapse if path.suffix == ".npz" else ACDC)().read_image(Case("a", (path,)))
    return read_image([path])
paths = [Path(line) for line in sys.argv[2:]]
read(paths[0])  # libraries are loaded
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (int(sys.argv[1]) << 20),) * 2)
for path in paths:
    try:
        print(path.name, "read", read(path).array.shape)
    except DataError as error:
        print(path.name, "refused", error)
"""
BESIDE = 256
"""MiB that SECURITY.md names, beside eight bytes for each voxel of the ceiling."""


def read_within(mebibytes: int, paths, **environment) -> dict[str, str]:
    """What comes of each file in a process that may take so much memory more than it has."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(mebibytes), *map(str, paths)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: said for name, _, said in (line.partition(" ") for line in done.stdout.splitlines())}


def nifti_of(path, change, tail: bytes = b"") -> None:
    """A file of 4 x 4 x 4 voxels whose header is changed, with something behind it; `.gz` compresses it."""
    content = bytearray(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)).to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]))
    change(header)
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content) + tail) if path.suffix == ".gz" else bytes(content) + tail)


def npz_of(path, dtype: str, shape, by: int = zipfile.ZIP_DEFLATED, head: bytes | None = None) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", by, compresslevel=1) as archive:
        archive.writestr("image.npy", head or stream.getvalue() + bytes(1 << 20))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does")
class TestMemory:
    def test_what_claims_more_is_refused_within_the_figure_of_security_md(self, tmp_path):
        good = tmp_path / "good.h5"
        with h5py.File(good, "w") as file:
            file["image"] = np.zeros((2, 4, 4), np.float32)

        def sized(*dim, datatype=4, bitpix=16, offset=352.0):
            def change(header):
                header["dim"], header["datatype"], header["bitpix"] = dim, datatype, bitpix
                header["vox_offset"] = offset

            return change

        nifti_of(tmp_path / "two_negative.nii.gz", sized(3, -30000, -30000, 4, 1, 1, 1, 1), bytes(1 << 20))
        nifti_of(tmp_path / "two_negative.nii", sized(3, -30000, -30000, 4, 1, 1, 1, 1))
        nifti_of(tmp_path / "four_negative.nii", sized(4, -30000, -30000, -2, -2, 1, 1, 1))
        nifti_of(tmp_path / "complex.nii.gz", sized(3, 1024, 1024, 256, 1, 1, 1, 1, datatype=1792, bitpix=128))
        nifti_of(tmp_path / "colour.nii.gz", sized(3, 1024, 1024, 512, 1, 1, 1, 1, datatype=128, bitpix=24))
        nifti_of(tmp_path / "doubles.nii.gz", sized(3, 1024, 1024, 1024, 1, 1, 1, 1, datatype=64, bitpix=64))
        for name, size, offset in (("long", 2**31 - 16, 1024), ("longer", 2**31 - 16, 352), ("all", 7, 1024)):
            head = header_of((4, 4, 4), offset=offset)[:348] + b"\1\0\0\0" + struct.pack("<ii", size, 0)
            zeros(tmp_path / f"extension_{name}.nii.gz", head, 4)
        for name, shape, dtype, chunks in (
            ("doubles", (1024, 1024, 1024), "f8", (1, 1024, 1024)),
            ("texts", (1000, 1000), "S4000", (1, 10)),
            ("compounds", (1000, 1000), [("a", "f8", (1000,))], (1, 10)),
        ):
            with h5py.File(tmp_path / f"{name}.h5", "w") as file:
                file.create_dataset("image", shape, dtype, chunks=chunks)
        with h5py.File(tmp_path / "wide_chunk.h5", "w") as file:
            file.create_dataset("image", (4, 4), "i2", maxshape=(None, None), chunks=(2**15, 2**15 + 1))
            file["image"].id.write_direct_chunk((0, 0), b"x")
        with h5py.File(tmp_path / "packed_chunk.h5", "w") as file:
            data = file.create_dataset("image", (4, 4), "i2", chunks=(4, 4), compression="gzip")
            data.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 29), 1))
        npz_of(tmp_path / "text.npz", "<U500000000", (4, 4))
        npz_of(tmp_path / "void.npz", "|V1000000000", (4, 4))
        npz_of(tmp_path / "lzma.npz", "<f4", (1 << 14, 1 << 14), zipfile.ZIP_LZMA)
        head = b"\x93NUMPY\x02\0" + (1 << 29).to_bytes(4, "little") + b" " * (1 << 29)
        npz_of(tmp_path / "long_header.npz", "", (), head=head)
        for name, sizes in (("huge", "40000 40000 40000"), ("negative", "-40000 -40000 40")):
            for ending, text in (
                (
                    "mha",
                    "NDims = 3\nDimSize = {}\nElementSpacing = 1 1 1\nElementType = MET_DOUBLE\n"
                    "ElementDataFile = LOCAL\n",
                ),
                (
                    "nrrd",
                    "NRRD0004\ntype: double\ndimension: 3\nsizes: {}\nspacings: 1 1 1\nendian: little\n"
                    "encoding: raw\n\n",
                ),
            ):
                (tmp_path / f"{name}.{ending}").write_bytes(text.format(sizes).encode() + bytes(1000))
        paths = [good, *(path for path in sorted(tmp_path.iterdir()) if path != good)]
        found = read_within(BESIDE, paths)
        assert found.pop("good.h5") == "read (1, 2, 4, 4)"
        # What lies before the voxels is skipped, at most 64 MiB of it, and not read as extensions.
        skipped = {name: found.pop(name) for name in list(found) if name.startswith("extension")}
        assert len(skipped) == 3
        assert all("over 64 MiB follow the voxels" in said for said in skipped.values())
        assert len(found) == len(paths) - 4
        for name, said in found.items():
            assert said.startswith("refused"), (name, said)
            assert "; " in said
            assert "does not fit into the memory" not in said, (name, said)  # it was asked for all the same
        assert "compressed as NumPy never does" in found["lzma.npz"]
        assert "claims 1.1e+09 voxels, shape (32768, 32769)" in found["wide_chunk.h5"]
        assert "unpacks to more than its 32 bytes" in found["packed_chunk.h5"]
        assert "negative size" in found["two_negative.nii"]
        assert "integers or floats but are complex128" in found["complex.nii.gz"]
        assert "claims 8.6e+09 bytes" in found["doubles.h5"]

    def test_what_is_read_takes_eight_bytes_for_each_voxel_of_the_ceiling(self, tmp_path):
        side = 256
        voxels = np.zeros((side, side, side), np.uint8)
        scaled = nib.Nifti1Image(voxels, np.eye(4))
        scaled.header.set_slope_inter(1.5, 1)
        nib.save(scaled, tmp_path / "scaled.nii.gz")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("image", voxels.shape, "f4", chunks=(1, side, side))
        np.savez_compressed(tmp_path / "a.npz", image=voxels.astype(np.float32))
        image = sitk.GetImageFromArray(voxels.astype(np.float32))
        for ending in ("mha", "nrrd", "nii.gz"):
            sitk.WriteImage(image, tmp_path / f"a.{ending}", useCompression=True)
        nib.save(nib.Nifti1Image(voxels[: side // 2].astype(np.float64), np.eye(4)), tmp_path / "doubles.nii.gz")
        first = tmp_path / "small.nii"
        nib.save(nib.Nifti1Image(voxels[:4, :4, :4], np.eye(4)), first)
        paths = [first, *(path for path in sorted(tmp_path.iterdir()) if path != first)]
        beside = 48  # too little for another copy in any type
        found = read_within(8 * side**3 // 2**20 + beside, paths, ADAWAC_MAX_VOXELS=str(side**3))
        assert len(found) == 8
        assert all(said.startswith("read") for said in found.values()), found

    def test_scaled_voxels_are_those_of_nibabel(self, tmp_path):
        voxels = np.random.default_rng(0).integers(-30000, 30000, (64, 64, 300)).astype(np.int16)
        image = nib.Nifti1Image(voxels, np.diag([-1.0, -1, 1, 1]))
        image.header.set_slope_inter(0.37, -1024.5)
        nib.save(image, tmp_path / "a.nii")
        content = bytearray((tmp_path / "a.nii").read_bytes())
        content[112:120] = struct.pack("<ff", 0.37, -1024.5)
        (tmp_path / "a.nii").write_bytes(content)
        due = np.asarray(nib.load(tmp_path / "a.nii").dataobj).astype(np.float32)
        assert np.array_equal(read_nifti(tmp_path / "a.nii").array[0], due.T)

    def test_the_files_of_a_case_count_together(self, tmp_path, monkeypatch):
        for name in "abc":
            nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), tmp_path / f"{name}.nii")
            np.savez(tmp_path / f"{name}.npz", image=np.zeros((8, 8)))
        monkeypatch.setenv("ADAWAC_MAX_VOXELS", "130")
        assert read_image([tmp_path / "a.nii", tmp_path / "b.nii"]).array.shape == (2, 4, 4, 4)
        with pytest.raises(DataError, match=r"c.nii and the other channels: the header claims 1.9e\+02 voxels"):
            read_image([tmp_path / f"{name}.nii" for name in "abc"])
        with pytest.raises(DataError, match=r"the header claims .*; crop or resample"):
            Synapse().read_image(Case("a", tuple(tmp_path / f"{name}.npz" for name in "abc")))


@pytest.mark.parametrize("name", ["a.nii", "a.mha", "a.h5"])
def test_a_file_too_large_for_the_machine_is_not_called_damaged(tmp_path, monkeypatch, name):
    def full(*arguments):
        raise MemoryError("Unable to allocate 8.00 GiB")

    for module in (nifti_files, itk, arrays):
        monkeypatch.setattr(module, "read_voxels", full)
    monkeypatch.setattr(arrays, "_from_h5", full)
    path = tmp_path / name
    path.write_bytes(header_of((4, 4, 4)) + bytes(200))
    if name == "a.mha":
        head = "NDims = 3\nDimSize = 4 4 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
        path.write_bytes(head.encode() + bytes(128))
    if name == "a.h5":
        with h5py.File(path, "w") as file:
            file["image"] = np.zeros((4, 4, 4), np.float32)
    with pytest.raises(DataError, match=r"does not fit into the memory \(Unable .*\); crop or resample it"):
        ACDC().read_image(Case("a", (path,))) if name == "a.h5" else read_image([path])
