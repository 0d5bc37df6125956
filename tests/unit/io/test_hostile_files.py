"""Files made to do harm, or damaged so that they would: refused before they are read, with a remedy."""

import gzip
import io
import json
import tracemalloc
import zipfile

import h5py
import nibabel as nib
import numpy as np
import pytest
from tiny_data import write_acdc_volumes, write_folders, write_msd, write_synapse

from adawac.data.classes import Classes
from adawac.data.layouts import ACDC, Folders, Synapse, detect
from adawac.data.layouts.base import Case
from adawac.data.preprocessing import Preprocessing
from adawac.data.splits import FileSplit
from adawac.data.store import VolumeStore
from adawac.errors import ConfigError, DataError
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
        with pytest.raises(DataError, match=r"slice000.npz: .*allow_pickle.*; copy it again"):
            Synapse().read_image(case)

    def test_an_h5_file_that_is_linked_is_read(self, tmp_path):
        there = write_acdc_volumes(tmp_path / "there", cases=1)
        root = tmp_path / "here"
        root.mkdir()
        (root / "ACDC_training_volumes").symlink_to(there / "ACDC_training_volumes")
        (case,) = ACDC().scan(root).cases
        assert ACDC().read_image(case).array.shape == (1, 6, 16, 16)
