"""What all benchmarks share: interleaved rounds, medians with their spread, a table, the device's name."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

Seconds = dict[str, list[float]]
"""Of every thing measured, its seconds in each round."""


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Wall clock; or the processor's time for this process, whatever else the machine does meanwhile (CPU only)."""


def interleaved(
    steps: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1, clock: str = "wall"
) -> Seconds:
    """Seconds of every step in each round; within a round the steps follow one another, so that all see the same noise.

    The order turns from round to round: nothing always runs in the caches that another leaves behind.
    """
    seconds: Seconds = {name: [] for name in steps}
    names, now = list(steps), CLOCKS[clock]
    for round_ in range(warm_up + rounds):
        for name in names if round_ % 2 else reversed(names):
            start = now()
            steps[name]()
            if round_ >= warm_up:
                seconds[name].append(now() - start)
    return seconds


def relative(seconds: Seconds, reference: str) -> dict[str, list[float]]:
    """Each thing's seconds over the reference's in the same round."""
    return {name: [s / r for s, r in zip(spent, seconds[reference], strict=True)] for name, spent in seconds.items()}


def show(title: str, seconds: Seconds, ratios: Mapping[str, list[float]], ratio_name: str) -> None:
    """Median milliseconds, and median and quartiles of the ratios."""
    table = Table("", "ms", ratio_name, "quartiles", title=title)
    for name, values in ratios.items():
        table.add_row(name, f"{1e3 * median(seconds[name]):.2f}", f"{median(values):.3f}", spread(values))
    Console().print(table)


def spread(values: list[float]) -> str:
    """Lower and upper quartile."""
    if len(values) < 2:
        return "one value"
    low, _, high = quantiles(values, n=4)
    return f"{low:.3f} to {high:.3f}"


def machine(device: str) -> dict[str, Any]:
    """What a measurement ran on: part of every record."""
    return {"device": device_name(device), "torch": torch.__version__, "python": platform.python_version()}


def device_name(device: str) -> str:
    """Name of the GPU, or of the processor and how many of its threads are used."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    model = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{model[0] if model else platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()}"


def synchronised(step: Callable[[], object], device: str) -> Callable[[], None]:
    """A step that ends when its device has finished."""

    def run() -> None:
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    return run


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
