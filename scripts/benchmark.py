"""Measure what costs time, as ratios within one run: medians over interleaved rounds, with their spread.

python scripts/benchmark.py methods      # a training step of every weighting method, relative to pair's
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from adawac import weighting as methods
from adawac.data.units import UnitTable
from adawac.networks import NetworkSpec
from adawac.structures import Batch
from adawac.task import SegmentationTask
from adawac.weighting import Weighting

UNET = NetworkSpec(
    "monai.networks.nets.UNet",
    {
        "channels": [16, 32, 64, 128, 256],
        "strides": [2, 2, 2, 2],
        "num_res_units": 2,
        "norm": "INSTANCE",
        "act": ["LEAKYRELU", {"negative_slope": 0.25}],
    },
)
SAMPLES, CLASSES = 3000, 8


def main() -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["methods"])
    parser.add_argument("--rounds", type=int, default=20, help="interleaved rounds; each gives one ratio")
    parser.add_argument("--size", type=int, default=112, help="pixels along each side of the plane")
    parser.add_argument("--batch_size", type=int, default=24)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()

    steps = {
        name: training_step(make(), args.size, args.batch_size, torch.device(args.device))
        for name, make in METHODS.items()
    }
    ratios = interleaved(steps, reference="pair", rounds=args.rounds)
    show(ratios, f"Training step relative to pair's, {device_name(args.device)}")
    if args.output:
        record = {"device": device_name(args.device), "torch": torch.__version__, **vars(args), "ratios": ratios}
        args.output.write_text(json.dumps(record, indent=1, default=str) + "\n")


METHODS: dict[str, Callable[[], Weighting]] = {
    "erm": methods.ERM,
    "pair": methods.Pair,
    "acr-only": methods.ACROnly,
    "adawac": methods.AdaWAC,
    "pseudo-adawac": methods.PseudoAdaWAC,
    "trim-train": methods.TrimTrain,
    "trim-train + acr": methods.TrimTrainACR,
    "trim-ratio": methods.TrimRatio,
    "trim-ratio + acr": methods.TrimRatioACR,
    "reweight-only": methods.ReweightOnly,
    "pm-dro": methods.PMDRO,
    "group-dro": methods.GroupDRO,
    "cvar-dro": methods.CVaRDRO,
}


def training_step(weighting: Weighting, size: int, batch_size: int, device: torch.device) -> Callable[[], None]:
    """A whole step, augmentation to optimiser, on a batch that lies on the device already."""
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 2, (SAMPLES, CLASSES)) * 100
    units = UnitTable.of_slices(["case"], [voxels], (size, size), tuple(f"class {i}" for i in range(CLASSES)))
    weighting.allocate(units)
    task = SegmentationTask(UNET, weighting)
    task.network = UNET.build(1, CLASSES)
    task.last_losses.allocate(SAMPLES)
    task.to(device)
    optimizer = torch.optim.AdamW(task.network.parameters())
    batch = Batch(
        image=torch.rand(batch_size, 1, size, size, device=device),
        label=torch.randint(0, CLASSES, (batch_size, size, size), dtype=torch.uint8, device=device),
        index=torch.arange(batch_size, device=device),
        dense=torch.from_numpy(units.dense[:batch_size]).to(device),
    )

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def interleaved(steps: Mapping[str, Callable[[], None]], reference: str, rounds: int) -> dict[str, list[float]]:
    """Ratios of each step's time to the reference's in the same round, after one round to warm up."""
    warnings.filterwarnings("ignore", message=".*trainer. reference is not registered")
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        seconds = {}
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name] = time.perf_counter() - start
        if round_:
            for name, spent in seconds.items():
                ratios[name].append(spent / seconds[reference])
    return ratios


def show(ratios: Mapping[str, list[float]], title: str) -> None:
    """Median and quartiles of every ratio."""
    table = Table("", "median", "quartiles", title=title)
    for name, values in ratios.items():
        low, _, high = quantiles(values, n=4)
        table.add_row(name, f"{median(values):.2f}", f"{low:.2f} to {high:.2f}")
    Console().print(table)


def device_name(device: str) -> str:
    """What the measurement ran on."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    model = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{model[0] if model else platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
