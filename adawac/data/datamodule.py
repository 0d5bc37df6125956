"""From a folder to loaders: layout, classes, split, prepared volumes, training subset."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from adawac.data.case_names import AUTO
from adawac.data.checkup import duplicates
from adawac.data.classes import Classes
from adawac.data.datasets import VolumeDataset, VolumeItem
from adawac.data.facts import DataFacts
from adawac.data.grid import Grid
from adawac.data.layouts import Case, Collection, Layout, ListingError, detect
from adawac.data.loading import ResumableLoader, TaskLosses, order_of
from adawac.data.modality import Modality, current
from adawac.data.patients import describe_patients, patients_in
from adawac.data.prepared_case import PreparedCase
from adawac.data.preprocessing import Axis, Preprocessing
from adawac.data.reading import Digest
from adawac.data.residency import Residency, ResidentUnits, dataset_of
from adawac.data.sampling import ClassBalanced, Sampling, WithUnlabelled
from adawac.data.split import PARTS, Split
from adawac.data.splits import AutoSplit, SplitRule
from adawac.data.store import VolumeStore
from adawac.data.subsets import Full, Subset, report_kept
from adawac.data.unit_kinds import unit_kind
from adawac.data.units import UnitTable
from adawac.data.unlabelled import of_no_held_out, of_others, unlabelled_cases
from adawac.errors import ConfigError, DataError
from adawac.io.given import given_path
from adawac.io.readers import Reader, use
from adawac.io.terminal import bar
from adawac.processes.cluster import Each, in_threads

log = logging.getLogger(__name__)

PREFETCH = 2
"""Batches that each worker fetches ahead."""


class SegmentationData(pl.LightningDataModule):
    """A folder of labelled volumes as training units and as whole volumes for validation and test.

    Args:
        root: folder of the data set.
        layout: how it lies on disk; None finds out.
        split: which cases train, validate and test. None takes the data's own, and draws what is missing: `AutoSplit`.
        patient_pattern: regular expression whose first group is the patient in a case's id, or a CSV file with the
            columns case and patient; None: every case is a patient of its own. `auto` asks for one of these where the
            names of the cases suggest that some are of one patient; DICOM series are by their PatientID.
        subset: which training slices are kept. None keeps all.
        unlabelled: folder or pattern of images that nobody annotated, to train on as well, see `WithUnlabelled`; one
            that a labelled case has, voxel for voxel, is left out. None for none.
        drop: names of classes that become background.
        merge: new class name and the names of the classes that it joins.
        ignore_label: label value on disk that is left out of every loss and metric; None takes the layout's own, such
            as a class named `ignore` in nnU-Net's dataset.json.
        mirror_pairs: names of classes that swap when left and right are mirrored, such as `LeftParotid: RightParotid`.
        modality: kind of intensities (`ct`, `mr`, `prescaled`), or each channel's; None takes what the layout says.
        window: (lowest, highest) HU that CT is windowed to.
        axis: direction along which volumes are cut into slices.
        size: (height, width) pixels of the training grid.
        spacing: (height, width) of a pixel of the training grid in mm, with crop and pad; None resizes.
        body: crop to the box around the body before resizing.
        neighbours: slices that the network is shown, the one in the middle labelled; odd. 1 is 2D, more are "2.5D".
        patch: (slices, rows, columns) of training samples ("3D"), each with a weight of its own; None for slices.
        overlap: share of a side that patches have in common, 0 to below 1; above 0 the middle of each counts most.
        batch_size: slices a training step, over all processes together.
        sampling: which slices make a batch. None shuffles: every slice once an epoch.
        num_workers: processes that fetch batches from the disk; 0 fetches in the main process.
        residency: where the training slices lie: on the `device`, in `memory` (of each process), on `disk`, where they
            are mapped into memory as far as there is room; `auto` takes a GPU where they fill at most half of what is
            free there, and the disk elsewhere. The batches are the same.
        seed: of the order of the batches; follows `seed_everything` on the command line.
        store: folder for prepared volumes; None for the user's cache.
        readers: of file formats that are not read anyway, see `adawac.io.readers.Reader`.
        skip_bad: go on without cases that break a rule, and record which and why; otherwise they are an error.
    """

    def __init__(
        self,
        root: str,
        layout: Layout | None = None,
        split: SplitRule | None = None,
        patient_pattern: str | None = AUTO,
        subset: Subset | None = None,
        unlabelled: str | None = None,
        drop: list[str] | None = None,
        merge: dict[str, list[str]] | None = None,
        ignore_label: int | None = None,
        mirror_pairs: dict[str, str] | None = None,
        modality: Modality | list[Modality] | None = None,
        window: tuple[float, float] = (-125.0, 275.0),
        axis: Axis = "axial",
        size: tuple[int, int] = (224, 224),
        spacing: tuple[float, float] | None = None,
        body: bool = False,
        neighbours: int = 1,
        patch: tuple[int, int, int] | None = None,
        overlap: float = 0.0,
        batch_size: int = 24,
        sampling: Sampling | None = None,
        num_workers: int = 0,
        residency: Residency = "auto",
        seed: int = 0,
        store: str | None = None,
        skip_bad: bool = False,
        readers: list[Reader] | None = None,
    ) -> None:
        super().__init__()
        for reader in readers or ():
            use(reader)
        if batch_size < 1:
            raise ConfigError(f"data.batch_size is {batch_size}; it must be at least 1")
        if not 0 <= num_workers <= 512:
            raise ConfigError(f"data.num_workers is {num_workers}; give 0 (batches are fetched in between) to 512")
        self.root = given_path(root, "data.root", "give the folder of a data set")
        self.layout = layout
        self.split_rule = split or AutoSplit()
        self.patient_pattern = patient_pattern
        self.subset = subset or Full()
        self.unlabelled = None if unlabelled is None else Path(unlabelled).expanduser()
        self.drop = drop or []
        self.merge = merge or {}
        self.ignore_label = ignore_label
        self.mirror_pairs = mirror_pairs or {}
        self.modality = None if modality is None else current(modality)
        self.window = window
        self.axis = axis
        self.grid = Grid(size, spacing, body)
        self.unit = unit_kind(neighbours, patch, overlap)
        self.unit.size(self.grid.size)  # or an error: the grid has no such unit
        self.batch_size = batch_size
        self.sampling = sampling
        self.num_workers = num_workers
        self.residency: Residency = residency
        self.seed = seed
        self.store_folder = None if store is None else given_path(store, "data.store", "give a folder")
        self.skip_bad = skip_bad
        self.skipped: dict[str, str] = {}
        """Cases that were left out, and why; known to the process that prepared the data."""
        self._store: VolumeStore
        self._unlabelled: dict[str, Case] = {}
        self._facts: DataFacts | None = None
        self._split: Split | None = None
        self._units: UnitTable | None = None
        self._described: dict[str, dict[str, Any]] | None = None

    def prepare_data(self, verify: bool = False, each: Each = in_threads) -> None:
        """Read, check and store what has not been prepared yet.

        Args:
            verify: read all files anew, also those whose size and modification time have not changed.
            each: where volumes are prepared.
        """
        self.look()
        if len(set(self._patients.values())) < len(self._patients):
            log.info("patients: %s", describe_patients(self._patients))
        cases = [*self._cases.values(), *self._unlabelled.values()]
        problems = self._store.prepare(cases, bar("Preparing volumes"), verify, each)
        problems |= duplicates(self._digests(), self._patients, self.split)
        if problems and not self.skip_bad:
            raise DataError.from_problems([problems[case.id] for case in cases if case.id in problems])
        self.skipped |= problems
        for problem in self.skipped.values():  # those of the listing, too
            log.warning("left out: %s", problem)

    def describe_store(self) -> str:
        """How many volumes are prepared, and where; available after `prepare_data`."""
        return f"{sum(map(self._store.holds, self._cases.values()))} prepared volumes in {self._store.folder}"

    def setup(self, stage: str) -> None:
        """Open the prepared cases of a stage and choose the training units."""
        self.look()
        if self.skip_bad:
            self._leave_out()
        if stage == "fit" and self._units is None:
            if self._unlabelled:
                self._unlabelled = of_others(self._unlabelled, self._store, self._digests())
            labelled = self._open(self.split.train)
            self._train = labelled + self._store.open(list(self._unlabelled.values()))
            table = UnitTable.of_volumes(
                self.unit,
                [case.id for case in self._train],
                [case.shape for case in self._train],
                [self.unit.voxels(case) for case in self._train],
                self.facts.classes.names,
            )
            if not sum(case.voxels[:, 0].sum() for case in labelled):
                log.warning("no voxel of the training cases is background (0); see `adawac check`")
            of_labelled = table.case < len(labelled)
            rest = table.take(np.flatnonzero(~of_labelled))
            self._units = self.subset.of(table.take(np.flatnonzero(of_labelled))).followed_by(rest)
            report_kept(type(self.subset).__name__, len(table), self._units, self.batch_size)

    @property
    def facts(self) -> DataFacts:
        """What the task must know; available after `setup`."""
        if self._facts is None:
            raise ConfigError("the data module has not been set up; call prepare_data() and setup('fit') first")
        return self._facts

    @property
    def split(self) -> Split:
        """The cases of each part; available after `setup`."""
        if self._split is None:
            raise ConfigError("the data module has not been set up; call prepare_data() and setup('fit') first")
        return self._split

    @property
    def units(self) -> UnitTable:
        """The table of training units; available after `setup("fit")`."""
        if self._units is None:
            raise ConfigError("the training units are known after setup('fit'); call it first")
        return self._units

    def train_dataloader(self) -> ResumableLoader:
        """Batches of training units."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        units = self.units  # or an error: nothing has been set up
        dataset = dataset_of(self.residency, self._train, units, device)
        resident = isinstance(dataset, ResidentUnits)  # nothing to fetch, and no process may touch another's device
        prefetched, losses = 0 if resident else PREFETCH * self.num_workers, TaskLosses(self.trainer)
        order = order_of(units, self.batch_size, self.seed, self._sampling, losses, self._share, prefetched)
        workers = {"num_workers": self.num_workers, "persistent_workers": True, "prefetch_factor": PREFETCH}
        options = {} if resident else {"pin_memory": device.type == "cuda"} | (workers if self.num_workers else {})
        return ResumableLoader(dataset, order, **options)

    @property
    def _sampling(self) -> Sampling | None:
        """As asked for; where there is a folder of unlabelled images, with a part of each batch for them."""
        if not self._unlabelled or isinstance(self.sampling, WithUnlabelled):
            return self.sampling
        return WithUnlabelled(labelled=self.sampling or ClassBalanced())

    def val_dataloader(self) -> "DataLoader[VolumeItem] | list[Any]":
        """Whole validation volumes; nothing where the split has none."""
        return self._volumes(self.split.val) if self.split.val else []

    def test_dataloader(self) -> "DataLoader[VolumeItem]":
        """Whole test volumes."""
        if not self.split.test:
            raise DataError(f"{self.root}: the split names no test cases; add some, or use `adawac validate RUN`")
        return self._volumes(self.split.test)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Volumes stay where they are: their slices are moved as they are predicted."""
        if isinstance(batch, VolumeItem):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def look(self) -> DataFacts:
        """Find the cases, decide the split and everything that can be known without reading an image; once."""
        if self._facts is not None:
            return self._facts
        layout = detect(self.root, self.layout)
        collection = self._list(layout).told(self.modality, self.ignore_label)
        classes = Classes.from_labels(collection.labels, collection.ignore_value, self.drop, self.merge)
        preprocessing = Preprocessing(collection.modality, self.window, self.axis, self.grid)
        labelled = [case for case in collection.cases if case.label]
        self._patients = patients_in(labelled, self.patient_pattern)
        self._split = self.split_rule.split(self.root, labelled, self._patients)
        self.subset.check(self._split.train, self.unit)
        for line in (*collection.passed_over, *self._split.notes):
            log.warning(line)
        wanted = {case for part in PARTS for case in getattr(self._split, part)}
        self._cases = {case.id: case for case in collection.cases if case.id in wanted}
        if self.unlabelled is not None:
            found = unlabelled_cases(self.unlabelled, collection.places)
            self._unlabelled = of_no_held_out(found, labelled, self._split, self._patients, self.patient_pattern)
        self._store = VolumeStore(self.store_folder, layout, classes, preprocessing, len(collection.channels))
        self._facts = DataFacts(
            in_channels=len(collection.channels),
            classes=classes,
            mirror_table=classes.mirror_table(self.mirror_pairs) if self.mirror_pairs else None,
            preprocessing=preprocessing,
            unit=self.unit,
            places=collection.places,
        )
        return self._facts

    def _list(self, layout: Layout) -> Collection:
        """What the folder holds; without the cases whose files are not there, where bad ones are to be left out."""
        collection, problems = layout.sound(self.root)
        if problems and not self.skip_bad:
            raise ListingError(problems, collection)
        self.skipped |= {f"listed ({number})": problem for number, problem in enumerate(problems, start=1)}
        return collection

    def _leave_out(self) -> None:
        """Take the cases that could not be prepared, and copies, out of the split; every process finds the same."""
        copies = duplicates(self._digests(), self._patients, self.split)
        sound = {id_ for id_, case in self._cases.items() if self._store.holds(case)} - copies.keys()
        self._split = self.split.only(sound)
        self._split.check(self._patients)

    def _digests(self) -> dict[str, Digest]:
        return self._store.digests([case for case in self._cases.values() if self._store.holds(case)])

    def describe(self) -> dict[str, dict[str, Any]]:
        """What training rests on, in plain values; available after `setup("fit")`.

        Returns:
            `train` and `val`: case -> digest of its voxels and labels; `slices`: case -> names of its units.
        """
        if self._described is None:
            slices: dict[str, list[int | str]] = {case: [] for case in self.units.cases}
            for row, case in enumerate(self.units.case.tolist()):
                slices[self.units.cases[case]].append(self.units.key(row))
            train, val = map(self.digests, (self.units.cases, self.split.val))
            self._described = {"train": train, "val": val, "slices": slices}
        return self._described

    def digests(self, ids: Iterable[str]) -> dict[str, str]:
        """Digests of the voxels and labels of cases, as DIGEST-DIGEST; available after `setup` of their stage."""
        cases = self._cases | self._unlabelled
        return {id_: "-".join(digest) for id_, digest in self._store.digests([cases[id_] for id_ in ids]).items()}

    def validation_voxels(self) -> NDArray[np.int64]:
        """(K,) voxels of each class in all validation volumes; available after `setup("fit")`."""
        total = np.zeros(len(self.facts.classes), dtype=np.int64)
        for case in self._open(self.split.val):
            total += case.voxels.sum(axis=0)
        return total

    def _open(self, ids: Sequence[str]) -> list[PreparedCase]:
        return self._store.open([self._cases[id_] for id_ in ids])

    def _volumes(self, ids: Sequence[str]) -> "DataLoader[VolumeItem]":
        rank, world = self._share
        cases = self._open(ids[rank::world] or ids[:1])  # no process may be left without one; the task counts it once
        return DataLoader(VolumeDataset(cases, self._patients), batch_size=None, collate_fn=_as_it_is)

    @property
    def _share(self) -> tuple[int, int]:
        """(rank, number of processes) of the trainer, of whose batches and volumes this process has its share."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _as_it_is(item: Any) -> Any:
    """In place of torch's conversion, which makes lists of tuples and tensors of arrays."""
    return item
