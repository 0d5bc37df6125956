"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when it is finished, and leaves nothing when it is not.

    Args:
        path: the file, replaced if it is there; its folder is made.

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
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:12]}")  # neither another thread's nor another machine's
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
