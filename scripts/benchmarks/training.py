"""The training step that several benchmarks measure, and the ceiling it is held against."""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from adawac.data.units import UnitTable
from adawac.losses import cross_entropy, dice_loss
from adawac.networks import NetworkSpec
from adawac.training.performance.compile import Compiled
from adawac.training.performance.cuda_graphs import GraphedStep
from adawac.training.task import SegmentationTask
from adawac.types import Batch
from adawac.weighting import Weighting
from benchmarks.measure import synchronised

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
    "resnet_unet": NetworkSpec("adawac.networks.resnet_unet.ResNetUNet"),
}
CLASSES = 9
"""Background and the eight organs of generated CT, so that the ceiling's last layers are those of training."""
PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every benchmark that trains."""
    parser.add_argument("--network", choices=NETWORKS, default="unet")
    parser.add_argument("--size", type=int, default=224, help="pixels along each side of the plane")
    parser.add_argument("--batch_size", type=int, default=24)
    parser.add_argument("--precision", choices=PRECISIONS, default="32", help="of the forward pass")
    parser.add_argument("--channels_last", action="store_true", help="keep the channels innermost")
    parser.add_argument("--compile", action="store_true", help="torch.compile network and losses")
    parser.add_argument("--cuda_graphs", action="store_true", help="record a step and replay it; a ceiling of that too")
    parser.add_argument("--fused", action="store_true", help="AdamW in fused kernels")


def task_of(weighting: Weighting, samples: int, options: argparse.Namespace) -> SegmentationTask:
    """A task with a network and state for so many samples, on the device, outside of any trainer."""
    weighting.allocate(units_of(samples, options))
    task = SegmentationTask(NETWORKS[options.network], weighting, channels_last=options.channels_last)
    task.network = NETWORKS[options.network].build(1, CLASSES).to(memory_format=task.memory_format)
    if options.compile:
        task._compiled = Compiled(task.network, "the network"), Compiled(task._supervise, "the losses")
    task.last_losses.allocate(samples)
    task._logs_this_step = lambda: False  # type: ignore[method-assign]  # that needs a trainer: see `train`
    task.to(options.device)
    if options.cuda_graphs:
        task.graphed = GraphedStep(task._compute, list(task.network.parameters()), [task])
    return task


def units_of(samples: int, options: argparse.Namespace) -> UnitTable:
    """A table of so many slices, every other one label-dense."""
    voxels = np.zeros((samples, CLASSES), dtype=np.int64)
    voxels[:, 0], voxels[::2] = 100, 100
    names = tuple(f"class {i}" for i in range(CLASSES))
    return UnitTable.of_slices(["case"], [voxels], (options.size, options.size), names)


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
    """The precision that is asked for, without a cache, as the trainer has it.

    Steps are recorded without it, too: a network that was compiled with it would be compiled anew meanwhile.
    """
    dtype = PRECISIONS[options.precision]
    kind = torch.device(options.device).type
    return torch.autocast(kind, dtype, enabled=dtype != torch.float32, cache_enabled=False)


def optimizer_of(network: torch.nn.Module, options: argparse.Namespace) -> torch.optim.Optimizer:
    """The same for training and ceiling."""
    return torch.optim.AdamW(network.parameters(), fused=options.fused or None)


def method_step(task: SegmentationTask, batch: Batch, options: argparse.Namespace) -> Callable[[], None]:
    """A whole step of a method on a resident batch: augmentation, network, losses, weights, backward, optimiser."""
    optimizer = optimizer_of(task.network, options)

    def step() -> None:
        with autocast(options):
            loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def ceiling_steps(options: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """The ceiling, synchronised; and the same recorded, where training is recorded as well."""
    steps = {"ceiling": ceiling_step(options)}
    if options.cuda_graphs:
        steps["recorded ceiling"] = ceiling_step(options, recorded=True)
    return {name: synchronised(step, options.device) for name, step in steps.items()}


def ceiling_step(options: argparse.Namespace, recorded: bool = False) -> Callable[[], None]:
    """What no training on two views can do without: both views through the network, losses, backward, optimiser.

    Everything lies on the device, nothing is fetched, augmented, weighted or logged.
    """
    memory_format = torch.channels_last if options.channels_last else torch.contiguous_format
    network = NETWORKS[options.network].build(1, CLASSES).to(options.device, memory_format=memory_format)
    optimizer = optimizer_of(network, options)
    batch = random_batch(options)
    image = torch.cat([batch.image] * 2).contiguous(memory_format=memory_format)
    label = torch.cat([batch.label] * 2).int()

    def losses(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, label).mean() + dice_loss(logits, label)

    forward, supervise = network, losses
    if options.compile:
        forward, supervise = Compiled(network, "the network"), Compiled(losses, "the losses")

    def loss_of(image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor]:
        return (supervise(forward(image).logits, label),)

    compute = GraphedStep(loss_of, list(network.parameters()), [network]) if recorded else loss_of

    def step() -> None:
        with autocast(options):
            loss = compute(image, label)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
