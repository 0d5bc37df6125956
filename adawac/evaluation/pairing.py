"""Methods over the same cases: the case tables of several methods as arrays, and what is missing in any of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError, some_of
from adawac.evaluation.case_table import ANY_CLASS, CaseRow

MEAN_OF_CLASSES = "<mean>"
"""Class name of what is said of the mean of all foreground classes that a case has values of."""


class SharedCases(NamedTuple):
    """One metric in one group: methods over the same cases.

    Attributes:
        methods: their names.
        cases: (N,) ids.
        patients: (N,) whom each case shows.
        names: what can be selected: all classes together, then each foreground class.
        classes: K names, of the last axis of the values.
        values: (N, R, K) of each method with its R runs, NaN where there is none.

    Example:
        >>> row = CaseRow("0", "erm", "a", "p", "liver", "all", "dice", 0.5, "skip")
        >>> rows = [row, row._replace(case="b", value=0.7), row._replace(case="c", value=float("nan"))]
        >>> shared = SharedCases.of({"erm": rows}, "dice", "all")
        >>> shared.select("liver")  # a and b are of the same patient
        ([array([[0.6]])], ('c',))
    """

    methods: tuple[str, ...]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    values: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(cls, rows_by_method: Mapping[str, Sequence[CaseRow]], metric: str, group: str) -> "SharedCases":
        """Gather the rows of one metric in one group.

        Raises:
            DataError: if methods or runs have different cases or policies, a value comes twice or is infinite, or there
                is none.
        """
        patients = _cases(rows_by_method)
        chosen = {
            method: [row for row in rows if (row.metric, row.group) == (metric, group)]
            for method, rows in rows_by_method.items()
        }
        classes = tuple(dict.fromkeys(row.class_name for rows in chosen.values() for row in rows))
        if not classes:
            raise DataError(f"no case has {metric} in group {group!r}; choose a metric and a group of the case table")
        position = {case: i for i, case in enumerate(patients)}
        arrays = []
        for method, rows in chosen.items():
            runs = {run: i for i, run in enumerate(dict.fromkeys(row.run for row in rows_by_method[method]))}
            array = np.full((len(position), len(runs), len(classes)), np.nan)
            seen = np.zeros(array.shape, dtype=bool)
            for row in rows:
                place = position[row.case], runs[row.run], classes.index(row.class_name)
                if seen[place]:
                    raise DataError(
                        f"{method}, run {row.run!r}, case {row.case}: {group}/{metric}/{row.class_name} comes twice; "
                        "give each run a name of its own, and each case one set of rows"
                    )
                if np.isinf(row.value):
                    raise DataError(
                        f"{method}, run {row.run!r}, case {row.case}: {group}/{metric}/{row.class_name} is infinite, "
                        "of which there is no mean; write the diagonal of the volume for a miss, or NaN to leave it out"
                    )
                array[place], seen[place] = row.value, True
            arrays.append(array)
        foreground = tuple(name for name in classes if name != ANY_CLASS)
        together = ANY_CLASS if ANY_CLASS in classes else MEAN_OF_CLASSES
        names, cases = (together, *foreground), np.array(list(patients))
        return cls(tuple(chosen), cases, np.array(list(patients.values())), names, classes, tuple(arrays))

    def select(self, name: str) -> tuple[list[NDArray[np.float64]], tuple[str, ...]]:
        """(n, runs) patients x runs of each method, and the cases without a value in all of them."""
        complete = np.all([~np.isnan(array).any(axis=1) for array in self.values], axis=0)  # (cases, classes)
        used = complete if name == MEAN_OF_CLASSES else complete & (np.array(self.classes) == name)
        kept = used.any(axis=1)
        patients, member = np.unique(self.patients[kept], return_inverse=True)
        weights = (member == np.arange(len(patients))[:, None]).astype(np.float64)  # (patients, cases)
        weights /= weights.sum(axis=1, keepdims=True)
        means = [array[kept].mean(axis=2, where=used[kept, None, :]) for array in self.values]
        return [weights @ mean for mean in means], tuple(self.cases[~kept].tolist())


def _cases(rows_by_method: Mapping[str, Sequence[CaseRow]]) -> dict[str, str]:
    """Case -> patient, the same for all methods and runs."""
    patients: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    policies: set[str] = set()
    for method, rows in rows_by_method.items():
        if not rows:
            raise DataError(f"{method} has no rows; evaluate it first")
        for row in rows:
            patients.setdefault(row.case, row.patient or row.case)
            found.setdefault(f"{method}, run {row.run!r}", set()).add(row.case)
            policies.add(row.policy)
    if len(policies) > 1:
        raise DataError(f"empty-mask policies differ: {', '.join(sorted(policies))}; evaluate all with the same one")
    for run, cases in found.items():
        if missing := sorted(patients.keys() - cases):
            raise DataError(
                f"{run} lacks {some_of(missing)}, which another has; evaluate all methods on the same cases"
            )
    return patients
