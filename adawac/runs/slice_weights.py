"""The weight of every training slice at the end of a run, as a small CSV file that reports read."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.data.units import UnitTable
from adawac.errors import DataError, readable
from adawac.io.atomic import atomic_write
from adawac.io.terminal import as_cell, of_cell
from adawac.metrics import separation_auroc
from adawac.metrics.group_means import GroupMeans, group_means
from adawac.runs.suspects import least_auroc

COLUMNS = ("case", "unit", "position", "label_dense", "weight", "score")


class SliceWeights(NamedTuple):
    """Weights of n training slices, those that had a supervised loss: of others a weight says nothing.

    Attributes:
        case: n ids of their volumes.
        unit: n names within their volumes: the number of a slice from 0, the first voxel of a patch.
        position: (n,) centre of the slice along its volume, 0 (first slice) to 1 (last slice).
        dense: (n,) True for label-dense slices.
        weight: (n,) weight of the supervised loss; or in the draw, where weights decide what is drawn.
        score: (n,) what separates dense from sparse slices: log-odds where the method has them, else the weight.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> dense = np.array([True, False])
        >>> table = SliceWeights(
        ...     ("a", "a"), ("0", "1"), np.array([0.25, 0.75]), dense, np.array([0.9, 0.2]), np.array([2.2, -1.4])
        ... )
        >>> with TemporaryDirectory() as folder:
        ...     table.write(Path(folder) / "table.csv")
        ...     back = SliceWeights.read(Path(folder) / "table.csv")
        >>> back.means, back.auroc
        (GroupMeans(dense=0.9, sparse=0.2), 1.0)
    """

    case: tuple[str, ...]
    unit: tuple[str, ...]
    position: NDArray[np.float64]
    dense: NDArray[np.bool_]
    weight: NDArray[np.float64]
    score: NDArray[np.float64]

    @classmethod
    def of_units(
        cls,
        units: UnitTable,
        weight: NDArray[np.floating],
        score: NDArray[np.floating] | None = None,
        drawn: NDArray[np.bool_] | None = None,
    ) -> "SliceWeights":
        """Of a table of units, the weight and score that a method has for each, and which were drawn; None: all.

        Those that are wholly ignored, or have never been drawn, are left out.
        """
        rows = np.flatnonzero(units.labelled if drawn is None else units.labelled & drawn)
        score = (weight if score is None else score)[rows]
        units, weight = units.take(rows), weight[rows]
        cases = tuple(units.cases[case] for case in units.case)
        names = tuple(str(units.key(row)) for row in range(len(units)))
        return cls(cases, names, units.position, units.dense, weight.astype(np.float64), score.astype(np.float64))

    @property
    def means(self) -> GroupMeans:
        """Mean weight of label-dense and of label-sparse slices."""
        return group_means(self.weight, self.dense)

    @property
    def mixed(self) -> bool:
        """Whether log-odds do not tell the groups apart, so that they name no suspect; False where there are none."""
        return self.auroc < least_auroc(self.dense) and not np.array_equal(self.score, self.weight)

    @property
    def auroc(self) -> float:
        """How well the scores detect label-dense slices; NaN if a group is empty."""
        return separation_auroc(self.score, self.dense)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for case, unit, position, dense, weight, score in zip(*self, strict=True):
                writer.writerow([as_cell(case), unit, f"{position:.5f}", int(dense), f"{weight:.6g}", f"{score:.6g}"])

    @classmethod
    def read(cls, path: Path) -> "SliceWeights":
        """Inverse of `write`.

        Raises:
            DataError: if the file is no such table.
        """
        try:
            with readable(path), path.open(newline="", encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
            numbers = np.array([[float(line[name]) for name in COLUMNS[2:]] for line in lines]).reshape(-1, 4)
            cases = tuple(of_cell(line["case"]) for line in lines)
            units = tuple(line.get("unit", "") for line in lines)  # which older runs did not write
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not readable as a table of {', '.join(COLUMNS)} ({error}); delete it, or train the run anew"
            ) from error
        position, dense, weight, score = numbers.T
        return cls(cases, units, position, dense > 0, weight, score)
