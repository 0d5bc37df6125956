"""Benchmarks measure what they say."""

import argparse
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision


@pytest.fixture
def benchmark(monkeypatch):
    """Import the module of a benchmark."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    return lambda name: import_module(f"benchmarks.{name}")


def options_of(benchmark, *arguments):
    parser = argparse.ArgumentParser()
    benchmark("training").add_arguments(parser)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", default="wall")
    return parser.parse_args(arguments)


def event(key, seconds, device="CUDA", annotation=False):
    """What a profiler knows of all that has one name."""
    return SimpleNamespace(
        key=key,
        device_type=SimpleNamespace(name=device),
        is_user_annotation=annotation,
        self_device_time_total=1e6 * seconds,
    )


def test_a_gpu_s_work_is_counted_once(benchmark):
    name = "void multi_tensor_apply_kernel<" + 100 * "x"
    events = [
        event(f"{name}, float>", 3.0),
        event(f"{name}, double>", 2.0),
        event("Optimizer.step#AdamW.step", 6.0, annotation=True),
        event("Optimizer.step#AdamW.step", 0.0, "CPU", annotation=True),
    ]
    kinds, kernels = benchmark("bounds").seconds_of(events, steps=10, on_gpu=True)
    assert kinds == pytest.approx({"optimiser": 0.5})
    assert kernels == pytest.approx({name[:100]: 0.5})


def test_precision_is_the_trainer_s(benchmark):
    with benchmark("training").autocast(options_of(benchmark, "--precision", "bf16")):
        ours = torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()
    with MixedPrecision("bf16-mixed", "cpu").forward_context():
        assert ours == (torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled())


@pytest.mark.parametrize(("recorded", "fits"), [([], True), (["--cuda_graphs"], False)])
def test_a_batch_whose_step_cannot_be_recorded_does_not_fit(benchmark, recorded, fits):
    seconds = {}
    options = options_of(benchmark, "--size", "32", *recorded)  # on a CPU nothing can be recorded
    assert benchmark("capacity")._fits(2, options, seconds) == fits
    assert list(seconds) == ["2"] * fits
