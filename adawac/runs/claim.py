"""A run's folder belongs to the one process that trains in it: who begins makes a new one, who goes on locks it."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from adawac.errors import ConfigError
from adawac.io.locking import LOCK, LockedError, locked
from adawac.runs.atomic_checkpoint import newest_whole
from adawac.runs.folder import RunFolder

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds after which a lock is taken for held: another process may only be looking."""


@contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Hold the lock of a run's folder; it falls with the process that holds it, however that ends.

    Args:
        run: its folder exists.

    Raises:
        ConfigError: another process trains in it.

    Example:
        >>> import os
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, held(RunFolder(Path(folder))):
        ...     Path(folder, ".owner").read_text().startswith(f"process {os.getpid()} on ")
        True
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(run.path, PATIENCE))
        except LockedError as other:
            raise ConfigError(
                f"{run.path}: {other} trains in this folder; wait until it ends, or train under another --name"
            ) from None
        yield


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
