"""Injects faults into real runs on tiny data and writes what was lost: docs/reliability.md.

    python scripts/torture.py --kills 25 -o docs/reliability.md

Kills are SIGKILL at random moments of preparing, training and studying. After each the same command is given again with
`--resume auto`; when it ends, its last checkpoint is compared bit for bit with that of a run that was never disturbed.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests' tiny data

import numpy as np
import torch
import yaml
from tiny_data import write_msd

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 600.0


class Row(NamedTuple):
    """A line of the table."""

    fault: str
    times: int
    happened: str
    lost: str


@dataclass(frozen=True)
class Place:
    """Where everything lies: data, a configuration, and a run that was left alone."""

    home: Path
    unbroken: dict[str, torch.Tensor]
    seconds: float

    def config(self, name: str, store: str = "store") -> list[str]:
        """Arguments of a run in a folder of its own."""
        return ["fit", f"--config={self.home / 'config.yaml'}", f"--name={name}", f"--data.store={self.home / store}"]

    def run(self, name: str) -> Path:
        """Folder of a run."""
        return self.home / "runs" / name / "version_0"

    def differing(self, run: Path) -> int:
        """Tensors that are not, bit for bit, those of the undisturbed run."""
        state = state_of(run)
        if state.keys() != self.unbroken.keys():
            return len(state.keys() ^ self.unbroken.keys())
        return sum(not torch.equal(v.nan_to_num(-1), self.unbroken[k].nan_to_num(-1)) for k, v in state.items())


def state_of(run: Path) -> dict[str, torch.Tensor]:
    """Network, weights of the slices, their last losses."""
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return state


def adawac(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Args:
        arguments: verb and options.
        limit: bytes that a file may have, as a disk that is full.
    """
    return subprocess.run(
        [sys.executable, "-m", "adawac", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def killed(arguments: Sequence[str], after: float, signum: int = signal.SIGKILL, group: bool = False) -> int | None:
    """Run the command and send a signal after some seconds; its exit status, None if it had ended by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "adawac", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        (os.killpg if group else os.kill)(process.pid, signum)
        return process.wait(PATIENCE)
    return None if process.returncode == 0 else process.returncode


def prepare(home: Path) -> Place:
    """Data, configuration, and the run that all others are compared with."""
    settings = {
        "runs": str(home / "runs"),
        "seed_everything": 3,
        "trainer": {"accelerator": "cpu", "max_epochs": 25, "enable_progress_bar": False},
        "data": {
            "root": str(write_msd(home / "msd", cases=6, shape=(7, 32, 32))),
            "split": {"class_path": "FractionSplit", "init_args": {"val": 0.2, "test": 0.2}},
            "size": [32, 32],
            "batch_size": 4,
        },
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "dropout": 0.2, "norm": "INSTANCE"},
            },
        },
    }
    (home / "config.yaml").write_text(yaml.safe_dump(settings))
    place = Place(home, {}, 0.0)
    begun = time.monotonic()
    done = adawac(*place.config("unbroken"))
    assert done.returncode == 0, done.stderr
    return Place(home, state_of(place.run("unbroken")), time.monotonic() - begun)


def kills_in_training(place: Place, times: int, rng: random.Random) -> Row:
    """SIGKILL at random moments of runs that are taken up again until they end."""
    struck = runs = wrong = 0
    while struck < times:
        name = f"killed{runs}"
        for _ in range(4):  # kills of one run, before it may end
            if struck < times and killed([*place.config(name), "--resume=auto"], place.seconds * rng.uniform(0.2, 1.0)):
                struck += 1
        done = adawac(*place.config(name), "--resume=auto")
        versions = sorted((place.home / "runs" / name).glob("version_*/checkpoints/last.ckpt"))
        wrong += done.returncode != 0 or place.differing(versions[-1].parent.parent) > 0
        runs += 1
    return Row(
        "`kill -9` while training",
        struck,
        f"{runs} runs, each resumed until it ended; {runs - wrong} of {runs} end bit for bit like the undisturbed run",
        "steps since the last checkpoint, which are done again",
    )


def kills_in_preparing(place: Place, times: int, rng: random.Random) -> Row:
    """SIGKILL while a new store is filled; larger volumes, so that there is a moment to meet."""
    root = write_msd(place.home / "large", cases=10, shape=(40, 160, 160))
    options = [f"--data.root={root}", "--trainer.max_epochs=1"]
    begun = time.monotonic()
    assert adawac(*place.config("large", "large_store"), *options).returncode == 0
    seconds, struck, wrong = time.monotonic() - begun, 0, 0
    expected = state_of(place.run("large"))
    for number in range(times):
        store, name = f"store{number}", f"prepared{number}"
        arguments = [*place.config(name, store), *options, "--resume=auto"]
        struck += killed(arguments, seconds * rng.uniform(0.4, 0.9)) is not None
        again = adawac(*arguments)
        (last,) = sorted((place.home / "runs" / name).glob("version_*/checkpoints/last.ckpt"))[-1:]
        state = state_of(last.parent.parent)
        same = all(torch.equal(state[key].nan_to_num(-1), expected[key].nan_to_num(-1)) for key in expected)
        wrong += again.returncode != 0 or not same
        shutil.rmtree(place.home / store)
    return Row(
        "`kill -9` while preparing data",
        struck,
        f"the same command again; {times - wrong} of {times} end bit for bit like the undisturbed run",
        "the case under way, which is prepared again",
    )


def kills_in_studying(place: Place, times: int, rng: random.Random) -> Row:
    """SIGKILL of a study and all its processes; the same again until every cell has ended."""
    study = {
        "name": "study",
        "config": "config.yaml",
        "common": {"data.store": str(place.home / "store")},
        "grid": {"method": {"erm": {"model.weighting": "ERM"}, "adawac": {"model.weighting": "AdaWAC"}}},
    }
    (place.home / "study.yaml").write_text(yaml.safe_dump(study))

    def command(runs: str) -> list[str]:
        return ["study", str(place.home / "study.yaml"), f"--runs={place.home / runs}"]

    begun = time.monotonic()
    done = adawac(*command("study_unbroken"))
    assert done.returncode == 0, done.stdout + done.stderr
    seconds, struck = time.monotonic() - begun, 0
    for _ in range(times):
        struck += killed(command("study_killed"), seconds * rng.uniform(0.2, 0.8), group=True) is not None
        # Cells are sessions of their own; those that a kill of the study leaves behind go on, and are waited for.
    done = adawac(*command("study_killed"))
    wrong = done.returncode != 0
    for cell in ("erm", "adawac"):
        one, other = (
            state_of(place.home / f"{runs}/study/{cell}/version_0") for runs in ("study_unbroken", "study_killed")
        )
        wrong += any(not torch.equal(one[key].nan_to_num(-1), other[key].nan_to_num(-1)) for key in one)
    return Row(
        "`kill -9` of a study",
        struck,
        "the same command again; " + ("both cells end bit for bit alike" if not wrong else f"{wrong} cells DIFFER"),
        "nothing: cells under way go on by themselves and are waited for",
    )


def signals(place: Place, times: int, rng: random.Random) -> Row:
    """SIGTERM and SIGINT at random moments."""
    statuses, wrong = [], 0
    for number in range(times):
        signum, name = (signal.SIGTERM, signal.SIGINT)[number % 2], f"signalled{number}"
        arguments = [*place.config(name), "--resume=auto"]
        statuses.append(killed(arguments, place.seconds * rng.uniform(0.75, 0.98), signum))
        wrong += adawac(*arguments).returncode != 0
        versions = sorted((place.home / "runs" / name).glob("version_*/checkpoints/last.ckpt"))
        wrong += place.differing(versions[-1].parent.parent) > 0
    shown = ", ".join(str(status) for status in sorted({s for s in statuses if s is not None}))
    return Row(
        "SIGTERM, SIGINT",
        len([s for s in statuses if s is not None]),
        f"exit status {shown}; {times - wrong} of {times} end bit for bit like the undisturbed run",
        "nothing once training has begun: the step under way is ended and saved",
    )


def full_disk(place: Place, times: int, rng: random.Random) -> Row:
    """Files may not grow beyond a size between nothing and a checkpoint's."""
    done = 0
    for number in range(times):
        name = f"full{number}"
        assert adawac(*place.config(name), "--trainer.max_epochs=2").returncode == 0
        last = place.run(name) / "checkpoints/last.ckpt"
        before = last.read_bytes()
        stopped = adawac(*place.config(name), "--resume=auto", limit=rng.randrange(4096, len(before)))
        whole = last.read_bytes() == before and not list(last.parent.glob(".*"))
        said = "checkpoint is whole" in stopped.stderr or "the one before it is whole" in stopped.stderr
        done += stopped.returncode == 2 and said
        assert whole, "the previous checkpoint was touched"
    return Row(
        "disk full", times, f"{done} of {times} stop and say so; the checkpoint before is whole", "steps since it"
    )


def damaged_checkpoint(place: Place, times: int, rng: random.Random) -> Row:
    """A byte of the newest checkpoint changes, or its end is cut off."""
    wrong = 0
    source = place.run("unbroken")
    for number in range(times):
        name = f"damaged{number}"
        shutil.copytree(source, place.run(name))
        last = place.run(name) / "checkpoints/last.ckpt"
        content = bytearray(last.read_bytes())
        if number % 2:
            content = content[: rng.randrange(len(content))]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        last.write_bytes(content)
        done = adawac(*place.config(name), "--resume=auto")
        wrong += (
            done.returncode != 0 or "best.ckpt" not in done.stderr + done.stdout or place.differing(place.run(name)) > 0
        )
    return Row(
        "newest checkpoint damaged",
        times,
        f"--resume auto takes the newest whole one; {times - wrong} of {times} end bit for bit like "
        "the undisturbed run",
        "steps between the two",
    )


def rotten_store(place: Place, times: int, rng: random.Random) -> Row:
    """A voxel of the prepared data becomes infinite after it was checked."""
    named = 0
    for number in range(times):
        store = f"rotten{number}"
        assert adawac(*place.config(store, store), "--trainer.max_epochs=1").returncode == 0
        units = yaml.safe_load((place.run(store) / "split.json").read_text())["train"]
        case, position = rng.choice(units), rng.randrange(7)
        (path,) = (place.home / store).glob(f"{case}/*/image.npy")
        image = np.load(path, mmap_mode="r+")
        image[0, position, 10, 10] = np.inf
        image.flush()
        stopped = adawac(*place.config(store, store), "--resume=auto")
        named += stopped.returncode == 2 and f"not finite: {case} slice {position}" in stopped.stderr
    return Row(
        "NaN in a step",
        times,
        f"{named} of {times} stop, naming case, slice and step",
        "nothing: the step is not taken",
    )


def long_run(place: Place, steps: int) -> Row:
    """Many steps: memory and weights at the end. The run watches itself, through a callback below."""
    done = subprocess.run(
        [sys.executable, __file__, "--watch", str(place.home), str(steps)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Row("none", 1, f"{steps:,} steps: {done.stdout.strip().splitlines()[-1]}", "nothing")


def watch(home: Path, steps: int) -> None:
    """Train in this process and measure its memory at a tenth, and at the end."""
    import lightning.pytorch as pl

    from adawac import training_cli
    from adawac.cli import main

    resident: dict[int, float] = {}
    finite = [True]

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule, *args: object) -> None:
            if trainer.global_step % max(1, steps // 10) == 0:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                resident[trainer.global_step] = pages * resource.getpagesize() / 2**20
                finite[0] &= all(bool(torch.isfinite(p).all()) for p in task.parameters())

    standard: Callable[..., list[pl.Callback]] = training_cli.default_callbacks
    training_cli.default_callbacks = lambda *arguments: [*standard(*arguments), Watch()]
    options = [f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1", "--trainer.check_val_every_n_epoch=1000"]
    assert main([*Place(home, {}, 0.0).config("long"), *options, "--trainer.log_every_n_steps=500"]) == 0
    first, *_, last = resident.values()
    print(f"resident memory {first:.0f} MiB after a tenth, {last:.0f} MiB at the end; weights finite: {finite[0]}")


def main() -> None:
    """Parse the command line, strike, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25, help="kills in all: three fifths in training, the rest shared")
    parser.add_argument("--faults", type=int, default=4, help="how often each other fault strikes")
    parser.add_argument("--steps", type=int, default=100_000, help="of the long run; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("-o", "--output", type=Path, help="page to write; default: print it")
    parser.add_argument("--watch", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.watch:
        watch(Path(args.watch[0]), int(args.watch[1]))
        return
    rng = random.Random(args.seed)
    others = args.kills // 5
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder))
        strikes: list[Callable[[], Row]] = [
            lambda: kills_in_training(place, args.kills - 2 * others, rng),
            lambda: kills_in_preparing(place, others, rng),
            lambda: kills_in_studying(place, others, rng),
            lambda: signals(place, args.faults, rng),
            lambda: full_disk(place, args.faults, rng),
            lambda: damaged_checkpoint(place, args.faults, rng),
            lambda: rotten_store(place, args.faults, rng),
        ]
        if args.steps:
            strikes.append(lambda: long_run(place, args.steps))
        rows = []
        for strike in strikes:
            rows.append(strike())
            print(rows[-1], file=sys.stderr, flush=True)
    command = f"python scripts/torture.py --kills {args.kills} --faults {args.faults} --steps {args.steps}"
    page = "\n".join(
        [
            "# What a run survives",
            "",
            f"Written by `{command} --seed {args.seed} -o docs/reliability.md`: real",
            "processes on tiny generated data, struck at random moments, then given the same command again.",
            "",
            "| fault | times | what happened | what was lost |",
            "|---|---:|---|---|",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
            "",
        ]
    )
    if args.output:
        args.output.write_text(page, encoding="utf-8")
    else:
        print(page)


if __name__ == "__main__":
    main()
