"""Where a number comes from: short hashes of checkpoint, configuration and data, versions, state of the code."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
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


def versions() -> dict[str, str]:
    """Versions of Python and of what computes."""
    packages = ("adawac", "torch", "lightning", "monai", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def git_state(folder: Path) -> dict[str, str] | None:
    """Commit of the repository that a folder lies in, and what has been changed since.

    Args:
        folder: of code.

    Returns:
        `commit`, and `changed`: a hash of all differences of tracked files, "" where there are none. None outside of a
        repository or without git.
    """

    def git(*arguments: str) -> bytes:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], check=True, capture_output=True, timeout=20
        ).stdout

    try:
        commit = git("rev-parse", "HEAD").decode().strip()
        difference = git("diff", "HEAD", "--no-ext-diff", "--binary")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": hashlib.sha256(difference).hexdigest()[:DIGITS] if difference else ""}
