"""What is known of many prepared cases in one file: to open the file of each would take milliseconds a case."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from adawac.io.atomic import atomic_write


class Entry(NamedTuple):
    """What is known of a prepared case.

    Attributes:
        folder: of its arrays, within the store.
        facts: plain values.
        voxels: (S, K) voxels of each class on the native grid.
    """

    folder: str
    facts: dict[str, Any]
    voxels: NDArray[np.int64]


class StoreIndex:
    """Entries by the key of their case. Whatever is not in it, or lost with its file, is read from the case itself.

    Args:
        path: of the file; its entries have one number K of classes.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     StoreIndex(Path(folder, "index.npz")).add({"key": Entry("pt_1/0a1b", {"a": 1}, np.array([[7, 2]]))})
        ...     StoreIndex(Path(folder, "index.npz")).find("key")
        Entry(folder='pt_1/0a1b', facts={'a': 1}, voxels=array([[7, 2]]))
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, Entry] | None = None

    def find(self, key: str) -> Entry | None:
        """The entry of a key, where there is one."""
        if self._entries is None:
            self._entries = self._read()
        return self._entries.get(key)

    def add(self, entries: dict[str, Entry]) -> None:
        """Write further entries beside those of the file, by whomever; where it cannot be written, keep them here."""
        self._entries = self._read() | (self._entries or {}) | entries
        keys, (folders, facts, voxels) = list(self._entries), zip(*self._entries.values(), strict=True)
        described = json.dumps([keys, folders, facts, [len(counts) for counts in voxels]])
        counts = np.concatenate(voxels)
        with suppress(OSError), atomic_write(self.path, flush=False) as unfinished, unfinished.open("wb") as file:
            np.savez(
                file, described=np.array(described), voxels=counts.astype(np.min_scalar_type(counts.max(initial=0)))
            )

    def clear(self) -> None:
        """Forget all."""
        self._entries = {}
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Entry]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                keys, folders, facts, slices = json.loads(str(archive["described"]))
                voxels = np.split(archive["voxels"].astype(np.int64), np.cumsum(slices)[:-1])
            return dict(zip(keys, map(Entry, folders, facts, voxels), strict=True))
        except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile):
            return {}
