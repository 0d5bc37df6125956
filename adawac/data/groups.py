"""How the training samples fall into groups: by their labels, their position, or a table of the user."""

from abc import ABC, abstractmethod
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.data.units import UnitTable
from adawac.errors import ConfigError, did_you_mean
from adawac.io.case_column import read_case_column


class Groups(NamedTuple):
    """The groups that occur in a training set.

    Attributes:
        member: (n,) int64, the group of each sample, an index into `names`; -1 for those that are wholly ignored: they
            are in none.
        names: G names in alphabetical order, each of a group with at least one member.
    """

    member: NDArray[np.int64]
    names: tuple[str, ...]


class Grouping(ABC):
    """Divides the training samples into groups. A subclass says the name of each sample's group."""

    def __call__(self, units: UnitTable) -> Groups:
        """The groups of n training samples."""
        labelled = units.labelled
        member = np.full(len(units), -1, dtype=np.int64)
        names, member[labelled] = np.unique(self.names(units)[labelled], return_inverse=True)
        return Groups(member, tuple(names.tolist()))

    @abstractmethod
    def names(self, units: UnitTable) -> NDArray[np.str_]:
        """(n,) name of each sample's group."""


class Density(Grouping):
    """Label-dense and label-sparse samples.

    Example:
        >>> table = UnitTable.of_slices(["a"], [np.array([[9, 0], [7, 2]])], (3, 3), ("background", "liver"))
        >>> Density()(table)
        Groups(member=array([1, 0]), names=('label-dense', 'label-sparse'))
    """

    def names(self, units: UnitTable) -> NDArray[np.str_]:
        """(n,) `label-dense` or `label-sparse`."""
        return np.where(units.dense, "label-dense", "label-sparse")


class PositionBins(Grouping):
    """Equal stretches of the volume, from its first slice to its last.

    Args:
        count: number of stretches, at least 2.

    Raises:
        ConfigError: if `count` is below 2.

    Example:
        >>> table = UnitTable.of_slices(["a"], [np.full((3, 2), 4)], (2, 4), ("background", "liver"))
        >>> PositionBins(2)(table)
        Groups(member=array([0, 1, 1]), names=('position 0.00 to 0.50', 'position 0.50 to 1.00'))
    """

    def __init__(self, count: int = 3) -> None:
        if count < 2:
            raise ConfigError(f"PositionBins: count is {count}; give at least 2 stretches")
        self.count = count

    def names(self, units: UnitTable) -> NDArray[np.str_]:
        """(n,) stretch in which each sample's centre lies."""
        edges = np.linspace(0, 1, self.count + 1)
        stretches = [f"position {low:.2f} to {high:.2f}" for low, high in pairwise(edges)]
        return np.array(stretches)[(units.position * self.count).astype(np.int64)]


class OrganPresent(Grouping):
    """Samples that hold an organ, and the others.

    Args:
        organ: name of a foreground class.

    Example:
        >>> table = UnitTable.of_slices(["a"], [np.array([[9, 0], [7, 2]])], (3, 3), ("background", "liver"))
        >>> OrganPresent("liver")(table)
        Groups(member=array([1, 0]), names=('liver', 'no liver'))
    """

    def __init__(self, organ: str) -> None:
        self.organ = organ

    def names(self, units: UnitTable) -> NDArray[np.str_]:
        """(n,) the organ's name, or `no` and the organ's name.

        Raises:
            ConfigError: if no class has this name.
        """
        if self.organ not in units.classes[1:]:
            raise ConfigError(
                f"OrganPresent: no class is called {self.organ!r}{did_you_mean(self.organ, units.classes[1:])} "
                f"choose one of {units.classes[1:]}"
            )
        present = units.voxels[:, units.classes.index(self.organ)] > 0
        return np.where(present, self.organ, f"no {self.organ}")


class CaseTable(Grouping):
    """Groups of whole cases, such as sites or scanners, from a CSV file.

    Args:
        path: CSV file with a header, a column `case` and one that names the groups; it may hold more cases.
        column: which column names the groups.
    """

    def __init__(self, path: str, column: str = "group") -> None:
        self.path = Path(path).expanduser()
        self.column = column

    def names(self, units: UnitTable) -> NDArray[np.str_]:
        """(n,) what the table says of each sample's case.

        Raises:
            ConfigError: if the file cannot be read.
            DataError: if it lacks a column or a case, or names two groups for a case.
        """
        cases = np.unique(units.case)
        table = read_case_column(self.path, self.column, [units.cases[case] for case in cases])
        return np.array([table.get(case, "") for case in units.cases])[units.case]
