"""Test cases that are one case under two names, and would count as two patients."""

import logging
from collections import defaultdict

from adawac.errors import some_of
from adawac.report.runs import MethodRun

log = logging.getLogger(__name__)


def warn_of_copies(run: MethodRun) -> list[str]:
    """Warn of cases of two patients of which every number is the same, as of a file that was copied; what was said.

    Where case tables say how large organs are: by Dice alone two cases may be equal.
    """
    held = {row.case for row in run.rows if row.metric == "reference_voxels" and row.value > 0}
    patients = {row.case: row.patient or row.case for row in run.rows}
    alike: dict[object, list[str]] = defaultdict(list)
    for case, numbers in run.numbers.items():
        if case in held:
            alike[numbers].append(case)
    copies = [cases for cases in alike.values() if len({patients[case] for case in cases}) > 1]
    if not copies:
        return []
    said = (
        f"{some_of([' and '.join(cases) for cases in copies])}: every number is the same; if they are one case under "
        "several names, they count as several patients, and intervals are too short"
    )
    log.warning(said)
    return [said]
