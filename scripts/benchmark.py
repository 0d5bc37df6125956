"""Measure what costs time, as ratios within one run: medians over interleaved rounds, with their spread.

python scripts/benchmark.py WHAT [options] [-o FILE.json]     # benchmark.py WHAT --help shows the options
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

BENCHMARKS = {
    "train": "adawac fit, data and augmentation included, against the ceiling",
    "step": "a training step by pair and by AdaWAC against the ceiling; updates of the weights",
    "adaptive": "a step on an adaptive batch of a million slices, against one in random order",
    "precision": "the ceiling in float32 and in bfloat16, compiled and not",
    "bounds": "what bounds a training step: how much of it the device works, and at what",
    "capacity": "the largest batch that fits into a GPU's memory",
    "methods": "a training step of every weighting method, relative to pair's",
    "views": "a training step with strong views, relative to one with the usual ones",
    "augment": "a view of a slice, against scipy's rotate and zoom",
    "prepare": "preparing volumes, against reading their files",
    "check": "checking a folder, against reading its files",
    "predict": "a volume's labels on its native grid, against the network alone",
    "memory": "memory and epoch start of a store of 100,000 slices",
    "startup": "adawac --help, and adawac fit up to its first step",
    "metrics": "Dice and HD95 of 8 organs in a volume, against medpy, values beside it",
}
"""Each is the module of its name in `benchmarks`."""


def main() -> int:
    """Parse, measure, write."""
    lines = [f"  {name:10}{text}" for name, text in BENCHMARKS.items()]
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print("\n".join([__doc__, *lines]))
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    what = sys.argv[1]

    import torch
    from benchmarks.measure import CLOCKS, machine

    from adawac.training.performance.cpu import keep_freed_memory

    benchmark = import_module(f"benchmarks.{what}")
    parser = argparse.ArgumentParser(f"benchmark.py {what}", description=benchmark.__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="interleaved rounds; each gives one ratio")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: unmoved by others on a shared machine")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    benchmark.add_arguments(parser)
    options = parser.parse_args(sys.argv[2:])
    keep_freed_memory()  # as the command does
    output = options.__dict__.pop("output")
    record = {**vars(options), **machine(options.device), **benchmark.run(options)}
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(record, indent=1, default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
