"""Files that end before they should: refused, with a remedy."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from dicom_files import change, write_series
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from adawac.errors import DataError
from adawac.io.images import read_image


class TestCutShort:
    META = (
        "NDims = 3\nDimSize = 4 4 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
        "CompressedData = True\n{}ElementDataFile = LOCAL\n"
    )
    NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nspacings: 1 1 1\nendian: little\nencoding: gzip\n\n"

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

    @pytest.mark.parametrize("lost", [1, 2, 7, 8, 9, 50])
    def test_compressed_dicom_whose_file_ends_early(self, compressed, lost):
        compressed.write_bytes(compressed.read_bytes()[:-lost])
        with pytest.raises(DataError, match=r"cut short or corrupt; copy it again|not readable .*; copy it again"):
            read_image([compressed])

    @pytest.mark.parametrize("lost", [2, 4, 20, 300])
    def test_compressed_dicom_with_fewer_pixels_in_a_file_that_is_whole(self, compressed, lost):
        content = compressed.read_bytes()
        start = content.index(b"\xe0\x7f\x10\x00O") + 12
        start += 8 + struct.unpack("<I", content[start + 4 : start + 8])[0]  # the item of places
        (length,) = struct.unpack("<I", content[start + 4 : start + 8])
        end = start + 8 + length
        due = struct.pack("<I", length - lost)
        compressed.write_bytes(content[: start + 4] + due + content[start + 8 : end - lost] + content[end:])
        with pytest.raises(DataError, match=r"(the file holds \d+ bytes of them|have no end): .*; copy it again"):
            read_image([compressed])


@pytest.fixture(params=["MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm"])
def compressed(tmp_path, request) -> Path:
    """A slice that pydicom brings along, which is read as it is."""
    path = tmp_path / "a.dcm"
    path.write_bytes(Path(get_testdata_file(request.param, download=False)).read_bytes())
    assert read_image([path]).array.std() > 0
    return path
