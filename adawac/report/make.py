"""From runs to a report: the one way for `adawac evaluate`, `adawac study` and scripts."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

from adawac.data.case_names import AUTO
from adawac.errors import DataError
from adawac.evaluation import Metadata
from adawac.evaluation.references import References
from adawac.report.contents import Contents, choose_reference, subset_results
from adawac.report.runs import MethodRun, on_shared_cases
from adawac.report.shown_patients import by_patient, warn_of_copies
from adawac.report.worst_cases import worst_pictures


def make_report(
    runs: Sequence[MethodRun],
    references: References | None = None,
    *,
    title: str = "Evaluation",
    reference: str | None = None,
    metadata: Sequence[Metadata] = (),
    patient_pattern: str | None = AUTO,
    shared: bool = False,
    pictures: int = 3,
    why_no_references: str = "",
    command: str = "",
    unfinished: Mapping[str, str] | None = None,
) -> Contents:
    """Compute everything that a report shows.

    Args:
        runs: all runs.
        references: the test cases with images, for pictures; None where they are not at hand.
        title: of the report.
        reference: method that the others are compared with; None chooses, see `choose_reference`.
        metadata: columns that group the cases.
        patient_pattern: whom a case shows, see `adawac.report.shown_patients.by_patient`.
        shared: leave out cases that are not in all runs, instead of refusing.
        pictures: worst cases of each training subset that are drawn.
        why_no_references: for the report, where there are none.
        command: what was typed.
        unfinished: runs that are missing -> why.

    Raises:
        ConfigError: if there is no such reference.
        DataError: if there are no runs, or they do not fit together.
    """
    if not runs:
        raise DataError("there is no finished run to report on; train and test one first")
    left_out: tuple[str, ...] = ()
    if shared:
        runs, left_out = on_shared_cases(runs, () if references is None else references.cases)
    runs, of_patients = by_patient(runs, patient_pattern)
    runs[0] = replace(runs[0], doubts=(*runs[0].doubts, *warn_of_copies(runs[0])))
    chosen = choose_reference([run.method for run in runs], reference)
    subsets = subset_results(runs, chosen, metadata)
    drawn, why_not = worst_pictures(subsets, runs, references, pictures, why_no_references)
    return Contents(
        title=title,
        reference=chosen,
        policy=next(row.policy for run in runs for row in run.rows),
        runs=[replace(run, predict=None) for run in runs],  # so that a report can be pickled
        subsets=subsets,
        patients=of_patients,
        command=command,
        versions={
            **{name: version(name) for name in ("adawac", "numpy", "scipy")},
            "python": platform.python_version(),
        },
        left_out=left_out,
        unfinished=unfinished or {},
        pictures=drawn,
        no_pictures=why_not,
    )
