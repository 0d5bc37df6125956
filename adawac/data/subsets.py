"""Training subsets: which slices of the training volumes are kept, to shift the share of label-dense slices.

Where training samples are patches, all that is said of slices holds of them, in the order of slices, rows, columns.
Validation and test always see whole volumes. Every subset is deterministic: same table, same rows.
"""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adawac.data.unit_kinds import UnitKind
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError, did_you_mean, percent

log = logging.getLogger(__name__)


class Subset(ABC):
    """Chooses units of the training set. A subclass says `rows`; `select` also sorts and checks them.

    References:
        Dong, Xie, Ward, "Adaptively Weighted Data Augmentation Consistency Regularization for Robust
        Optimization under Concept Shift", ICML 2023 (the subsets of Synapse); `SparseMix` is ours.
    """

    def select(self, units: UnitTable) -> NDArray[np.int64]:
        """Rows of the training table that are kept.

        Args:
            units: n units of the training volumes, in the order of cases, then of position.

        Returns:
            (m,) row numbers, ascending, 1 <= m <= n.

        Raises:
            DataError: nothing would be kept.
        """
        rows = np.sort(self.rows(units))
        if len(rows) == 0:
            raise DataError(
                f"{type(self).__name__} keeps none of the {len(units)} training {units.kind.noun[1]} "
                f"({int(units.dense.sum())} are label-dense); choose another subset such as Full, "
                "or check the labels and the dropped classes"
            )
        return rows

    def check(self, cases: Sequence[str], kind: UnitKind) -> None:  # noqa: B027  # most take whatever there is
        """Refuse settings that these cases cannot meet, before an image is read.

        Args:
            cases: that train.
            kind: of their units.

        Raises:
            ConfigError: naming the setting.
        """

    @abstractmethod
    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """Rows that are kept, in any order; not checked yet."""

    def without_labels(self, units: UnitTable) -> NDArray[np.bool_]:
        """(n,) units that are trained on as if nobody had annotated them."""
        return np.zeros(len(units), dtype=np.bool_)

    def of(self, units: UnitTable) -> UnitTable:
        """The training table that is left: of the rows that are kept, with the labels that are."""
        hidden = self.without_labels(units)
        kept = replace(units, voxels=np.where(hidden[:, None], 0, units.voxels)) if hidden.any() else units
        return kept.take(self.select(units))


class Full(Subset):
    """Every slice.

    Example:
        >>> voxels = np.array([[9, 0], [7, 2], [9, 0]])
        >>> table = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))
        >>> Full().select(table).tolist(), HalfSlice().select(table).tolist(), Trim().select(table).tolist()
        ([0, 1, 2], [0, 2], [1])
    """

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """All rows."""
        return np.arange(len(units))


class HalfSlice(Subset):
    """Every second slice: 0, 2, 4, ... of each volume, hence ceil(n / 2) of n (Synapse: 1111 of 2211)."""

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """Every second row of each volume."""
        return np.concatenate([volume[::2] for volume in _volumes(units)])


class HalfVolume(Subset):
    """Half of the volumes, whole.

    Args:
        cases: ids of the volumes that are kept (the paper: cases 5 7 9 10 26 27 33 34 39 of Synapse, 1088
            slices). Default: every second volume of the table, beginning with the first. Where a patient has
            two in a row, as in ACDC, that keeps one of each: name the cases to keep half of the patients.
    """

    def __init__(self, cases: list[str] | None = None) -> None:
        if cases is not None and not cases:
            raise ConfigError("HalfVolume: cases is empty; name the volumes to keep, or leave it out for every second")
        self.cases = cases

    def check(self, cases: Sequence[str], kind: UnitKind) -> None:
        """Refuse volumes that do not train."""
        if unknown := [case for case in self.cases or () if case not in cases]:
            raise ConfigError(
                f"HalfVolume: {', '.join(unknown)} is not a training case{did_you_mean(unknown, cases)} "
                f"choose among {', '.join(cases)}"
            )

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """The rows of the volumes that are kept."""
        volumes = _volumes(units)
        if self.cases is None:
            return np.concatenate(volumes[::2])
        of_case = {units.cases[units.case[volume[0]]]: volume for volume in volumes}
        self.check(list(of_case), units.kind)
        return np.concatenate([of_case[case] for case in dict.fromkeys(self.cases)])


class HalfSparse(Subset):
    """The contiguous first half of every volume: slices 0 to n // 2, both included, hence n // 2 + 1 of n.

    In Synapse this is always the sparser half: 1118 slices, 21 % of them label-dense. (18 volumes, 11 of them
    with an odd n, 2211 slices: the sum of n // 2 + 1 is (2211 - 11) / 2 + 18 = 1118.) In other data it may be
    the denser half or lose whole classes: look at `describe`, and see `SparseMix`.
    """

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """The first rows of each volume."""
        return np.concatenate([volume[: len(volume) // 2 + 1] for volume in _volumes(units)])


class SparseMix(Subset):
    """Half of the slices of every volume, a share p of them label-dense, spread evenly over the volume.

    Of n slices that are not wholly ignored n // 2 are kept, evenly over position within the label-dense and within
    the label-sparse ones, so that no stretch of the body is lost. What rounding, or a volume with too few slices of a
    group, leaves over is made up for in the volumes after it: the share holds over the training set, to within one
    slice. Where the volumes cannot give it, the number of slices stays and a warning says what the share is.

    Args:
        p: share of label-dense slices among the kept ones, 0 to 1; 0.21 mimics Synapse's half-sparse subset.
    """

    def __init__(self, p: float = 0.21) -> None:
        if not 0 <= p <= 1:
            raise ConfigError(f"SparseMix: p must be a share from 0 to 1, not {p}; 0.21 mimics Synapse's half-sparse")
        self.p = p

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """Evenly spread rows of both groups of each volume."""
        is_dense, is_sparse = units.dense, units.sparse
        picked: list[NDArray[np.int64]] = []
        kept = kept_dense = 0
        for volume in _volumes(units):
            dense, sparse = volume[is_dense[volume]], volume[is_sparse[volume]]
            half = (len(dense) + len(sparse)) // 2
            kept += half
            wanted = round(self.p * kept) - kept_dense
            n_dense = min(max(wanted, half - len(sparse), 0), half, len(dense))
            kept_dense += n_dense
            picked += [_evenly(dense, n_dense), _evenly(sparse, half - n_dense)]
        if abs(kept_dense - self.p * kept) > 1:
            warnings.warn(
                f"SparseMix: p is {self.p}, but the volumes give {kept_dense} label-dense of {kept} "
                f"{units.kind.noun[1]} ({kept_dense / kept:.2f})",
                stacklevel=2,
            )
        return np.concatenate(picked)


class Trim(Subset):
    """Label-dense slices only (Synapse: 1280): the sparse ones are thrown away."""

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """The rows that hold any foreground."""
        return np.flatnonzero(units.dense)


class Annotated(Subset):
    """As if only a part had been annotated: some of the volumes, every so many slices; the others are unlabelled.

    What annotation is worth, and what slices that nobody annotated add to it (`unlabelled: false` leaves them out).

    Args:
        volumes: how many of the training volumes are annotated, spread evenly over their order; None: all.
        every: of these every so many slices, from the middle of the first stretch on: 8 takes slices 4, 12, 20, ...
        unlabelled: whether the others are trained on without their labels.

    Raises:
        ConfigError: if `volumes` or `every` is below 1, or `every` above 1 where samples are patches: these overlap,
            and what one hides its neighbours show.

    Example:
        >>> voxels = [np.array([[9, 0], [7, 2]])] * 4
        >>> table = UnitTable.of_slices(list("abcd"), voxels, (3, 3), ("background", "liver"))
        >>> Annotated(volumes=2).of(table).labelled.tolist()
        [False, False, True, True, False, False, True, True]
        >>> len(Annotated(volumes=2, unlabelled=False).of(table))
        4
    """

    def __init__(self, volumes: int | None = None, every: int = 1, unlabelled: bool = True) -> None:
        if every < 1 or (volumes is not None and volumes < 1):
            raise ConfigError(f"Annotated: volumes is {volumes} and every {every}; both must be at least 1")
        self.volumes = volumes
        self.every = every
        self.unlabelled = unlabelled

    def check(self, cases: Sequence[str], kind: UnitKind) -> None:
        """Refuse more volumes than train, and every so many patches."""
        if self.every > 1 and kind.spatial_dims == 3:
            raise ConfigError(f"Annotated: every is {self.every}, but patches share voxels; give volumes instead")
        if self.volumes is not None and self.volumes > len(cases):
            raise ConfigError(f"Annotated: volumes is {self.volumes}, but {len(cases)} train; give fewer")

    def rows(self, units: UnitTable) -> NDArray[np.int64]:
        """All rows, or the annotated ones."""
        return np.arange(len(units)) if self.unlabelled else np.flatnonzero(~self.without_labels(units))

    def without_labels(self, units: UnitTable) -> NDArray[np.bool_]:
        """All but the annotated rows."""
        volumes = _volumes(units)
        self.check([units.cases[units.case[volume[0]]] for volume in volumes], units.kind)
        number = len(volumes) if self.volumes is None else self.volumes
        hidden = np.ones(len(units), dtype=np.bool_)
        for volume in _evenly(np.arange(len(volumes)), number):
            hidden[volumes[volume][self.every // 2 :: self.every]] = False
        return hidden


def describe(units: UnitTable, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Count the training slices that hold each class, to print beside a subset.

    Args:
        units: n units of the training volumes.
        rows: (m,) rows that a subset keeps.

    Returns:
        (name, number of kept slices that hold it) of each foreground class, in the order of the classes.

    Example:
        >>> voxels = np.array([[9, 0], [7, 2], [8, 1]])
        >>> table = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))
        >>> describe(table, HalfSlice().select(table))
        [('liver', 1)]
    """
    counts = (units.voxels[rows, 1:] > 0).sum(axis=0)
    return list(zip(units.classes[1:], counts.tolist(), strict=True))


def absent_classes(units: UnitTable, rows: NDArray[np.int64]) -> tuple[str, ...]:
    """Name the foreground classes that no kept slice holds: not learnable, hence left out of the means.

    Args:
        units: n units of the training volumes.
        rows: (m,) rows that a subset keeps.

    Returns:
        Names, in the order of the classes; empty where every class is kept.

    Example:
        >>> table = UnitTable.of_slices(["a"], [np.array([[9, 0], [7, 2]])], (3, 3), ("background", "liver"))
        >>> absent_classes(table, np.array([0])), absent_classes(table, np.array([0, 1]))
        (('liver',), ())
    """
    return tuple(name for name, count in describe(units, rows) if count == 0)


def report_kept(subset: str, total: int, kept: UnitTable, batch_size: int) -> None:
    """Log what a subset keeps of every class: one that keeps none of a class cannot learn it.

    Args:
        subset: its name.
        total: units of the training volumes.
        kept: m of them that it keeps.
        batch_size: units a step.
    """
    rows, (one, many) = np.arange(len(kept)), kept.kind.noun
    dense, labelled = int(kept.dense.sum()), int(kept.labelled.sum())
    log.info(
        "%s%d of %d training %s, %s%d label-dense (%s %%); %s that hold each class: %s",
        "" if subset == Full.__name__ else f"subset {subset}: ",
        len(kept),
        total,
        many,
        f"{len(kept) - labelled} of them without any label, " if labelled < len(kept) else "",
        dense,
        percent(dense / max(1, labelled)),
        many,
        ", ".join(f"{name} {count}" for name, count in describe(kept, rows)),
    )
    if batch_size > len(kept):
        log.warning(
            "data.batch_size is %d, but training has %d %s: an epoch is a single step; lower it to a tenth",
            batch_size,
            len(kept),
            many if len(kept) != 1 else one,
        )
    if absent := absent_classes(kept, rows):
        log.warning("no training %s holds %s; left out of the means", one, ", ".join(absent))


def _volumes(units: UnitTable) -> list[NDArray[np.int64]]:
    """Rows of each volume, in the order of position."""
    return [np.flatnonzero(units.case == case) for case in np.unique(units.case)]


def _evenly(rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """K of the rows: cut them into k equal stretches and take the middle of each."""
    return rows[(2 * np.arange(k) + 1) * len(rows) // max(2 * k, 1)]
