"""Files made to do harm, or damaged so that they would: refused before they are read, with a remedy."""

import gzip
import io
import json
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
from dicom_files import change, write_series
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian, RLELossless
from tiny_data import write_acdc_volumes, write_folders, write_msd, write_synapse

from adawac.data.classes import Classes
from adawac.data.layouts import ACDC, Folders, Synapse, detect
from adawac.data.layouts.base import Case
from adawac.data.preprocessing import Preprocessing
from adawac.data.splits import FileSplit
from adawac.data.store import VolumeStore
from adawac.errors import ConfigError, DataError
from adawac.io.images import files_of, read_image
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
    with zipfile.ZipFile(path, "w", by) as archive:
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
        for name, size, offset in (("long", 2**31 - 16, 1024), ("longer", 2**31 - 16, 0), ("all", 7, 1024)):
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
            file.create_dataset("image", (4, 4), "i2", maxshape=(None, None), chunks=(2**15, 2**15))
            file["image"].id.write_direct_chunk((0, 0), b"x")
        with h5py.File(tmp_path / "packed_chunk.h5", "w") as file:
            data = file.create_dataset("image", (4, 4), "i2", chunks=(4, 4), compression="gzip")
            data.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 29)))
        npz_of(tmp_path / "text.npz", "<U500000000", (4, 4))
        npz_of(tmp_path / "void.npz", "|V1000000000", (4, 4))
        npz_of(tmp_path / "lzma.npz", "<f4", (1 << 14, 1 << 14), zipfile.ZIP_LZMA)
        head = b"\x93NUMPY\x02\0" + (1 << 29).to_bytes(4, "little") + b" " * (1 << 29)
        npz_of(tmp_path / "long_header.npz", "", (), head=head)
        for name, sizes in (("huge", "40000 40000 40000"), ("negative", "-40000 -40000 40")):
            for ending, text in (
                ("mha", "NDims = 3\nDimSize = {}\nElementType = MET_DOUBLE\nElementDataFile = LOCAL\n"),
                ("nrrd", "NRRD0004\ntype: double\ndimension: 3\nsizes: {}\nendian: little\nencoding: raw\n\n"),
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
        found = read_within(8 * side**3 // 2**20 + BESIDE, paths, ADAWAC_MAX_VOXELS=str(side**3))
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


class TestHeadersOfItk:
    """Headers name one file of their own folder, however they are spelt; ITK is shown neither names nor files."""

    SECRET = bytes([42]) * 128
    META = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\n{}"
    NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nendian: little\nencoding: raw\n{}"

    @pytest.fixture
    def folder(self, tmp_path):
        """A data folder with a secret beside it, and decoys of which other programs read lists and patterns."""
        (tmp_path / "secret.raw").write_bytes(self.SECRET)
        inner = tmp_path / "in"
        inner.mkdir()
        for name in ("LIST", "LIST 3", "%s 1 4 1", "%n%n.raw", "secret_%03d.raw 1 4 1"):
            (inner / name).write_bytes(self.SECRET)
        return inner

    @pytest.mark.parametrize(
        "line",
        [
            *(
                "ElementDataFile : ../secret.raw",
                " ElementDataFile = ../secret.raw",
                "\tElementDataFile = ../secret.raw",
            ),
            *(
                "elementdatafile = ../secret.raw",
                "ElementDataFile=../secret.raw",
                "ElementDataFile = in/../../secret.raw",
            ),
            *("ElementDataFile = LIST\n../secret.raw", "ElementDataFile = LIST 3\n../secret.raw"),
            *("ElementDataFile = %s 1 4 1", "ElementDataFile = %n%n.raw", "ElementDataFile = secret_%03d.raw 1 4 1"),
            "Comment = " + "x" * 70000 + "\nElementDataFile = ../secret.raw",
            "\n".join(["Comment = " + "x" * 200] * 400) + "\nElementDataFile = ../secret.raw",
            "Comment = a\rElementDataFile = ../secret.raw\n",
            "Comment = a\x0bElementDataFile = ../secret.raw\n",
            "ElementDataFile = gone.raw\nElementDataFile = ../secret.raw",
        ],
    )
    def test_metaimage(self, folder, line):
        path = folder / "a.mhd"
        path.write_text(self.META.format(line + "\n"), newline="")
        with pytest.raises(DataError, match=r"a.mhd: .*(same folder|no field|does not end).*; (restore|copy)"):
            read_image([path])
        with pytest.raises(DataError, match=r"; (restore|copy)"):
            files_of(path)

    @pytest.mark.parametrize(
        "line",
        [
            *(
                "data file: ../secret.raw",
                "DATA FILE: ../secret.raw",
                "datafile: ../secret.raw",
                "Data File:../secret.raw",
            ),
            *("data file: LIST\n../secret.raw", "data file: LIST 3\n../secret.raw", "data file: %s 1 4 1"),
            *("data file: secret_%03d.raw 1 4 1", " data file: ../secret.raw", "data file : ../secret.raw"),
            "\n".join(["# " + "x" * 200] * 400) + "\ndata file: ../secret.raw",
            "data file: gone.raw\ndatafile: ../secret.raw",
        ],
    )
    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_nrrd(self, folder, line, newline):
        path = folder / "a.nhdr"
        path.write_text(self.NRRD.format(line + "\n").replace("\n", newline), newline="")
        with pytest.raises(DataError, match=r"a.nhdr: .*; (restore|copy)"):
            read_image([path])

    @pytest.mark.parametrize(
        ("ending", "text", "key"), [("mhd", META, "ElementDataFile = "), ("nhdr", NRRD, "data file: ")]
    )
    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_usual_spellings_are_read(self, folder, ending, text, key, newline):
        (folder / "größe 1.raw").write_bytes(bytes(range(128)))
        path = folder / f"a.{ending}"
        path.write_text(text.format(f"{key}größe 1.raw\n").replace("\n", newline), newline="", encoding="utf-8")
        found = read_image([path]).array
        assert np.array_equal(np.sort(found.ravel()), np.sort(np.frombuffer(bytes(range(128)), "<i2")))
        assert files_of(path) == (path, folder / "größe 1.raw")


class TestCutShort:
    META = "NDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nCompressedData = True\n{}ElementDataFile = LOCAL\n"
    NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nendian: little\nencoding: gzip\n\n"

    @pytest.mark.parametrize("size", [0, 20, 127, 129, 1 << 20])
    @pytest.mark.parametrize("kind", ["mha", "mha with its size", "nrrd"])
    def test_compressed_voxels_of_another_number(self, tmp_path, size, kind):
        packed = (gzip if kind == "nrrd" else zlib).compress(bytes(size))
        head = (
            self.NRRD if kind == "nrrd" else self.META.format(f"CompressedDataSize = {len(packed)}\n" * (" " in kind))
        )
        path = tmp_path / f"a.{kind.split()[0]}"
        path.write_bytes(head.encode() + packed)
        with pytest.raises(DataError, match=r"unreadable, cut short or corrupt .*; copy it again"):
            read_image([path])

    @pytest.mark.parametrize("lost", [1, 4, 8, 12])
    @pytest.mark.parametrize("kind", ["mha", "nrrd"])
    def test_compressed_streams_without_their_end(self, tmp_path, lost, kind):
        packed = (gzip if kind == "nrrd" else zlib).compress(bytes(128))
        head = self.NRRD if kind == "nrrd" else self.META.format("")
        (tmp_path / f"whole.{kind}").write_bytes(head.encode() + packed)
        assert read_image([tmp_path / f"whole.{kind}"]).array.shape == (1, 4, 4, 4)
        (tmp_path / f"a.{kind}").write_bytes(head.encode() + packed[:-lost])
        with pytest.raises(DataError, match=r"unreadable, cut short or corrupt .*; copy it again"):
            read_image([tmp_path / f"a.{kind}"])

    @pytest.mark.parametrize("which", [1, 3])
    @pytest.mark.parametrize("values", [{"Rows": 32}, {"Columns": 64}, {"Rows": 12000, "Columns": 12000}, {}])
    def test_dicom_with_fewer_pixels_than_it_says(self, tmp_path, values, which):
        files = write_series(tmp_path / "a", np.zeros((16, 16, 3), np.float32), np.diag([-1.0, -1, 2, 1]))
        for path in files[:which]:
            pixels = dcmread(path).PixelData
            change(path, **(values or {"PixelData": pixels[:-200]}))
        with pytest.raises(DataError, match=r"pixels of 16 bits are due but the file holds .*; copy it again"):
            read_image([tmp_path / "a"])

    def test_dicom_whose_icon_is_whole_and_itself_is_not(self, tmp_path):
        (path,) = write_series(tmp_path / "a", np.zeros((16, 16, 1), np.float32), np.diag([-1.0, -1, 2, 1]))
        data = dcmread(path)
        icon = Dataset()
        icon.Rows = icon.Columns = 64
        icon.add_new(0x7FE00010, "OW", bytes(8192))
        data.IconImageSequence = [icon]
        data["IconImageSequence"].is_undefined_length = True
        data["IconImageSequence"].value[0].is_undefined_length_sequence_item = True
        data.save_as(path)
        assert read_image([tmp_path / "a"]).array.shape == (1, 1, 16, 16)
        change(path, PixelData=bytes(100))
        with pytest.raises(DataError, match="the file holds 100 bytes of them"):
            read_image([tmp_path / "a"])

    @pytest.mark.parametrize("implicit", [True, False])
    def test_dicom_in_other_syntaxes_is_read(self, tmp_path, implicit):
        files = write_series(tmp_path / "a", np.arange(512.0).reshape(16, 16, 2), np.diag([-1.0, -1, 2, 1]))
        due = read_image([tmp_path / "a"]).array
        for path in files:
            data = dcmread(path)
            if implicit:
                data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
                data.save_as(path, implicit_vr=True, little_endian=True)
            else:
                data.compress(RLELossless, encoding_plugin="pydicom")
                data.save_as(path)
        assert np.array_equal(read_image([tmp_path / "a"]).array, due)


class TestPointers:
    """An h5 file may not make us read other files, whose content would end up in results."""

    @pytest.fixture
    def case(self, tmp_path) -> Case:
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["image"] = np.ones((2, 4, 4), np.float32)
        (tmp_path / "secret.raw").write_bytes(np.ones((2, 4, 4), np.float32).tobytes())
        return Case("a", (tmp_path / "a.h5",))

    def refused(self, case, how):
        with pytest.raises(DataError, match=rf"a.h5: the array 'image' must lie in the file itself but is {how}"):
            ACDC().read_image(case)

    def test_external_links(self, case):
        with h5py.File(case.images[0], "w") as file:
            file["image"] = h5py.ExternalLink("secret.h5", "/image")
        self.refused(case, "a link to 'secret.h5'; copy the array into the file")

    def test_external_links_by_way_of_a_link_inside(self, case):
        with h5py.File(case.images[0], "w") as file:
            file["group"] = h5py.ExternalLink("secret.h5", "/")
            file["image"] = h5py.SoftLink("/group/image")
        self.refused(case, "a link to '.*secret.h5'; copy the array into the file")

    def test_external_storage(self, case):
        raw = str(case.images[0].with_name("secret.raw"))
        with h5py.File(case.images[0], "w") as file:
            file.create_dataset("image", (2, 4, 4), "f4", external=[(raw, 0, 128)])
        self.refused(case, "stored outside, in .*secret.raw.*; copy the array into the file")

    def test_virtual_datasets(self, case):
        source = h5py.VirtualSource(str(case.images[0].with_name("secret.h5")), "image", (2, 4, 4))
        parts = h5py.VirtualLayout((2, 4, 4), "f4")
        parts[:] = source
        with h5py.File(case.images[0], "w") as file:
            file.create_virtual_dataset("image", parts)
        self.refused(case, "virtual, made of other files' parts; copy the array into the file")

    def test_a_group_in_place_of_an_array(self, case):
        with h5py.File(case.images[0], "w") as file:
            file.create_group("image")
        with pytest.raises(DataError, match="there must be an array 'image' but there is none; export it again"):
            ACDC().read_image(case)


class TestPaths:
    @pytest.mark.parametrize(
        "path", ["../outside.nii.gz", "/etc/passwd", "imagesTr/../../outside.nii.gz", "C:\\x.nii.gz", "..\\x.nii.gz"]
    )
    @pytest.mark.parametrize("key", ["image", "label"])
    def test_a_dataset_json_that_leads_out_of_its_folder(self, tmp_path, path, key):
        root = write_msd(tmp_path / "msd", cases=1)
        dataset = json.loads((root / "dataset.json").read_text())
        dataset["training"][0][key] = path
        (root / "dataset.json").write_text(json.dumps(dataset))
        with pytest.raises(DataError, match=r"must be a path inside the data set, without '..'; correct it"):
            detect(root).scan(root)

    @pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "pt_1/../pt_2"])
    def test_a_split_file_names_cases_and_nothing_else(self, tmp_path, name):
        root = write_msd(tmp_path / "msd", cases=2)
        (root / "splits.json").write_text(json.dumps({"train": ["pt_1"], "val": [name]}))
        cases = detect(root).scan(root).cases
        with pytest.raises(DataError, match=rf"{name} is neither a case nor a patient .*; remove the name"):
            FileSplit().split(root, cases, {case.id: case.id for case in cases})

    def test_no_case_s_name_leads_out_of_the_store(self, tmp_path):
        root = write_folders(tmp_path / "data", cases=1)
        for folder in ("images", "labels"):
            (root / folder / "pt_1.nii.gz").rename(root / folder / "a.nii.gz")
        (case,) = Folders().scan(root).cases
        classes = Classes.from_labels({0: "background", 1: "a", 2: "b"})
        store = VolumeStore(tmp_path / "inner/store", Folders(), classes, Preprocessing("ct"), 1)
        store.prepare([Case(name, case.images, case.label) for name in ("..", "../../up", "/root", ".hidden")])
        assert {path.name for path in (tmp_path / "inner").iterdir()} == {"store"}
        assert len(list((tmp_path / "inner/store").glob("[!.]*/*/case.json"))) == 4

    def test_links_that_the_user_made_are_followed(self, tmp_path):
        """Data sets too large to copy are linked."""
        there = write_msd(tmp_path / "there", cases=1)
        root = tmp_path / "here"
        root.mkdir()
        (root / "dataset.json").write_bytes((there / "dataset.json").read_bytes())
        for folder in ("imagesTr", "labelsTr"):
            (root / folder).symlink_to(there / folder)
        (case,) = detect(root).scan(root).cases
        assert detect(root).read_image(case).array.shape == (1, 6, 16, 16)

    def test_pickles_in_an_npz_are_not_read(self, tmp_path):
        root = write_synapse(tmp_path / "synapse", cases=1)
        path = next((root / "Synapse/train_npz").glob("*slice000.npz"))
        np.savez(path, image=np.array([{"a": 1}], dtype=object), label=np.zeros((4, 4)))
        case = Synapse().scan(root).cases[0]
        with pytest.raises(DataError, match=r"slice000.npz: .*voxels must be integers or floats.*; convert"):
            Synapse().read_image(case)

    def test_an_h5_file_that_is_linked_is_read(self, tmp_path):
        there = write_acdc_volumes(tmp_path / "there", cases=1)
        root = tmp_path / "here"
        root.mkdir()
        (root / "ACDC_training_volumes").symlink_to(there / "ACDC_training_volumes")
        (case,) = ACDC().scan(root).cases
        assert ACDC().read_image(case).array.shape == (1, 6, 16, 16)
