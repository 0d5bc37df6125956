"""One writer at a time in a folder; the others wait, and say for whom."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two writers there do the same work twice, which harms nothing
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it falls with the process that holds it, however that ends.

    Args:
        folder: is made if it does not exist; `.lock` in it says who writes.

    Raises:
        OSError: if the folder cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, writing(Path(folder)):
        ...     Path(folder, "file").write_text("mine alone")
        10
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        if fcntl is not None:
            _acquire(file.fileno(), folder)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def _acquire(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        writer = (folder / ".lock").read_text() or "another process"
        log.warning("%s: %s prepares volumes; waiting for it to end", folder, writer)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:  # file systems without locks
        log.warning("%s: its file system has no locks (%s); let one process prepare the data first", folder, error)
