"""`adawac predict`: labels on the input's own grid, whatever its orientation, with a checkpoint and nothing else."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from nibabel import orientations
from tiny_data import make_case, save_nifti, write_msd
from tiny_run import ADAMW, tiny_settings, write_config

import adawac
from adawac.cli import main
from adawac.errors import DataError
from adawac.inference.prediction_folder import MANIFEST
from adawac.io.image_cases import find_images
from adawac.io.volumes import read_nifti

SPACING = (3.0, 0.9, 0.8)


def fit(folder: Path, channels: int = 1, epochs: int = 1, **data_options) -> Path:
    """Fit a tiny network and return the run's folder; the data are gone afterwards."""
    write_msd(folder / "data", cases=4, shape=(8, 32, 32), channels=channels)
    settings = tiny_settings(folder / "run", folder / "data", test=0.0)
    settings["trainer"] |= {"max_epochs": epochs, "check_val_every_n_epoch": epochs}
    settings["data"] |= {"batch_size": 6, **data_options}
    settings["model"]["network"]["arguments"]["channels"] = [8, 16]
    settings["model"] |= {"weighting": "ERM", "augmentation": "NoAugmentation", "optimizer": ADAMW}
    assert main(["fit", "--config", str(write_config(folder / "run", settings))]) == 0
    shutil.rmtree(folder / "data")
    shutil.rmtree(folder / "store")
    return folder / "run/runs/tiny/version_0"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A network that has learnt the blobs."""
    return fit(tmp_path_factory.mktemp("run"), epochs=16, mirror_pairs={"left_kidney": "right_kidney"})


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory) -> Path:
    """A network of two channels and one organ, whose label on disk is 2."""
    return fit(tmp_path_factory.mktemp("two"), channels=2, epochs=4, drop=["left_kidney"])


@pytest.fixture(scope="module")
def case():
    """Canonical image (1, Z, Y, X) and label (Z, Y, X) of a patient whom the network has not seen."""
    return make_case(np.random.default_rng(99), (9, 40, 36))


def save(path: Path, canonical, codes: str = "LPS", degrees: float = 0.0, header_codes=(1, 1)) -> nib.Nifti1Image:
    """Save a canonical (Z, Y, X) array with file axes of an orientation, turned in space by some degrees."""
    z, y, x = SPACING
    affine = np.array([[-x, 0, 0, 12.5], [0, -y, 0, -7], [0, 0, z, 100], [0, 0, 0, 1.0]])
    transform = orientations.ornt_transform(orientations.axcodes2ornt("LPS"), orientations.axcodes2ornt(codes))
    array = orientations.apply_orientation(canonical.T, transform)
    affine = affine @ orientations.inv_ornt_aff(transform, canonical.T.shape)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine[:3] = turn @ tilt @ affine[:3]
    image = nib.Nifti1Image(array, None)
    image.set_sform(affine, header_codes[1])
    image.set_qform(affine, header_codes[0])
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return nib.load(path)


def predict(run: Path, source: Path, output: Path, *options: str) -> int:
    return main(["predict", str(run), "-i", str(source), "-o", str(output), "--device", "cpu", *options])


def names(folder: Path) -> list[str]:
    """Of what was made of the cases; the record of what made them left out."""
    return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)


class TestGrid:
    @pytest.mark.parametrize(
        ("codes", "degrees", "header_codes"),
        [
            ("LPS", 0, (1, 1)),
            ("RAS", 0, (0, 2)),
            ("SPL", 0, (1, 0)),
            ("PIR", 0, (1, 2)),
            ("ASL", 17, (2, 4)),
            ("RPI", -30, (1, 1)),
        ],
    )
    def test_label_lies_on_the_input_s_own_grid(self, run, case, tmp_path, codes, degrees, header_codes):
        image = save(tmp_path / "in/pt.nii.gz", case[0][0], codes, degrees, header_codes)
        assert predict(run, tmp_path / "in", tmp_path / "out") == 0
        label = nib.load(tmp_path / "out/pt.nii.gz")
        assert label.shape == image.shape
        assert np.array_equal(label.affine, image.affine)
        assert np.allclose(label.header.get_zooms(), image.header.get_zooms())
        assert label.header["qform_code"] == header_codes[0]
        assert label.header["sform_code"] == header_codes[1]
        if header_codes[0]:
            assert np.allclose(label.get_qform(), image.get_qform(), atol=1e-4)
        assert np.asanyarray(label.dataobj).dtype == np.uint8

    @pytest.mark.parametrize(("codes", "degrees"), [("RAS", 0), ("SPL", 0), ("PIR", 0), ("LAI", 0), ("ASL", 25)])
    def test_orientation_does_not_change_what_is_seen(self, run, case, tmp_path, codes, degrees):
        """The same patient, stored with other axes or lying askew in the scanner, gets the same labels."""
        save(tmp_path / "in/plain.nii.gz", case[0][0], "LPS")
        save(tmp_path / "in/other.nii.gz", case[0][0], codes, degrees)
        assert predict(run, tmp_path / "in", tmp_path / "out") == 0
        plain, other = (read_nifti(tmp_path / f"out/{name}.nii.gz").array[0] for name in ("plain", "other"))
        assert np.array_equal(plain, other)
        if not degrees:  # through nibabel's own eyes as well
            one, two = (nib.as_closest_canonical(nib.load(tmp_path / f"out/{n}.nii.gz")) for n in ("plain", "other"))
            assert np.array_equal(np.asanyarray(one.dataobj), np.asanyarray(two.dataobj))
            assert np.allclose(one.affine, two.affine, atol=1e-4)

    def test_labels_are_right(self, run, case, tmp_path):
        """In place and on the right side: left stays left."""
        image, target = case
        save(tmp_path / "pt.nii.gz", image[0], "RAS")
        assert predict(run, tmp_path / "pt.nii.gz", tmp_path / "out") == 0
        preds = read_nifti(tmp_path / "out/pt.nii.gz").array[0]
        for k in (1, 2):
            overlap = 2 * ((preds == k) & (target == k)).sum() / ((preds == k).sum() + (target == k).sum())
            assert overlap > 0.6, (k, overlap)

    def test_python_gives_what_the_command_gives(self, run, case, tmp_path):
        save(tmp_path / "in/pt.nii.gz", case[0][0], "PIR")
        segmenter, volume = adawac.load(run), read_nifti(tmp_path / "in/pt.nii.gz")
        found = []
        for flip in (False, True):
            options = ("--overwrite", "--flip") if flip else ()
            assert predict(run, tmp_path / "in", tmp_path / "out", *options) == 0
            found.append(read_nifti(tmp_path / "out/pt.nii.gz").array[0])
            assert np.array_equal(segmenter.predict(volume, flip_left_right=flip), found[-1])
        assert not np.array_equal(*found)

    def test_it_is_told_where_a_run_was_measured_with_mirrored_slices(self, run, case, tmp_path, capsys):
        other = shutil.copytree(run, tmp_path / "runs/flips/version_0")
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["model"]["flip_left_right"] = True
        (other / "config.yaml").write_text(yaml.safe_dump(config))
        save(tmp_path / "pt.nii.gz", case[0][0], "RAS")
        said = "note: flips/version_0/checkpoints/best.ckpt: `test` averages with mirrored slices"
        for model, options, told in ((other, (), True), (other, ("--flip", "--overwrite"), False), (run, (), False)):
            assert predict(model, tmp_path / "pt.nii.gz", tmp_path / f"out of {model.parent.name}", *options) == 0
            assert (said in capsys.readouterr().out) == told


class TestFiles:
    def test_a_file_and_a_folder(self, run, case, tmp_path, capsys):
        save_nifti(tmp_path / "in/pt_1.nii.gz", case[0][0])
        save_nifti(tmp_path / "in/pt_2.nii", case[0][0])
        (tmp_path / "in/._pt_1.nii.gz").write_bytes(b"left by macOS")
        (tmp_path / "in/notes.txt").write_text("no image")
        assert predict(run, tmp_path / "in/pt_2.nii", tmp_path / "one") == 0
        assert names(tmp_path / "one") == ["pt_2.nii.gz"]
        assert predict(run, tmp_path / "in", tmp_path / "all/labels") == 0
        assert names(tmp_path / "all/labels") == ["pt_1.nii.gz", "pt_2.nii.gz"]
        said = capsys.readouterr().out
        assert f"1 label file in {tmp_path / 'one'}\n" in said
        assert f"2 label files in {tmp_path / 'all/labels'}\n" in said
        one, both = tmp_path / "one/pt_2.nii.gz", tmp_path / "all/labels/pt_2.nii.gz"
        assert one.read_bytes() == both.read_bytes()

    def test_bad_files_are_named_and_do_not_stop_the_others(self, run, case, tmp_path, capsys):
        image = case[0][0]
        save_nifti(tmp_path / "in/a.nii.gz", image)
        save_nifti(tmp_path / "in/z.nii.gz", image)
        (tmp_path / "in/cut.nii.gz").write_bytes((tmp_path / "in/a.nii.gz").read_bytes()[:5000])
        save_nifti(tmp_path / "in/nan.nii.gz", np.where(image > 200, np.nan, image.astype(np.float32)))
        save_nifti(tmp_path / "in/rgb.nii.gz", np.stack([image] * 3))
        assert predict(run, tmp_path / "in", tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert "3 problems" in said
        assert "case cut" in said
        assert "copy it again" in said
        assert "case nan" in said
        assert "NaN or infinite but intensities must be finite; repair" in said
        assert "case rgb: the image has 3 channels, but the model was trained on 1" in said
        assert names(tmp_path / "out") == ["a.nii.gz", "z.nii.gz"]

    def test_what_is_there_is_kept_unless_told_otherwise(self, run, case, tmp_path, capsys):
        save_nifti(tmp_path / "in/a.nii.gz", case[0][0])
        assert predict(run, tmp_path / "in", tmp_path / "out") == 0
        save_nifti(tmp_path / "in/b.nii.gz", case[0][0])
        nib.save(nib.Nifti1Image(np.ones((36, 40, 9), np.uint8), np.eye(4)), tmp_path / "out/a.nii.gz")  # by hand
        mine = (tmp_path / "out/a.nii.gz").read_bytes()
        capsys.readouterr()
        assert predict(run, tmp_path / "in", tmp_path / "out") == 0
        assert "1 of 2 cases are finished" in capsys.readouterr().out
        assert (tmp_path / "out/a.nii.gz").read_bytes() == mine
        assert (tmp_path / "out/b.nii.gz").stat().st_size > 100
        assert predict(run, tmp_path / "in", tmp_path / "out", "--overwrite") == 0
        assert (tmp_path / "out/a.nii.gz").read_bytes() == (tmp_path / "out/b.nii.gz").read_bytes()

    def test_images_are_never_replaced_by_labels(self, run, case, tmp_path, capsys):
        save_nifti(tmp_path / "in/a.nii.gz", case[0][0])
        before = (tmp_path / "in/a.nii.gz").read_bytes()
        assert predict(run, tmp_path / "in", tmp_path / "in/../in", "--overwrite") == 2
        assert "give another folder" in capsys.readouterr().err
        assert (tmp_path / "in/a.nii.gz").read_bytes() == before

    def test_output_is_a_folder(self, run, case, tmp_path, capsys):
        save_nifti(tmp_path / "a.nii.gz", case[0][0])
        assert predict(run, tmp_path / "a.nii.gz", tmp_path / "label.nii.gz") == 2
        assert "give a folder" in capsys.readouterr().err
        assert names(tmp_path) == ["a.nii.gz"]

    @pytest.mark.parametrize("source", ["nowhere", "empty", "notes.txt"])
    def test_nothing_to_segment(self, run, tmp_path, capsys, source):
        (tmp_path / "empty").mkdir()
        (tmp_path / "notes.txt").write_text("no image")
        assert predict(run, tmp_path / source, tmp_path / "out") == 2
        assert "no image there; give a NIfTI, NRRD, MHA, MHD or MGZ file" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_no_model(self, case, tmp_path, capsys):
        save_nifti(tmp_path / "a.nii.gz", case[0][0])
        assert predict(tmp_path, tmp_path / "a.nii.gz", tmp_path / "out") == 2
        assert "neither a checkpoint nor a run folder" in capsys.readouterr().err

    def test_no_such_device(self, run, case, tmp_path, capsys):
        save_nifti(tmp_path / "a.nii.gz", case[0][0])
        assert predict(run, tmp_path / "a.nii.gz", tmp_path / "out", "--device", "toaster") == 2
        assert "give another, such as cpu" in capsys.readouterr().err


def test_the_checkpoint_alone_is_enough(run, case, tmp_path, monkeypatch):
    """Copied elsewhere, without its configuration; the data and the prepared volumes are long gone."""
    save_nifti(tmp_path / "in/a.nii.gz", case[0][0])
    shutil.copy(run / "checkpoints/best.ckpt", tmp_path / "alone.ckpt")
    shutil.copytree(run, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    labels = []
    for number, model in enumerate((run, Path("moved"), Path("alone.ckpt"))):
        assert predict(model, Path("in/a.nii.gz"), Path(f"out_{number}")) == 0
        labels.append(Path(f"out_{number}/a.nii.gz").read_bytes())
    assert labels[0] == labels[1] == labels[2]


class TestChannels:
    def save_pair(self, folder, name, image):
        for i, channel in enumerate(image):
            save_nifti(folder / f"{name}_{i:04d}.nii.gz", channel)

    def test_files_of_one_case_are_its_channels(self, two_channels, tmp_path):
        image, target = make_case(np.random.default_rng(99), (9, 40, 36), channels=2)
        self.save_pair(tmp_path / "in", "pt_7", image)
        self.save_pair(tmp_path / "in", "pt_8", image[::-1])
        save_nifti(tmp_path / "in/both.nii.gz", image)  # or one file with both
        assert predict(two_channels, tmp_path / "in", tmp_path / "out") == 0
        assert names(tmp_path / "out") == ["both.nii.gz", "pt_7.nii.gz", "pt_8.nii.gz"]
        both, right, swapped = (read_nifti(tmp_path / "out" / name).array[0] for name in names(tmp_path / "out"))
        assert np.array_equal(both, right)
        assert not np.array_equal(right, swapped)
        assert set(np.unique(right)) == {0, 2}  # the label values of the data, not class indices
        assert ((right == 2) & (target == 2)).sum() > 0.5 * (target == 2).sum()

    def test_channels_that_do_not_fit_are_named(self, two_channels, tmp_path, capsys):
        image, _ = make_case(np.random.default_rng(99), (9, 40, 36), channels=2)
        self.save_pair(tmp_path / "in", "good", image)
        save_nifti(tmp_path / "in/askew_0000.nii.gz", image[0])
        save_nifti(tmp_path / "in/askew_0001.nii.gz", image[1, :-1])
        save_nifti(tmp_path / "in/single_0000.nii.gz", image[0])
        assert predict(two_channels, tmp_path / "in", tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert "/askew_0001.nii.gz has shape (8, 40, 36)" in said
        assert "all channels of a case must share the grid" in said
        assert "case single: the image has 1 channels, but the model was trained on 2" in said
        assert names(tmp_path / "out") == ["good.nii.gz"]

    def found(self, folder, *files):
        for name in files:
            (folder / name).touch()
        return {case: [path.name for path in paths] for case, paths in find_images(folder).items()}

    def test_years_are_no_channels(self, tmp_path):
        files = ["pt_2019.nii.gz", "pt_2020.nii.gz", "pt_2020_0000.nii.gz"]
        assert self.found(tmp_path, *files[:2]) == {"pt_2019": [files[0]], "pt_2020": [files[1]]}
        with pytest.raises(DataError, match=r"pt_2020.nii.gz and pt_2020_0000.nii.gz are the same image; keep one"):
            self.found(tmp_path, files[2])

    def test_channels_are_in_order(self, tmp_path):
        files = [f"pt_{i:04d}.nii.gz" for i in range(12)]
        assert self.found(tmp_path, *reversed(files), "other.nii") == {"other": ["other.nii"], "pt": files}

    def test_missing_channel(self, tmp_path):
        with pytest.raises(DataError, match="case pt: channel pt_0001 is missing; add its file"):
            self.found(tmp_path, "pt_0000.nii.gz", "pt_0002.nii.gz")

    def test_one_image_twice(self, tmp_path):
        with pytest.raises(DataError, match=r"case a: a.nii and a.nii.gz are the same image; keep one of them"):
            self.found(tmp_path, "a.nii.gz", "a.nii")


def test_labels_of_other_images_of_the_same_names_are_not_kept_for_these(run, tmp_path, capsys):
    for place, seed in (("a", 1), ("b", 2)):
        image, _ = make_case(np.random.default_rng(seed), (9, 40, 36))
        save(tmp_path / place / "001.nii.gz", image[0])
    given = [str(run), "-o", str(tmp_path / "out"), "-i"]
    label = tmp_path / "out/001.nii.gz"
    assert main(["predict", *given, str(tmp_path / "a")]) == 0
    first = label.read_bytes()
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    assert main(["predict", *given, str(tmp_path / "moved")]) == 0  # the same image, wherever it lies
    assert "1 of 1 cases are finished" in capsys.readouterr().out
    assert main(["predict", *given, str(tmp_path / "b")]) == 2
    assert "labels of 001 were made of other images of these names; give another folder" in capsys.readouterr().err
    assert label.read_bytes() == first
    label.write_bytes(b"")  # as a machine that lost its power leaves it
    assert main(["predict", *given, str(tmp_path / "a")]) == 0
    assert label.read_bytes() == first
    assert main(["predict", *given, str(tmp_path / "b"), "--overwrite"]) == 0
    assert label.read_bytes() != first


def test_predictions_of_a_model_that_joins_or_lacks_classes_say_so(tmp_path, caplog):
    """The numbers by NumPy: what is called left_kidney is a kidney of either side."""
    lacking = fit(tmp_path / "lacking", epochs=1, drop=["left_kidney"])
    joining = fit(tmp_path / "joining", epochs=1, merge={"kidney": ["left_kidney", "right_kidney"]})
    references = {"0": "background", "1": "left_kidney", "2": "right_kidney"}
    write_msd(tmp_path / "data", cases=2, shape=(8, 32, 32), seed=9)
    for run, said in (
        (lacking, "its model was trained without left_kidney, and 0 counts for it in the means"),
        (joining, "its model was trained on left_kidney, right_kidney as one class (kidney)"),
    ):
        out = tmp_path / run.parents[3].name / "out"
        assert main(["predict", str(run), "-i", str(tmp_path / "data/imagesTr"), "-o", str(out)]) == 0
        assert json.loads((out / MANIFEST).read_text())["classes"].keys() == references.keys()
        report = adawac.evaluate({"a": out}, labels=tmp_path / "data/labelsTr")
        assert said in caplog.text
        label, preds = (
            np.asarray(nib.load(each / "pt_1.nii.gz").dataobj) for each in (tmp_path / "data/labelsTr", out)
        )
        dice = {
            row.class_name: row.value
            for row in report.cases
            if (row.case, row.metric, row.group) == ("pt_1", "dice", "all")
        }
        for value, name in ((1, "left_kidney"), (2, "right_kidney")):
            due = 2 * ((label == value) & (preds == value)).sum() / ((label == value).sum() + (preds == value).sum())
            assert dice[name] == pytest.approx(due)
