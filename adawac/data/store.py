"""Prepared cases on disk: memory-mapped arrays on the training grid, named by what they were made of.

A case's folder is named by a hash of its source files (path, size, modification time) and of every setting that
shapes the arrays, so that a changed file or setting is noticed and only what changed is made anew.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.data.classes import Classes
from adawac.data.grid import Placement
from adawac.data.layouts.base import Case, Layout
from adawac.data.preprocessing import Preprocessing
from adawac.data.reading import read_case
from adawac.errors import DataError

VERSION = 1
"""Raise it when prepared arrays change their meaning: older folders are then no longer found."""


@dataclass(frozen=True)
class PreparedCase:
    """A case of the store.

    Attributes:
        id: name of the case.
        image: (C, S, h, w) float16 on the training grid, memory-mapped.
        label: (S, h, w) uint8 class indices on the training grid, memory-mapped.
        native_label: (S, H, W) uint8 class indices on the native grid, memory-mapped.
        placement: where the training grid lies in the native plane.
        spacing: (slice, row, column) of the native grid in mm, None where unknown.
        voxels: (S, K) voxels of each class on the native grid.
    """

    id: str
    image: NDArray[np.float16]
    label: NDArray[np.uint8]
    native_label: NDArray[np.uint8]
    placement: Placement
    spacing: tuple[float, float, float] | None
    voxels: NDArray[np.int64]


class VolumeStore:
    """Prepares the cases of a data set once and opens them ever after.

    Args:
        folder: where prepared cases lie; None for the user's cache (`$XDG_CACHE_HOME` or `~/.cache`).
        layout: reads the cases.
        classes: encodes their labels.
        preprocessing: brings them to the training grid.
        in_channels: channels that every image must have.
    """

    def __init__(
        self,
        folder: Path | None,
        layout: Layout,
        classes: Classes,
        preprocessing: Preprocessing,
        in_channels: int,
    ) -> None:
        self.folder = folder or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "adawac"
        self.layout = layout
        self.classes = classes
        self.preprocessing = preprocessing
        self.in_channels = in_channels

    def prepare(
        self, cases: Sequence[Case], track: Callable[[Iterable[None], int], Iterable[None]] | None = None
    ) -> None:
        """Make what is missing.

        Args:
            cases: cases with a label each.
            track: wraps an iterable of a given length, to show progress.

        Raises:
            DataError: all problems of all cases together; sound cases are kept.
        """
        missing = [case for case in cases if not self._path(case).is_dir()]
        problems: list[str] = []

        def make(case: Case) -> None:
            try:
                self._make(case)
            except DataError as error:
                problems.append(str(error))

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            done: Iterable[None] = pool.map(make, missing)
            for _ in track(done, len(missing)) if track and missing else done:
                pass
        if problems:
            raise DataError.from_problems(sorted(problems))

    def open(self, case: Case) -> PreparedCase:
        """Open a prepared case; its arrays stay on disk until they are read."""
        path = self._path(case)
        facts = json.loads((path / "case.json").read_text())
        place = facts["placement"]
        spacing = facts["spacing"]
        return PreparedCase(
            id=case.id,
            image=np.load(path / "image.npy", mmap_mode="r", allow_pickle=False),
            label=np.load(path / "label.npy", mmap_mode="r", allow_pickle=False),
            native_label=np.load(path / "native_label.npy", mmap_mode="r", allow_pickle=False),
            placement=Placement(tuple(place["plane"]), tuple(place["size"]), tuple(place["box"])),
            spacing=None if spacing is None else (spacing[0], spacing[1], spacing[2]),
            voxels=np.array(facts["voxels"], dtype=np.int64),
        )

    def _make(self, case: Case) -> None:
        image, label = read_case(self.layout, case, self.classes, self.in_channels)
        if label is None:
            raise DataError(f"case {case.id}: it has no label, but training needs one; remove it from the split")
        slices = self.preprocessing.apply(image, case.id)
        native = np.ascontiguousarray(self.preprocessing.cut(label.array)[0])
        path = self._path(case)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            np.save(scratch / "image.npy", slices.image.astype(np.float16))
            np.save(scratch / "label.npy", slices.placement.label_to_grid(native))
            np.save(scratch / "native_label.npy", native)
            facts = {
                "case": case.id,
                "placement": asdict(slices.placement),
                "spacing": slices.spacing,
                "voxels": count_voxels(native, len(self.classes)).tolist(),
            }
            (scratch / "case.json").write_text(json.dumps(facts))
            os.replace(scratch, path)
        except OSError:
            if not path.is_dir():  # else another process was faster, with the same content
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _path(self, case: Case) -> Path:
        """Folder of a prepared case, named by its content."""
        recipe: dict[str, Any] = {
            "version": VERSION,
            "layout": type(self.layout).__qualname__,
            "settings": {k: v for k, v in vars(self.layout).items() if isinstance(v, str | int | float | None)},
            "classes": self.classes.to_json(),
            "preprocessing": self.preprocessing.to_json(),
            "files": [_identity(path) for path in (*case.images, *case.label)],
        }
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / "".join(c if c.isalnum() or c in "-_." else "_" for c in case.id) / digest


def count_voxels(label: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Voxels of every class in every slice.

    Args:
        label: (S, H, W) class indices; values from `num_classes` on (the ignored ones) are not counted.
        num_classes: K.

    Returns:
        (S, K) counts.

    Example:
        >>> count_voxels(np.array([[[0, 1, 1, 255]]], dtype=np.uint8), 3).tolist()
        [[1, 2, 0]]
    """
    return np.stack([np.bincount(plane.ravel(), minlength=256)[:num_classes] for plane in label])


def _identity(path: Path) -> list[str | int]:
    """What tells one version of a file from another, short of reading it."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; restore the file or remove its case") from error
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
