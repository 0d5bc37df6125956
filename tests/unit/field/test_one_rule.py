"""What training, references and predictions find and join in one way: masks an organ, and channels by patterns."""

import numpy as np
import pytest
from field_data import folders, model, volumes
from tiny_data import save_nifti

from adawac.data.checkup import check
from adawac.data.layouts import Folders
from adawac.errors import DataError
from adawac.evaluation.predictions import from_files, prediction_files
from adawac.evaluation.references import References, named_classes
from adawac.io.image_cases import find_images
from adawac.io.images import read_image

CLASSES = named_classes(["liver", "spleen"])


def masks(root, label, **named):
    """A mask an organ; what each name holds is a mask of `label`."""
    for name, mask in named.items():
        save_nifti(root / f"{name}.nii.gz", mask(label).astype(np.uint8))


class TestMasks:
    @pytest.fixture
    def label(self):
        return volumes(1)["case_00"][1]

    def everywhere(self, root, names=None):
        """Label values by the layout, the references and the predictions."""
        case = root / "labels/case_00"
        masks(root / "images", volumes(1)["case_00"][0][0], case_00=lambda image: image)
        layout = Folders(label_names=names or dict(zip(CLASSES.values, CLASSES.names, strict=True)))
        of_layout = layout.read_label(layout.scan(root).cases[0])
        references = References.of_folder(root / "labels", CLASSES)
        target = references.target("case_00")
        preds = from_files(prediction_files(root / "labels"), references)("case_00", target)
        np.testing.assert_array_equal(of_layout.array, target.array)
        np.testing.assert_array_equal(preds[None], target.array)
        assert case.is_dir()
        return of_layout

    def test_where_they_overlap_the_last_class_counts_and_it_is_told(self, tmp_path, label, caplog):
        masks(tmp_path / "labels/case_00", label, spleen=lambda x: x == 2, liver=lambda x: x > 0, air=lambda x: x == 0)
        found = self.everywhere(tmp_path)
        np.testing.assert_array_equal(found.array[0], label)
        shared = f"{(label == 2).sum()} voxels lie in several masks and count to the last of them"
        assert shared in found.notes[0]
        assert f"case case_00: prediction {tmp_path}/labels/case_00: {shared}" in caplog.text

    def test_a_single_mask_is_of_the_class_it_is_called_like(self, tmp_path, label):
        """It was read as a label map, whose 1 is the liver."""
        masks(tmp_path / "labels/case_00", label, spleen=lambda x: x == 2)
        found = self.everywhere(tmp_path)
        np.testing.assert_array_equal(found.array[0], 2 * (label == 2))
        assert "it has no mask liver" in found.notes[0]

    def test_names_that_begin_with_the_case_s(self, tmp_path, label):
        masks(tmp_path / "labels/case_00", label, case_00_liver=lambda x: x == 1, case_00_spleen=lambda x: x == 2)
        np.testing.assert_array_equal(self.everywhere(tmp_path).array[0], label)

    def test_a_label_map_in_a_folder_of_its_own_is_none(self, tmp_path, label):
        masks(tmp_path / "labels/case_00", label, case_00_seg=lambda x: x)
        np.testing.assert_array_equal(self.everywhere(tmp_path).array[0], label)

    def test_a_mask_of_several_values_is_refused(self, tmp_path, label):
        masks(tmp_path / "labels/case_00", label, liver=lambda x: x, spleen=lambda x: x == 2)
        with pytest.raises(DataError, match=r"liver\.nii\.gz: a mask holds 0 and one value above, but this has sev"):
            self.everywhere(tmp_path)

    def test_folders_beside_predicted_label_maps_are_no_cases(self, tmp_path, label, caplog):
        root = folders(tmp_path, cases=2)
        save_nifti(root / "labels/old/case_00.nii.gz", label)
        assert sorted(prediction_files(root / "labels")) == ["case_00", "case_01"]
        assert "not read: old/" in caplog.text


class TestChannels:
    """Of a run whose images patterns or folders found: predictions find them in the same way."""

    def lay_out(self, root, form, cases=3, **kinds):
        for n, (image, label) in enumerate(volumes(cases).values()):
            for kind, more in kinds.items():
                save_nifti(root / form.format(n=n, kind=kind), image[0] + more)
            save_nifti(root / form.format(n=n, kind="seg"), label)

    @pytest.mark.parametrize("form", ["p{n}/p{n}-{kind}.nii.gz", "p{n}-{kind}.nii.gz"])
    def test_beside_each_other_or_in_folders(self, tmp_path, form):
        self.lay_out(tmp_path / "old", "p{n}/p{n}-{kind}.nii.gz", t2=7, t1=0)
        places = Folders(["*/*-t2.nii.gz", "*/*-t1.nii.gz"], "*/*-seg.nii.gz").scan(tmp_path / "old").places
        self.lay_out(tmp_path / "new", form, t1=0, t2=7)
        found = find_images(tmp_path / "new", places)
        assert list(found) == ["p0", "p1", "p2"]
        scan = volumes(3)["case_01"][0][0]
        np.testing.assert_array_equal(read_image(found["p1"]).array, [scan + 7, scan])

    def test_of_one_sequence_only_that_is_predicted(self, tmp_path, caplog):
        """The others were taken for further cases, in silence."""
        self.lay_out(tmp_path, "p{n}-{kind}.nii.gz", t1=0, t2=7)
        assert [path.name for (path,) in find_images(tmp_path, ["*/*-t2.nii.gz"]).values()] == [
            f"p{n}-t2.nii.gz" for n in range(3)
        ]
        assert "not read: p0-seg.nii.gz, p0-t1.nii.gz" in caplog.text

    def test_a_folder_a_channel(self, tmp_path):
        self.lay_out(tmp_path, "{kind}/p{n}.nii.gz", T1=0, FLAIR=7)
        found = find_images(tmp_path, ["FLAIR", "T1"])
        assert [path.parent.name for path in found["p2"]] == ["FLAIR", "T1"]
        (tmp_path / "T1/p1.nii.gz").unlink()
        with pytest.raises(DataError, match="case p1: it lies not in each of FLAIR, T1; complete"):
            find_images(tmp_path, ["FLAIR", "T1"])

    def test_other_places_are_listed_as_ever(self, tmp_path):
        root = folders(tmp_path, cases=2)
        assert list(find_images(root / "images", ["*/*-t2.nii.gz"])) == ["case_00", "case_01"]
        segmenter = model("ct", 2)
        with pytest.raises(DataError, match=r"was trained on 2; give the same channels.*called CASE_0000, CASE_0001"):
            segmenter.predict(root / "images/case_00.nii.gz")

    def test_a_run_keeps_them(self, tmp_path):
        from adawac.runs.checkpoint import Recipe

        self.lay_out(tmp_path, "p{n}/{kind}.nii.gz", t1=0, t2=7)
        layout = Folders(["*/t2.nii.gz", "*/t1.nii.gz"], "*/seg.nii.gz")
        assert not check(tmp_path, layout).problems
        places = layout.scan(tmp_path).places
        recipe = model("ct", 2).recipe
        kept = Recipe.from_json(recipe.to_json().replace('"places": []', f'"places": {list(places)}'.replace("'", '"')))
        assert kept.data.places == places == ("*/t2.nii.gz", "*/t1.nii.gz")
