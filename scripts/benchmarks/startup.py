"""How long a command takes until it does something: `adawac --help`, and `adawac fit` up to its first step."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adawac.phantom import generate
from benchmarks.measure import device_name, interleaved, relative, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fewer rounds: each starts processes."""
    parser.set_defaults(rounds=5)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Prepare a small data set once, then start commands; a bare interpreter and torch alone are the ceilings."""
    with TemporaryDirectory(prefix="adawac-benchmark-") as folder:
        root = generate(Path(folder, "ct"), patients=4, size=(24, 64, 64))
        accelerator = "gpu" if options.device.startswith("cuda") else "cpu"
        fit = [
            *("-m", "adawac", "fit", "--data.root", str(root), "--data.store", f"{folder}/store"),
            *("--data.size", "[64, 64]", "--model.network.architecture", "monai.networks.nets.UNet"),
            *("--model.network.arguments", "{channels: [8, 16], strides: [2]}", "--runs", f"{folder}/runs"),
            *("--trainer.max_steps", "1", "--trainer.limit_val_batches", "0", "--trainer.accelerator", accelerator),
        ]
        commands = {
            "python": ["-c", "pass"],
            "adawac --help": ["-m", "adawac", "--help"],
            "import torch": ["-c", "import torch"],
            "adawac fit to its first step": fit,
        }
        seconds = interleaved({name: lambda c=c: _start(c) for name, c in commands.items()}, options.rounds)
    ratios = relative(seconds, "import torch")
    show(f"Start, {device_name(options.device)}", seconds, ratios, "relative to import torch")
    return {"seconds": seconds, "ratios": ratios}


def _start(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], env=os.environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
