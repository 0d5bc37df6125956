"""A volume's labels on its native grid, and its files read and written, against the network's forward passes alone.

The network is not trained: organs of a generated CT are added to its logits, so that labels have edges of usual length.
Of a folder of files the next one is read while the network works; writing comes on top.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from adawac.data.grid import Placement
from adawac.inference.volume import predict_volume
from adawac.io.images import read_image
from adawac.io.volumes import write_label_nifti
from adawac.phantom import generate, render
from adawac.types import NetworkOutput
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark with a network, and the volume."""
    training.add_arguments(parser)
    parser.add_argument("--depth", type=int, default=48, help="slices of the volume")
    parser.add_argument("--native", type=int, default=512, help="pixels along each side of the native plane")


class Seeing(nn.Module):
    """A network that sees the organs of a generated CT in whatever it is shown."""

    def __init__(self, network: nn.Module, options: argparse.Namespace) -> None:
        super().__init__()
        _, organs, _ = render(0, 0, (options.batch_size, options.size, options.size))
        self.network = network
        seen = nn.functional.one_hot(torch.from_numpy(organs).long(), training.CLASSES).movedim(-1, 1)
        self.register_buffer("seen", 20.0 * seen)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Logits of images, at most a batch of them."""
        logits, features, _ = self.network(images)
        return NetworkOutput(logits + self.seen[: len(images)], features)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    network = Seeing(training.NETWORKS[options.network].build(1, training.CLASSES), options).to(options.device).eval()
    native = options.native
    image = torch.rand(1, options.depth, options.size, options.size)
    place = Placement((native, native), (options.size, options.size), (0.0, float(native), 0.0, float(native)))
    resident = image.movedim(1, 0).to(options.device)

    def forward() -> None:
        with torch.no_grad(), training.autocast(options):
            for part in resident.split(options.batch_size):
                network(part)

    with TemporaryDirectory(prefix="adawac-benchmark-") as folder:
        (file,) = generate(Path(folder, "ct"), 1, (options.depth, native, native)).glob("imagesTr/*")
        geometry = read_image((file,)).geometry
        found = []

        def predict() -> None:
            with training.autocast(options):
                found[:] = [predict_volume(network, image, place, batch_size=options.batch_size)]

        steps = {
            "network": synchronised(forward, options.device),
            "predict": synchronised(predict, options.device),
            "read": lambda: read_image((file,)),
            "write": lambda: write_label_nifti(Path(folder, "label.nii.gz"), found[0], geometry),
        }
        predict()
        seconds = interleaved(steps, options.rounds, clock=options.clock)
    ratios = relative(seconds, "network")
    show(f"A volume, {device_name(options.device)}", seconds, ratios, "relative to the network alone")
    return {"seconds": seconds, "ratios": ratios}
