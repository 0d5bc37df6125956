"""Files that appear whole or not at all."""

import glob
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

try:
    import fcntl
except ImportError:  # no locks on Windows: what a killed process leaves stays there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def atomic_write(path: Path, flush: bool = True) -> Iterator[Path]:
    """A file to write that takes the place of `path` when it is finished, and leaves nothing when it is not.

    It is on the disk before it has the name: after a power cut the old file is whole there, or the new one. What a
    killed process left of the same file goes with the next one.

    Args:
        path: the file, replaced if it is there; its folder is made.
        flush: False for what is made anew where it is lost, or empty after a power cut.

    Yields:
        The path to write to, in the same folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with atomic_write(Path(folder) / "a/table.csv") as unfinished:
        ...         _ = unfinished.write_text("1,2")
        ...     [path.name for path in Path(folder).rglob("*.*")]
        ['table.csv']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    short = path.name.encode()[:200].decode(errors="ignore")  # of the 255 bytes that a name may have
    unfinished = path.with_name(f".{short}.{uuid4().hex[:12]}")  # neither another thread's nor another machine's
    try:
        with naming(path, unfinished):
            with ExitStack() as stack:
                if flush and fcntl is not None:
                    _lock(stack.enter_context(unfinished.open("xb")))
                    _sweep(path.parent, f".{short}.")
                yield unfinished
                if flush:
                    to_disk(unfinished)
                os.replace(unfinished, path)
            if flush and os.name == "posix":  # elsewhere folders cannot be opened
                _flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, unfinished: Path | None = None) -> Iterator[None]:
    """Let an error of the disk say what was to be written: that of a write names nothing.

    Args:
        path: what the user knows.
        unfinished: in whose place nobody knows; what lies in it likewise.

    Example:
        >>> with naming(Path("labels/a.nii.gz")):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: 'labels/a.nii.gz'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or (unfinished is not None and str(unfinished) in str(error.filename)):
            error.filename = str(path)
        raise


def _lock(file: IO[bytes]) -> None:
    """Say that a file is being written, for as long as it is open; nothing where the file system has no locks."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep(folder: Path, begins: str) -> None:
    """Remove unfinished files that nobody writes any more."""
    for path in folder.glob(f"{glob.escape(begins)}{'?' * 12}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody does
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, whole or not at all."""
    with atomic_write(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def to_disk(path: Path) -> None:
    """Wait until a file, or a folder with all that lies in it, is on the disk.

    Raises:
        OSError: the disk failed.
    """
    for each in [*path.rglob("*"), path]:
        if each.is_file() or os.name == "posix":
            _flush(each)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
