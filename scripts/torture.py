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
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests' tiny data

os.environ["OMP_NUM_THREADS"] = "1"

import lightning.pytorch as pl
import numpy as np
import torch
import yaml
from tiny_data import write_msd

from adawac import training_cli
from adawac.cli import main as main_of_adawac


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


class Ended(NamedTuple):
    """Exit status of a process, and what it wrote."""

    status: int
    said: str


def begin(arguments: Sequence[str], log: IO[bytes], limit: int | None = None) -> int:
    """Start the command in a process of its own and return its id.

    The process is forked off this one, which has imported everything and done nothing: a start takes no seconds.

    Args:
        arguments: verb and options.
        log: takes what it writes.
        limit: bytes that a file may have, as on a disk that is full.
    """
    if process := os.fork():
        return process
    os.setsid()
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    status = 1
    try:
        status = main_of_adawac(list(arguments))
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(process: int, log: IO[bytes]) -> Ended:
    """Wait for a process; its log is without the colours and line breaks of a terminal."""
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    log.seek(0)
    return Ended(status, log.read().decode(errors="replace"))


def adawac(*arguments: str, limit: int | None = None) -> Ended:
    """Run the command to its end, arguments as for `begin`."""
    with tempfile.TemporaryFile() as log:
        return ended(begin(arguments, log, limit), log)


def killed(arguments: Sequence[str], after: float, signum: int = signal.SIGKILL, group: bool = False) -> int | None:
    """Run the command and send a signal after some seconds; its exit status, None if it had ended by itself."""
    with tempfile.TemporaryFile() as log:
        process, until = begin(arguments, log), time.monotonic() + after
        while time.monotonic() < until:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                status = ended(process, log).status
                return None if status == 0 else status
            time.sleep(0.01)
        (os.killpg if group else os.kill)(process, signum)
        return ended(process, log).status


def prepare(home: Path) -> Place:
    """Data, configuration, and the run that all others are compared with."""
    settings = {
        "runs": str(home / "runs"),
        "seed_everything": 3,
        "trainer": {"accelerator": "cpu", "max_epochs": 6, "enable_progress_bar": False, "num_sanity_val_steps": 0},
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
    assert done.status == 0, done.said
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
        wrong += done.status != 0 or place.differing(versions[-1].parent.parent) > 0
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
    assert adawac(*place.config("large", "large_store"), *options).status == 0
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
        wrong += again.status != 0 or not same
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
    assert done.status == 0, done.said
    seconds, struck = time.monotonic() - begun, 0
    for _ in range(times):
        struck += killed(command("study_killed"), seconds * rng.uniform(0.2, 0.8), group=True) is not None
        # Cells are sessions of their own; those that a kill of the study leaves behind go on, and are waited for.
    done = adawac(*command("study_killed"))
    wrong = done.status != 0
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
        wrong += adawac(*arguments).status != 0
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
        assert adawac(*place.config(name), "--trainer.max_epochs=2").status == 0
        last = place.run(name) / "checkpoints/last.ckpt"
        before = last.read_bytes()
        stopped = adawac(*place.config(name), "--resume=auto", limit=rng.randrange(4096, len(before)))
        whole = last.read_bytes() == before and not list(last.parent.glob(".*"))
        said = "checkpoint is whole" in stopped.said or "the one before it is whole" in stopped.said
        done += stopped.status == 2 and said
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
        wrong += done.status != 0 or "best.ckpt" not in done.said + done.stdout or place.differing(place.run(name)) > 0
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
        assert adawac(*place.config(store, store), "--trainer.max_epochs=1").status == 0
        units = yaml.safe_load((place.run(store) / "split.json").read_text())["train"]
        case, position = rng.choice(units), rng.randrange(7)
        (path,) = (place.home / store).glob(f"{case}/*/image.npy")
        image = np.load(path, mmap_mode="r+")
        image[0, position, 10, 10] = np.inf
        image.flush()
        stopped = adawac(*place.config(store, store), "--resume=auto")
        named += stopped.status == 2 and f"not finite: {case} slice {position}" in stopped.said
    return Row(
        "NaN in a step",
        times,
        f"{named} of {times} stop, naming case, slice and step",
        "nothing: the step is not taken",
    )


def long_run(place: Place, steps: int) -> Row:
    """Many steps: memory and weights at the end. The run watches itself, through a callback below."""
    with tempfile.TemporaryFile() as log:
        if not (process := os.fork()):
            os.dup2(log.fileno(), 1)
            watch(place.home, steps)
            sys.stdout.flush()
            os._exit(0)
        done = ended(process, log)
    assert done.status == 0, done.said
    return Row("none", 1, f"{steps:,} steps: {done.said.strip().splitlines()[-1]}", "nothing")


def watch(home: Path, steps: int) -> None:
    """Train in this process and measure its memory at a tenth, and at the end."""
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
    assert main_of_adawac([*Place(home, {}, 0.0).config("long"), *options, "--trainer.log_every_n_steps=500"]) == 0
    first, *_, last = resident.values()
    print(f"resident memory {first:.0f} MiB after a tenth, {last:.0f} MiB at the end; weights finite: {finite[0]}")


def main() -> None:
    """Parse the command line, strike, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=25, help="kills in all; one in five meets preparing, one in ten a study"
    )
    parser.add_argument("--faults", type=int, default=4, help="how often each other fault strikes")
    parser.add_argument("--steps", type=int, default=100_000, help="of the long run; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("-o", "--output", type=Path, help="page to write; default: print it")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    preparing, studying = max(1, args.kills // 5), max(1, args.kills // 10)
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder))
        strikes: list[Callable[[], Row]] = [
            lambda: kills_in_training(place, args.kills - preparing - studying, rng),
            lambda: kills_in_preparing(place, preparing, rng),
            lambda: signals(place, args.faults, rng),
            lambda: full_disk(place, args.faults, rng),
            lambda: damaged_checkpoint(place, args.faults, rng),
            lambda: rotten_store(place, args.faults, rng),
            lambda: kills_in_studying(place, studying, rng),
        ]
        if args.steps:
            strikes.append(lambda: long_run(place, args.steps))
        rows = []
        for strike in strikes:
            rows.append(strike())
            print(rows[-1], file=sys.stderr, flush=True)
            text = page(rows, args)
            if args.output:  # after each, so that nothing is lost here, either
                args.output.write_text(text, encoding="utf-8")
    if not args.output:
        print(text)


def page(rows: Sequence[Row], args: argparse.Namespace) -> str:
    """The table with the command that makes it."""
    command = f"python scripts/torture.py --kills {args.kills} --faults {args.faults} --steps {args.steps}"
    return "\n".join(
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


if __name__ == "__main__":
    main()
