"""Training that starts from published weights, and what the run still needs of their file afterwards: nothing."""

import json

import nibabel as nib
import numpy as np
import yaml
from published_weights import SMALL, published
from tiny_data import write_msd

from adawac.checkpoint import network_weights, read_checkpoint
from adawac.cli import main


def test_a_run_starts_from_the_file_and_predicts_without_it(tmp_path):
    file = tmp_path / "R50+ViT-B_16.npz"
    np.savez(file, **published())
    settings = {
        "name": "tiny",
        "runs": str(tmp_path / "runs"),
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
        "data": {
            "root": str(write_msd(tmp_path / "data", cases=4, shape=(4, 32, 32))),
            "store": str(tmp_path / "store"),
            "split": {"class_path": "FractionSplit", "init_args": {"val": 0.25, "test": 0.0}},
            "size": [32, 32],
            "batch_size": 6,
        },
        "model": {
            "network": {
                "architecture": "adawac.networks.transunet.TransUNet",
                "arguments": json.loads(json.dumps(SMALL)),
            },
            "init_from": str(file),
            "weighting": "ERM",
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-12}},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["fit", "--config", str(tmp_path / "config.yaml")]) == 0
    run = tmp_path / "runs/tiny/version_0"
    weights = network_weights(read_checkpoint(run / "checkpoints/last.ckpt"))
    root = weights["network.resnet.conv_root.weight"].numpy()
    np.testing.assert_allclose(root, published()["conv_root/kernel"].transpose(3, 2, 0, 1), atol=1e-5)

    file.unlink()
    image = tmp_path / "data/imagesTr/pt_1.nii.gz"
    assert main(["predict", str(run), "-i", str(image), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert nib.load(tmp_path / "out/pt_1.nii.gz").shape == nib.load(image).shape
