"""Prepared cases on disk: memory-mapped arrays on the training grid, named by what they were made of.

A case's folder is named by a hash of its source files' contents and of every setting that shapes the arrays, so that
a changed file or setting is noticed and only what changed is made anew. Files are read for it when their size or
modification time is new: one that was only touched or moved is not prepared again.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.data.classes import Classes
from adawac.data.grid import Placement
from adawac.data.layouts.base import Case, Layout
from adawac.data.prepared_case import PreparedCase
from adawac.data.preprocessing import Preprocessing
from adawac.data.reading import Digest, for_every_case, read_case
from adawac.data.store_index import Entry, StoreIndex
from adawac.data.store_sums import changed, is_damaged, sums_of
from adawac.errors import DataError, percent, readable
from adawac.errors.problems import grouped
from adawac.io.atomic import to_disk
from adawac.io.hashing import FileHashCache, short_hash
from adawac.io.locking import writing
from adawac.io.own_code import code_of
from adawac.io.readers import in_use, reader_of
from adawac.io.terminal import Track
from adawac.processes.cluster import Each, in_threads
from adawac.types import IGNORE_INDEX

log = logging.getLogger(__name__)

VERSION = 5
"""Raise it when prepared arrays change their meaning: older folders are then no longer found."""


LOST = 0.005
"""Share of a case's labelled voxels outside of the training grid from which it is said."""


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
        self.folder = folder or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "adawac"
        self.layout = layout
        self.classes = classes
        self.preprocessing = preprocessing
        self.in_channels = in_channels
        self.contents = FileHashCache(self.folder / ".hashes")
        self.index = StoreIndex(self.folder / ".index" / f"{_hash(_text(self._recipe()))}.npz")

    def prepare(
        self,
        cases: Sequence[Case],
        track: Track[Any] | None = None,
        verify: bool = False,
        each: Each = in_threads,
    ) -> dict[str, str]:
        """Make what is missing, while no other process writes into the store.

        Args:
            cases: to prepare; of one without a label every voxel is ignored.
            track: wraps an iterable of a given length, to show progress.
            verify: read every file again, also those whose size and modification time have not changed.
            each: where it is done; all its places share the store and the data.

        Returns:
            The problem of every case that has one, in the order of `cases`; the others are kept.
        """
        if verify:
            self.index.clear()
        if not self._missing(cases, verify):
            return {}
        with ExitStack() as stack:
            try:
                stack.enter_context(writing(self.folder))
            except OSError as error:
                return {cases[0].id: _unwritable(cases[0], self.folder, error)}
            return self._make_all(self._missing(cases, verify), track, verify, each)  # others may have made some

    def _missing(self, cases: Sequence[Case], verify: bool) -> list[Case]:
        return [case for case in cases if verify or not self.holds(case)]

    def _make_all(self, cases: Sequence[Case], track: Track[Any] | None, verify: bool, each: Each) -> dict[str, str]:
        for left in self.folder.glob("*/.*-*"):  # by a process that was killed: we are the only one that writes
            shutil.rmtree(left, ignore_errors=True)

        def make(case: Case) -> None:
            path = self._path(case, verify)
            if verify and path.is_dir() and is_damaged(path):
                log.warning("case %s: %s no longer holds what was written there; prepared anew", case.id, path)
                shutil.rmtree(path)
            if not path.is_dir():
                self._make(case)

        problems = for_every_case(make, cases, track, each)
        for line in grouped([note for case in cases if case.id not in problems for note in self._notes(case)]):
            log.warning(line)
        return problems

    def _notes(self, case: Case) -> list[str]:
        """What was odd about a case when it was prepared, wherever that was."""
        try:
            notes: list[str] = json.loads((self._path(case) / "case.json").read_text()).get("notes", [])
        except (OSError, ValueError):  # said when it is opened
            return []
        return notes

    def holds(self, case: Case) -> bool:
        """Whether a case has been prepared from its files as they are, as far as can be told without reading them."""
        if entry := self._entry(case):
            return (self.folder / entry.folder).is_dir()
        try:
            known = all(self.contents.known(path) for path in (*case.images, *case.label))
        except OSError:  # preparing says which file is gone
            return False
        return known and self._path(case).is_dir()

    def digests(self, cases: Sequence[Case]) -> dict[str, Digest]:
        """What the voxels of prepared cases are, in short.

        Raises:
            DataError: if one has not been prepared, or what was prepared is damaged.
        """
        return {case.id: Digest(*entry.facts["digest"]) for case, entry in self._entries(cases)}

    def open(self, cases: Sequence[Case]) -> list[PreparedCase]:
        """Open prepared cases; their arrays stay on disk until they are read.

        Raises:
            DataError: if one has not been prepared, or what was prepared is damaged.
        """
        return [_opened(case, self.folder / entry.folder, entry) for case, entry in self._entries(cases)]

    def _entries(self, cases: Sequence[Case]) -> list[tuple[Case, Entry]]:
        """What is known of cases: of those that the index does not have, from their own files, and then it has them."""
        entries = {case: self._entry(case) for case in cases}
        new = {case: self._read(case) for case, entry in entries.items() if entry is None}
        if new:
            self.index.add({self._key(case): entry for case, entry in new.items()})
        return [(case, entry or new[case]) for case, entry in entries.items()]

    def _entry(self, case: Case) -> Entry | None:
        try:
            return self.index.find(self._key(case))
        except OSError:  # a file of the case is gone
            return None

    def _read(self, case: Case) -> Entry:
        path = self._path(case)
        try:
            facts = json.loads((path / "case.json").read_text())
            for name in ("image", "label", "native_label"):  # there, and whole
                with readable(path / f"{name}.npy"):
                    np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if files := changed(path, facts):
                raise ValueError(f"{', '.join(files)} changed after it was written")
            known = {name: facts[name] for name in ("placement", "steps", "data_hash", "digest")}
            return Entry(str(path.relative_to(self.folder)), known, np.array(facts["voxels"], dtype=np.int64))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"case {case.id}: its prepared arrays cannot be opened ({error}); prepare the data first (`adawac "
                f"prepare --verify` finds all that are damaged), or delete {path} to have them made anew"
            ) from error

    @staticmethod
    def _key(case: Case) -> str:
        """Of a case's files as they are, as far as can be told without reading them.

        Raises:
            OSError: if one is gone.
        """
        files = [(os.path.abspath(path), os.stat(path)) for path in (*case.images, *case.label)]
        return _hash("\0".join([case.id, *(f"{path}\0{at.st_size}\0{at.st_mtime_ns}" for path, at in files)]))

    def _make(self, case: Case) -> None:
        notes: list[str] = []
        image, label = read_case(
            self.layout, case, self.classes, self.in_channels, self.preprocessing.modality, notes.append
        )
        slices = self.preprocessing.apply(image, case.id)
        labels = np.full_like(image.array[:1], IGNORE_INDEX, dtype=np.uint8) if label is None else label.array
        native = np.ascontiguousarray(self.preprocessing.cut(labels)[0])
        if (lost := _outside(native, slices.placement)) > LOST:
            notes.append(
                f"case {case.id}: {percent(lost)} % of its labelled voxels lie outside of the plane that the network "
                "is shown, where all is background; see data.size, data.spacing and data.body"
            )
        path = self._path(case)
        facts = {
            "case": case.id,
            "notes": notes,
            "files": [_describe(file, self.contents.hash(file)) for file in (*case.images, *case.label)],
            "affine": None if image.geometry.affine is None else image.geometry.affine.tolist(),
            "recipe": json.loads(_text(self._recipe_of(case))),
            "placement": asdict(slices.placement),
            "steps": None if slices.steps is None else slices.steps.tolist(),
            "voxels": count_voxels(native, len(self.classes)).tolist(),
            "digest": Digest.of(image, label),
            "data_hash": short_hash([*case.images, *case.label]),  # they have just been read: cheap now, not later
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
                made = Path(scratch, path.name)  # a folder in it, for the usual permissions
                made.mkdir()
                np.save(made / "image.npy", slices.image.astype(np.float16))
                np.save(made / "label.npy", _on_grid(native, slices.placement))
                np.save(made / "native_label.npy", native)
                (made / "case.json").write_text(json.dumps(facts | {"sums": sums_of(made)}))
                to_disk(made)
                os.replace(made, path)
        except OSError as error:
            if not path.is_dir():  # else another process was faster, with the same content
                raise DataError(_unwritable(case, path, error)) from error

    def _path(self, case: Case, verify: bool = False) -> Path:
        """Folder of a prepared case, named by its content."""
        if entry := self._entry(case):
            return self.folder / entry.folder
        recipe = _text(self._recipe_of(case, verify))
        recipe = recipe.replace('"modality": "prescaled"', '"modality": "unit"')  # as 0.1.0 named the folder
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in case.id)
        folder = self.folder / (f"_{name}" if name.startswith(".") else name)  # never `..`, nor hidden
        return folder / hashlib.sha256(recipe.encode()).hexdigest()[:16]

    def _recipe(self) -> dict[str, Any]:
        """Every setting that shapes arrays, and the code of what is not adawac's."""
        code = code_of([self.layout, *in_use()])
        return ({"code": code} if code else {}) | {
            "version": VERSION,
            "layout": type(self.layout).__qualname__,
            "settings": vars(self.layout),
            "classes": self.classes.to_json(),
            "preprocessing": self.preprocessing.to_json(),
            "in_channels": self.in_channels,
        }

    def _recipe_of(self, case: Case, verify: bool = False) -> dict[str, Any]:
        """Everything that shapes a case's arrays; a file that is not there stands for itself."""
        files = [self._content(path, verify) for path in (*case.images, *case.label)]
        masks = [path.name for path in case.label if reader_of(path)]  # names say what they show
        return self._recipe() | {"files": files} | ({"masks": masks} if case.masks else {})

    def _content(self, path: Path, verify: bool) -> str:
        try:
            return self.contents.hash(path, verify)
        except OSError:
            return str(path)


def _text(recipe: dict[str, Any]) -> str:
    """As JSON; what JSON does not know, in a layout of the user's own, by its name or its text."""
    return json.dumps(recipe, sort_keys=True, default=lambda value: getattr(value, "__qualname__", None) or str(value))


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
    flat, slices = label.reshape(-1), len(label)
    inside = np.flatnonzero(flat != 0)  # few, as a rule: three times as fast as to count all
    size = flat.size // max(slices, 1)
    counts = np.bincount(inside // size * 256 + flat[inside], minlength=256 * slices).reshape(slices, 256)
    counts[:, 0] = size - counts.sum(1)
    kept: NDArray[np.int64] = counts[:, :num_classes].copy()  # a view would keep all 256 of every case
    return kept


def _opened(case: Case, folder: Path, entry: Entry) -> PreparedCase:
    place, steps = entry.facts["placement"], entry.facts["steps"]
    return PreparedCase(
        id=case.id,
        folder=str(folder),
        placement=Placement(tuple(place["plane"]), tuple(place["size"]), tuple(place["box"])),
        steps=None if steps is None else np.array(steps),
        voxels=entry.voxels,
        data_hash=entry.facts["data_hash"],
    )


def _outside(native: NDArray[np.uint8], placement: Placement) -> float:
    """Share of the labelled voxels (S, H, W) that lie outside of the training grid."""
    labelled = (native > 0) & (native != IGNORE_INDEX)
    rows, columns = (placement.native_span(axis, 0, side) for axis, side in enumerate(placement.size))
    held, shown = int(labelled.sum()), int(labelled[:, rows, columns].sum())
    return 1 - shown / held if held else 0.0


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _on_grid(native: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """The label on the training grid; a slice of which nothing is labelled stays so where it is padded."""
    label = placement.label_to_grid(native)
    label[(native == IGNORE_INDEX).all(axis=(1, 2))] = IGNORE_INDEX
    return label


def _describe(path: Path, content: str) -> dict[str, Any]:
    status = path.stat()
    return {"path": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "hash": content}


def _unwritable(case: Case, path: Path, error: OSError) -> str:
    return (
        f"case {case.id}: {path} cannot be written ({error}); free space there or choose another folder with data.store"
    )
