"""Whom the test cases of a report show: the unit of its statistics, the same in all its runs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from adawac.data.case_names import AUTO
from adawac.data.patients import SuggestedPatients, patients_of
from adawac.errors import DataError, counted, some_of, together
from adawac.report.runs import MethodRun

log = logging.getLogger(__name__)


def by_patient(runs: Sequence[MethodRun], pattern: str | None = AUTO) -> tuple[list[MethodRun], str]:
    """The runs with the same patient for each case, and what to say of that.

    Args:
        runs: with their case tables.
        pattern: see `adawac.data.patients.patients_of`; `auto` takes what the case tables record, or else what the
            names of the cases suggest.

    Returns:
        The runs; a sentence, empty where every case is a patient of its own.

    Raises:
        ConfigError: the pattern is none.
        DataError: it does not fit a case, or case tables contradict each other.
    """
    cases = list(dict.fromkeys(row.case for run in runs for row in run.rows))
    patients, said = choose_patients(cases, _recorded(runs) if pattern == AUTO else {}, pattern)
    return [
        replace(
            run,
            rows=[row._replace(patient=patients[row.case]) for row in run.rows],
            related=_related(run, pattern),
        )
        for run in runs
    ], said


def choose_patients(
    cases: Sequence[str], recorded: Mapping[str, str], pattern: str | None = AUTO
) -> tuple[dict[str, str], str]:
    """The patient of each case, and a sentence on it, empty where every case is a patient of its own.

    Args:
        cases: that were tested.
        recorded: case -> patient, as a case table says; nothing where each is called as its case.
        pattern: see `by_patient`.

    Example:
        >>> patients, said = choose_patients(["0012_pre", "0012_post", "0013_pre"], {})
        >>> sorted(set(patients.values()))
        ['0012', '0013']
        >>> said.partition(",")[0]
        'The 3 cases count as 2 patients by their names'
        >>> choose_patients(["0012_pre", "0012_post", "0013_pre"], {}, pattern=None)[1]
        ''
    """
    as_recorded = pattern == AUTO and _says_more(recorded)
    patients = {case: recorded.get(case, case) for case in cases} if as_recorded else patients_of(cases, pattern)
    number = len(set(patients.values()))
    if number == len(cases):
        return patients, ""
    counting = f"The {len(cases)} cases count as {counted(number, 'patient')}"
    if isinstance(patients, SuggestedPatients):
        return dict(patients), (
            f"{counting} by their names, such as {some_of(patients.together(cases))}; `--patient-pattern none` takes "
            f"each for a patient, {patients.quoted} says the same."
        )
    return patients, f"{counting}, as {'the case tables record' if as_recorded else 'was said'}."


def _recorded(runs: Sequence[MethodRun]) -> dict[str, str]:
    """Case -> patient, as the first case table says that knows more than the cases.

    Raises:
        DataError: another makes other cases one patient, so that their order would decide what is counted.
    """
    known: dict[str, str] = {}
    first = ""
    for run in runs:
        of_run: dict[str, str] = {}
        for case, patient in dict.fromkeys((row.case, row.patient) for row in run.rows if row.patient):
            if of_run.setdefault(case, patient) != patient:
                raise DataError(
                    f"run {run.name}: case {case} is of patients {some_of(sorted((patient, of_run[case])))} in its "
                    f"case table; {_SAY_WHOM}"
                )
        of_run = {row.case: of_run.get(row.case, row.case) for row in run.rows}
        if not _says_more(of_run):
            continue
        if not known:
            known, first = of_run, run.name
        shared = sorted(known.keys() & of_run)
        parted = zip(shared, _parted(known, shared), _parted(of_run, shared), strict=True)
        if (torn := next((each for each, mine, theirs in parted if mine != theirs), None)) is not None:
            raise DataError(
                f"case {torn}: the case table of {first} says patient {known[torn]}, that of {run.name} "
                f"{of_run[torn]}, and they do not have the same cases; {_SAY_WHOM}"
            )
    return known


_SAY_WHOM = "say whom cases show by --patient-pattern: a CSV with the columns case and patient, or none for one each"


def _parted(patients: Mapping[str, str], cases: Sequence[str]) -> list[int]:
    """For each case the number of the first one of its patient, whatever patients are called."""
    first: dict[str, int] = {}
    return [first.setdefault(patients[case], number) for number, case in enumerate(cases)]


def _says_more(recorded: Mapping[str, str]) -> bool:
    """Whether a patient is called otherwise than the case, after which those are called of whom nothing is known."""
    return any(case != patient for case, patient in recorded.items())


def _related(run: MethodRun, pattern: str | None) -> tuple[str, ...]:
    """Test cases of patients of whom the run was trained on another case; none where nothing is said of those."""
    try:
        patients = patients_of([*run.training, *sorted(run.cases - set(run.training))], pattern)
    except DataError:  # the pattern was given for the test cases
        return ()
    trained = together((patients[case], case) for case in run.training)
    return tuple(case for case in sorted(run.cases) if {*trained.get(patients[case], ())} - {case})


def warn_of_copies(run: MethodRun) -> list[str]:
    """Warn of cases of two patients of which every number is the same, as of a file that was copied; what was said.

    Where case tables say how large organs are: by Dice alone two cases may be equal.
    """
    held = {row.case for row in run.rows if row.metric == "reference_voxels" and row.value > 0}
    patients = {row.case: row.patient or row.case for row in run.rows}
    alike = together((numbers, case) for case, numbers in run.numbers.items() if case in held)
    copies = [cases for cases in alike.values() if len({patients[case] for case in cases}) > 1]
    if not copies:
        return []
    said = (
        f"{some_of([' and '.join(cases) for cases in copies])}: every number is the same; if they are one case under "
        "several names, they count as several patients, and intervals are too short"
    )
    log.warning(said)
    return [said]
