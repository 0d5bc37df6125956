"""What `scale.py` measures: the same work on more volumes, slices, classes, voxels and processes.

Each size is measured in a process of its own, forked with everything imported. Time is that of its processor and of
those that it starts; memory is its peak (VmHWM), for several processes together the largest sum of their shares (PSS).
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests' tiny data

import numpy as np
from forked import adawac_in
from numpy.typing import NDArray
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main as command
from adawac.data.sampling import AdaptiveSampling
from adawac.data.store_index import Entry, StoreIndex
from adawac.data.units import UnitTable
from adawac.evaluation.case_table import case_rows

Row = dict[str, Any]

BATCH = 16
CASES = 16
"""Volumes of a training in several processes, and samples of its batches."""

CLASSES = 117
"""Foreground classes, as many as TotalSegmentator's."""

SIDE = 216
"""Voxels along each edge of the volume whose classes are measured."""


def of_volumes(counts: list[int], home: Path) -> Iterator[Row]:
    """Commands on so many tiny volumes; `prepare` twice, as it finds all done then."""
    run = home / "runs/tiny/version_0"
    for volumes in counts:
        here = home / f"{volumes}"
        data = write_msd(here / "msd", cases=volumes, shape=(8, 32, 32))
        config = str(write_config(here, tiny_settings(here / "run", data) | {"runs": str(home / "runs")}))
        if not run.exists():  # one model predicts all
            in_process(lambda config=config: command(["fit", "--config", config, "--trainer.max_steps", "2"]))
        prepare = ["prepare", "--config", config]
        for name, arguments in (
            ("check", ["check", str(data), "--picture", str(here / "check.png")]),
            ("init", ["init", str(data), "-o", str(here / "init.yaml")]),
            ("prepare", prepare),
            ("prepare again", prepare),
            ("predict", ["predict", str(run), "-i", str(data / "imagesTr"), "-o", str(here / "predicted")]),
        ):
            used = in_process(lambda arguments=arguments: command(arguments))
            yield {"what": f"`{name}`", "of": "volumes", "size": volumes, **used}


def of_slices(counts: list[int], home: Path) -> Iterator[Row]:
    """An adaptive draw from so many slices: median of draws, and of taking in losses; and opening the store's index."""
    path = home / "draws.json"
    for slices in counts:
        used = in_process(lambda slices=slices: path.write_text(json.dumps(draw(slices))) * 0)
        times = json.loads(path.read_text())
        yield {"what": "adaptive batches", "of": "slices", "size": slices, "MiB": used["MiB"], **times}


def of_classes(counts: list[int], home: Path) -> Iterator[Row]:
    """A case of so many classes, measured; the middle one of three by time."""
    for classes in counts:
        used = thrice(lambda classes=classes: case(SIDE, classes))
        yield {"what": "a case's metrics", "of": "classes", "size": classes, **used}


def of_voxels(counts: list[int], home: Path) -> Iterator[Row]:
    """A cube of 117 classes and so many voxels, measured; the middle one of three by time."""
    for voxels in counts:
        used = thrice(lambda voxels=voxels: case(round(voxels ** (1 / 3)), CLASSES))
        yield {"what": f"metrics of {CLASSES} classes", "of": "voxels", "size": voxels, **used}


def of_processes(counts: list[int], home: Path) -> Iterator[Row]:
    """The same training, its batches shared among so many processes (DDP, gloo)."""
    data = write_msd(home / "msd", cases=CASES, shape=(8, 32, 32))
    for processes in counts:
        settings = tiny_settings(home / f"{processes}", data)
        settings["data"] |= {
            "batch_size": CASES,
            "store": str(home / "store"),
            "size": [160, 160],
        }  # steps of some weight
        settings["trainer"] |= {"max_epochs": 20, "precision": "32-true", "check_val_every_n_epoch": 20}
        settings["trainer"] |= {"devices": processes, "strategy": "ddp"} if processes > 1 else {}
        settings["model"]["network"]["arguments"]["channels"] = [8, 16]
        config = str(write_config(home / f"{processes}", settings))
        used = in_process(lambda n=processes, path=config: adawac_in(n, ["fit", "--config", path]) or 0)
        yield {"what": "`fit`, all processes", "of": "processes", "size": processes, **used}


def thrice(do: Callable[[], int]) -> dict[str, float]:
    """The middle one of three by time, see `in_process`."""
    return sorted((in_process(do) for _ in range(3)), key=lambda used: used["seconds"])[1]


def in_process(do: Callable[[], int]) -> dict[str, float]:
    """What it takes in a process of its own, which must end with 0."""
    process = os.fork()
    if not process:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(do())
    peak = 0.0
    while (done := os.wait4(process, os.WNOHANG))[0] == 0:  # the kernel's own maximum counts this process, too
        peak = max(peak, memory_of(process))
        time.sleep(0.02)
    _, status, used = done
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"a process ended with {code}")
    return {"MiB": round(peak / 1024, 1), "seconds": round(used.ru_utime + used.ru_stime, 2)}


def memory_of(process: int) -> float:
    """KiB of it so far at most; with processes of its own, of them all now."""
    try:
        family = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
        if not family:
            return amount(Path(f"/proc/{process}/status"), "VmHWM")
        return sum(amount(Path(f"/proc/{each}/smaps_rollup"), "Pss") for each in (process, *family))
    except (OSError, IndexError):  # one has ended
        return 0.0


def amount(path: Path, name: str) -> float:
    """KiB in a line of the kernel's account."""
    return next((float(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(f"{name}:")), 0.0)


def draw(slices: int) -> dict[str, float]:
    """Ms of a draw and of taking its losses in, medians; seconds of opening the index and of making the table."""
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
    return {name: round(value, 3) for name, value in found.items()}


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


def case(side: int, classes: int) -> int:
    """Metrics of a cube of 320 mm."""
    preds, target = organs(side, classes)
    case_rows("ct", "ct", preds, target, (320 / side,) * 3, ["background", *(f"organ {k}" for k in range(classes))])
    return 0


def organs(side: int, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Predicted and reference label: balls of differing size side by side, the prediction's a little off."""
    target, preds = np.zeros((2, side, side, side), np.uint8)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:classes]
    for k, cell in enumerate(grid, start=1):
        radius = rng.uniform(0.04, 0.09) * side
        for labels, off in ((target, 0.0), (preds, 0.01)):
            centre = (cell + 0.5) * side / 5 + off * side
            box = tuple(slice(max(0, int(at - radius)), int(at + radius) + 2) for at in centre)
            z, y, x = (np.arange(side)[axis] - at for axis, at in zip(box, centre, strict=True))
            inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius**2
            labels[box][inside] = k
    return preds, target
