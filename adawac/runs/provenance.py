"""Where a number comes from: short hashes of checkpoint, configuration and data, versions, state of the code."""

import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from adawac.io.hashing import DIGITS


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
