"""Valid data of the field that were refused, or are easily misread: read, with the right value."""

import json
import logging
import re

import nibabel as nib
import numpy as np
import pytest
from dicom_files import change, write_series
from field_data import LPS, check, edit, folders, model, msd, nnunet, prepare, volumes
from tiny_data import save_nifti, write_acdc_volumes, write_synapse

from adawac.data.classes import Classes
from adawac.data.layouts import MSD, Folders, NNUNet, Synapse
from adawac.data.reading import read_case
from adawac.data.splits import FileSplit
from adawac.errors import ConfigError, DataError
from adawac.io.dicom import read_series
from adawac.io.dicom_folder import series_files
from adawac.io.image_cases import find_images
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti

sitk = pytest.importorskip("SimpleITK")
dcmread = pytest.importorskip("pydicom").dcmread


class TestVectors:
    """NIfTI (x, y, z, 1, C), as SimpleITK writes an image of vectors."""

    def vectors(self, path, image):
        parts = [sitk.GetImageFromArray(channel.astype(np.float32)) for channel in image]
        whole = sitk.Compose(parts)
        whole.SetSpacing((0.8, 0.9, 3.0))
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(whole, str(path))

    @pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
    def test_are_channels(self, tmp_path, ending):
        image, _ = volumes(1, 2)["case_00"]
        self.vectors(tmp_path / f"a{ending}", image)
        volume = read_image([tmp_path / f"a{ending}"])
        np.testing.assert_array_equal(volume.array, image)
        assert volume.geometry.spacing == (3.0, 0.9, 0.8)

    def test_in_a_data_set(self, tmp_path):
        root = folders(tmp_path / "data", channels=2)
        for name, (image, label) in volumes(4, 2).items():
            self.vectors(root / f"images/{name}.nii.gz", image)
            made = sitk.GetImageFromArray(label)
            made.SetSpacing((0.8, 0.9, 3.0))
            sitk.WriteImage(made, str(root / f"labels/{name}.nii.gz"))
        found = check(root)
        assert (found.problems, len(found.fingerprint.channels)) == ((), 2)

    @pytest.mark.parametrize("shape", [(5, 4, 3, 1), (5, 4, 3, 1, 1), (5, 4, 3, 1, 1, 1)])
    def test_axes_of_length_1_are_none(self, tmp_path, shape):
        array = np.arange(60, dtype=np.int16).reshape(shape)
        nib.save(nib.Nifti1Image(array, LPS), tmp_path / "a.nii")
        volume = read_nifti(tmp_path / "a.nii")
        assert volume.array.shape == (1, 3, 4, 5)
        np.testing.assert_array_equal(volume.array[0], array.reshape(5, 4, 3).T)


class TestMissingSequence:
    @pytest.mark.parametrize("value", [0, -1, 7])
    def test_one_channel_of_one_value_is_read_and_said(self, tmp_path, caplog, value):
        root = nnunet(tmp_path / "data", channels=("T1", "FLAIR"))
        edit(root / "imagesTr/case_02_0001.nii.gz", lambda image: image * 0 + value)
        found = check(root)
        assert found.problems == ()
        assert found.notes == (
            f"case case_02: every voxel of channel 1 is {value}: taken for a sequence that was not scanned",
        )
        data = prepare(root)
        assert "case case_02: every voxel of channel 1 is" in caplog.text
        (prepared,) = data._open(["case_02"])
        assert not np.asarray(prepared.image[1]).any()  # normalised: all the same, and no NaN
        assert model("mr", 2).predict(read_image(find_images(root / "imagesTr")["case_02"])).shape == (6, 16, 16)

    def test_all_channels_are_no_image(self, tmp_path):
        root = nnunet(tmp_path / "data", channels=("T1", "FLAIR"))
        for i in range(2):
            edit(root / f"imagesTr/case_02_000{i}.nii.gz", lambda image: image * 0)
        (problem,) = check(root).bad
        assert "every voxel is 0 but an image shows something" in problem


class TestPadding:
    def test_below_all_hounsfield_units_is_air(self, tmp_path, caplog):
        root = nnunet(tmp_path / "data")
        path = root / "imagesTr/case_01_0000.nii.gz"
        before = read_nifti(path).array
        edit(path, lambda image: np.where(image < -900, -32768, image))
        found = check(root)
        assert found.problems == ()
        assert found.notes == ("case case_01: voxels of -32768 are taken for padding, as air of -1024 HU",)
        layout = NNUNet()
        case = next(case for case in layout.scan(root).cases if case.id == "case_01")
        with caplog.at_level(logging.WARNING):
            image, _ = read_case(layout, case, Classes.from_labels({1: "a", 2: "b"}), 1, "ct")
        np.testing.assert_array_equal(image.array, np.where(before < -900, -1024, before))
        assert "taken for padding" in caplog.text
        assert "voxels of -32768 are taken for padding" in model().classify(read_nifti(path)).notes[0]

    def test_of_3024_is_left_as_it_is(self, tmp_path):
        root = nnunet(tmp_path / "data")
        edit(root / "imagesTr/case_01_0000.nii.gz", lambda image: np.where(image < -900, -3024, image))
        found = check(root)
        assert (found.problems, found.notes) == ((), ())

    def test_of_several_values_is_no_padding(self, tmp_path):
        root = nnunet(tmp_path / "data")
        edit(root / "imagesTr/case_01_0000.nii.gz", lambda image: np.where(image < -900, image - 31000, image))
        assert re.search("case case_01: .*no Hounsfield units do", check(root).bad[0])


class TestText:
    """JSON as Windows writes it."""

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
    @pytest.mark.parametrize("write", [nnunet, msd])
    def test_byte_order_marks(self, tmp_path, encoding, write):
        root = write(tmp_path / "data")
        text = (root / "dataset.json").read_text()
        (root / "dataset.json").write_bytes(text.replace("\n", "\r\n").encode(encoding))
        (root / "splits.json").write_bytes(json.dumps({"train": ["case_00"], "val": ["case_01"]}).encode(encoding))
        with pytest.warns(UserWarning, match="into no part"):
            assert prepare(root).split.val == ("case_01",)

    def test_backslashes_in_lists(self, tmp_path):
        root = msd(tmp_path / "data")
        plain = json.loads((root / "dataset.json").read_text())
        plain["training"] = [{key: path.replace("/", "\\") for key, path in pair.items()} for pair in plain["training"]]
        (root / "dataset.json").write_text(json.dumps(plain))
        assert check(root).problems == ()

    @pytest.mark.parametrize(
        "labels",
        [
            {"background": "0", "a": "1", "b": "2"},
            {"0": "background", "1": "a", "2": "b"},
            {"background": 0.0, "a": 1.0, "b": "2.0"},
        ],
    )
    @pytest.mark.parametrize("write", [nnunet, msd])
    def test_numbers_in_quotes(self, tmp_path, write, labels):
        assert check(write(tmp_path / "data", labels=labels)).classes == ("background", "a", "b")

    def test_list_files_of_synapse_with_a_mark(self, tmp_path):
        root = write_synapse(tmp_path / "data", cases=2, test_cases=1)
        path = root / "lists/lists_Synapse/train.txt"
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
        assert [case.id for case in Synapse().scan(root).cases] == ["case0001", "case0002", "case0003"]


class TestNumberedLists:
    """nnU-Net v1 lists with the channel's number in the name."""

    def listed(self, root, channels=1):
        for name, (image, label) in volumes(4, channels).items():
            for i, channel in enumerate(image):
                save_nifti(root / f"imagesTr/{name}_{i:04d}.nii.gz", channel)
            save_nifti(root / f"labelsTr/{name}.nii.gz", label)
        plain = {
            "modality": {str(i): "MRI" for i in range(channels)},
            "labels": {"0": "background", "1": "a", "2": "b"},
            "training": [
                {"image": f"./imagesTr/{name}_0000.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in volumes(4)
            ],
        }
        (root / "dataset.json").write_text(json.dumps(plain))
        return root

    @pytest.mark.parametrize("channels", [1, 2])
    def test_a_case_is_called_as_in_splits_and_predictions(self, tmp_path, channels):
        root = self.listed(tmp_path / "data", channels)
        collection = MSD().scan(root)
        assert [case.id for case in collection.cases] == [f"case_{i:02d}" for i in range(4)]
        assert {len(case.images) for case in collection.cases} == {channels}
        (root / "splits_final.json").write_text(json.dumps([{"train": ["case_00", "case_01"], "val": ["case_02"]}]))
        with pytest.warns(UserWarning, match="case_03 into no part"):
            assert prepare(root, split=FileSplit("splits_final.json")).split.val == ("case_02",)

    def test_paths_alone(self, tmp_path):
        root = self.listed(tmp_path / "data")
        plain = json.loads((root / "dataset.json").read_text())
        plain["training"] = [pair["image"] for pair in plain["training"]]
        (root / "dataset.json").write_text(json.dumps(plain))
        assert check(root).problems == ()

    def test_numbers_that_count_cases_are_names(self, tmp_path):
        root = msd(tmp_path / "data")
        for part in ("imagesTr", "labelsTr"):
            for i in range(4):
                (root / f"{part}/case_{i:02d}.nii.gz").rename(root / f"{part}/img_{i:04d}.nii.gz")
        pairs = [{"image": f"imagesTr/img_{i:04d}.nii.gz", "label": f"labelsTr/img_{i:04d}.nii.gz"} for i in range(4)]
        plain = json.loads((root / "dataset.json").read_text()) | {"training": pairs}
        (root / "dataset.json").write_text(json.dumps(plain))
        assert [case.id for case in MSD().scan(root).cases] == [f"img_{i:04d}" for i in range(4)]


class TestDicom:
    @pytest.fixture
    def scan(self):
        return np.random.default_rng(0).integers(-1000, 500, (6, 5, 4)).astype(np.int16)

    @pytest.mark.parametrize("representation", [0, 1])
    def test_monochrome1_says_how_to_show_and_not_what_values_are(self, tmp_path, scan, representation):
        files = write_series(tmp_path / "a", scan, LPS, slope=0.5)
        before = read_series(files, tmp_path).array
        for path in files:
            change(path, PhotometricInterpretation="MONOCHROME1", PixelRepresentation=representation)
        np.testing.assert_array_equal(read_series(files, tmp_path).array, before)

    @pytest.mark.parametrize(
        ("number", "what"), [("481.2", "dose"), ("481.3", "structures"), ("481.5", "plan"), ("66.4", "segmentation")]
    )
    def test_what_lies_beside_a_series(self, tmp_path, scan, number, what):
        files = write_series(tmp_path / "a", scan, LPS)
        beside = tmp_path / "a" / f"{what}.dcm"
        beside.write_bytes(files[0].read_bytes())
        uid = f"1.2.840.10008.5.1.4.1.1.{number}"
        change(beside, SOPClassUID=uid, NumberOfFrames=5)
        data = dcmread(beside)
        data.file_meta.MediaStorageSOPClassUID = uid
        data.save_as(beside)
        assert beside not in series_files(tmp_path / "a")
        assert read_image([tmp_path / "a"]).array.shape == (1, 4, 5, 6)

    def test_names_in_capitals(self, tmp_path, scan):
        files = write_series(tmp_path / "a", scan, LPS)
        for i, path in enumerate(files):
            path.rename(path.with_name(f"S{i}.DCM"))
        assert read_image([tmp_path / "a"]).array.shape == (1, 4, 5, 6)


class TestHeadersOfItk:
    def written(self, path, edit=None):
        image = sitk.GetImageFromArray(volumes(1)["case_00"][0][0])
        image.SetSpacing((0.8, 0.9, 3.0))
        sitk.WriteImage(image, str(path))
        if edit is not None:
            head, mark, voxels = path.read_bytes().partition(b"ElementDataFile" if path.suffix == ".mha" else b"\n\n")
            path.write_bytes(edit(head) + mark + voxels)
        return path

    @pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("cm", 10.0), ("um", 0.01)])
    def test_units_of_nrrd(self, tmp_path, unit, factor):
        line = f'\nspace units: "{unit}" "{unit}" "{unit}"'.encode()
        path = self.written(tmp_path / "a.nrrd", lambda head: head + line)
        if unit == "um":
            with pytest.raises(DataError, match=r"voxels are 0.0008 .*correct the header's unit, which is um"):
                read_image([path])
        else:
            assert read_image([path]).geometry.spacing == pytest.approx((3.0 * factor, 0.9 * factor, 0.8 * factor))

    def test_capitals(self, tmp_path):
        for ending in ("NRRD", "MHA"):
            path = self.written(tmp_path / f"b.{ending.lower()}").rename(tmp_path / f"a.{ending}")
            assert read_image([path]).geometry.spacing == (3.0, 0.9, 0.8)

    def test_segmentations_of_slicer(self, tmp_path):
        root = folders(tmp_path / "data")
        for path in (root / "labels").iterdir():
            label = nib.load(path)
            made = sitk.GetImageFromArray(np.asarray(label.dataobj).T)
            made.SetSpacing((0.8, 0.9, 3.0))
            made.SetOrigin((-12.5, 7.0, 100.0))
            path.unlink()
            sitk.WriteImage(made, str(path).replace(".nii.gz", ".seg.nrrd"))
        found = check(root)
        assert (found.problems, next(iter(found.measured))) == ((), "case_00")

    def test_two_statements(self, tmp_path):
        nrrd = self.written(tmp_path / "a.nrrd", lambda head: head + b"\nspacings: 1 1 1")
        with pytest.raises(DataError, match=r"spacings is 1 x 1 x 1 but space directions is 0.8 x 0.9 x 3; correct"):
            read_image([nrrd])
        same = self.written(tmp_path / "b.nrrd", lambda head: head + b"\nspacings: 0.8 0.9 3.0")
        assert read_image([same]).geometry.spacing == (3.0, 0.9, 0.8)
        mha = self.written(tmp_path / "a.mha", lambda head: head + b"ElementSize = 1 1 1\n")
        with pytest.raises(DataError, match=r"ElementSpacing is 0.8 x 0.9 x 3 but ElementSize is 1 x 1 x 1; correct"):
            read_image([mha])


class TestArrays:
    def test_files_of_a_mac_and_capitals(self, tmp_path):
        root = write_acdc_volumes(tmp_path / "data", cases=4)
        folder = root / "ACDC_training_volumes"
        first = min(folder.iterdir())
        (folder / f"._{first.name}").write_bytes(b"\0")
        first.rename(first.with_suffix(".H5"))
        (folder / "readme.txt").write_text("x")
        found = check(root, patient_pattern="(patient[0-9]+)_")
        assert len(found.measured) == 4
        assert found.notes[0].endswith("ACDC_training_volumes: not read: readme.txt")

    def test_slices_of_a_mac(self, tmp_path):
        root = write_synapse(tmp_path / "data", cases=2, test_cases=0)
        (root / "lists/lists_Synapse/train.txt").unlink()
        (root / "Synapse/train_npz/._case0001_slice000.npz").write_bytes(b"\0")
        assert [case.id for case in Synapse().scan(root).cases] == ["case0001", "case0002"]


class TestChannels:
    """Each normalised as nnU-Net's names of channels say."""

    def test_a_probability_map_beside_ct(self, tmp_path):
        root = nnunet(tmp_path / "data", channels=("CT", "noNorm"))
        for path in root.glob("imagesTr/*_0001.nii.gz"):
            edit(path, lambda image: (image > 100) * 0.75, np.float32)
        assert check(root).problems == ()
        data = prepare(root, window=(-100.0, 300.0))
        recipe = data.facts.preprocessing
        assert recipe.modality == ("ct", "prescaled")
        raw = read_image(find_images(root / "imagesTr")["case_00"]).array.astype(np.float32)
        normal = recipe.intensities(raw)
        np.testing.assert_allclose(normal[0], (np.clip(raw[0], -100, 300) + 100) / 400, rtol=1e-6)
        np.testing.assert_array_equal(normal[1], raw[1])
        assert type(recipe).from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
        assert check(root).fingerprint.window is not None

    def test_hu_are_due_of_the_ct_alone(self, tmp_path):
        root = nnunet(tmp_path / "data", channels=("MRI", "CT"))
        edit(root / "imagesTr/case_00_0000.nii.gz", lambda image: image + 5000)
        edit(root / "imagesTr/case_01_0001.nii.gz", lambda image: image + 5000)
        (problem,) = check(root).bad
        assert re.search("case case_01: intensities of channel 1 go from .* no Hounsfield units do", problem)

    def test_a_setting_for_each(self, tmp_path):
        root = folders(tmp_path / "data", channels=2)
        assert prepare(root, modality=["ct", "mr"]).facts.preprocessing.modality == ("ct", "mr")
        assert prepare(root, modality=["mr", "mr"]).facts.preprocessing.modality == "mr"
        with pytest.raises(ConfigError, match="choose one of ct, mr, prescaled"):
            prepare(root, modality=["ct", "xray"])
        with pytest.raises(ConfigError, match="names 2 kinds but there are 3 channels"):
            prepare(folders(tmp_path / "three", channels=3), modality=["ct", "mr"])

    def test_folders_recognise_each(self, tmp_path):
        root = folders(tmp_path / "data", channels=2)
        for path in (root / "images").iterdir():
            image = nib.load(path)
            array = np.asarray(image.dataobj).astype(np.float32)
            array[..., 1] = array[..., 1] > 100
            nib.save(nib.Nifti1Image(array, image.affine), path)
        assert Folders().scan(root).modality == ("ct", "prescaled")
