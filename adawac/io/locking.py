"""The lock of a folder: one process at a time writes in it, and the others are told which."""

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from adawac.io.atomic import naming

LOCK, OWNER = ".lock", ".owner"
"""In the folder: the lock, and who holds it."""

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What file systems without locks answer."""

log = logging.getLogger(__name__)


class LockedError(Exception):
    """Another process holds the lock; the message says which, and since when."""


@contextmanager
def locked(folder: Path, patience: float = -1) -> Iterator[None]:
    """Hold the lock of a folder; it falls with the process that holds it, however that ends.

    Args:
        folder: it exists.
        patience: seconds to wait for another process; -1 waits until it ends.

    Raises:
        LockedError: another process held it all that time.
        OSError: the folder cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, locked(Path(folder)):
        ...     Path(folder, ".owner").read_text().startswith(f"process {os.getpid()} on ")
        True
    """
    lock, owner = FileLock(folder / LOCK, timeout=patience), folder / OWNER
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(_read(owner)) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: its file system has no locks (%s); let one process at a time write there", folder, error)
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        with naming(owner):
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since},", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that is made if it does not exist; whoever must wait says for whom.

    Raises:
        OSError: if the folder cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, writing(Path(folder)):
        ...     Path(folder, "file").write_text("mine alone")
        10
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder, patience=0))
        except LockedError as other:
            log.warning("%s: %s prepares volumes; waiting for it to end", folder, other)
            held.enter_context(locked(folder))
        yield


def _read(owner: Path) -> str:
    with suppress(OSError):
        if text := owner.read_text(encoding="utf-8"):
            return text
    return "another process"
