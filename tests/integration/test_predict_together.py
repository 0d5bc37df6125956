"""`adawac predict` with several models, clean-up, probabilities and pictures; what a folder of labels remembers."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy import ndimage
from tiny_data import make_case, save_nifti

import adawac
from adawac.cli import main
from adawac.data.classes import Classes
from adawac.data.facts import DataFacts
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import PatchUnit
from adawac.errors import ConfigError
from adawac.evaluation.predictions import prediction_files
from adawac.inference.segmenter import Segmenter
from adawac.io.volumes import read_nifti
from adawac.networks import NetworkSpec
from adawac.runs.checkpoint import NETWORK, RECIPE, Recipe

UNET = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"})
DEEPER = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8, 8], "strides": [2, 2], "norm": "INSTANCE"})
CLASSES = Classes.from_labels({0: "background", 2: "left_kidney", 5: "right_kidney"})
SEEN = Preprocessing("ct", grid=Grid(size=(32, 32), spacing=(1.0, 1.0)))
LEARNED = Recipe(UNET, DataFacts(1, CLASSES, (0, 2, 1), SEEN))
"""The training grid covers 32 mm of planes that are wider."""


def save(path: Path, recipe: Recipe = LEARNED, seed: int = 0) -> Path:
    """A checkpoint of a network with random weights, which finds specks of everything everywhere."""
    torch.manual_seed(seed)
    weights = {f"{NETWORK}{name}": value for name, value in recipe.build_network().state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({RECIPE: recipe.to_json(), "state_dict": weights}, path)
    return path


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("one") / "run/checkpoints/best.ckpt", seed=1).parents[1]


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Another network and other weights; the same task."""
    return save(tmp_path_factory.mktemp("other") / "other.ckpt", replace(LEARNED, network=DEEPER), seed=2)


@pytest.fixture
def images(tmp_path) -> Path:
    """Two patients, a wide plane each."""
    for number in (1, 2):
        image, _ = make_case(np.random.default_rng(number), (6, 40, 48))
        save_nifti(tmp_path / f"in/pt_{number}.nii.gz", image[0], spacing=(3.0, 0.9, 0.8))
    return tmp_path / "in"


def predict(*runs: Path, images: Path, options: tuple[str, ...] = ()) -> int:
    output = images.parent / "out"
    return main(["predict", *map(str, runs), "-i", str(images), "-o", str(output), "--device", "cpu", *options])


def labels(images: Path) -> list[np.ndarray]:
    return [read_nifti(images.parent / f"out/pt_{number}.nii.gz").array[0] for number in (1, 2)]


class TestEnsemble:
    def test_probabilities_are_the_mean_of_the_members(self, one, other, images):
        volume = read_nifti(images / "pt_1.nii.gz")
        for flip in (False, True):
            alone = [
                adawac.load(run).classify(volume, flip_left_right=flip, probabilities=True).probabilities
                for run in (one, other)
            ]
            both = adawac.load([one, other]).classify(volume, flip_left_right=flip, probabilities=True)
            assert both.probabilities.dtype == np.float16
            assert np.allclose(both.probabilities, np.mean(alone, axis=0, dtype=np.float32), atol=1e-3)
            assert not np.allclose(*alone, atol=0.01)  # or the mean would show nothing

    def test_command_and_python_agree_and_order_does_not_matter(self, one, other, images):
        assert predict(one, other, images=images) == 0
        found = labels(images)
        volume = read_nifti(images / "pt_1.nii.gz")
        assert np.array_equal(found[0], adawac.load([str(one), other]).predict(volume))
        assert not np.array_equal(found[0], adawac.load(one).predict(volume))
        assert set(np.unique(found[0])) == {0, 2, 5}
        assert predict(other, one, images=images) == 0  # nothing has changed: kept

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"classes": Classes.from_labels({1: "liver", 2: "spleen"})}, r"classes.names is .*spleen.* is due"),
            ({"classes": Classes.from_labels({2: "left_kidney", 7: "right_kidney"})}, r"classes.values is \(0, 2, 7\)"),
            ({"in_channels": 2}, "channels is 2 but 1 is due"),
            (
                {"preprocessing": Preprocessing("mr", grid=SEEN.grid)},
                "modality is mr but ct is due",
            ),
        ],
    )
    def test_models_of_other_tasks_are_refused(self, one, tmp_path, change, named):
        other = save(tmp_path / "other.ckpt", replace(LEARNED, data=replace(LEARNED.data, **change)))
        with pytest.raises(ConfigError, match=rf"other.ckpt cannot be averaged with .*run: .*{named}.*; give runs"):
            adawac.load([one, other])

    @pytest.mark.parametrize(
        "change",
        [
            {"unit": PatchUnit((4, 32, 32), 0.5)},
            {"preprocessing": replace(SEEN, axis="coronal")},
            {"preprocessing": replace(SEEN, window=(-100.0, 300.0))},
            {"preprocessing": Preprocessing("ct", grid=Grid((16, 16)))},
            {"preprocessing": Preprocessing("ct", grid=Grid((48, 32), (1.0, 1.0), body=True))},
            {"mirror_table": None},
        ],
        ids=["3D", "axis", "window", "plane", "body", "mirror"],
    )
    def test_plans_that_differ_meet_on_the_image_s_own_grid(self, one, other, tmp_path, images, change):
        """Three models, two of one plan: each counts a third, also where the other has a network of its own."""
        third = save(tmp_path / "third.ckpt", replace(LEARNED, data=replace(LEARNED.data, **change)), seed=3)
        volume = read_nifti(images / "pt_1.nii.gz")
        alone = [adawac.load(run).classify(volume, probabilities=True).probabilities for run in (one, other, third)]
        mean = np.mean(np.stack(alone).astype(np.float64), axis=0)
        found = adawac.load([one, third, other]).classify(volume, probabilities=True)
        assert found.probabilities.dtype == np.float16
        assert np.allclose(found.probabilities, mean, atol=2e-3)
        assert not np.allclose(alone[2], mean, atol=0.01)
        first, second = np.sort(mean, axis=0)[[-1, -2]]
        assert np.array_equal(found.preds[first - second > 4e-3], mean.argmax(0)[first - second > 4e-3])
        assert predict(one, other, third, images=images) == 0
        labels_of_three = adawac.load([one, other, third]).predict(volume)
        assert np.array_equal(labels(images)[0], labels_of_three)
        assert labels_of_three.dtype == adawac.load(one).predict(volume).dtype

    def test_a_plan_without_left_and_right_is_not_flipped(self, one, tmp_path, images, capsys):
        sagittal = replace(LEARNED, data=replace(LEARNED.data, preprocessing=replace(SEEN, axis="sagittal")))
        third = save(tmp_path / "third.ckpt", sagittal)
        assert predict(one, third, images=images, options=("--flip",)) == 2
        assert "sagittal slices do not show left and right" in capsys.readouterr().err
        assert not (images.parent / "out").exists()

    def test_what_every_plan_cleans_up_is_cleaned(self, tmp_path, images):
        volume = read_nifti(images / "pt_1.nii.gz")
        axes = {"axial": ("left_kidney", "right_kidney"), "coronal": ("right_kidney",)}
        paths = []
        for seed, (axis, cleaned) in enumerate(axes.items()):
            seen = replace(LEARNED.data, preprocessing=replace(SEEN, axis=axis))
            paths.append(save(tmp_path / f"{axis}.ckpt", replace(LEARNED, data=seen, largest_component=cleaned), seed))
        found = adawac.load(paths).predict(volume)
        assert parts(found, 5) == 1
        assert parts(found, 2) > 1

    def test_one_model_twice(self, one, images, capsys):
        assert predict(one, one / "checkpoints/best.ckpt", images=images) == 2
        assert "are one model, which would count twice; give each model once" in capsys.readouterr().err

    def test_no_model(self):
        with pytest.raises(ConfigError, match="run is empty; name a checkpoint"):
            adawac.load([])


class TestLargestComponent:
    def test_of_one_organ_and_of_all(self, one, images):
        volume, model = read_nifti(images / "pt_1.nii.gz"), adawac.load(one)
        raw = model.predict(volume)
        assert min(parts(raw, 2), parts(raw, 5)) > 1
        right = model.predict(volume, largest_component="right_kidney")
        assert (parts(right, 2), parts(right, 5)) == (parts(raw, 2), 1)
        assert predict(one, images=images, options=("--largest-component", "all")) == 0
        cleaned = labels(images)[0]
        assert (parts(cleaned, 2), parts(cleaned, 5)) == (1, 1)
        assert np.array_equal(cleaned[cleaned > 0], raw[cleaned > 0])

    def test_organ_that_is_not_there(self, one, images, capsys):
        assert predict(one, images=images, options=("--largest-component", "left_kidney", "tail")) == 2
        said = capsys.readouterr().err
        assert "tail is no organ of this model; choose from left_kidney, right_kidney, or give all" in said
        assert not (images.parent / "out").exists()


def parts(array: np.ndarray, value: int) -> int:
    return ndimage.label(array == value, np.ones((3, 3, 3)))[1]


class TestProbabilities:
    def test_lie_on_the_file_s_own_grid(self, one, images):
        """In a file with other axes than the canonical ones, and beyond the training grid."""
        image = nib.load(images / "pt_1.nii.gz")
        turned = nib.as_closest_canonical(image).slicer[:, ::-1]
        nib.save(turned, images / "pt_1.nii.gz")
        turned = nib.load(images / "pt_1.nii.gz")
        assert predict(one, images=images, options=("--probabilities",)) == 0
        written = nib.load(images.parent / "out/pt_1_probabilities.nii.gz")
        label = nib.load(images.parent / "out/pt_1.nii.gz")
        assert written.shape == (*turned.shape, 3)
        assert written.get_data_dtype() == np.float32
        assert np.array_equal(written.affine, label.affine)
        assert np.array_equal(label.affine, turned.affine)
        found = np.asarray(written.dataobj)
        assert np.allclose(found.sum(-1), 1, atol=2e-3)
        agree = np.array([0, 2, 5])[found.argmax(-1)] == np.asarray(label.dataobj)
        assert agree.mean() > 0.999  # but for ties of half precision
        assert (found[0, :, :, 0] == 1).all()  # left of the grid
        assert (found[24, 20] < 1).all()

    def test_labels_are_the_same_with_and_without(self, one, images):
        assert predict(one, images=images) == 0
        without = labels(images)
        assert predict(one, images=images, options=("--probabilities", "--overwrite")) == 0
        assert all(np.array_equal(*pair) for pair in zip(without, labels(images), strict=True))

    def test_are_no_predictions_to_evaluate(self, one, images):
        assert predict(one, images=images, options=("--probabilities", "--pictures")) == 0
        assert set(prediction_files(images.parent / "out")) == {"pt_1", "pt_2"}


class TestPictures:
    def test_show_labels(self, one, images):
        assert predict(one, images=images, options=("--pictures",)) == 0
        for number in (1, 2):
            shown = imread(images.parent / f"out/pt_{number}.png")[..., :3]
            assert shown.shape[:2] == (540, 1500)
            assert (np.ptp(shown, axis=-1) > 0.2).sum() > 100  # coloured outlines over grey

    def test_nothing_found(self, tmp_path, images):
        path = save(tmp_path / "blind.ckpt")
        checkpoint = torch.load(path)
        for name, value in checkpoint["state_dict"].items():
            if value.shape == (3,):  # bias of the last layer
                checkpoint["state_dict"][name] = torch.tensor([99.0, 0, 0])
        torch.save(checkpoint, path)
        assert predict(path, images=images, options=("--pictures", "--largest-component", "all")) == 0
        assert not labels(images)[0].any()
        assert (images.parent / "out/pt_1.png").stat().st_size > 1000


class TestFolder:
    def test_a_stopped_run_goes_on(self, one, images, monkeypatch, capsys):
        classify, seen = Segmenter.classify, []

        def stopped(self, volume, case, *rest):
            seen.append(case)
            if len(seen) == 2:
                raise KeyboardInterrupt
            return classify(self, volume, case, *rest)

        monkeypatch.setattr(Segmenter, "classify", stopped)
        assert predict(one, images=images) == 130
        first = images.parent / "out/pt_1.nii.gz"
        before = first.stat().st_mtime_ns
        assert [path.name for path in first.parent.glob("*pt_*")] == ["pt_1.nii.gz"]
        capsys.readouterr()
        assert predict(one, images=images) == 0
        assert "1 of 2 cases are finished" in capsys.readouterr().out
        assert seen == ["pt_1", "pt_2", "pt_2"]
        assert first.stat().st_mtime_ns == before

    def test_what_is_added_is_made_for_finished_cases_too(self, one, images):
        assert predict(one, images=images) == 0
        before = labels(images)
        assert predict(one, images=images, options=("--pictures",)) == 0
        assert (images.parent / "out/pt_2.png").exists()
        assert all(np.array_equal(*pair) for pair in zip(before, labels(images), strict=True))

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (("--flip",), "settings.flip False, not True"),
            (("--largest-component", "all"), "settings.largest_component [], not ['left_kidney', 'right_kidney']"),
        ],
    )
    def test_other_settings_are_refused(self, one, images, capsys, options, named):
        assert predict(one, images=images) == 0
        before = labels(images)
        assert predict(one, images=images, options=options) == 2
        said = capsys.readouterr().err
        assert named in said
        assert "give another folder, or --overwrite" in said
        assert all(np.array_equal(*pair) for pair in zip(before, labels(images), strict=True))
        assert predict(one, images=images, options=(*options, "--overwrite")) == 0
        assert not np.array_equal(before[0], labels(images)[0])
        assert predict(one, images=images, options=options) == 0

    def test_another_model_is_refused(self, one, other, images, capsys):
        assert predict(one, images=images) == 0
        assert predict(one, other, images=images) == 2
        assert "the labels there were made with models ['" in capsys.readouterr().err
        record = json.loads((images.parent / "out/predictions.json").read_text())
        (digest,) = record["models"]
        assert record["checkpoints"] == {digest: "best.ckpt"}  # and not in whose folder

    def test_overwriting_leaves_no_mixture(self, one, other, images, capsys):
        assert predict(one, images=images, options=("--pictures",)) == 0
        (images / "pt_2.nii.gz").rename(images.parent / "pt_2.nii.gz")
        assert predict(other, images=images, options=("--overwrite",)) == 2
        assert "labels of other cases lie there (pt_2): move them away" in capsys.readouterr().err
        assert predict(one, images=images, options=("--overwrite",)) == 0  # as the others were made: no mixture
        assert not (images.parent / "out/pt_1.png").exists()  # the picture of a label that is no more
        (images.parent / "out/pt_2.nii.gz").unlink()
        assert predict(other, images=images, options=("--overwrite",)) == 0

    @pytest.mark.parametrize("options", [(), ("--overwrite",)])
    def test_of_two_models_at_once_one_has_the_folder(self, one, other, images, monkeypatch, capsys, options):
        classify = Segmenter.classify

        def another_meanwhile(self, *arguments):
            monkeypatch.setattr(Segmenter, "classify", classify)
            assert predict(other, images=images, options=options) == 0
            return classify(self, *arguments)

        monkeypatch.setattr(Segmenter, "classify", another_meanwhile)
        assert predict(one, images=images) == 2
        assert "claimed by another process: the labels there were made with models" in capsys.readouterr().err
        there = labels(images)
        assert predict(other, images=images, options=("--overwrite",)) == 0
        assert all(np.array_equal(*pair) for pair in zip(there, labels(images), strict=True))

    @pytest.mark.parametrize("content", [None, "{", '{"models": []}', "[]"])
    def test_labels_of_unknown_origin(self, one, images, capsys, content):
        (images.parent / "out").mkdir()
        save_nifti(images.parent / "out/pt_9.nii.gz", np.zeros((2, 3, 4), np.uint8))
        if content is not None:
            (images.parent / "out/predictions.json").write_text(content)
        assert predict(one, images=images) == 2
        said = capsys.readouterr().err
        assert ("no predictions.json that says which model" if content is None else "cannot be read") in said
