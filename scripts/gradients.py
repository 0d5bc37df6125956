"""Measure what steers a training: the gradients of cross-entropy and of Dice, each by itself.

    python scripts/gradients.py openkbp-ct -o docs/results/gradients.json

Plain training on one view on the mixture that `sparse_mix` makes, at 64 x 64 in batches of 12. At some of its steps the
gradient of either half of the loss by all parameters is computed before the step is taken, on its batch. Weights act on
the cross-entropy alone: where its gradient is small beside that of Dice, they steer little, whatever the losses are.
"""

import argparse
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from adawac.augment.randomness import Source
from adawac.data.datamodule import SegmentationData
from adawac.data.splits import FileSplit
from adawac.data.subsets import SparseMix
from adawac.losses import dice_loss
from adawac.networks import NetworkSpec
from adawac.training.task import SegmentationTask
from adawac.types import Batch
from adawac.weighting import ERM

NETWORK = NetworkSpec(
    "monai.networks.nets.UNet",
    {"channels": [16, 32, 64, 128, 256], "strides": [2, 2, 2, 2], "num_res_units": 2, "norm": "INSTANCE"},
)


class Gradients(Callback):
    """Notes losses and norms of gradients at steps of its own choice: ten, and every tenth of the training."""

    def __init__(self) -> None:
        self.noted: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, _: int) -> None:
        """Compute both, and leave the network as it was."""
        step, every = trainer.global_step, max(1, trainer.max_steps // 10)
        if (step + 1) % every and step + 1 != 10:
            return
        task = cast(SegmentationTask, pl_module)
        source = Source(task.seed, task.current_epoch, batch.index, (0,))
        view = task.augmentation.draw(batch.image, batch.label, source)
        logits = task.network(view.image).logits
        label = view.label.int()
        losses = {"cross-entropy": task.supervised(logits, label).mean(), "dice": dice_loss(logits, label)}
        weights = list(task.network.parameters())
        found = {name: torch.autograd.grad(loss, weights, retain_graph=True) for name, loss in losses.items()}
        ce, dice = (norm(found[name]) for name in losses)
        self.noted.append(
            {"step": step + 1}
            | {name: float(loss.detach()) for name, loss in losses.items()}
            | {"loss ratio": float((losses["cross-entropy"] / losses["dice"]).detach()), "gradient ratio": ce / dice}
        )


def norm(gradients: tuple[Tensor, ...]) -> float:
    """Euclidean, over all parameters.

    Example:
        >>> norm((torch.tensor([3.0]), torch.tensor([[4.0]])))
        5.0
    """
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm())


def main() -> None:
    """Train, note, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", metavar="DATA", help="folder of a data set with a splits.json, such as openkbp-ct")
    parser.add_argument("--drop", nargs="*", default=["SpinalCord", "Esophagus"], help="classes to leave out")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--size", type=int, default=64, help="of a slice, in pixels (default: 64)")
    parser.add_argument("--store", help="folder for prepared volumes; else the user's cache")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    results = measured(args.root, args.drop, args.steps, args.size, args.store)
    args.output.write_text(json.dumps(results, indent=1) + "\n")
    for each in results["steps"]:
        print(f"step {each['step']:5d}: losses {each['loss ratio']:.3f}, gradients {each['gradient ratio']:.2f}")


def measured(root: str, drop: list[str], steps: int, size: int, store: str | None) -> dict[str, Any]:
    """Cross-entropy over Dice in the course of one training: of the losses, and of their gradients' norms."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    plane = (size, size)
    data = SegmentationData(
        root,
        split=FileSplit(),
        subset=SparseMix(),
        drop=drop,
        window=(-160, 240),
        size=plane,
        body=True,
        batch_size=12,
        store=store,
    )
    task = SegmentationTask(NETWORK, ERM(), optimizer=partial(torch.optim.AdamW, lr=0.002, weight_decay=1e-4))
    gradients = Gradients()
    pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        callbacks=[gradients],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        use_distributed_sampler=False,
    ).fit(task, data)
    return {"size": size, "batch_size": 12, "torch": torch.__version__, "steps": gradients.noted}


if __name__ == "__main__":
    main()
