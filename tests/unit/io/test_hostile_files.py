"""Files that lead out of their folder, by whatever spelling: refused before anything is read there."""

import json

import h5py
import numpy as np
import pytest
from tiny_data import write_acdc_volumes, write_folders, write_msd, write_synapse

from adawac.data.classes import Classes
from adawac.data.layouts import ACDC, Folders, Synapse, detect
from adawac.data.layouts.base import Case
from adawac.data.preprocessing import Preprocessing
from adawac.data.splits import FileSplit
from adawac.data.store import VolumeStore
from adawac.errors import DataError
from adawac.io.images import files_of, read_image


class TestHeadersOfItk:
    """Headers name one file of their own folder, however they are spelt; ITK is shown neither names nor files."""

    SECRET = bytes([42]) * 128
    META = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n{}"
    NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nspacings: 1 1 1\nendian: little\nencoding: raw\n{}"

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
        assert files_of(path) == (path,)

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
        with pytest.raises(
            DataError, match=r"must be a path inside the data set and relative to it, without '..'; correct it"
        ):
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
