"""Training that starts from published weights, and what the run still needs of their file afterwards: nothing."""

import json

import nibabel as nib
import numpy as np
from published_weights import SMALL, published
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.runs.checkpoint import network_weights, read_checkpoint


def test_a_run_starts_from_the_file_and_predicts_without_it(tmp_path):
    file = tmp_path / "R50+ViT-B_16.npz"
    np.savez(file, **published())
    settings = tiny_settings(tmp_path / "run", write_msd(tmp_path / "data", cases=4, shape=(4, 32, 32)), test=0.0)
    settings["trainer"]["max_epochs"] = 1
    settings["data"]["batch_size"] = 6
    settings["model"] = {
        "network": {
            "architecture": "adawac.networks.transunet.TransUNet",
            "arguments": json.loads(json.dumps(SMALL)),
        },
        "init_from": str(file),
        "weighting": "ERM",
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-12}},
    }
    assert main(["fit", "--config", str(write_config(tmp_path / "run", settings))]) == 0
    run = tmp_path / "run/runs/tiny/version_0"
    weights = network_weights(read_checkpoint(run / "checkpoints/last.ckpt"))
    root = weights["network.resnet.conv_root.weight"].numpy()
    np.testing.assert_allclose(root, published()["conv_root/kernel"].transpose(3, 2, 0, 1), atol=1e-5)

    file.unlink()
    image = tmp_path / "data/imagesTr/pt_1.nii.gz"
    assert main(["predict", str(run), "-i", str(image), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert nib.load(tmp_path / "out/pt_1.nii.gz").shape == nib.load(image).shape
