"""Labels of a volume on its native grid, against the network's forward passes alone."""

import argparse
from typing import Any

import torch

from adawac.data.grid import Placement
from adawac.inference.volume import predict_volume
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark with a network, and the volume."""
    training.add_arguments(parser)
    parser.add_argument("--depth", type=int, default=48, help="slices of the volume")
    parser.add_argument("--native", type=int, default=512, help="pixels along each side of the native plane")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    network = training.NETWORKS[options.network].build(1, training.CLASSES).to(options.device).eval()
    image = torch.rand(1, options.depth, options.size, options.size)
    native = options.native
    place = Placement((native, native), (options.size, options.size), (0.0, float(native), 0.0, float(native)))
    resident = image.movedim(1, 0).to(options.device)

    def predict() -> None:
        with training.autocast(options):
            predict_volume(network, image, place, batch_size=options.batch_size)

    def forward() -> None:
        with torch.no_grad(), training.autocast(options):
            for part in resident.split(options.batch_size):
                network(part)

    steps = {name: synchronised(step, options.device) for name, step in (("network", forward), ("predict", predict))}
    seconds = interleaved(steps, options.rounds, clock=options.clock)
    ratios = relative(seconds, "network")
    show(f"A volume, {device_name(options.device)}", seconds, ratios, "relative to the network alone")
    return {"seconds": seconds, "ratios": ratios}
