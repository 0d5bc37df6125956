"""Data sets in the shapes in which others publish them: lists that name files, headers that name classes."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from field_data import check, folders, msd, nnunet, volumes
from tiny_data import save_nifti

from adawac.data.layouts import NNUNet, detect
from adawac.errors import DataError


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
        (tmp_path / "dataset.json").write_text(
            json.dumps({"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "a"}, "training": pairs})
        )
        layout = detect(tmp_path)
        case = layout.scan(tmp_path).cases[1]
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
