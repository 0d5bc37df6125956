"""How much two single runs of one method differ by their seeds alone: why a report gives no verdict on single runs."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from adawac.errors import together
from adawac.evaluation import SharedCases, lost_classes
from adawac.evaluation.intervals import LEVEL
from adawac.report.runs import MethodRun

COMMITTED = 0.058
"""The same of all methods, training subsets and seeds of four committed studies together, on CT, MR and phantoms.

That is docs/results/acdc, openkbp5, openkbp5_small and phantom, 85 degrees of freedom. A test computes it anew.
"""


def seed_noise(runs: Sequence[MethodRun]) -> float | None:
    """The difference of mean Dice that two single runs of one method stay below, 19 times in 20.

    From the runs' mean Dice: its variance within a method and training subset, pooled over all that have several runs.

    Args:
        runs: all that are in view.

    Returns:
        sqrt(2) standard deviations, in Dice, times the quantile of t with as many degrees of freedom as the variance
        is known by: by few runs it is hardly known. None where no method has several runs.
    """
    lost = lost_classes(row for run in runs for row in run.rows)
    squares, freedom = 0.0, 0
    for here in together((run.subset, run) for run in runs).values():
        table = SharedCases.of(together((run.method, row) for run in here for row in run.rows), "dice", "all", lost)
        for scores in table.select(table.names[0]).scores:
            if len(scores):
                squares += float(scores.mean(axis=0).var() * scores.shape[1])
                freedom += scores.shape[1] - 1
    if not freedom:
        return None
    return min(float(stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(2 * squares / freedom)), 1.0)
