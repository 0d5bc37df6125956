"""The training step that several benchmarks measure, and the ceiling it is held against."""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import torch

from adawac.data.units import UnitTable
from adawac.losses import cross_entropy, dice_loss
from adawac.networks import NetworkSpec
from adawac.structures import Batch
from adawac.task import SegmentationTask
from adawac.weighting import Weighting

NETWORKS = {
    "unet": NetworkSpec(
        "monai.networks.nets.UNet",
        {
            "channels": [16, 32, 64, 128, 256],
            "strides": [2, 2, 2, 2],
            "num_res_units": 2,
            "norm": "INSTANCE",
            "act": ["LEAKYRELU", {"negative_slope": 0.25}],
        },
    ),
}
CLASSES = 8
PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every benchmark that trains."""
    parser.add_argument("--network", choices=NETWORKS, default="unet")
    parser.add_argument("--size", type=int, default=224, help="pixels along each side of the plane")
    parser.add_argument("--batch_size", type=int, default=24)
    parser.add_argument("--precision", choices=PRECISIONS, default="32", help="of the forward pass")


def task_of(weighting: Weighting, samples: int, options: argparse.Namespace) -> SegmentationTask:
    """A task with a network and state for so many samples, on the device, outside of any trainer."""
    warnings.filterwarnings("ignore", message=".*trainer. reference is not registered")
    size = (options.size, options.size)
    voxels = np.zeros((samples, CLASSES), dtype=np.int64)
    voxels[::2] = 100
    units = UnitTable.of_slices(["case"], [voxels], size, tuple(f"class {i}" for i in range(CLASSES)))
    weighting.allocate(units)
    task = SegmentationTask(NETWORKS[options.network], weighting)
    task.network = NETWORKS[options.network].build(1, CLASSES)
    task.last_losses.allocate(samples)
    return task.to(options.device)


def random_batch(options: argparse.Namespace) -> Batch:
    """A batch that lies on the device already."""
    size, device = options.size, options.device
    return Batch(
        image=torch.rand(options.batch_size, 1, size, size, device=device),
        label=torch.randint(0, CLASSES, (options.batch_size, size, size), dtype=torch.uint8, device=device),
        index=torch.arange(options.batch_size, device=device),
        dense=(torch.arange(options.batch_size, device=device) % 2).bool(),
    )


def autocast(options: argparse.Namespace) -> torch.autocast:
    """The precision that is asked for."""
    dtype = PRECISIONS[options.precision]
    return torch.autocast(torch.device(options.device).type, dtype, enabled=dtype != torch.float32)


def method_step(task: SegmentationTask, batch: Batch, options: argparse.Namespace) -> Callable[[], None]:
    """A whole step of a method on a resident batch: augmentation, network, terms, weights, backward, optimiser."""
    optimizer = torch.optim.AdamW(task.network.parameters())

    def step() -> None:
        with autocast(options):
            loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def ceiling_step(options: argparse.Namespace) -> Callable[[], None]:
    """What no training on two views can do without: both views through the network, losses, backward, optimiser.

    Everything lies on the device, nothing is fetched, augmented, weighted or logged.
    """
    network = NETWORKS[options.network].build(1, CLASSES).to(options.device)
    optimizer = torch.optim.AdamW(network.parameters())
    batch = random_batch(options)
    image, label = torch.cat([batch.image] * 2), torch.cat([batch.label] * 2).long()

    def step() -> None:
        with autocast(options):
            logits = network(image).logits
            loss = cross_entropy(logits, label).mean() + dice_loss(logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
