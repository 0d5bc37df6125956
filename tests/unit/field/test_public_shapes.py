"""Data sets in the shapes in which others publish them: lists that name files, headers that name classes."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series
from field_data import LPS, check, folders, msd, nnunet, volumes
from tiny_data import save_nifti

from adawac.cli import main
from adawac.data.classes import Classes
from adawac.data.grid import Grid
from adawac.data.layouts import MSD, Folders, NNUNet, detect
from adawac.data.preprocessing import Preprocessing
from adawac.data.store import VolumeStore
from adawac.errors import DataError
from adawac.evaluation import read_table
from adawac.evaluation.predictions import from_files, prediction_files
from adawac.evaluation.references import References, named_classes
from adawac.io.image_cases import find_images


def said(checkup) -> str:
    return "\n".join([*checkup.problems, *checkup.notes, *(f"{f.topic}: {f.found}" for f in checkup.recognised)])


def change(root: Path, **entries) -> Path:
    """Change the entries of dataset.json."""
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    return root


class TestLists:
    def test_labelled_cases_of_a_validation_list_validate(self, tmp_path):
        root = msd(tmp_path, cases=5)
        pairs = json.loads((root / "dataset.json").read_text())["training"]
        change(root, training=pairs[:3], validation=pairs[3:], test=["./imagesTs/unseen.nii.gz"])
        parts = {case.id: case.split for case in detect(root).scan(root).cases}
        assert parts == {f"case_{i:02d}": "train" if i < 3 else "val" for i in range(5)}
        assert not check(root).problems

    def test_a_list_of_images_is_one_of_channels(self, tmp_path):
        """As MONAI's `load_decathlon_datalist` reads it."""
        pairs = []
        for name, (image, label) in volumes(4, channels=2).items():
            for channel, kind in zip(image, ("t1", "t2"), strict=True):
                save_nifti(tmp_path / f"scans/{name}_{kind}.nii.gz", channel)
            save_nifti(tmp_path / f"masks/{name}.nii.gz", label)
            images = [f"scans/{name}_{kind}.nii.gz" for kind in ("t1", "t2")]
            pairs.append({"image": images, "label": f"masks/{name}.nii.gz", "fold": 0})
        described = {"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "a"}, "training": pairs}
        (tmp_path / "dataset_0.json").write_text(json.dumps(described))
        layout = MSD("dataset_0.json")
        found = layout.scan(tmp_path)
        assert "`fold` of its entries is not read" in found.passed_over[-1]
        case = found.cases[1]
        assert case.id == "case_01"
        np.testing.assert_array_equal(layout.read_image(case).array, volumes(4, channels=2)["case_01"][0])

    def test_nnunet_s_dataset_json_may_name_the_files_itself(self, tmp_path):
        root = nnunet(tmp_path, cases=3)
        (root / "imagesTr").rename(root / "scans")
        (root / "labelsTr").rename(root / "masks")
        listed = {
            f"p{i}": {"images": [f"scans/case_{i:02d}_0000.nii.gz"], "label": f"./masks/case_{i:02d}.nii.gz"}
            for i in range(3)
        }
        change(root, dataset=listed)
        cases = NNUNet().scan(root).cases
        assert [(case.id, case.images[0].name, case.label[0].name) for case in cases] == [
            (f"p{i}", f"case_{i:02d}_0000.nii.gz", f"case_{i:02d}.nii.gz") for i in range(3)
        ]
        (root / "masks/case_01.nii.gz").unlink()
        assert any("case p1" in problem and "does not exist" in problem for problem in check(root).problems)

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            (["case_00"], "`dataset` must name files"),
            ({"p": {"images": ["a.nii.gz"]}}, "`dataset` must name files"),
            ({"p": {"images": ["a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"}}, "1 channels are named but p has"),
            ({"p": {"images": ["../a.nii.gz"], "label": "c.nii.gz"}}, "inside the data set"),
        ],
    )
    def test_and_is_refused_where_it_makes_no_sense(self, tmp_path, listed, message):
        with pytest.raises(DataError, match=message):
            NNUNet().scan(change(nnunet(tmp_path), dataset=listed))


def lay_out(root: Path, image: str, label: str, cases: int = 4, **names: str) -> dict:
    """Volumes at paths in which {n} is the number of a case; returns what each of them holds."""
    made = volumes(cases)
    for n, (scan, mask) in enumerate(made.values()):
        save_nifti(root / image.format(n=n), scan[0])
        for value, name in names.items():
            save_nifti(root / label.format(n=n) / f"{name}.nii.gz", 255 * (mask == int(value[1:])).astype(np.uint8))
        if not names:
            save_nifti(root / label.format(n=n), mask)
    return made


class TestPatterns:
    """Images and labels wherever they lie: a `*` is a part of a name."""

    @pytest.mark.parametrize(
        ("image", "label", "images", "labels", "case"),
        [
            ("case_{n}/imaging.nii.gz", "case_{n}/seg.nii.gz", "*/imaging.nii.gz", "*/seg.nii.gz", "case_2"),
            ("volume-{n}.nii", "segmentation-{n}.nii", "volume-*.nii", "segmentation-*.nii", "2"),
            ("p{n}/p{n}_f01.nii.gz", "p{n}/p{n}_f01_gt.nii.gz", "*/*_f*.nii.gz", "*/*_f*_gt.nii.gz", "p2_01"),
            ("x{n}/pre/[1] T2.nii.gz", "x{n}/y{n}_seg.nii.gz", "*/pre/[1] T2.nii.gz", "x*/y*_seg.nii.gz", "2"),
        ],
    )
    def test_of_files(self, tmp_path, image, label, images, labels, case):
        made = lay_out(tmp_path, image, label)
        if "x{n}" in image:  # what stands for the case differs
            with pytest.raises(DataError, match="no partner"):
                Folders(images, labels).scan(tmp_path)
            images = images.replace("*", "x*")
        layout = Folders(images, labels)
        found = layout.scan(tmp_path)
        assert len(found.cases) == 4
        assert not found.passed_over
        chosen = found.cases[2]
        assert chosen.id == case
        np.testing.assert_array_equal(layout.read_image(chosen).array, made["case_02"][0])
        np.testing.assert_array_equal(layout.read_label(chosen).array[0], made["case_02"][1])

    def test_a_mask_an_organ(self, tmp_path):
        made = lay_out(tmp_path, "s{n}/ct.nii.gz", "s{n}/segmentations", v1="liver", v2="spleen")
        with pytest.raises(
            DataError, match=r"(?s)name the classes like them as label_names.*holds a mask an organ: liver, spleen"
        ):
            Folders("*/ct.nii.gz", "*/segmentations").scan(tmp_path)
        layout = Folders("*/ct.nii.gz", "*/segmentations", {1: "spleen", 7: "liver"})
        found = layout.scan(tmp_path)
        assert [case.id for case in found.cases] == ["s0", "s1", "s2", "s3"]
        label = made["case_01"][1]
        np.testing.assert_array_equal(layout.read_label(found.cases[1]).array[0], np.choose(label, [0, 7, 1]))

    def test_a_mask_that_is_renamed_is_prepared_anew(self, tmp_path):
        """Though no file's content has changed."""
        root = tmp_path / "data"
        lay_out(root, "images/{n}.nii.gz", "labels/{n}", v1="liver", v2="spleen")
        held = []
        for name in ("spleen", "splen"):
            (root / "labels/1/spleen.nii.gz").rename(root / f"labels/1/{name}.nii.gz")
            layout = Folders(label_names={1: "liver", 2: "spleen"})
            collection = layout.scan(root)
            recipe = Preprocessing(collection.modality, grid=Grid((16, 16)))
            store = VolumeStore(tmp_path / "store", layout, Classes.from_labels(collection.labels), recipe, 1)
            assert not store.prepare(collection.cases)
            held.append([int(case.voxels[:, 2].sum() > 0) for case in store.open(collection.cases)])
        assert held == [[1, 1, 1, 1], [1, 0, 1, 1]]
        assert "labels/1: it has no mask spleen" in said(check(root, layout=layout))

    def test_a_folder_beside_label_maps_is_none(self, tmp_path):
        root = folders(tmp_path)
        (root / "labels/old").mkdir()
        shutil.copy(root / "labels/case_00.nii.gz", root / "labels/old")
        found = check(root)
        assert not found.problems
        assert "not read: old/ (with old/case_00.nii.gz)" in said(found)
        assert len(References.of_folder(root / "labels").cases) == 4

    def test_references_may_be_masks(self, tmp_path):
        made = lay_out(tmp_path, "{n}.nii.gz", "labels/{n}", v1="liver", v2="spleen")
        references = References.of_folder(tmp_path / "labels", named_classes(["spleen", "liver"]))
        np.testing.assert_array_equal(references.target("2").array[0], np.choose(made["case_02"][1], [0, 2, 1]))
        with pytest.raises(DataError, match="--classes liver,spleen"):
            References.of_folder(tmp_path / "labels")

    def test_overlapping_masks_are_told_and_other_grids_refused(self, tmp_path):
        made = lay_out(tmp_path, "images/{n}.nii.gz", "labels/{n}", v1="liver", v2="spleen")
        label = made["case_03"][1]
        save_nifti(tmp_path / "labels/3/spleen.nii.gz", (label > 0).astype(np.uint8))
        save_nifti(tmp_path / "labels/2/spleen.nii.gz", (made["case_02"][1] > 0)[:, 1:].astype(np.uint8))
        found = said(check(tmp_path, layout=Folders(label_names={1: "liver", 2: "spleen"})))
        assert f"{np.count_nonzero(label == 1)} voxels lie in several masks" in found
        assert "case 2: " in found
        assert "all masks of a case must share one grid" in found

    def test_several_patterns_are_channels(self, tmp_path):
        made = lay_out(tmp_path, "p{n}/p{n}-t1.nii.gz", "p{n}/p{n}-seg.nii.gz")
        for n, (scan, _) in enumerate(made.values()):
            save_nifti(tmp_path / f"p{n}/p{n}-t2.nii.gz", scan[0] + 7)
        layout = Folders(["*/*-t2.nii.gz", "*/*-t1.nii.gz"], "*/*-seg.nii.gz")
        found = layout.scan(tmp_path)
        assert len(found.channels) == 2
        scan = made["case_00"][0][0]
        np.testing.assert_array_equal(layout.read_image(found.cases[0]).array, [scan + 7, scan])
        (tmp_path / "p1/p1-t1.nii.gz").unlink()
        assert any("case p1: it lies not in each of" in problem for problem in check(tmp_path, layout=layout).problems)

    def test_what_no_pattern_finds_is_named(self, tmp_path):
        lay_out(tmp_path, "c{n}/ct.nii.gz", "c{n}/seg.nii.gz")
        for name in ("ct", "seg"):
            (tmp_path / f"c3/{name}.nii.gz").rename(tmp_path / f"c3/{name}.nii")
        found = check(tmp_path, layout=Folders("*/ct.nii.gz", "*/seg.nii.gz"))
        assert len(found.measured) == 3
        assert "not read: c3/ (with c3/ct.nii)" in said(found)
        with pytest.raises(DataError, match=r"\*/mr.nii.gz: no image lies there"):
            Folders("*/mr.nii.gz", "*/seg.nii.gz").scan(tmp_path)

    def test_series_below_studies_of_any_name(self, tmp_path):
        pytest.importorskip("SimpleITK")
        made = lay_out(tmp_path, "nifti/P-{n}.nii.gz", "masks/P-{n}.nii.gz")
        for n, (scan, _) in enumerate(made.values()):
            (file, *_) = write_series(tmp_path / f"scans/P-{n}/1.2.{n}7/1.2.3.{n}", scan[0].T.astype(float), LPS)
            (tmp_path / f"scans/P-{n}/1.2.{n}7/1.2.4.{n}").mkdir()  # a structure set in a series of its own
            raw = file.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.481.3\0", 1)
            (tmp_path / f"scans/P-{n}/1.2.{n}7/1.2.4.{n}/RS.dcm").write_bytes(raw)
        layout = Folders("scans/*/?*/?*", "masks")
        found = layout.scan(tmp_path)
        assert [case.id for case in found.cases] == [f"P-{n}" for n in range(4)]
        np.testing.assert_array_equal(layout.read_image(found.cases[3]).array, made["case_03"][0])

    def test_images_to_segment(self, tmp_path):
        lay_out(tmp_path, "c{n}/ct.nii.gz", "c{n}/seg.nii.gz")
        assert {name: path.name for name, (path,) in find_images(tmp_path / "*" / "ct.nii.gz").items()} == {
            f"c{n}": "ct.nii.gz" for n in range(4)
        }


class TestSegments:
    """3D Slicer numbers segments as they were drawn, and says in the header what each is."""

    def write(self, root: Path, *orders: tuple[str, str]) -> Path:
        """Segmentations whose values 1 and 2 are what the header calls so."""
        itk = pytest.importorskip("SimpleITK")
        folders(root, cases=len(orders))
        for case, order in enumerate(orders):
            path = root / f"labels/case_{case:02d}.nii.gz"
            label = itk.ReadImage(str(path))
            path.unlink()
            for place, name in enumerate(order):
                label.SetMetaData(f"Segment{place}_Name", name)
                label.SetMetaData(f"Segment{place}_LabelValue", str(place + 1))
                label.SetMetaData(f"Segment{place}_Tags", "Segmentation.Status:inprogress|" + "x" * 40_000)
            itk.WriteImage(label, str(path.with_name(f"case_{case:02d}.seg.nrrd")), True)
        return root

    def test_their_names_are_the_classes(self, tmp_path):
        found = check(self.write(tmp_path, *[("liver", "spleen")] * 4))
        assert not found.problems
        assert found.classes == ("background", "liver", "spleen")

    def test_a_case_that_numbers_them_otherwise_is_refused(self, tmp_path):
        found = check(self.write(tmp_path, *[("liver", "spleen")] * 3, ("spleen", "liver")))
        assert [problem for problem in found.problems if "case case_03" in problem and "'spleen'" in problem]
        assert "case case_02" not in said(found)

    def test_nor_is_one_measured_or_trained_on_where_classes_are_named(self, tmp_path):
        """Its Dice would be 0, or that of other organs."""
        root = self.write(tmp_path, *[("spleen", "liver")] * 4)
        layout = Folders(label_names={1: "liver", 2: "spleen"})
        assert "its header calls label values {1: 'spleen', 2: 'liver'}" in said(check(root, layout=layout))
        classes = named_classes(["liver", "spleen"])
        references = References.of_folder(root / "labels", classes)
        with pytest.raises(DataError, match="calls label values"):
            references.target("case_00")
        target = References.of_folder(root / "labels", named_classes(["a", "b"])).target("case_00")
        with pytest.raises(DataError, match=r"case_00\.seg\.nrrd: what made it calls label values"):
            from_files(prediction_files(root / "labels"), references)("case_00", target)


def test_labels_outside_of_the_plane_are_told(tmp_path, caplog):
    """Planes of 16 x 16, of which the network sees 10 x 6 in the middle."""
    root = folders(tmp_path / "data", cases=3)
    layout = Folders()
    collection = layout.scan(root)
    recipe = Preprocessing(collection.modality, grid=Grid((10, 6), spacing=(0.9, 0.8)))
    store = VolumeStore(tmp_path / "store", layout, Classes.from_labels(collection.labels), recipe, 1)
    assert not store.prepare(collection.cases)
    for name, (_, label) in volumes(3).items():
        lost = 1 - (label[:, 3:13, 5:11] > 0).sum() / (label > 0).sum()
        assert lost > 0.1
        assert f"case {name}: {100 * lost:.0f} % of its labelled voxels lie outside of the plane" in caplog.text


@pytest.mark.parametrize("channels", [1, 2])
def test_an_image_that_holds_its_own_label_is_refused(tmp_path, channels):
    """Else nothing is easier to learn."""
    root = nnunet(tmp_path, channels=("MR",) * channels)
    shutil.copy(root / "labelsTr/case_02.nii.gz", root / f"imagesTr/case_02_{channels - 1:04d}.nii.gz")
    assert "case case_02: label and image are the same, voxel for voxel" in said(check(root))


def test_what_lies_in_the_cloud_alone_is_named(tmp_path):
    root = folders(tmp_path, cases=5)
    for part in ("images", "labels"):
        (root / part / "case_00.nii.gz").rename(root / part / ".case_00.nii.gz.icloud")
    assert "labels: not read: .case_00.nii.gz.icloud" in said(check(root))


def test_slices_are_counted_as_they_were_scanned(tmp_path, capsys):
    """Sagittal scans of 5 slices of 12 x 10 pixels, of which the middle three hold a class."""
    from adawac.cli.shown_data import show

    label = np.zeros((5, 10, 12), np.uint8)  # x, y, z
    label[1:4, 4, 3:6] = 1
    for i in range(4):
        image = np.random.default_rng(i).normal(100, 20, label.shape).astype(np.float32)
        for part, array in (("images", image), ("labels", label)):
            (tmp_path / part).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([4.0, 1, 1, 1])), tmp_path / f"{part}/case_{i}.nii.gz")
    facts = check(tmp_path).fingerprint
    assert (facts.num_slices, facts.dense, facts.classes[0].slices) == (2 * 5, 3 / 5, 2 * 3)
    show(facts, "x")
    assert "60 % of the slices; by thirds" in capsys.readouterr().out


def test_references_and_predictions_where_patterns_find_them(tmp_path, monkeypatch, capsys):
    """A folder a case, of label maps and of masks, measured as in two folders."""
    root = folders(tmp_path / "data")
    for path in sorted((root / "labels").iterdir()):
        name, label = path.name.removesuffix(".nii.gz"), nib.load(path)
        array = np.asarray(label.dataobj)
        for place, made in (
            ("seg", array),
            ("pred", array * (array != 1)),
            ("masks/a", array == 1),
            ("masks/b", array == 2),
        ):
            target = tmp_path / f"cases/{name}/{place}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(made.astype(np.uint8), label.affine), target)
    monkeypatch.chdir(tmp_path)
    for labels in ("cases/*/seg.nii.gz", "cases/*/masks"):
        arguments = ["cases/*/pred.nii.gz", "--labels", labels, "--classes", "a,b", "--images", "data/images"]
        assert main(["evaluate", *arguments, "-o", "report"]) == 0
        rows = [row for row in read_table(Path("report/cases.csv")) if (row.metric, row.group) == ("dice", "all")]
        assert {(row.case, row.class_name, row.value) for row in rows} == {
            (f"case_0{i}", *each) for i in range(4) for each in (("a", 0.0), ("b", 1.0))
        }
    capsys.readouterr()
    assert main(["evaluate", "cases/*/pred.nii.gz", "--labels", "cases/*/none.nii.gz", "-o", "report"]) == 2
    assert "or a pattern of them such as 'DATA/*/seg.nii.gz'" in capsys.readouterr().err
