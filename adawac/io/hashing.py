"""Which content files have: a short hash, looked up while size and modification time are those that were hashed."""

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from adawac.io.atomic import atomic_write

DIGITS = 12
"""Of SHA-256 in hexadecimal: no two files of a project share them by chance."""


def short_hash(paths: Iterable[Path]) -> str:
    """The first digits of what `cat PATHS | sha256sum` says: names, places and dates do not count.

    Args:
        paths: files, in an order that means something; one that comes twice counts once.

    Returns:
        The digits; "" (unknown) if there are no paths or one of them is no file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "abc")
        ...     _ = path.write_text("abc")
        ...     short_hash([path]), short_hash([path, Path(folder, "missing")])
        ('ba7816bf8f01', '')
    """
    digest, paths = hashlib.sha256(), list(dict.fromkeys(paths))
    if not paths or not all(path.is_file() for path in paths):
        return ""
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:DIGITS]


def hash_of(path: Path) -> str:
    """The hash of a file, which is read once as long as it looks the same."""
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _hash(path: Path, size: int, changed_ns: int) -> str:
    return short_hash([path])


class FileHashCache:
    """Remembers hashes of files in a folder, an entry for each (path, size, modification time).

    Args:
        folder: of the entries; made with the first one.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "abc")
        ...     _ = path.write_text("abc")
        ...     contents = FileHashCache(Path(folder, "hashes"))
        ...     contents.known(path), contents.hash(path), contents.known(path)
        (None, 'ba7816bf8f01', 'ba7816bf8f01')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[Path, str] = {}

    def known(self, path: Path) -> str | None:
        """The file's hash if it need not be read for it; None if it must be.

        Raises:
            OSError: if there is no such file.
        """
        entry = self._entry(path)
        if entry not in self._found:
            with suppress(OSError, UnicodeDecodeError):
                self._found[entry] = entry.read_text()
        found = self._found.get(entry, "")
        return found if re.fullmatch(rf"[0-9a-f]{{{DIGITS}}}", found) else None  # else it was damaged

    def hash(self, path: Path, verify: bool = False) -> str:
        """The file's hash.

        Args:
            path: of the file.
            verify: read the file even if its hash is known.

        Raises:
            OSError: if the file cannot be read.
        """
        known = self.known(path)
        if known is not None and not verify:
            return known
        entry, found = self._entry(path), short_hash([path])
        if found != known:
            self._found[entry] = found
            # A store that cannot be written is said to be so when there is more to write.
            with suppress(OSError), atomic_write(entry, flush=False) as unfinished:
                unfinished.write_text(found)
        return found

    def _entry(self, path: Path) -> Path:
        status = path.stat()
        identity = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
        return self.folder / hashlib.sha256(identity.encode()).hexdigest()[:24]
