"""`adawac export`: an exported network predicts what its checkpoint does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from monai.data import MetaTensor
from nibabel import orientations
from scipy import ndimage
from tiny_data import make_case, save_nifti, write_msd
from tiny_run import ADAMW, tiny_settings, write_config

import adawac
from adawac.cli import main
from adawac.data.classes import Classes
from adawac.data.facts import DataFacts
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import SINGLE_SLICE, PatchUnit, SliceUnit, UnitKind
from adawac.errors import ConfigError, DataError
from adawac.inference.export import load_network
from adawac.inference.export.segment_volume import SaveLabeld, SegmentVolumed
from adawac.inference.load_runs import load
from adawac.inference.volume import probabilities_of
from adawac.io.volumes import read_nifti
from adawac.networks import NetworkSpec
from adawac.runs.checkpoint import RECIPE, Recipe

CLASSES = Classes.from_labels({1: "left", 2: "cord", 5: "right"}, drop=["cord"])  # right is class 2, on disk 5
TRANSUNET = {
    **{"width": 4, "units": [1, 1, 1], "hidden": 8, "layers": 1, "heads": 2, "inner": 8, "image_size": [32, 32]},
    **{"head_channels": 8, "decoder_channels": [8, 4, 4, 4]},
}
NETWORKS = {
    "monai.networks.nets.UNet": {"channels": [8, 16], "strides": [2], "norm": "INSTANCE"},
    "adawac.networks.transunet.TransUNet": TRANSUNET,
    "adawac.networks.resnet_unet.ResNetUNet": {
        **{"width": 4, "units": [1, 1, 1, 1], "decoder_channels": [8, 4, 4, 4, 4]}
    },
}


def checkpoint(
    path: Path,
    preprocessing: Preprocessing,
    network: str = "monai.networks.nets.UNet",
    channels: int = 1,
    unit: UnitKind = SINGLE_SLICE,
) -> Path:
    """A checkpoint of drawn weights, whose predictions are all over the place, those of one class tidied up."""
    facts = DataFacts(channels, CLASSES, None, preprocessing, unit)
    recipe = Recipe(NetworkSpec(network, NETWORKS[network]), facts, largest_component=(CLASSES.names[2],))
    torch.manual_seed(3)
    weights = recipe.build_network().state_dict()
    torch.save({"state_dict": {f"network.{k}": v for k, v in weights.items()}, RECIPE: recipe.to_json()}, path)
    return path


def export(run: Path, kind: str, output: Path, *more: str) -> Path:
    assert main(["export", str(run), "--format", kind, "-o", str(output), *more]) == 0
    return output


def refusal(capsys, *argv: str) -> str:
    assert main(["export", *argv]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run that has learnt the blobs a little; its data are those of `fit`'s own command."""
    folder = tmp_path_factory.mktemp("trained")
    root = write_msd(folder / "data", cases=4, shape=(8, 32, 32))
    settings = tiny_settings(folder / "run", root, test=0.0)
    settings["trainer"]["max_epochs"] = 4
    settings["data"]["batch_size"] = 6
    settings["model"]["network"]["arguments"] = NETWORKS["monai.networks.nets.UNet"]
    settings["model"] |= {"weighting": "ERM", "optimizer": ADAMW}
    assert main(["fit", "--config", str(write_config(folder / "run", settings))]) == 0
    return folder / "run/runs/tiny/version_0"


@pytest.fixture
def slices(trained) -> torch.Tensor:
    """Slices of an unseen patient on the training grid, more than a batch of the export's example."""
    image, _ = make_case(np.random.default_rng(5), (9, 40, 36))
    return torch.from_numpy(load(trained).recipe.data.preprocessing.slices(image, None, "a").image[0][:, None])


def agreement(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.argmax(1) == other.argmax(1)).float().mean())


class TestTorchScript:
    def test_agrees_on_every_voxel_and_says_for_what_it_is(self, trained, slices, tmp_path):
        files = {"adawac_recipe.json": ""}
        network = torch.jit.load(export(trained, "torchscript", tmp_path / "a.ts"), _extra_files=files)
        ours = load(trained)
        with torch.no_grad():
            torch.testing.assert_close(network(slices), ours.network(slices).logits)
        assert Recipe.from_json(files["adawac_recipe.json"]) == ours.recipe
        said = json.loads(files["adawac_recipe.json"])
        assert said["preprocessing"]["window"] == [-125.0, 275.0]
        assert said["preprocessing"]["grid"]["size"] == [32, 32]
        assert said["classes"]["names"] == ["background", "left_kidney", "right_kidney"]
        assert said["version"] == adawac.__version__

    def test_lies_in_the_run_s_folder_by_itself(self, trained, capsys):
        assert main(["export", str(trained), "--format", "torchscript"]) == 0
        assert str(trained / "export/model.ts") in capsys.readouterr().out
        assert {path.name for path in (trained / "export").iterdir()} == {"model.ts", "model_card.md"}

    def test_predicts_as_its_run_does(self, trained, tmp_path, capsys):
        path = export(trained, "torchscript", tmp_path / "a.ts")
        image, _ = make_case(np.random.default_rng(7), (9, 40, 36))
        save_nifti(tmp_path / "images/case.nii.gz", image[0])
        typed = ["-i", str(tmp_path / "images"), "--device", "cpu", "--probabilities", "-o"]
        assert main(["predict", str(trained), *typed, str(tmp_path / "ours")]) == 0
        assert main(["predict", "--weights", str(path), *typed, str(tmp_path / "theirs")]) == 0
        ours, theirs = (read_nifti(tmp_path / folder / "case.nii.gz").array for folder in ("ours", "theirs"))
        assert set(np.unique(ours)) == {0, 1, 2}
        np.testing.assert_array_equal(theirs, ours)
        ours, theirs = (nib.load(tmp_path / f / "case_probabilities.nii.gz").get_fdata() for f in ("ours", "theirs"))
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=2**-11)  # a step of the half precision of such files
        one, other = load(trained), load(path, trust=True)
        volume = read_nifti(tmp_path / "images/case.nii.gz")
        found = one.recipe.data.preprocessing.apply(volume, "case")
        parts = [torch.cat([*probabilities_of(model.network, torch.from_numpy(found.image))]) for model in (one, other)]
        torch.testing.assert_close(parts[1], parts[0], rtol=0, atol=1e-5)

    def test_runs_only_if_trusted(self, trained, tmp_path, capsys):
        path = export(trained, "torchscript", tmp_path / "a.ts")
        with pytest.raises(ConfigError, match=r"a.ts is TorchScript, a program that would run; add --trust"):
            load(path)
        path.write_bytes(path.read_bytes()[:-5000])
        assert main(["predict", "--weights", str(path), "-i", str(path), "-o", "labels"]) == 2
        assert "is no TorchScript of `adawac export`" in capsys.readouterr().err

    @pytest.mark.parametrize("network", NETWORKS)
    def test_every_network_of_ours(self, network, tmp_path):
        path = checkpoint(tmp_path / "a.ckpt", Preprocessing("ct", grid=Grid((32, 64))), network)
        scripted = torch.jit.load(export(path, "torchscript", tmp_path / "a.ts"))
        image = torch.randn(5, 1, 32, 64)
        with torch.no_grad():
            torch.testing.assert_close(scripted(image), load(path).network(image).logits, atol=1e-5, rtol=1e-4)


class TestONNX:
    def test_runtime_agrees_with_torch(self, trained, slices, tmp_path):
        path = export(trained, "onnx", tmp_path / "a.onnx")
        onnx.checker.check_model(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"image": slices.numpy()})
        ours = load(trained)
        with torch.no_grad():
            expected = ours.network(slices).logits
        assert len(expected.argmax(1).unique()) == 3
        assert agreement(torch.from_numpy(logits), expected) >= 0.9999
        said = session.get_modelmeta().custom_metadata_map
        assert Recipe.from_json(said["adawac_recipe"]) == ours.recipe

    @pytest.mark.slow
    @pytest.mark.parametrize("network", [name for name in NETWORKS if name.startswith("adawac")])
    def test_every_network_of_ours(self, network, tmp_path):
        path = checkpoint(tmp_path / "a.ckpt", Preprocessing("ct", grid=Grid((32, 64))), network)
        session = onnxruntime.InferenceSession(export(path, "onnx", tmp_path / "a.onnx"))
        image = torch.randn(5, 1, 32, 64)
        (logits,) = session.run(None, {"image": image.numpy()})
        with torch.no_grad():
            assert agreement(torch.from_numpy(logits), load(path).network(image).logits) >= 0.9999


class TestBundle:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("preprocessing", "channels", "unit"),
        [
            (Preprocessing("ct", (-100, 200), "axial", Grid((32, 32), body=True)), 1, SINGLE_SLICE),
            (Preprocessing("mr", axis="coronal", grid=Grid((16, 32), spacing=(2.0, 1.1))), 2, SliceUnit(3)),
            (Preprocessing("ct", (-100, 200), "axial", Grid((32, 32), body=True)), 1, PatchUnit((4, 16, 24))),
        ],
        ids=["ct", "mr-with-neighbours", "patches"],
    )
    def test_segments_files_as_predict_does(self, preprocessing, channels, unit, tmp_path):
        path = checkpoint(tmp_path / "a.ckpt", preprocessing, channels=channels, unit=unit)
        bundle = export(path, "monai-bundle", tmp_path / "bundle")
        images = tmp_path / "images"
        self.save(images, channels)
        assert main(["predict", str(path), "-i", str(images), "-o", str(tmp_path / "ours"), "--device", "cpu"]) == 0
        self.run(bundle, tmp_path, "--input", str(images), "--output_dir", str(tmp_path / "theirs"))
        for name, image_name in (("plain.nii.gz", "plain.nii.gz"), ("turned.nii.gz", "turned_0000.nii.gz")):
            ours, theirs = read_nifti(tmp_path / "ours" / name), read_nifti(tmp_path / "theirs" / name)
            assert set(np.unique(ours.array)) == {0, 1, 5}
            assert theirs.geometry.difference(ours.geometry) is None
            assert np.mean(ours.array == theirs.array) >= 0.999
            assert ndimage.label(theirs.array[0] == 5, np.ones((3, 3, 3)))[1] == 1
            written, image = nib.load(tmp_path / "theirs" / name), nib.load(images / image_name)
            assert written.shape == image.shape[:3]
            np.testing.assert_allclose(written.affine, image.affine, atol=1e-4)

    @pytest.mark.slow
    def test_a_trained_run_on_one_file(self, trained, tmp_path):
        bundle = export(trained, "monai-bundle", tmp_path / "bundle")
        image, _ = make_case(np.random.default_rng(7), (9, 40, 36))
        save_nifti(tmp_path / "case.nii.gz", image[0])
        self.run(bundle, tmp_path, "--input", str(tmp_path / "case.nii.gz"), "--output_dir", str(tmp_path / "out"))
        preds = read_nifti(tmp_path / "out/case.nii.gz").array[0]
        np.testing.assert_array_equal(preds, load(trained).predict(read_nifti(tmp_path / "case.nii.gz")))
        assert set(np.unique(preds)) == {0, 1, 2}

    def test_says_what_it_was_made_of(self, trained, tmp_path):
        bundle = export(trained, "monai-bundle", tmp_path / "bundle")
        metadata = json.loads((bundle / "configs/metadata.json").read_text())
        assert metadata["adawac"] == json.loads(load(trained).recipe.to_json())
        assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["2"] == "right_kidney"

    def test_what_it_needs_comes_with_the_extra(self, trained, tmp_path):
        bundle = export(trained, "monai-bundle", tmp_path / "bundle")
        needed = json.loads((bundle / "configs/metadata.json").read_text())["required_packages_version"]
        project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
        lists = re.findall(r"^(?:dependencies|bundle) = \[(.*?)\](?:\n| +#)", project, re.MULTILINE | re.DOTALL)
        brought = set(re.findall(r'^\s*"([\w-]+)', "\n".join(lists), re.MULTILINE))
        assert {*needed, "torch", "monai", "fire"} <= brought
        assert "sqlalchemy" not in brought  # another extra's

    def test_images_that_do_not_fit_are_refused(self, trained, tmp_path):
        segment = SegmentVolumed(str(export(trained, "torchscript", tmp_path / "a.ts")))
        two, torn = torch.zeros(2, 3, 16, 16), torch.full((1, 3, 16, 16), torch.nan)
        with pytest.raises(DataError, match=r"a.nii: the image has 2 channels, but the model was trained on 1; give"):
            segment({"image": MetaTensor(two, meta={"filename_or_obj": "a.nii"})})
        with pytest.raises(DataError, match=r"a.nii: 768 of 768 voxels are NaN or infinite .*; repair"):
            segment({"image": MetaTensor(torn, meta={"filename_or_obj": "a.nii"})})

    def test_an_image_is_never_replaced_by_its_label(self, tmp_path):
        save_nifti(tmp_path / "a.nii.gz", np.ones((2, 3, 4), np.int16))
        image = MetaTensor(torch.zeros(1, 4, 3, 2), meta={"filename_or_obj": str(tmp_path / "a.nii.gz")})
        with pytest.raises(DataError, match=r"a.nii.gz: its label would replace it in .*; give another output_dir"):
            SaveLabeld(str(tmp_path))({"image": image, "pred": image})
        assert nib.load(tmp_path / "a.nii.gz").get_fdata().min() == 1

    @staticmethod
    def save(folder: Path, channels: int) -> None:
        """Two cases: one as scanners write them; one with other axes, oblique, under a name of nnU-Net's."""
        image, _ = make_case(np.random.default_rng(1), (9, 40, 36), channels)
        save_nifti(folder / "plain.nii.gz", image if channels > 1 else image[0])
        plain = nib.load(folder / "plain.nii.gz")
        lps, psr = orientations.axcodes2ornt("LPS"), orientations.axcodes2ornt("PSR")
        transform = orientations.ornt_transform(lps, psr)
        turned = orientations.apply_orientation(np.asanyarray(plain.dataobj), transform)
        tilt = np.eye(4)
        tilt[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
        affine = tilt @ plain.affine @ orientations.inv_ornt_aff(transform, plain.shape[:3])
        nib.save(nib.Nifti1Image(turned, affine), folder / "turned_0000.nii.gz")

    @staticmethod
    def run(bundle: Path, folder: Path, *options: str) -> None:
        """Run a bundle as its README says, where adawac cannot be imported."""
        block = folder / "without"
        block.mkdir(exist_ok=True)
        (block / "adawac.py").write_text("raise ImportError('adawac is not here')")
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json", *options]
        environment = os.environ | {"PYTHONPATH": str(block)}
        done = subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert re.findall(r"FutureWarning: .*|.*logging file.*", done.stdout + done.stderr) == []


class TestRefusal:
    def test_what_is_there_is_kept_unless_told(self, trained, tmp_path, capsys):
        (tmp_path / "a.ts").write_text("mine")
        options = (str(trained), "--format", "torchscript", "-o", str(tmp_path / "a.ts"))
        assert "exists already; give another --output, or --overwrite" in refusal(capsys, *options)
        assert (tmp_path / "a.ts").read_text() == "mine"
        export(trained, "torchscript", tmp_path / "a.ts", "--overwrite")
        assert (tmp_path / "a.ts").stat().st_size > 1000
        assert set(os.listdir(tmp_path)) == {"a.ts", "a_card.md"}

    @pytest.mark.parametrize("kind", ["torchscript", "monai-bundle"])
    def test_a_folder_that_is_no_bundle_is_never_removed(self, kind, trained, tmp_path, capsys):
        (tmp_path / "thesis.tex").write_text("mine")
        said = refusal(capsys, str(trained), "--format", kind, "-o", str(tmp_path), "--overwrite")
        assert f"is a folder, but no {kind}, and is not replaced" in said
        assert (tmp_path / "thesis.tex").exists()

    def test_no_checkpoint(self, tmp_path, capsys):
        assert "neither a checkpoint nor a run folder" in refusal(capsys, str(tmp_path), "--format", "onnx")

    def test_an_export_that_answers_otherwise(self, trained):
        network = load_network(trained)
        with pytest.raises(
            ConfigError, match=r"UNet does not survive as ONNX: .* differ by .*; choose another --format"
        ):
            network.check(lambda image: network.network(image) + 0.5, "ONNX")

    def test_an_export_for_one_number_of_slices(self, trained):
        network = load_network(trained)
        with pytest.raises(ConfigError, match=r"with 3 slices .*; choose another"):
            network.check(lambda image: network.network(image)[:1], "ONNX")
