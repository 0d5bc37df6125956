"""A run's folder belongs to the one process that trains in it: who begins makes a new one, who goes on locks it."""

import errno
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from adawac.errors import ConfigError
from adawac.runs.atomic_checkpoint import newest_whole
from adawac.runs.folder import RunFolder

log = logging.getLogger(__name__)

LOCK, OWNER = ".lock", ".owner"
"""In the folder of a run: the lock of the process that trains in it, and who that is."""

PATIENCE = 1.0
"""Seconds after which a lock is taken for held: another process may only be looking."""

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What a file system without locks says."""


@contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Hold the lock of a run's folder; it falls with the process that holds it, however that ends.

    Args:
        run: its folder exists.

    Raises:
        ConfigError: another process trains in it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, held(RunFolder(Path(folder))):
        ...     Path(folder, ".owner").read_text().startswith(f"process {os.getpid()} on ")
        True
    """
    lock, owner = FileLock(run.path / LOCK, timeout=PATIENCE), run.path / OWNER
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"{run.path}: {_read(owner)} trains in this folder; wait until it ends, or train under another --name"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: its file system has no locks; let one process at a time train in the folder", run.path)
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since},", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextmanager
def claimed(runs: Path, name: str, version: int | None = None, *, trains: bool = True) -> Iterator[RunFolder]:
    """A new folder RUNS/NAME/version_K that no other process was given, and its lock; taken away if left unused.

    Args:
        runs: folder of all runs.
        name: of the experiment.
        version: K; None for the next.
        trains: it is used once a training step was made; else once anything lies in it.

    Raises:
        FileExistsError: another process has just claimed this version.
    """
    made = [folder for folder in (Path(runs) / name, *(Path(runs) / name).parents) if not folder.exists()]
    run = RunFolder.claim(runs, name, version)
    try:
        with held(run):
            yield run
    finally:
        files = {path.name for path in run.path.glob("*")} - {LOCK}
        if not (files if not trains else run.record_file.is_file() or run.checkpoints):
            shutil.rmtree(run.path, ignore_errors=True)
            with suppress(OSError):  # where another run has come to lie
                for folder in made:
                    folder.rmdir()


@contextmanager
def continued(runs: Path, name: str) -> Iterator[tuple[RunFolder, Path | None]]:
    """Go on in the newest run that has a whole checkpoint, or begin a new one; with its lock.

    Args:
        runs: folder of all runs.
        name: of the experiment.

    Returns:
        The run's folder, and the checkpoint to go on from; None in a new folder.

    Raises:
        ConfigError: another process trains in that run, or in one that was begun after it.
    """
    while True:
        with ExitStack() as stack:
            versions = RunFolder.versions(runs, name)
            for run in versions:
                _wait_for_lock(run)
                with ExitStack() as holding:
                    if run.checkpoints or (run.path / LOCK).exists():
                        holding.enter_context(held(run))
                    if (checkpoint := newest_whole(run)) is not None:
                        stack.push(holding.pop_all())
                        yield run, checkpoint
                        return
            try:
                run = stack.enter_context(claimed(runs, name, versions[0].version + 1 if versions else 0))
            except FileExistsError:  # by another process that goes on with this run: look again
                continue
            yield run, None
            return


def _wait_for_lock(run: RunFolder) -> None:
    """Let a process that has just made a folder lock it."""
    end = time.monotonic() + PATIENCE
    while not any(run.path.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)


def _read(owner: Path) -> str:
    with suppress(OSError):
        if text := owner.read_text(encoding="utf-8"):
            return text
    return "another process"
