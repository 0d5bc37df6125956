"""Methods over the same cases: the case tables of several methods as arrays, and the one mean that is formed of them.

The mean of a class: runs are averaged, then the cases of each patient, then patients. The mean of classes is the mean
of these. It is over the pairs of class and case that `adawac.evaluation.counted` counts, the same in every run of every
method, so that the difference of two methods is the difference of their means.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError, some_of
from adawac.evaluation.case_table import ANY_CLASS, CaseRow
from adawac.evaluation.counted import LeftOut, counted, lost_classes
from adawac.metrics.means import patient_means

Array = NDArray[np.float64]

MEAN_OF_CLASSES = "<mean>"
"""Class name of what is said of the mean of all foreground classes that count."""

OF_CASE = attrgetter("run", "case", "patient", "policy")


class Selection(NamedTuple):
    """A class, or the mean of classes, as means and as one number a patient, of which those are the means.

    Not every patient has every class. Of n patients let n_k have class k, of K classes; v_ik is the mean of patient i
    over its cases, m_k the mean of class k, M that of the m_k. Then

        score of patient i    y_i = n / K sum of v_ik / n_k,  over the classes that i has: mean(y) = M
        its weight            a_i = n / K sum of 1 / n_k:     mean(a) = 1; all values moved by c move y_i by c a_i
        its level             z_i = M + n / K sum of (v_ik - m_k) / n_k:  mean(z) = M, and it varies as M does

    Differences of two methods are taken of scores, whose patients are the same; a level is what the interval of a
    single mean is made of. Where every patient has every class, both are the patient's mean over classes, and a_i = 1.

    Attributes:
        means: of each method.
        scores: (n, R) y of each method, of each of its R runs.
        weights: (n,) a.
        patients: n names.
        levels: (n, R) z of each method.
        own: (n, R) of each method the mean over the classes that a patient has: what is shown of patients.
        cases: number of cases that count in any of the classes.
        left_out: cases that count in none of them.
    """

    means: tuple[float, ...]
    scores: tuple[Array, ...]
    weights: Array
    patients: tuple[str, ...]
    levels: tuple[Array, ...]
    own: tuple[Array, ...]
    cases: int
    left_out: tuple[str, ...]


class SharedCases(NamedTuple):
    """One metric in one group: methods over the same cases.

    Attributes:
        metric: its name in the case table.
        methods: their names.
        cases: (N,) ids.
        patients: (N,) whom each case shows.
        names: what can be selected: all classes together, then each foreground class.
        classes: K names, of the last axis of the values.
        values: (N, R, K) of each method with its R runs, NaN where there is none.
        pairs: (N, K) True where class and case count.
        left_out: what does not count, and why.

    Example:
        >>> row = CaseRow("0", "erm", "a", "p", "liver", "all", "dice", 0.5, "skip")
        >>> rows = [row, row._replace(case="b", value=0.7), row._replace(case="c", value=float("nan"))]
        >>> found = SharedCases.of({"erm": rows}, "dice", "all").select("liver")
        >>> found.scores, found.left_out  # a and b are of the same patient
        ((array([[0.6]]),), ('c',))
    """

    metric: str
    methods: tuple[str, ...]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    values: tuple[Array, ...]
    pairs: NDArray[np.bool_]
    left_out: tuple[LeftOut, ...]

    @classmethod
    def of(
        cls,
        rows_by_method: Mapping[str, Sequence[CaseRow]],
        metric: str,
        group: str,
        lost: Mapping[str, str] | None = None,
    ) -> "SharedCases":
        """Gather the rows of one metric in one group.

        Args:
            rows_by_method: all methods in view -> case table of all runs.
            metric: name in the case table.
            group: of slices or cases.
            lost: class -> why it counts in no mean; None: what these rows say, see `lost_classes`.

        Raises:
            DataError: if methods or runs have different cases or policies, a value comes twice or is infinite, or there
                is none.
        """
        patients = _cases(rows_by_method)
        if lost is None:
            lost = lost_classes(row for rows in rows_by_method.values() for row in rows)
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
        pairs, left_out = counted(dict(zip(chosen, arrays, strict=True)), classes, list(patients), lost)
        shown = np.array(list(patients.values()))
        return cls(metric, tuple(chosen), cases, shown, names, classes, tuple(arrays), pairs, left_out)

    def select(self, name: str) -> Selection:
        """A class by name, or the mean of classes by `MEAN_OF_CLASSES`."""
        chosen = [name == each or (name == MEAN_OF_CLASSES and each != ANY_CLASS) for each in self.classes]
        pairs = self.pairs & chosen
        kept, used = pairs.any(axis=1), np.flatnonzero(pairs.any(axis=0))
        pairs = pairs[kept][:, used]
        means, scores, levels, own = [], [], [], []
        for array in self.values:  # patients, and which of them have a class, are the same for all
            patients, has, by_patient = patient_means(array[kept][:, :, used], pairs, self.patients[kept])
            n = np.maximum(has.sum(axis=0), 1)
            share = has / n / max(len(used), 1)  # 1 / (n_k K)
            of_run = np.einsum("nrk,nk->r", by_patient, share)
            of_class = by_patient.sum(axis=0) / n
            means.append(float(of_run.mean()) if len(patients) else float("nan"))
            scores.append(len(patients) * np.einsum("nrk,nk->nr", by_patient, share))
            own.append(by_patient.sum(axis=2) / np.maximum(has.sum(axis=1), 1)[:, None])
            levels.append(of_run + len(patients) * np.einsum("nrk,nk->nr", by_patient - of_class, share))
        weights = len(patients) * share.sum(axis=1)
        left_out = tuple(self.cases[~kept].tolist())
        names = tuple(patients.tolist())
        arrays = tuple(means), tuple(scores), weights, names, tuple(levels), tuple(own)
        return Selection(*arrays, int(kept.sum()), left_out)


def _cases(rows_by_method: Mapping[str, Sequence[CaseRow]]) -> dict[str, str]:
    """Case -> patient, the same for all methods and runs."""
    patients: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    policies: set[str] = set()
    for method, rows in rows_by_method.items():
        if not rows:
            raise DataError(f"{method} has no rows; evaluate it first")
        for run, case, patient, policy in dict.fromkeys(map(OF_CASE, rows)):
            patients.setdefault(case, patient or case)
            found.setdefault(f"{method}, run {run!r}", set()).add(case)
            policies.add(policy)
    if len(policies) > 1:
        raise DataError(f"empty-mask policies differ: {', '.join(sorted(policies))}; evaluate all with the same one")
    for run, cases in found.items():
        if missing := sorted(patients.keys() - cases):
            raise DataError(
                f"{run} lacks {some_of(missing)}, which another has; evaluate all methods on the same cases"
            )
    return patients
