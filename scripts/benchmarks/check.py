"""Checking volumes, against reading and decompressing their files alone; with and without the picture."""

import argparse
import contextlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np

from adawac.cli import main as adawac
from adawac.data.checkup import check
from adawac.phantom import generate
from benchmarks.measure import device_name, interleaved, relative, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to check."""
    parser.add_argument("--data", type=Path, help="folder of the Decathlon's layout; default: four generated CTs")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Read all files, check them, and check them on the command line, in turn."""
    with TemporaryDirectory(prefix="adawac-benchmark-") as folder:
        root = options.data or generate(Path(folder, "ct"), 4, (48, 256, 256))
        files = sorted(root.glob("*Tr/*.nii.gz"))

        def read() -> None:
            for path in files:
                np.asarray(nib.load(path).dataobj)

        def command() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                adawac(["check", str(root), "--picture", f"{folder}/check.png"])

        steps = {"read": read, "check": lambda: check(root), "check and picture": command}
        command()  # what is imported
        seconds = interleaved(steps, options.rounds, clock=options.clock)
    ratios = relative(seconds, "check")
    show(f"{len(files)} files, {device_name('cpu')}", seconds, ratios, "relative to checking")
    return {"data": root.name if options.data else "generated", "seconds": seconds, "ratios": ratios}
