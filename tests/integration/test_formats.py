"""From training to prediction with what scanners and other tools write: DICOM series, NRRD, several channels."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import change, write_series
from tiny_data import make_case, write_nnunet
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.data.layouts import Folders, detect
from adawac.evaluation.predictions import from_files, measure, prediction_files
from adawac.evaluation.references import References
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti
from adawac.runs.checkpoint import Recipe, find_checkpoint, read_checkpoint

SHAPE = (6, 32, 32)
TURN = np.deg2rad(12)
AFFINE = np.array(
    [
        [-0.8 * np.cos(TURN), 0.9 * np.sin(TURN), 0, 12.5],
        [-0.8 * np.sin(TURN), -0.9 * np.cos(TURN), 0, -7],
        [0, 0, 3.0, 100],
        [0, 0, 0, 1],
    ]
)
"""The patient lies askew."""


def fit(folder: Path, root: Path, *options: str) -> Path:
    """A single epoch; the run's folder."""
    settings = tiny_settings(folder / "run", root)
    settings["trainer"] |= {"max_epochs": 1, "limit_train_batches": 2}
    settings["data"]["batch_size"] = 4
    settings["model"]["weighting"] = "ERM"
    assert main(["fit", "--config", str(write_config(folder / "run", settings)), *options]) == 0
    return folder / "run/runs/tiny/version_0"


def recipe_of(run: Path) -> Recipe:
    return Recipe.from_json(read_checkpoint(find_checkpoint(run))["adawac_recipe"])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Series of slices and their labels, of which two are NRRD or MetaImage, two NIfTI."""
    root = tmp_path_factory.mktemp("data")
    (root / "labels").mkdir()
    for number, ending in enumerate((".nii.gz", ".nrrd", ".mhd", ".nii.gz")):
        image, label = make_case(np.random.default_rng(number), SHAPE)
        write_series(root / f"images/pt_{number}", image[0].T.astype(np.float32), AFFINE, seed=number)
        nib.save(nib.Nifti1Image(label.T, AFFINE), root / f"labels/pt_{number}.nii.gz")
        if ending != ".nii.gz":
            written = sitk.ReadImage(root / f"labels/pt_{number}.nii.gz")
            sitk.WriteImage(written, root / f"labels/pt_{number}{ending}")
            (root / f"labels/pt_{number}.nii.gz").unlink()
    return root


class TestDicom:
    def test_layout_names_every_file(self, root):
        layout = detect(root)
        assert isinstance(layout, Folders)
        cases = layout.scan(root).cases
        assert [case.id for case in cases] == [f"pt_{number}" for number in range(4)]
        assert [len(case.images) for case in cases] == [6] * 4
        assert [len(case.label) for case in cases] == [1, 1, 2, 1]  # header and voxels
        image, label = layout.read_image(cases[2]), layout.read_label(cases[2])
        assert label.geometry.difference(image.geometry) is None
        assert set(np.unique(image.array[0][label.array[0] > 0] > 60)) == {True}  # organs over the body's -60 HU

    def test_from_training_to_prediction(self, root, tmp_path):
        run = fit(tmp_path, root)
        (tested,) = json.loads((run / "split.json").read_text())["test"]
        assert main(["test", str(run), "--trainer.accelerator", "cpu"]) == 0
        assert (run / "cases.csv").read_text().count(f'"{tested}","{tested}"') > 0
        source = root / f"images/{tested}"
        output = tmp_path / "out"
        assert main(["predict", str(run), "-i", str(root / "images"), "-o", str(output), "--device", "cpu"]) == 0
        assert sorted(path.name for path in output.glob("*.nii.gz")) == [f"pt_{number}.nii.gz" for number in range(4)]
        label, image = read_nifti(output / f"{tested}.nii.gz"), read_image([source])
        assert label.geometry.difference(image.geometry) is None
        assert np.allclose(nib.load(output / f"{tested}.nii.gz").affine, AFFINE, atol=1e-4)
        # A NIfTI file of the same patient gets the same labels.
        nib.save(nib.Nifti1Image(image.array[0].T.astype(np.int16), AFFINE), tmp_path / "same.nii.gz")
        command = ["predict", str(run), "-i", str(tmp_path / "same.nii.gz"), "-o", str(tmp_path / "again")]
        assert main([*command, "--device", "cpu"]) == 0
        assert np.array_equal(read_nifti(tmp_path / "again/same.nii.gz").array, label.array)

    def test_check_names_a_series_with_a_gap(self, root, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)  # where it leaves its picture
        image, label = make_case(np.random.default_rng(9), SHAPE)
        for number in range(2):
            files = write_series(tmp_path / f"images/gap_{number}", image[0].T.astype(np.float32), AFFINE)
            (tmp_path / "labels").mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(label.T, AFFINE), tmp_path / f"labels/gap_{number}.nii.gz")
        files[3].unlink()
        assert main(["check", str(tmp_path)]) != 0
        said = "".join(capsys.readouterr())
        assert "case gap_1" in said
        assert "slices are 1 missing between" in said.replace("\n", " ")

    def test_changed_slices_are_prepared_again(self, tmp_path):
        """What is prepared is found by the content of every slice, so another rescaling is another image."""
        folder = tmp_path / "copy"
        for number in range(4):
            image, label = make_case(np.random.default_rng(number), SHAPE)
            files = write_series(folder / f"images/pt_{number}", image[0].T.astype(np.float32), AFFINE)
            (folder / "labels").mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(label.T, AFFINE), folder / f"labels/pt_{number}.nii.gz")
        fit(tmp_path, folder)
        prepared = len(list((tmp_path / "store").rglob("case.json")))
        change(files[0], RescaleIntercept="-1000")
        fit(tmp_path, folder)
        assert len(list((tmp_path / "store").rglob("case.json"))) == prepared + 1


class TestChannels:
    def test_contrasts_as_files_from_training_to_prediction(self, tmp_path):
        """MR as nnU-Net has it, `_0000` and `_0001`; channels are normalised each by itself."""
        root = write_nnunet(tmp_path / "data", cases=4, shape=SHAPE, channels=2, test_cases=1)
        dataset = json.loads((root / "dataset.json").read_text())
        (root / "dataset.json").write_text(json.dumps(dataset | {"channel_names": {"0": "T1", "1": "FLAIR"}}))
        run = fit(tmp_path, root)
        recipe = recipe_of(run)
        assert (recipe.data.in_channels, recipe.data.preprocessing.modality) == (2, "mr")
        command = ["predict", str(run), "-i", str(root / "imagesTs"), "-o", str(tmp_path / "out"), "--device", "cpu"]
        assert main([*command, "--pictures"]) == 0
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"pt_5.nii.gz", "pt_5.png", "predictions.json"}

    @pytest.mark.parametrize("ending", [".nrrd", ".mha"])
    def test_nnunet_in_other_formats(self, ending, tmp_path):
        root = write_nnunet(tmp_path, cases=2, shape=SHAPE, channels=2)
        for path in root.rglob("*.nii.gz"):
            sitk.WriteImage(sitk.ReadImage(path), path.with_name(path.name.replace(".nii.gz", ending)))
        layout = detect(root)
        due = [layout.read_image(case) for case in layout.scan(root).cases]
        dataset = json.loads((root / "dataset.json").read_text())
        (root / "dataset.json").write_text(json.dumps(dataset | {"file_ending": ending}))
        cases = layout.scan(root).cases
        assert [len(case.images) for case in cases] == [2, 2]
        for case, same in zip(cases, due, strict=True):
            found = layout.read_image(case)
            assert np.array_equal(found.array, same.array)
            assert found.geometry.difference(layout.read_label(case).geometry) is None


class TestEvaluation:
    def test_predictions_and_references_in_other_formats(self, tmp_path):
        """3D Slicer and ITK write NRRD and MetaImage: the same numbers as from NIfTI files on the same grid."""
        rng, grid = np.random.default_rng(0), {"references": ".mhd", "predictions": ".nrrd"}
        for case in ("pt_1", "pt_2"):
            _, label = make_case(rng, SHAPE)
            for kind, ending in grid.items():
                shown = np.where(rng.random(label.shape) < 0.1, 0, label) if kind == "predictions" else label
                for folder in (tmp_path / kind, tmp_path / f"{kind} as NIfTI"):
                    folder.mkdir(exist_ok=True)
                    nib.save(nib.Nifti1Image(shown.T.astype(np.uint8), AFFINE), folder / f"{case}.nii.gz")
                sitk.WriteImage(sitk.ReadImage(folder / f"{case}.nii.gz"), tmp_path / kind / f"{case}{ending}")
                (tmp_path / kind / f"{case}.nii.gz").unlink()
        tables = []
        for like in ("", " as NIfTI"):
            references = References.of_folder(tmp_path / f"references{like}")
            predict = from_files(prediction_files(tmp_path / f"predictions{like}"), references)
            rows, problems = measure(predict, references)
            assert problems == []
            tables.append([row._replace(data_hash="") for row in rows])
        assert {row.case for row in tables[0]} == {"pt_1", "pt_2"}
        assert [repr(row) for row in tables[0]] == [repr(row) for row in tables[1]]
