"""What bounds a training step by AdaWAC: how much of it the device works, and at what."""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

from torch.profiler import ProfilerActivity, profile

from adawac.weighting import AdaWAC
from benchmarks import training
from benchmarks.measure import device_name, interleaved, synchronised

KINDS = {
    "convolution": ("conv", "cudnn", "wgrad", "dgrad", "implicit", "xmma", "cutlass", "gemm", "nvjet"),
    "normalisation": ("norm",),
    "optimiser": ("multi_tensor", "adam"),
    "copies and layout": ("copy", "memcpy", "memset", "nchw", "nhwc", "cat"),
    "reduction and softmax": ("reduce", "softmax"),
    "element-wise": ("elementwise", "vectorized", "triton"),
}
"""Kind of work -> what the names of its kernels hold, the first that fits."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains."""
    training.add_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time whole steps, then look into as many."""
    task = training.task_of(AdaWAC(), 3000, options)
    step = training.method_step(task, training.random_batch(options), options)
    timed = synchronised(step, options.device)
    seconds = interleaved({"step": timed}, options.rounds, warm_up=5, clock=options.clock)["step"]
    on_gpu = options.device.startswith("cuda")
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as profiler:
        for _ in range(options.rounds):
            timed()
    spent, kernels = seconds_of(profiler.key_averages(), options.rounds, on_gpu)
    busy = sum(spent.values()) / median(seconds)
    print(f"{device_name(options.device)}: a step of {1e3 * median(seconds):.2f} ms, the device at work {busy:.0%}")
    for kind, s in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {kind:24}{1e3 * s:8.2f} ms  {s / sum(spent.values()):.0%}")
    top = dict(sorted(kernels.items(), key=lambda item: -item[1])[:20])
    return {"seconds": {"step": seconds}, "busy": busy, "seconds_by_kind": spent, "slowest_kernels": top}


def seconds_of(events: Iterable[Any], steps: int, on_gpu: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds a step by kind of work, and by the first hundred characters of a kernel's name.

    Spans that a GPU shows of the host's work, such as the optimiser's step, are left out: they hold kernels that are
    counted already.
    """
    kinds: dict[str, float] = defaultdict(float)
    kernels: dict[str, float] = defaultdict(float)
    for event in events:
        if on_gpu and (event.device_type.name == "CPU" or event.is_user_annotation):
            continue
        own = 1e-6 * (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / steps
        kinds[_kind(event.key)] += own
        kernels[event.key[:100]] += own
    return kinds, kernels


def _kind(kernel: str) -> str:
    name = kernel.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other")
