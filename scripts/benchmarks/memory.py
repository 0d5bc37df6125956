"""Memory and epoch start of a store of many slices (sparse files that hold only zeros), over all loading processes."""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from adawac.data.datasets import UnitDataset
from adawac.data.grid import Placement
from adawac.data.loading import EpochOrder, ResumableLoader
from adawac.data.prepared_case import PreparedCase
from adawac.data.units import UnitTable

DEPTH = 200
CLASSES = ("background", "organ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much there is, and how it is fetched."""
    parser.add_argument("--slices", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch_size", type=int, default=24)
    parser.add_argument("--batches", type=int, default=100, help="to fetch before memory is read")
    parser.add_argument("--workers", type=int, default=2)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make the store, fetch, read the kernel's account."""
    with TemporaryDirectory(prefix="adawac-benchmark-") as folder:
        bare = _anonymous()
        cases = [_sparse_case(Path(folder), number, options.size) for number in range(options.slices // DEPTH)]
        plane = (options.size, options.size)
        units = UnitTable.of_slices([case.id for case in cases], [case.voxels for case in cases], plane, CLASSES)
        order = EpochOrder(len(units), options.batch_size, seed=0)
        loader = ResumableLoader(UnitDataset(cases, units), order, num_workers=options.workers)
        start = time.perf_counter()
        batches = iter(loader)
        next(batches)
        first = time.perf_counter() - start
        for _ in range(options.batches):
            next(batches)
        more = _anonymous() - bare
        del batches
    table = Table("slices", "first batch, s", "memory above the bare process, GB", title="A large store")
    table.add_row(str(len(units)), f"{first:.2f}", f"{more / 1e9:.2f}")
    Console().print(table)
    return {"slices": len(units), "epoch_start_seconds": first, "anonymous_bytes": more}


def _sparse_case(folder: Path, number: int, size: int) -> PreparedCase:
    """A volume whose files take no room."""
    home = folder / str(number)
    home.mkdir()
    for name, shape, dtype in (
        ("image", (1, DEPTH, size, size), np.float16),
        ("label", (DEPTH, size, size), np.uint8),
    ):
        np.lib.format.open_memmap(home / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    voxels = np.ones((DEPTH, len(CLASSES)), dtype=np.int64)
    placement = Placement((size, size), (size, size), (0.0, float(size), 0.0, float(size)))
    return PreparedCase(f"case_{number}", str(home), placement, None, voxels, "")


def _anonymous() -> int:
    """Bytes of memory of this process and its children that no file backs (RssAnon)."""
    own = torch.multiprocessing.current_process().pid
    pids = [own, *(child.pid for child in torch.multiprocessing.active_children())]
    return sum(_rss_anon(pid) for pid in pids if pid is not None)


def _rss_anon(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
