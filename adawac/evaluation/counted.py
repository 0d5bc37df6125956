"""Which values count: the one answer to what a mean is over, and to why the rest is left out of it.

A pair of a class and a case counts in every mean, or in none of those in view:

- not where no reference of the test cases holds the class: whatever is predicted, there is nothing to overlap with;
- not where nothing that a run in view was trained on holds the class: it could not be learned. This is known of runs,
  whose case tables say it (`adawac.evaluation.training_record`); of predictions by another tool it is not;
- not where the pair has no value in some run of some method in view, as the empty-mask policy `skip` leaves it out or
  the metric is undefined: then all methods are measured on the same pairs, and differences are those of the means.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.errors import counted as number_of
from adawac.errors import some_of, together
from adawac.evaluation.case_table import TRAINING_UNITS, CaseRow
from adawac.metrics.means import counting_pairs


class LeftOut(NamedTuple):
    """What of a class does not count in the means.

    Attributes:
        class_name: of the class.
        reason: why, in words.
        cases: those that do not count; all of them where the class as a whole does not.
        whole: whether the class counts in no mean at all.

    Example:
        >>> str(LeftOut("liver", "no test case holds it", ("a", "b"), True))
        'liver: no test case holds it'
        >>> str(LeftOut("liver", "no value in a run of erm", ("b",), False))
        'liver, 1 case (b): no value in a run of erm'
    """

    class_name: str
    reason: str
    cases: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        where = "" if self.whole else f", {number_of(len(self.cases), 'case')} ({some_of(self.cases)})"
        return f"{self.class_name}{where}: {self.reason}"


def lost_classes(rows: Iterable[CaseRow]) -> dict[str, str]:
    """Class -> why it counts in no mean of these rows; classes of which nothing is known count.

    Args:
        rows: everything in view: any number of methods, runs, groups and metrics.

    Example:
        >>> row = CaseRow("seed 1", "erm", "ct_7", "p3", "liver", "all", "reference_voxels", 0, "skip")
        >>> lost_classes([row, row._replace(case="ct_8")])
        {'liver': 'no test case holds it'}
        >>> lost_classes([row._replace(value=9), row._replace(metric="training_units")])
        {'liver': 'nothing that seed 1 was trained on holds it'}
    """
    held: dict[str, bool] = {}
    unlearned: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.metric == "reference_voxels":
            held[row.class_name] = held.get(row.class_name, False) or row.value > 0
        elif row.metric == TRAINING_UNITS and row.value == 0:
            unlearned.setdefault(row.class_name, {})[row.run or row.method or "the run"] = None
    reasons: dict[str, list[str]] = {name: ["no test case holds it"] for name, found in held.items() if not found}
    for name, runs in unlearned.items():
        reasons.setdefault(name, []).append(f"nothing that {some_of(list(runs))} was trained on holds it")
    return {name: "; ".join(found) for name, found in reasons.items()}


def counted(
    values: Mapping[str, NDArray[np.float64]], classes: Sequence[str], cases: Sequence[str], lost: Mapping[str, str]
) -> tuple[NDArray[np.bool_], tuple[LeftOut, ...]]:
    r"""The pairs of a case and a class that count, and the others with the reason.

    Args:
        values: method in view -> (N, R, K) of its R runs, NaN where there is none.
        classes: K names.
        cases: N ids.
        lost: class -> why it counts in no mean, as `lost_classes` found.

    Returns:
        (N, K) True where a pair counts; a line for each class of which not all pairs do.

    Example:
        >>> values = np.array([[[0.9, 1.0]], [[np.nan, 1.0]], [[0.7, 1.0]]])
        >>> pairs, left_out = counted({"erm": values}, ("liver", "ghost"), "abc", {"ghost": "no test case holds it"})
        >>> pairs.tolist()
        [[True, False], [False, False], [True, False]]
        >>> print(*left_out, sep="\n")
        liver, 1 case (b): no value in a run of erm
        ghost: no test case holds it
    """
    pairs = counting_pairs(values.values(), np.array([name in lost for name in classes], dtype=bool))
    left_out = []
    for k, name in enumerate(classes):
        if not pairs[:, k].all():
            without = tuple(case for case, counts in zip(cases, pairs[:, k].tolist(), strict=True) if not counts)
            lacking = [method for method, array in values.items() if np.isnan(array[:, :, k]).any()]
            reason = lost.get(name) or f"no value in a run of {some_of(lacking)}"
            left_out.append(LeftOut(name, reason, without, whole=len(without) == len(cases)))
    return pairs, tuple(left_out)


def left_out_of(metrics: Mapping[str, Sequence[LeftOut]]) -> tuple[LeftOut, ...]:
    """What does not count in the means of Dice, and what beside it does not in those of further metrics.

    Args:
        metrics: name in words, Dice first -> what does not count in its means.

    Example:
        >>> hidden = LeftOut("liver", "no value in a run of erm", ("b",), False)
        >>> found = left_out_of({"Dice": (), "HD95 in mm": (hidden, hidden._replace(class_name="spleen"))})
        >>> [str(each) for each in found]
        ['HD95 in mm, liver, spleen, 1 case (b): no value in a run of erm']
    """
    dice = metrics.get("Dice", ())
    further = []
    for metric, found in metrics.items():
        # classes of one reason and the same cases
        alike = together((each._replace(class_name=metric), each.class_name) for each in found if each not in dice)
        further += [each._replace(class_name=", ".join([metric, *names])) for each, names in alike.items()]
    return (*dice, *further)
