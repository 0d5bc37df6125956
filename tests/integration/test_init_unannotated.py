"""Images that nobody annotated, and slices that are ignored: `check` and `init` say so, and how to learn from them."""

import json

import nibabel as nib
import numpy as np
import pytest
import yaml
from tiny_data import write_folders, write_msd, write_nnunet

from adawac.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_of_a_decathlon_s_test_images(tmp_path, capsys):
    root = write_msd(tmp_path / "msd")
    (root / "imagesTs").mkdir()
    (root / "imagesTr/pt_4.nii.gz").rename(root / "imagesTs/pt_4.nii.gz")
    listed = json.loads((root / "dataset.json").read_text())
    listed |= {"training": listed["training"][:3], "test": ["./imagesTs/pt_4.nii.gz"]}
    (root / "dataset.json").write_text(json.dumps(listed))
    assert main(["init", str(root), "-o", "made.yaml"]) == 0
    said = capsys.readouterr().out
    assert f"1 image has none, in {root}/imagesTs: not trained on [otherwise: data.unlabelled" in said
    line = next(line for line in (tmp_path / "made.yaml").read_text().splitlines() if "unlabelled: null" in line)
    assert f"{root}/imagesTs here" in line


@pytest.mark.parametrize(
    ("write", "label", "images"), [(write_folders, "labels", "images"), (write_nnunet, "labelsTr", "imagesTr")]
)
def test_of_images_among_annotated_ones(tmp_path, capsys, caplog, write, label, images):
    root = write(tmp_path / "data", cases=6)
    for case in ("pt_5", "pt_6"):
        (root / f"{label}/{case}.nii.gz").unlink()
    assert main(["init", str(root), "-o", "made.yaml"]) == 2  # a label may be lost: it has to be said that it is not
    assert "if nobody annotated it, go on without its case (--skip-bad)" in capsys.readouterr().err
    assert main(["init", str(root), "-o", "made.yaml", "--skip-bad"]) == 0
    assert f"2 images have none, in {root}/{images}: not trained on" in capsys.readouterr().out
    written = yaml.safe_load((tmp_path / "made.yaml").read_text())
    assert written["data"]["unlabelled"] is None
    few = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.accelerator", "cpu"]
    more = ["--data.unlabelled", str(root / images), "--model.teacher", "MeanTeacher", "--data.num_workers", "0"]
    assert main(["fit", "made.yaml", *few, *more, "--trainer.precision", "32-true", "--data.batch_size", "2"]) == 0
    assert "4 of 6 images are of labelled cases: left out" in caplog.text


def test_of_slices_that_are_ignored(tmp_path, capsys):
    root = write_nnunet(tmp_path / "data", cases=4)
    listed = json.loads((root / "dataset.json").read_text())
    listed["labels"]["ignore"] = 3
    (root / "dataset.json").write_text(json.dumps(listed))
    for path in (root / "labelsTr").iterdir():
        label = np.asarray(nib.load(path).dataobj).copy()
        label[..., 1::2] = 3
        nib.save(nib.Nifti1Image(label, nib.load(path).affine), path)
    main(["check", str(root)])
    assert "12 of 24 slices are wholly ignored: nothing is learnt from them" in capsys.readouterr().out
