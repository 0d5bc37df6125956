"""What `predict` writes of files of the field: their grid, orientation, header codes and a type that viewers expect."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series
from field_data import LPS, model, volumes
from tiny_data import save_nifti

from adawac.cli import main
from adawac.cli import predict_files as predicting
from adawac.cli.predict_files import predict_files
from adawac.cli.run import Run
from adawac.data.classes import Classes
from adawac.errors import ConfigError, DataError
from adawac.evaluation.predictions import prediction_files
from adawac.io.image_cases import scan_images
from adawac.io.volumes import read_nifti, write_label_nifti

sitk = pytest.importorskip("SimpleITK")


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """A model without a checkpoint."""
    monkeypatch.setattr(predicting, "load", lambda *args: model())
    monkeypatch.setattr(predicting, "_models", lambda runs: {"0" * 16: Path("best.ckpt")})


@pytest.fixture
def image():
    return volumes(1)["case_00"][0][0]


def run(source: Path, **options) -> list[Path]:
    return predict_files([Path("run")], [source], source.parent / "out", **options)


class TestHeaders:
    @pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2), (3, 4), (0, 4)])
    @pytest.mark.parametrize("unit", ["mm", "unknown", "meter"])
    def test_codes_and_places_survive(self, tmp_path, image, codes, unit):
        affine = LPS.copy()
        if unit == "meter":
            affine[:3] /= 1000
        made = nib.Nifti1Image(image.T, None)
        made.header.set_qform(affine, codes[0])
        made.header.set_sform(affine, codes[1])
        made.header.set_xyzt_units(unit)
        (tmp_path / "in").mkdir()
        nib.save(made, tmp_path / "in/a.nii.gz")
        (out,) = run(tmp_path / "in")
        label, source = nib.load(out), nib.load(tmp_path / "in/a.nii.gz")
        assert (int(label.header["qform_code"]), int(label.header["sform_code"])) == codes
        scale = np.diag([1000, 1000, 1000, 1]) if unit == "meter" else np.eye(4)
        np.testing.assert_allclose(label.affine, scale @ source.affine, rtol=1e-5, atol=1e-4)
        assert label.get_data_dtype() == np.uint8
        assert label.header.get_slope_inter() == (None, None)
        assert label.header.get_xyzt_units()[0] == "mm"

    @pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SPL", "PIR", "ASL", "IRP"])
    def test_every_orientation_as_simpleitk_sees_it(self, tmp_path, image, codes):
        lps, due = (nib.orientations.axcodes2ornt(each) for each in ("LPS", codes))
        transform = nib.orientations.ornt_transform(lps, due)
        stored = nib.orientations.apply_orientation(image.T, transform)
        affine = LPS @ nib.orientations.inv_ornt_aff(transform, image.T.shape)
        (tmp_path / "in").mkdir()
        made = nib.Nifti1Image(stored, affine)
        made.set_qform(affine, 1)
        nib.save(made, tmp_path / "in/a.nii.gz")
        (out,) = run(tmp_path / "in")
        label, source = sitk.ReadImage(str(out)), sitk.ReadImage(str(tmp_path / "in/a.nii.gz"))
        for fact in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(label, fact)(), getattr(source, fact)(), atol=1e-4)
        # the same voxels as of the image that lies as it is canonical
        straight = model().predict(read_nifti(tmp_path / "in/a.nii.gz"))
        np.testing.assert_array_equal(read_nifti(out).array[0], straight)

    def test_a_qform_of_its_own(self, tmp_path, image):
        elsewhere = LPS.copy()
        elsewhere[0, 3] += 30
        made = nib.Nifti1Image(image.T, None)
        made.header.set_sform(LPS, 2)
        made.header.set_qform(elsewhere, 1)
        (tmp_path / "in").mkdir()
        nib.save(made, tmp_path / "in/a.nii.gz")
        (out,) = run(tmp_path / "in")
        np.testing.assert_allclose(nib.load(out).get_qform(), elsewhere, atol=1e-5)
        np.testing.assert_allclose(nib.load(out).get_sform(), LPS, atol=1e-5)

    @pytest.mark.parametrize(
        ("values", "dtype"), [((0, 1, 2), np.uint8), ((0, 300, 5), np.int16), ((0, 1, 70000), np.int32)]
    )
    def test_the_smallest_type_that_holds_the_values(self, tmp_path, image, values, dtype):
        save_nifti(tmp_path / "a.nii.gz", image)
        geometry = read_nifti(tmp_path / "a.nii.gz").geometry
        classes = Classes.from_labels({value: str(value) for value in values[1:]} | {0: "background"})
        labels = classes.decode(np.arange(image.size).reshape(image.shape) % 3)
        write_label_nifti(tmp_path / "out.nii.gz", labels, geometry)
        assert nib.load(tmp_path / "out.nii.gz").get_data_dtype() == dtype
        assert set(np.unique(nib.load(tmp_path / "out.nii.gz").dataobj)) == set(values)

    def test_of_other_formats(self, tmp_path, image):
        array = sitk.GetImageFromArray(image)
        array.SetSpacing((0.8, 0.9, 3.0))
        array.SetOrigin((4.0, -5.0, 6.0))
        array.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        (tmp_path / "in").mkdir()
        for ending in ("nrrd", "mha", "mhd"):
            sitk.WriteImage(array, str(tmp_path / f"in/{ending}.{ending}"))
        write_series(tmp_path / "in/series", image.T, LPS)
        for out in run(tmp_path / "in"):
            label = sitk.ReadImage(str(out))
            if out.name.startswith("series"):
                np.testing.assert_allclose(nib.load(out).affine @ [0, 0, 0, 1], LPS[:, 3], atol=1e-3)
                continue
            for fact in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
                np.testing.assert_allclose(getattr(label, fact)(), getattr(array, fact)(), atol=1e-5)

    @pytest.mark.parametrize("shape", [(1, 16, 16), (6, 1, 16), (6, 16, 1)])
    def test_a_single_slice(self, tmp_path, image, shape):
        part = image[: shape[0], : shape[1], : shape[2]]
        save_nifti(tmp_path / "in/a.nii.gz", np.where(np.arange(part.size).reshape(shape) % 2, part, -part - 900))
        (out,) = run(tmp_path / "in")
        assert nib.load(out).shape == shape[::-1]


class TestOneCorruptCase:
    """The others are done, it is named, and the command fails."""

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda path: path.write_bytes(path.read_bytes()[:-60]), "copy it again"),
            (lambda path: path.write_bytes(b""), "not a NIfTI file|copy it again"),
            (lambda path: path.write_text("<html>404</html>"), "a web page"),
            (lambda path: (path.unlink(), path.symlink_to("nowhere.nii.gz")), "a link to nowhere.nii.gz"),
            (lambda path: save_nifti(path, np.ones((6, 16, 16), np.int16)), "shows something"),
            (lambda path: save_nifti(path, np.full((6, 16, 16), np.nan, np.float32)), "NaN or infinite"),
            (lambda path: save_nifti(path, np.stack([volumes(1)["case_00"][0][0]] * 2)), "has 2 channels"),
            (lambda path: save_nifti(path, volumes(1)["case_00"][0][0] + 2000), "no Hounsfield units"),
            (lambda path: save_nifti(path, volumes(1)["case_00"][0][0], (300.0, 1, 1)), "no scanner goes beyond"),
        ],
    )
    def test_of_a_folder(self, tmp_path, image, capsys, monkeypatch, spoil, said):
        for name in "abc":
            save_nifti(tmp_path / f"in/{name}.nii.gz", image + ord(name))
        spoil(tmp_path / "in/b.nii.gz")
        monkeypatch.chdir(tmp_path)
        assert main(["predict", "run", "-i", str(tmp_path / "in"), "-o", "out", "--device", "cpu"]) == 2
        printed = capsys.readouterr()
        assert sorted(path.name for path in Path("out").glob("*.nii.gz")) == ["a.nii.gz", "c.nii.gz"]
        assert "2 label files in out" in printed.out
        assert "case b: " in printed.err
        assert any(part in printed.err for part in said.split("|"))

    def test_a_missing_channel_and_two_of_one_name(self, tmp_path, image, capsys, monkeypatch):
        save_nifti(tmp_path / "in/a.nii.gz", image)
        save_nifti(tmp_path / "in/b_0000.nii.gz", image)
        save_nifti(tmp_path / "in/b_0002.nii.gz", image)
        save_nifti(tmp_path / "in/c.nii.gz", image)
        save_nifti(tmp_path / "in/c.nii", image)
        (tmp_path / "in/d.mnc").write_text("x")
        monkeypatch.chdir(tmp_path)
        assert main(["predict", "run", "-i", "in", "-o", "out", "--device", "cpu"]) == 2
        printed = capsys.readouterr()
        assert [path.name for path in Path("out").glob("*.nii.gz")] == ["a.nii.gz"]
        assert "channel b_0001 is missing; add its file" in printed.err
        assert "case c: c.nii and c.nii.gz are the same image; keep one of them" in printed.err
        assert "in: not read: d.mnc" in printed.out

    def test_a_series_beside_images(self, tmp_path, image):
        save_nifti(tmp_path / "in/a.nii.gz", image)
        files = write_series(tmp_path / "in/b", image.T, LPS)
        files[2].unlink()
        with pytest.raises(DataError, match=r"case b: .*slices are 1 missing between"):
            run(tmp_path / "in")
        assert (tmp_path / "out/a.nii.gz").exists()

    def test_from_python(self, tmp_path, image):
        save_nifti(tmp_path / "in/a.nii.gz", image)
        save_nifti(tmp_path / "in/b_0000.nii.gz", image)
        save_nifti(tmp_path / "in/b_0002.nii.gz", image)
        one = object.__new__(Run)
        one.folder = type("Folder", (), {"path": tmp_path / "run"})()
        with pytest.raises(DataError, match="channel b_0001 is missing"):
            one.predict(tmp_path / "in", tmp_path / "out", device="cpu")
        assert (tmp_path / "out/a.nii.gz").exists()

    def test_nothing_but_what_is_not_read(self, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in/a.mnc").write_text("x")
        with pytest.raises(DataError, match=r"no image there.*\(not read: a.mnc: convert the files\)"):
            scan_images(tmp_path / "in")

    def test_notes_are_told(self, tmp_path, image, capsys):
        save_nifti(tmp_path / "in/a.nii.gz", np.where(image < -900, -32768, image))
        run(tmp_path / "in")
        assert "note: case a: voxels of -32768 are taken for padding, as air of -1024 HU" in capsys.readouterr().out
        assert json.loads((tmp_path / "out/predictions.json").read_text())["models"]


class TestNamesOfProbabilities:
    """`a_probabilities` is what `a` may be, and a name like others where there is no `a`."""

    def test_of_a_case_and_another_are_refused(self, tmp_path, image):
        for name in ("a", "a_probabilities"):
            save_nifti(tmp_path / f"in/{name}.nii.gz", image)
        with pytest.raises(
            ConfigError, match=r"case a: its probabilities are called as the label of case a_prob.*rename"
        ):
            run(tmp_path / "in")

    def test_of_a_case_alone_is_measured(self, tmp_path, image):
        save_nifti(tmp_path / "in/a_probabilities.nii.gz", image)
        run(tmp_path / "in")
        assert list(prediction_files(tmp_path / "out")) == ["a_probabilities"]
        run(tmp_path / "in", probabilities=True)
        assert list(prediction_files(tmp_path / "out")) == ["a_probabilities"]
