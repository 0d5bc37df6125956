"""Runs the cells of a study, each in processes of its own, so that one that fails takes nothing down with it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from threading import Event
from typing import IO, TYPE_CHECKING

import yaml

from adawac.errors import ConfigError, did_you_mean_file
from adawac.io.atomic import write_text
from adawac.processes.cluster import Cluster
from adawac.runs.claim import held
from adawac.runs.config_diff import changed, flatten
from adawac.runs.old_names import with_new_names
from adawac.study.resources import Resources
from adawac.study.spec import Cell

if TYPE_CHECKING:
    from adawac.training.configuration import Config

try:
    import fcntl
except ImportError:  # no locks on Windows: two studies in one folder are then up to the user
    fcntl = None  # type: ignore[assignment]

POLL_SECONDS = 0.2
GRACE_SECONDS = 20.0

KEPT = "finished cells are kept, type the same again to go on"
THREADS = "OMP_NUM_THREADS"

PLACES = ("data.root", "data.store")
"""Settings that say where things lie: they may change while a study is under way."""


def resolve(cells: Sequence[Cell]) -> dict[str, str]:
    """Settings of every cell as `fit` reads them, with what is a default left out; nothing is run.

    Returns:
        Name of the cell -> YAML.

    Raises:
        ConfigError: a cell has a key or a value that `fit` would not take, or has been begun with other settings.
    """
    resolved = {cell.name: _resolve(cell) for cell in cells}
    for cell in cells:
        _check_unchanged(cell, resolved[cell.name])
    return {name: config.text for name, config in resolved.items()}


def _resolve(cell: Cell) -> "Config":
    from adawac.training.configuration import resolve

    try:
        config = resolve(["fit", *cell.arguments])
    except ConfigError as error:
        if "required: data.root" in str(error):  # what a study most often leaves to the command line
            raise ConfigError(
                f"cell {cell.name}: data.root is not set; say where the data are: --data.root DATA"
            ) from None
        raise ConfigError(f"cell {cell.name}: {error}\ncorrect the study; `adawac fit --help` knows the keys") from None
    root = config.values["data.root"]
    if not Path(root).expanduser().exists():
        raise ConfigError(
            f"cell {cell.name}: there is no data folder {root}{did_you_mean_file(Path(root))} "
            "say where it is: --data.root DATA"
        )
    return config


def begun_otherwise(cells: Sequence[Cell]) -> str | None:
    """What a cell was run with that the study gives it no more, as a report on what was run has to say; or None."""
    for cell in cells:
        try:
            config = _resolve(cell)
        except ConfigError:  # such as data that are not here, which a report needs not
            continue
        try:
            _check_unchanged(cell, config)
        except ConfigError as error:
            return str(error)
    return None


def _check_unchanged(cell: Cell, config: "Config") -> None:
    """What has been trained under other settings is neither mixed in nor overwritten."""
    from adawac.training.configuration import resolve

    if not cell.config.is_file() or not (cell.run.cases_file.is_file() or cell.run.last.is_file()):
        return
    before = resolve(["fit", f"--config={cell.config}"])
    found = changed(yaml.safe_load(before.text), yaml.safe_load(config.text), "default")
    recorded = flatten(with_new_names(dict(cell.run.config)))  # what a default was then
    lines = [
        f"\n  {key}: {was} then, {now} now"
        for key, (was, now) in found.items()
        if key not in PLACES and not (was == "default" and recorded.get(key, was) == now)
    ]
    if lines:
        raise ConfigError(
            f"cell {cell.name} was begun with other settings than the study now gives it:{''.join(lines)}\n"
            f"give the study another name, or delete {cell.folder} to run the cell anew"
        )


def run_cells(
    cells: Sequence[Cell],
    configs: Mapping[str, str],
    shares: Sequence[Mapping[str, str]],
    ended: Callable[[Cell], None],
) -> None:
    """Run cells, some at the same time; when interrupted, end the processes first.

    Args:
        cells: to be run, in this order.
        configs: name of the cell -> its settings in YAML, see `resolve`.
        shares: of the machine, for each of the cells that may run at the same time, see `adawac.study.resources`.
        ended: called after each cell, whose `state` then says how it went.

    Raises:
        Interrupted: SIGINT, SIGTERM or SIGHUP came; every process of a cell has ended.
    """
    from adawac.training.callbacks.interruption import interruptible

    stop = Event()
    free: SimpleQueue[Mapping[str, str]] = SimpleQueue()
    for share in shares:
        free.put(share)

    def run(cell: Cell) -> None:
        share = free.get()
        try:
            run_cell(cell, configs[cell.name], environment_of(share), stop)
        finally:
            free.put(share)

    with (
        interruptible(KEPT),
        ThreadPoolExecutor(len(shares)) as pool,
    ):
        cell_of: dict[Future[None], Cell] = {pool.submit(run, cell): cell for cell in cells}
        waiting = set(cell_of)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    ended(cell_of[future])
        finally:  # of a whole study nothing is left to stop
            stop.set()
            pool.shutdown(cancel_futures=True)


def run_cells_on(
    cluster: Cluster,
    cells: Sequence[Cell],
    configs: Mapping[str, str],
    of_each: Resources,
    ended: Callable[[Cell], None],
) -> None:
    """The same as tasks of a cluster, whose nodes share the working folder: of a lost node, cells go on elsewhere.

    Args:
        cluster: where to run.
        cells: to be run.
        configs: name of the cell -> its settings in YAML, see `resolve`.
        of_each: what a cell asks for; one GPU where nothing is said of them and the cluster has any.
        ended: called after each cell, whose `state` then says how it went.

    Raises:
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the cells are being stopped.
    """
    from adawac.training.callbacks.interruption import interruptible

    cpus, gpus = of_each.cpus or 1, of_each.gpus

    def run(cell: Cell) -> None:
        run_cell(cell, configs[cell.name], environment_of({THREADS: str(cpus)}), Event())

    each = cluster.each(cpus=cpus, gpus=int(cluster.has_gpus) if gpus is None else gpus, memory=of_each.bytes_of_memory)
    with interruptible(KEPT), closing(each(run, cells)) as done:
        for cell, outcome in done:
            if (error := outcome.exception()) is not None:
                cell.folder.mkdir(parents=True, exist_ok=True)
                with cell.log.open("a", encoding="utf-8") as log:
                    log.write(f"{error}\n")
            ended(cell)


def environment_of(share: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with a share of its machine; a number of threads that the user has set stays."""
    return {**share, **os.environ, **{key: value for key, value in share.items() if key != THREADS}}


def run_cell(cell: Cell, config: str, environment: Mapping[str, str], stop: Event) -> None:
    """Fit and test one cell, from where it stands; `cell.state` says how it went.

    Args:
        cell: the cell.
        config: its settings in YAML.
        environment: of its processes.
        stop: ends it when set.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    with cell.log.open("ab") as log:
        if not _lock(log, stop) or cell.state == "finished":  # a process of a study that was killed may have gone on
            return
        begun, before = time.monotonic(), cell.record.get("seconds", 0.0)
        try:
            going_on = _where_to_begin(cell)
        except ConfigError as error:
            log.write(f"{error}\n".encode())
            cell.write_record(before, 2)
            return
        write_text(cell.config, config)
        fit = ["fit", f"--config={cell.config}", f"--runs={cell.folder.parent}", *going_on]
        test = ["test", str(cell.run.path), "--trust"]  # classes that the study itself named
        exit_code = _call(fit, log, environment, stop) or _call(test, log, environment, stop)
        if exit_code == 0 and not cell.run.cases_file.is_file():
            log.write(
                f"no {cell.run.cases_file}: a cell needs test cases, checkpoints and the default logger\n".encode()
            )
            exit_code = 1
        cell.write_record(before + time.monotonic() - begun, None if stop.is_set() else exit_code)


def _where_to_begin(cell: Cell) -> list[str]:
    """Arguments that go on from the last checkpoint; without one what was begun is begun anew, in the same folder.

    Raises:
        ConfigError: somebody trains in it.
    """
    if cell.run.last.is_file():
        return [f"--ckpt_path={cell.run.last}"]
    if cell.run.path.is_dir():
        with held(cell.run):
            pass
        shutil.rmtree(cell.run.path, ignore_errors=True)
    return []


def _call(arguments: Sequence[str], log: IO[bytes], environment: Mapping[str, str], stop: Event) -> int:
    """Run `adawac` with these arguments and return its exit code; end it when `stop` is set."""
    if stop.is_set():
        return 1
    log.write(f"\n$ adawac {' '.join(arguments)}\n".encode())
    log.flush()
    process = subprocess.Popen(
        [sys.executable, "-m", "adawac", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the study alone, which then ends its processes with all they started
    )
    try:
        while process.poll() is None and not stop.wait(POLL_SECONDS):
            pass
    finally:  # also where a cluster cancels this task
        if process.poll() is None:
            _end(process)
    return process.returncode


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask to end, then make it end."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)  # workers of the data loader, other ranks
        except ProcessLookupError:
            return
    else:
        process.kill()
    process.wait()


def _lock(log: IO[bytes], stop: Event) -> bool:
    """Wait until no other process writes this log; False if `stop` came first.

    The lock lives as long as any process has the file open, so also in the cells of a study that was killed: they
    inherit it as their standard output. A lock of filelock's is not passed on, and falls with the study alone.
    """
    while fcntl is not None:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if stop.wait(1.0):
                return False
        except OSError:  # a file system without locks
            break
    return not stop.is_set()


def last_lines(path: Path, count: int = 8) -> str:
    """The end of a log."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-count:])


def seconds_left(waiting: Collection[Cell], cells: Collection[Cell], jobs: int) -> float | None:
    """How long the waiting cells will take, by the finished ones, the most alike first; None without any."""
    spent = [(cell.settings, float(cell.record["seconds"])) for cell in cells if _is_measured(cell)]
    if not spent:
        return None
    total = 0.0
    for cell in waiting:
        alike = [seconds for settings, seconds in spent if settings == cell.settings]
        total += fmean(alike or [seconds for _, seconds in spent])
    return total / max(1, min(jobs, len(waiting)))


def _is_measured(cell: Cell) -> bool:
    return cell.state == "finished" and "seconds" in cell.record
