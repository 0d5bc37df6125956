"""`predict` shows the network what `test` shows it."""

import torch
from tiny_task import make_data, make_task

from adawac.inference.segmenter import Segmenter
from adawac.io.volumes import read_nifti


def test_a_file_is_shown_as_it_is_prepared(tmp_path):
    data = make_data(tmp_path)
    task = make_task(data).eval()
    shown = []
    task.network.register_forward_pre_hook(lambda _network, images: shown.append(images[0]))
    item, case = next(iter(data.val_dataloader())), data.split.val[0]
    tested = task.predict_item(item)
    predicted = Segmenter(task.recipe, task.network).classify(read_nifti(tmp_path / f"data/imagesTr/{case}.nii.gz"))
    assert item.case == case
    assert torch.equal(*shown)
    assert (predicted.preds == tested).all()
