"""One writer at a time in a folder; the others wait, and say for whom."""

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What file systems without locks answer; filelock itself helps where the answer is ENOSYS."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it falls with the process that holds it, however that ends.

    Args:
        folder: is made if it does not exist; `.writer` in it says who writes.

    Raises:
        OSError: if the folder cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, writing(Path(folder)):
        ...     Path(folder, "file").write_text("mine alone")
        10
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, writer = FileLock(folder / ".lock"), folder / ".writer"
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock.acquire(blocking=False))
        except Timeout:
            other = writer.read_text() if writer.is_file() else "another process"
            log.warning("%s: %s prepares volumes; waiting for it to end", folder, other)
            held.enter_context(lock)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.warning("%s: its file system has no locks (%s); let one process prepare the data first", folder, error)
        writer.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
