"""Short hashes of files: which checkpoint, configuration and data a number comes from."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

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
