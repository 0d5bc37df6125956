"""Memory and time against the number of volumes, and of a draw against the number of slices: do they stay flat?

    TMPDIR=/dev/shm python scripts/scale.py -o docs/results/scale.json  # flushing takes no time there

Volumes are tiny and alike, so that whatever grows with their number shows; each command is a process of its own, forked
with everything imported, whose peak memory is looked at while it runs. Time is that of the processor, as others may use
the machine. Slopes are exponents b of a * n^b, fitted to all sizes; a draw's only from a million slices on. What a
volume adds is the slope between the two largest numbers of them. A plot lies beside the JSON.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests' tiny data

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

import adawac.cli
import adawac.cli.predict_files
import adawac.training.train
from adawac.data.sampling import AdaptiveSampling
from adawac.data.store_index import Entry, StoreIndex
from adawac.data.units import UnitTable
from adawac.io.atomic import write_text

BATCH = 16
WHAT = ("MiB", "seconds")


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--slices", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("-o", "--output", type=Path, help="JSON to write; default: print alone")
    args = parser.parse_args()
    found = {"draws": [draw(slices) for slices in args.slices], "commands": []}
    with tempfile.TemporaryDirectory() as folder:
        for volumes in args.volumes:
            found["commands"] += commands(Path(folder, str(volumes)), volumes, Path(folder, "runs"))
            write(found, args)  # each size takes its time


def write(found: dict[str, Any], args: argparse.Namespace) -> None:
    """The JSON of what is known so far, and the plot."""
    large = [row for row in found["draws"] if row["slices"] >= 10**6]
    found["exponents"] = {"draw, ms": exponent(large, "slices", "ms")} | {
        f"{command}, {what}": exponent([row for row in found["commands"] if row["command"] == command], "volumes", what)
        for command in dict.fromkeys(row["command"] for row in found["commands"])
        for what in WHAT
    }
    found["a volume adds"] = {
        command: {what: slope([row for row in found["commands"] if row["command"] == command], what) for what in WHAT}
        for command in dict.fromkeys(row["command"] for row in found["commands"])
    }
    command = f"TMPDIR=/dev/shm python scripts/scale.py --volumes {' '.join(map(str, args.volumes))}"
    clock = "seconds of the processor, all threads, while others used the machine"
    text = json.dumps({"command": command, "clock": clock, **found}, indent=1)
    print(text)
    if args.output:
        write_text(args.output, text + "\n")
        plot(found["commands"]).savefig(args.output.with_suffix(".png"))


def draw(slices: int) -> dict[str, float]:
    """Median of draws of a batch, and of taking its losses in, in ms; and of making the table of slices in seconds."""
    rng = np.random.default_rng(0)
    voxels = np.zeros((slices, 4), np.int64)
    voxels[:, 0] = 9
    voxels[:, 1:] = np.repeat(rng.random((-(-slices // 20), 3)) < 0.2, 20, axis=0)[:slices]
    parts = np.split(voxels, range(100, slices, 100))
    opened = opening(parts)
    begun = time.thread_time()
    units = UnitTable.of_slices([f"pt_{k}" for k in range(len(parts))], parts, (64, 64), ("background", "a", "b", "c"))
    made = time.thread_time() - begun
    sampling = AdaptiveSampling("classes")
    sampling.allocate(units)
    draws, taken = [], []
    for step in range(300):
        generator = np.random.default_rng((0, step))
        begun = time.thread_time()
        batch = sampling.draw_batch(BATCH, generator)
        drawn = time.thread_time()
        sampling.observe(batch, generator.exponential(1.0, BATCH))
        draws.append(drawn - begun)
        taken.append(time.thread_time() - drawn)
    ms, observed = 1000 * float(np.median(draws)), 1000 * float(np.median(taken))
    found = {"ms": ms, "observe ms": observed, "index s": opened, "table s": made}
    return {"slices": slices} | {name: round(value, 3) for name, value in found.items()}


def opening(voxels: list[NDArray[np.int64]]) -> float:
    """Seconds to open the index of a store of such volumes, and to find them all in it."""
    facts = {"placement": {"plane": [512, 512], "size": [224, 224], "box": [0.0, 512.0, 0.0, 512.0]}}
    facts |= {"steps": [[3.0, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.8]], "data_hash": "ba7816bf8f01"}
    keys = [f"{k:024}" for k in range(len(voxels))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.npz")
        StoreIndex(path).add({key: Entry(f"pt_{key}", facts, of_it) for key, of_it in zip(keys, voxels, strict=True)})
        begun = time.thread_time()
        index = StoreIndex(path)
        assert all(map(index.find, keys))
        return time.thread_time() - begun


def commands(home: Path, volumes: int, runs: Path) -> list[dict[str, Any]]:
    """What is done with so many volumes; `prepare` twice, as it finds all done then."""
    data = write_msd(home / "msd", cases=volumes, shape=(8, 32, 32))
    settings = tiny_settings(home / "run", data) | {"runs": str(runs)}
    config = str(write_config(home, settings))
    prepare = ["prepare", "--config", config]
    picture = ["--picture", str(home / "check.png")]
    run = runs / "tiny/version_0"
    found = []
    for name, arguments in (
        ("check", ["check", str(data), *picture]),
        ("init", ["init", str(data), "-o", str(home / "init.yaml")]),
        ("prepare", prepare),
        ("prepare again", prepare),
        ("predict", ["predict", str(run), "-i", str(data / "imagesTr"), "-o", str(home / "predicted")]),
    ):
        if name == "predict" and not run.exists():  # one model predicts all
            measured(["fit", "--config", config, "--trainer.max_steps", "2", "--trainer.precision", "32-true"])
        found.append({"command": name, "volumes": volumes, **measured(arguments)})
    return found


def measured(arguments: list[str]) -> dict[str, float]:
    """Peak memory of a command, and seconds of the processor that it took."""
    process = os.fork()  # all is imported already
    if not process:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(adawac.cli.main(arguments))
    peak = 0
    while (done := os.wait4(process, os.WNOHANG))[0] == 0:  # the kernel's own maximum counts this process, too
        status = Path(f"/proc/{process}/status").read_text()
        peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.02)
    _, status_code, used = done
    if code := os.waitstatus_to_exitcode(status_code):
        raise SystemExit(f"adawac {' '.join(arguments)} ended with {code}")
    return {"MiB": round(peak / 1024, 1), "seconds": round(used.ru_utime + used.ru_stime, 2)}


def slope(rows: list[dict[str, Any]], what: str) -> float:
    """Of the two largest numbers of volumes."""
    if len(rows) < 2:
        return float("nan")
    less, more = rows[-2:]
    return round((more[what] - less[what]) / (more["volumes"] - less["volumes"]), 5)


def plot(rows: list[dict[str, Any]]) -> Figure:
    """Memory and time of each command against the number of volumes."""
    figure = Figure(figsize=(7.2, 3.2), dpi=120, layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), WHAT, strict=True):
        for command in dict.fromkeys(row["command"] for row in rows):
            of_it = [row for row in rows if row["command"] == command]
            axes.loglog([row["volumes"] for row in of_it], [row[what] for row in of_it], marker="o", label=command)
        axes.set(xlabel="volumes", ylabel={"MiB": "memory, MiB", "seconds": "processor, s"}[what])
    axes.legend(frameon=False)
    return figure


def exponent(rows: list[dict[str, float]], of: str, what: str) -> float:
    """B of what = a * of^b."""
    if len(rows) < 2:
        return float("nan")
    return round(float(np.polyfit(np.log([row[of] for row in rows]), np.log([row[what] for row in rows]), 1)[0]), 3)


if __name__ == "__main__":
    main()
