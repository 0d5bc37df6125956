"""Label-sparse slices that stay as hard as label-dense ones, and the file in which a run names them."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError, readable
from adawac.io.atomic import atomic_write
from adawac.io.terminal import as_cell, of_cell

COLUMNS = ("case", "unit", "score")

FOUND = 0.3
"""Dice of the best class below which a run names none: where no organ is found yet, hard says nothing of labels."""


SEPARATED = 0.7
"""AUROC of the scores as detector of label-dense samples below which a run names none.

Were the scores of both groups normal with one variance, almost a quarter of the label-sparse would lie above half of
the label-dense at this AUROC, and half of them where scores say nothing at all: no list of suspects.
"""


def least_auroc(dense: NDArray[np.bool_]) -> float:
    """From which AUROC on scores tell groups of such sizes apart: `SEPARATED`, or two standard errors above 1/2.

    Args:
        dense: (n,) True for label-dense samples; where all are, or none is, nothing is to be told apart.

    References:
        Mann and Whitney (1947), On a test of whether one of two random variables is stochastically larger.

    Example:
        >>> round(least_auroc(np.arange(10) < 5), 2), least_auroc(np.arange(1000) < 300)
        (0.88, 0.7)
    """
    one, other = int(dense.sum()), int((~dense).sum())
    error = np.sqrt((one + other + 1) / (12 * max(1, one * other)))
    return max(SEPARATED, 0.5 + 2 * float(error))


def suspects(scores: NDArray[np.floating], dense: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Label-sparse samples that are as hard as label-dense ones: a label may be missing, or an organ begins there.

    Args:
        scores: (n,) log-odds or losses, higher for harder samples; finite.
        dense: (n,) True for label-dense samples.

    Returns:
        (m,) those whose score lies above the median of label-dense samples, the highest first; none where a group is
        empty.

    Example:
        >>> suspects(np.array([3.0, 1.0, 2.0, -1.0, 5.0]), np.array([True, True, False, False, False])).tolist()
        [4]
    """
    if not dense.any():
        return np.zeros(0, dtype=np.intp)
    order = np.argsort(-scores, kind="stable")
    hard: NDArray[np.bool_] = ~dense & (scores > np.median(scores[dense]))
    found: NDArray[np.intp] = order[hard[order]]
    return found


def write_suspects(path: Path, named: Iterable[tuple[str, object, float]]) -> None:
    """Write the file, whole or not at all.

    Args:
        path: of the file.
        named: case, unit (the number of a slice from 0, the first voxel of a patch) and score of each.
    """
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((as_cell(case), unit, f"{score:.6g}") for case, unit, score in named)


def read_suspects(path: Path) -> tuple[str, ...]:
    """Names of the suspects of a run as CASE:UNIT, in the order of the file, the hardest first.

    Raises:
        DataError: if the file is no such table.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_suspects(Path(folder) / "named.csv", [("pt_4", 17, 2.5), ("pt_9", 3, 1.5)])
        ...     read_suspects(Path(folder) / "named.csv")
        ('pt_4:17', 'pt_9:3')
    """
    try:
        with readable(path), path.open(newline="", encoding="utf-8") as file:
            return tuple(f"{of_cell(line['case'])}:{line['unit']}" for line in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(
            f"{path}: not readable as a table of {', '.join(COLUMNS)} ({error}); delete it, or train the run anew"
        ) from error
