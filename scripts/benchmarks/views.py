"""A training step of plain training with strong views, relative to one with the usual views."""

import argparse
from typing import Any

from adawac import weighting as methods
from adawac.augment import Augmentation, PaperAugmentation, RandomAugmentation, StrongAugmentation
from benchmarks import training
from benchmarks.measure import device_name, interleaved, relative, show, synchronised

SAMPLES = 3000
VIEWS: dict[str, type[Augmentation]] = {
    "usual views": RandomAugmentation,
    "strong views": StrongAugmentation,
    "the paper's views": PaperAugmentation,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As every benchmark that trains, on smaller planes."""
    training.add_arguments(parser)
    parser.set_defaults(size=112)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    batch = training.random_batch(options)
    steps = {}
    for name, make in VIEWS.items():
        task = training.task_of(methods.ERM(), SAMPLES, options)
        task.augmentation = make()
        steps[name] = synchronised(training.method_step(task, batch, options), options.device)
    seconds = interleaved(steps, options.rounds, warm_up=2, clock=options.clock)
    ratios = relative(seconds, "usual views")
    show(f"Training step, {device_name(options.device)}", seconds, ratios, "relative to usual views")
    return {"seconds": seconds, "ratios": ratios}
