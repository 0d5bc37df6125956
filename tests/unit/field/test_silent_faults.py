"""What was wrong in silence, from reports of the field (docs/reliability.md has them): each refused, or read right."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from field_data import LPS, check, edit, folders, header, model, msd, nnunet, prepare, volumes
from tiny_data import save_nifti

from adawac.data.classes import Classes
from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.evaluation.references import References, read_classes
from adawac.io.canonical import Geometry
from adawac.io.image_cases import find_images, scan_images
from adawac.io.volumes import Volume, read_nifti


def said(checkup) -> str:
    return "\n".join(checkup.problems)


class TestLabelsBelowZero:
    """The background is index 0, whatever value is least."""

    def test_one_stray_voxel_in_plain_folders(self, tmp_path):
        root = folders(tmp_path / "data")
        edit(
            root / "labels/case_03.nii.gz",
            lambda label: np.where(np.arange(label.size).reshape(label.shape), label, -1),
        )
        found = check(root)
        assert re.search(r"case case_03: .*\[-1\] \(1 voxels\) stand for no class, .*\[0, 1, 2\]", said(found))
        assert (found.classes, len(found.problems)) == (("background", "class_1", "class_2"), 1)
        with pytest.raises(DataError, match=r"case case_03: .*\[-1\] .*data.ignore_label to -1"):
            prepare(root)
        data = prepare(root, ignore_label=-1)
        assert data.facts.classes.names == ("background", "class_1", "class_2")

    def test_a_structure_in_all_of_plain_folders(self, tmp_path):
        root = folders(tmp_path / "data")
        for path in (root / "labels").iterdir():
            edit(path, lambda label: np.where(label == 2, -1, label))
        found = check(root)
        assert len(found.bad) == 4
        assert found.classes == ("background", "class_1")

    def test_a_name_of_ignore_leaves_them_out(self, tmp_path):
        root = folders(tmp_path / "data")
        for path in (root / "labels").iterdir():
            edit(path, lambda label: np.where(label == 2, -1, label))
        data = prepare(root, layout=Folders(label_names={0: "background", 1: "a", -1: "ignore"}))
        assert data.facts.classes.names == ("background", "a")
        assert dict(data.facts.classes.indices) == {-1: 255, 0: 0, 1: 1}

    @pytest.mark.parametrize("write", [nnunet, msd])
    def test_a_name_in_dataset_json(self, tmp_path, write):
        root = write(tmp_path / "data", labels={"-1": "unlabelled", "0": "background", "1": "a", "2": "b"})
        for run in (check, prepare):
            with pytest.raises(DataError, match=r"\{'unlabelled': -1\} lie below 0, .* call the value `ignore`"):
                run(root)

    def test_ignore_of_nnunet(self, tmp_path):
        root = nnunet(tmp_path / "data", labels={"ignore": -1, "background": 0, "a": 1, "b": 2})
        assert check(root).classes == ("background", "a", "b")

    def test_references(self, tmp_path):
        root = folders(tmp_path / "data")
        edit(root / "labels/case_00.nii.gz", lambda label: np.where(label == 2, -1, label))
        references = References.of_folder(root / "labels")
        assert references.classes.names == ("background", "class_1", "class_2")
        with pytest.raises(DataError, match=r"case case_00: .*\[-1\]"):
            references.target("case_00")
        (root / "classes.json").write_text(json.dumps({"labels": {"a": -3, "b": 1}}))
        with pytest.raises(DataError, match="lie below 0"):
            read_classes(root / "classes.json")

    def test_of_any_layout(self):
        with pytest.raises(DataError, match=r"\{'x': -2\} lie below 0"):
            Classes.from_labels({-2: "x", 1: "y"})
        classes = Classes.from_labels({-1: "x", 1: "y"}, ignore_value=-1)
        assert (classes.names[0], classes.values) == ("background", (0, 1))
        assert classes.encode(np.array([-1, 0, 1])).tolist() == [255, 0, 1]

    def test_a_background_of_another_value(self):
        with pytest.raises(DataError, match="the background is 0, but 1 is called so; write the label files anew"):
            Classes.from_labels({1: "Background", 2: "a"})


class TestNoBackground:
    def test_labels_that_never_hold_0(self, tmp_path, caplog):
        root = folders(tmp_path / "data")
        for path in (root / "labels").iterdir():
            edit(path, lambda label: label + 1)
        assert "no voxel of 2 training cases is background (0)" in said(check(root))
        prepare(root)
        assert "no voxel of the training cases is background (0)" in caplog.text


SPOILT = {
    "raw numbers of a scanner": lambda image: np.clip(image + 1024.0, 0, None),
    "raw numbers and padding": lambda image: np.where(image < -900, -2000, image + 1024.0),
    "0 to 1": lambda image: (image + 1100.0) / 2000,
    "-1 to 1": lambda image: image / 1100.0,
    "standardised": lambda image: (image - image.mean()) / image.std(),
    "all below -31,000": lambda image: image - 32000.0,
    "beyond all scanners": lambda image: image * 1000.0,
    "upside down": lambda image: 65535.0 - image,
    "constant": lambda image: image * 0 - 1000.0,
    "NaN": lambda image: np.where(image > 200, np.nan, image),
    "infinite": lambda image: np.where(image > 200, -np.inf, image),
}


class TestOneSetOfRules:
    """What check refuses, every path refuses that reads an image."""

    @pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
    def test_training_and_prediction(self, tmp_path, spoil):
        root = nnunet(tmp_path / "data", cases=3)
        path = root / "imagesTr/case_01_0000.nii.gz"
        edit(path, spoil, np.float32)
        rule = "no Hounsfield units do|shows something|NaN or infinite"
        (problem,) = check(root).bad
        assert re.search(rf"case case_01: .*({rule})", problem)
        with pytest.raises(DataError, match=f"case case_01: .*({rule})"):
            prepare(root)
        for segment in (model().predict, model().classify):
            with pytest.raises(DataError, match=f"case pt: .*({rule})"):
                segment(read_nifti(path), "pt")
        assert model().predict(read_nifti(root / "imagesTr/case_00_0000.nii.gz")).shape == (6, 16, 16)

    def test_a_bundle(self, tmp_path):
        from monai.data.meta_tensor import MetaTensor

        from adawac.inference.export.network import TrainedNetwork
        from adawac.inference.export.segment_volume import SegmentVolumed
        from adawac.inference.export.torchscript import write_torchscript

        segmenter = model()
        bare = segmenter.network.network
        write_torchscript(TrainedNetwork(bare.eval(), 1, segmenter.recipe), tmp_path / "model.ts")
        transform = SegmentVolumed(str(tmp_path / "model.ts"))
        image = volumes(1)["case_00"][0].astype(np.float32)
        assert transform({"image": MetaTensor(image)})["pred"].shape == (1, 6, 16, 16)
        for spoil in SPOILT.values():
            with pytest.raises(DataError, match=r"no Hounsfield units do|shows something|NaN or infinite"):
                transform({"image": MetaTensor(spoil(image).astype(np.float32))})

    def test_the_remedy_of_a_prediction_is_no_setting_of_training(self, tmp_path):
        image = np.clip(volumes(1)["case_00"][0] + 1024.0, 0, None)
        geometry = read_nifti(folders(tmp_path, 1) / "images/case_00.nii.gz").geometry
        with pytest.raises(DataError, match=r"the model was trained on CT in HU: rescale the image to HU$"):
            model().predict(Volume(image, geometry))

    def test_mr_takes_any_numbers_but_none(self, tmp_path):
        volume = read_nifti(folders(tmp_path, 1) / "images/case_00.nii.gz")
        assert model("mr").predict(volume).shape == volume.geometry.shape
        with pytest.raises(DataError, match="every voxel is 7 but an image shows something"):
            model("mr").predict(Volume(volume.array * 0 + 7, volume.geometry))

    def test_scaled_ones_too_large_for_half_precision(self, tmp_path):
        volume = read_nifti(folders(tmp_path, 1) / "images/case_00.nii.gz")
        with pytest.raises(DataError, match=r"must .* stay below 65504; scale the image"):
            model("prescaled").predict(Volume(volume.array * 1000.0, volume.geometry))

    def test_one_voxel_is_not_judged_by_others(self):
        tiny = Volume(np.full((1, 1, 1, 1), 40, np.int16), Geometry.of_affine((1, 1, 1), LPS))
        assert model().predict(tiny).shape == (1, 1, 1)


class TestTwoStatementsOfTheGrid:
    def unlike(self, sizes):
        def change(header):
            header.set_sform(np.diag([*sizes, 1.0]), 1)
            header["qform_code"] = 0

        return change

    def test_sform_without_voxel_sizes(self, tmp_path):
        root = folders(tmp_path / "data")
        for part in ("images", "labels"):
            header(root / f"{part}/case_02.nii.gz", self.unlike((1, 1, 1)))
        (problem,) = check(root).bad
        assert re.search(r"case case_02: .*1 x 1 x 1 mm by its sform, 0.8 x 0.9 x 3 mm by its pixdim; correct", problem)
        with pytest.raises(DataError, match="two things of a voxel"):
            model().predict(read_nifti(root / "images/case_02.nii.gz"))
        with pytest.raises(DataError, match=r"case case_02: .*two things of a voxel"):
            References.of_folder(root / "labels", Classes.from_labels({1: "a", 2: "b"})).target("case_02")

    @pytest.mark.parametrize("factor", [1.0, 1.003])
    def test_rounded_sizes_agree(self, tmp_path, factor):
        root = folders(tmp_path / "data", 1)
        header(root / "images/case_00.nii.gz", self.unlike(factor * np.array([0.8, 0.9, 3.0])))
        volume = read_nifti(root / "images/case_00.nii.gz")
        assert volume.geometry.spacing == pytest.approx((3.0 * factor, 0.9 * factor, 0.8 * factor))

    def test_places_apart_are_noted(self, tmp_path):
        root = folders(tmp_path / "data")

        def apart(header):
            moved = LPS.copy()
            moved[0, 3] += 10
            header.set_sform(LPS, 1)
            header.set_qform(moved, 1)

        for part in ("images", "labels"):
            header(root / f"{part}/case_01.nii.gz", apart)
        found = check(root)
        assert not found.problems
        assert re.search(
            "case case_01: .*its qform lies 10 mm off the grid of its sform .*, which is taken", found.notes[0]
        )


class TestSpacing:
    @pytest.mark.parametrize(
        ("code", "unit", "sizes"), [(1, "meter", "800 x 900 x 3000"), (3, "micron", "0.0008 x 0.0009")]
    )
    def test_numbers_in_mm_of_another_unit(self, tmp_path, code, unit, sizes):
        root = folders(tmp_path / "data")
        for path in root.glob("*/*"):
            header(path, lambda header: header.__setitem__("xyzt_units", code))
        with pytest.raises(
            DataError, match=rf"voxels are {sizes}.*0.005 to 50 mm; correct the header's unit, which is {unit}"
        ):
            read_nifti(root / "images/case_00.nii.gz")
        with pytest.raises(DataError, match=rf"which is {unit}"):
            check(root)

    def test_the_label_alone(self, tmp_path):
        root = folders(tmp_path / "data")
        header(root / "labels/case_00.nii.gz", lambda header: header.__setitem__("xyzt_units", 1))
        (problem,) = check(root).bad
        assert re.search(r"case case_00: .*labels/case_00.nii.gz: voxels are 800 .*unit, which is meter", problem)

    def test_metres_that_are_metres(self, tmp_path):
        root = folders(tmp_path / "data", 1)
        path = root / "images/case_00.nii.gz"
        image = nib.load(path)
        affine = image.affine.copy()
        affine[:3] /= 1000
        made = nib.Nifti1Image(np.asarray(image.dataobj), affine)
        made.header.set_xyzt_units("meter")
        nib.save(made, path)
        assert read_nifti(path).geometry.spacing == pytest.approx((3.0, 0.9, 0.8), abs=1e-5)

    @pytest.mark.parametrize("spacing", [(60.0, 1, 1), (1, 1, 0.001)])
    def test_beyond_all_scanners(self, tmp_path, spacing):
        save_nifti(tmp_path / "a.nii.gz", volumes(1)["case_00"][0][0], spacing)
        with pytest.raises(
            DataError, match=r"no scanner goes beyond 0.005 to 50 mm; correct the header's sform or qform"
        ):
            read_nifti(tmp_path / "a.nii.gz")


class TestNothingIsPassedOverInSilence:
    def test_endings_in_capitals_are_read(self, tmp_path):
        root = folders(tmp_path / "data")
        for name in ("case_01", "case_02"):
            for part in ("images", "labels"):
                (root / f"{part}/{name}.nii.gz").rename(root / f"{part}/{name}.NII.GZ")
        found = check(root)
        assert (list(found.measured), found.problems) == ([f"case_{i:02d}" for i in range(4)], ())
        assert set(find_images(root / "images")) == set(found.measured)
        assert set(References.of_folder(root / "labels").cases) == set(found.measured)

    def test_endings_in_capitals_of_nnunet(self, tmp_path):
        root = nnunet(tmp_path / "data")
        (root / "imagesTr/case_01_0000.nii.gz").rename(root / "imagesTr/case_01_0000.NII.gz")
        assert check(root).problems == ()

    def test_what_lies_beside_is_named(self, tmp_path):
        root = folders(tmp_path / "data")
        for name in ("notes.txt", "case_07.mnc", "case_08.img", ".DS_Store", "Thumbs.db", "._case_00.nii.gz"):
            (root / "images" / name).write_text("x")
        (line,) = check(root).notes
        assert line.endswith("images: not read: case_07.mnc, case_08.img, notes.txt")
        assert scan_images(root / "images").passed_over == line

    @pytest.mark.parametrize("write", [nnunet, msd])
    def test_in_the_folders_of_dataset_json(self, tmp_path, write):
        root = write(tmp_path / "data")
        (root / "imagesTr/case_09_0000.nrrd").write_text("x")
        (root / "labelsTr/case_09.mnc").write_text("x")
        assert [re.sub(".*/", "", line) for line in check(root).notes] == [
            "imagesTr: not read: case_09_0000.nrrd",
            "labelsTr: not read: case_09.mnc",
        ]

    def test_an_image_that_no_list_names(self, tmp_path):
        root = msd(tmp_path / "data")
        (root / "imagesTr/case_09.nii.gz").write_bytes((root / "imagesTr/case_00.nii.gz").read_bytes())
        assert check(root).notes[0].endswith("imagesTr: not read: case_09.nii.gz")

    def test_a_label_of_nearly_the_name(self, tmp_path):
        root = folders(tmp_path / "data")
        (root / "labels/case_01.nii.gz").rename(root / "labels/case_01_seg.nii.gz")
        assert re.search(
            r"case case_01: .*has no partner of this name in .*labels \(there is case_01_seg.nii.gz\); add",
            said(check(root)),
        )

    def test_predictions(self, tmp_path, caplog):
        from adawac.evaluation.predictions import prediction_files

        root = folders(tmp_path / "data")
        (root / "labels/case_01.nii.gz").rename(root / "labels/case_01.NII.GZ")
        (root / "labels/case_02.nii.gz").rename(root / "labels/case_02.nii.gz.part")
        assert set(prediction_files(root / "labels")) == {"case_00", "case_01", "case_03"}
        assert "not read: case_02.nii.gz.part" in caplog.text
