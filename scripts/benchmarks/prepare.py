"""Preparing volumes for training, against reading and decompressing their files alone, in as many threads."""

import argparse
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np

from adawac.data.datamodule import SegmentationData
from adawac.phantom import generate
from benchmarks.measure import device_name, interleaved, relative, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much there is to prepare."""
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--depth", type=int, default=48)
    parser.add_argument("--source", type=int, default=256, help="pixels along each side of the volumes' planes")
    parser.add_argument("--size", type=int, default=224, help="pixels along each side of the training grid")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Generate once; prepare into an emptied store, look at a full one, read the files."""
    with TemporaryDirectory(prefix="adawac-benchmark-") as folder:
        root = generate(Path(folder, "ct"), options.patients, (options.depth, options.source, options.source))
        files = sorted(root.glob("*Tr/*.nii.gz"))
        store = Path(folder, "store")

        def prepare() -> None:
            SegmentationData(str(root), size=(options.size, options.size), store=str(store)).prepare_data()

        def prepare_anew() -> None:
            shutil.rmtree(store, ignore_errors=True)
            prepare()

        def read() -> None:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda path: np.asarray(nib.load(path).dataobj), files))

        steps = {"read": read, "prepare": prepare_anew, "find it prepared": prepare}
        prepare_anew()
        seconds = interleaved(steps, options.rounds, clock=options.clock)
    ratios = relative(seconds, "read")
    show(f"{options.patients} volumes, {device_name('cpu')}", seconds, ratios, "relative to reading")
    return {"seconds": seconds, "ratios": ratios}
