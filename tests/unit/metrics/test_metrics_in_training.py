"""The metrics in somebody else's LightningModule, in two processes, on a GPU."""

import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.distributed as dist
from forked import in_two
from label_volumes import SHAPE, VOLUMES, K, all_of
from medpy.metric import binary
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from adawac.errors import DataError
from adawac.metrics import (
    FalsePositiveSlices,
    GroupDice,
    SeparationAUROC,
    VolumeDice,
    VolumeHD95,
    group_dice,
    volume_dice,
)


class Stranger(pl.LightningModule):
    """Anybody's module: it predicts one class of each pixel from one number."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, K, 1)
        self.metrics = MetricCollection({"dice": VolumeDice(K), "slices": FalsePositiveSlices(K)}, prefix="val/")
        self.sites, self.hd95, self.seen = GroupDice(K), VolumeHD95(K), []

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.layer(batch["image"]), batch["label"])

    def validation_step(self, batch, batch_idx):
        preds = self.layer(batch["image"]).argmax(1)
        self.seen.append((preds, batch["label"], batch["case"]))
        self.metrics.update(preds, batch["label"], batch["case"], slices=batch["slice"])
        self.sites.update(preds, batch["label"], batch["case"], batch["site"], slices=batch["slice"])
        self.log_dict(self.metrics, on_epoch=True, batch_size=len(preds))

    def on_validation_epoch_end(self):
        for site, dice in self.sites.compute().items():
            self.log(f"val/site_{site}", dice)
        self.sites.reset()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


def test_in_somebody_elses_module(tmp_path):
    slices = [
        {"image": target[s][None].float(), "label": target[s], "case": case, "slice": s, "site": f"s{case[-1] > '2'}"}
        for case, (_, target) in VOLUMES.items()
        for s in range(SHAPE[0])
    ]
    torch.manual_seed(0)
    module = Stranger()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,  # whose slices are not to be counted
    )
    trainer.fit(module, DataLoader(slices, batch_size=8), DataLoader(slices, batch_size=3))
    last = module.seen[-math.ceil(len(slices) / 3) :]  # of the second epoch
    preds, target = (np.asarray(torch.cat([batch[part] for batch in last])) for part in (0, 1))
    cases = np.array([case for batch in last for case in batch[2]])
    dice = {
        case: np.mean([binary.dc(preds[cases == case] == k, target[cases == case] == k) for k in range(1, K)])
        for case in VOLUMES
    }
    found = trainer.callback_metrics
    assert found["val/dice"].item() == pytest.approx(np.mean(list(dice.values())), abs=1e-6)
    assert found["val/site_sTrue"].item() == pytest.approx((dice["ct_3"] + dice["ct_4"]) / 2, abs=1e-6)
    assert not module.sites.records


def share(rank):
    """Three cases, and two with one of them again."""
    return (["ct_0", "ct_1", "ct_2"], ["ct_3", "ct_4", "ct_0"])[rank]


def one_of_two(rank: int) -> dict:
    dice, hd95, sites = VolumeDice(K, reduction="cases"), VolumeHD95(K), GroupDice(K)
    for case in share(rank):
        dice.update(*VOLUMES[case], case)
        hd95.update(*VOLUMES[case], case)
        sites.update(*VOLUMES[case], case, case > "ct_2")
    slices, alone, auroc = VolumeDice(K), VolumeDice(K), SeparationAUROC()
    for s in range(rank, 5, 2):  # as a sampler deals them out, the first of them twice
        slices.update(*(part[[s, 0]] for part in VOLUMES["ct_0"]), ["a", "a"], slices=[s, 0])
    if rank == 0:  # the other process has seen nothing
        alone.update(*VOLUMES["ct_1"], "a")
    auroc.update(torch.tensor([3.0, 1.0 - rank]), torch.tensor([True, False]), torch.tensor([0, 1 + rank]))
    parts = VolumeDice(K)
    parts.update(*(part[rank::2] for part in VOLUMES["ct_0"]), "a")
    try:
        parts.compute()
    except DataError as error:
        refused = str(error)
    metrics = {"dice": dice, "hd95": hd95, "sites": sites, "slices": slices, "alone": alone, "auroc": auroc}
    found = {name: metric.compute() for name, metric in metrics.items()}
    return {**found, "refused": refused}


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_count_each_case_once(tmp_path: Path):
    one = {
        "dice": all_of(VolumeDice(K, reduction="cases")).compute(),
        "hd95": all_of(VolumeHD95(K)).compute(),
        "slices": volume_dice(*VOLUMES["ct_0"], K).mean(),
        "alone": volume_dice(*VOLUMES["ct_1"], K).mean(),
        "auroc": torch.tensor(1.0),
    }
    sites = group_dice(*zip(*VOLUMES.values(), strict=True), ["False"] * 3 + ["True"] * 2, K)
    for two in in_two(one_of_two, tmp_path):
        for name, expected in {**one, "sites": sites}.items():
            torch.testing.assert_close(two[name], expected, msg=name)
        assert "case a: given twice" in two["refused"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    metric, auroc = VolumeDice(K).to("cuda"), SeparationAUROC().to("cuda")
    metric.update(*(part.to("cuda") for part in VOLUMES["ct_0"]), "a")
    auroc.update(torch.tensor([1.0, 0.0], device="cuda"), torch.tensor([True, False], device="cuda"))
    assert metric.compute().device.type == "cuda"
    assert metric.compute().item() == pytest.approx(volume_dice(*VOLUMES["ct_0"], K).mean().item())
    assert auroc.compute() == 1
