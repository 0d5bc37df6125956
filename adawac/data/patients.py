"""Which patient each case shows: as the user says, as DICOM headers record, or as the names of the cases suggest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adawac.data.case_names import AUTO, suggest_patient_pattern
from adawac.data.layouts.base import Case
from adawac.errors import ConfigError, DataError, some_of, together
from adawac.io.case_column import read_case_column, told_in
from adawac.io.dicom_slice import patient_id

_NOBODY = {"", "0", "anon", "anonymous", "anonymized", "anonymised", "deidentified", "na", "none", "nobody", "removed"}
"""What stands for a PatientID that was taken out, in small letters and digits."""


class SuggestedPatients(dict[str, str]):
    r"""Case -> patient, where names suggest that some patients have several cases and nobody has said whether so.

    No split is drawn by them: it would rest on a guess, or part a patient's cases in silence.

    Args:
        patients: of the cases.
        pattern: that finds them.

    Example:
        >>> found = patients_of(["pt1_frame01", "pt1_frame12", "pt2_frame01"])
        >>> found["pt1_frame12"], found.pattern
        ('pt1', '^(pt\\d+)')
    """

    def __init__(self, patients: Mapping[str, str], pattern: str) -> None:
        super().__init__(patients)
        self.pattern = pattern

    @property
    def remedy(self) -> str:
        """What to say, whichever is true."""
        return (
            f"set patient_pattern to {self.quoted} ({len(set(self.values()))} patients; or to another, or to a .csv "
            "file with the columns case,patient), or to null if every case is a patient of its own"
        )

    @property
    def quoted(self) -> str:
        """The pattern, to be copied into YAML or onto a command line."""
        return "'" + self.pattern.replace("'", "''") + "'"

    def refuse(self, cases: Sequence[str]) -> None:
        """Raise an error if several of these cases seem to be of one patient.

        Raises:
            ConfigError: naming some, and what to say.
        """
        if several := self.together(cases):
            raise ConfigError(
                f"by their names, {some_of(several)} seem to be of one patient ({len(cases)} cases, "
                f"{len({self[case] for case in cases})} patients), and a split that is drawn must know; {self.remedy}"
            )

    def together(self, cases: Sequence[str]) -> list[str]:
        """Those of the first patient who has several of these cases; empty where none has."""
        of = together((self[case], case) for case in cases)
        return next((names for names in of.values() if len(names) > 1), [])


def describe_patients(patients: Mapping[str, str]) -> str:
    """How many patients there are, and how that is known.

    Example:
        >>> describe_patients({"pt_1": "pt_1", "pt_4": "pt_4"})
        '2 cases, each of a patient of its own'
        >>> describe_patients(patients_of(["0012_pre", "0012_post", "0013_pre"]))
        "3 cases that seem, by their names, to be of 2 patients (patient_pattern '^(.+?)(?:_post|_pre)' would say so)"
    """
    number = len(set(patients.values()))
    if isinstance(patients, SuggestedPatients):
        seems = f"{len(patients)} cases that seem, by their names, to be of {number} patients"
        return f"{seems} (patient_pattern {patients.quoted} would say so)"
    of = f"of {number} patients" if number < len(patients) else "each of a patient of its own"
    return f"{len(patients)} cases, {of}"


def patients_of(case_ids: Sequence[str], pattern: str | None = AUTO) -> dict[str, str]:
    r"""Say which patient each case shows, by its name.

    Args:
        case_ids: names of the cases.
        pattern: None for one case, one patient; a regular expression, searched in the case's name, whose
            first group (or whole match, where it has none) is the patient; the path of a CSV file (it ends
            in `.csv`) with the columns `case` and `patient`; or `auto`, for what the names suggest.

    Returns:
        The patient of every case, in the order of `case_ids`; `SuggestedPatients` where that is a guess by which some
        have several cases.

    Raises:
        ConfigError: the pattern is no regular expression, or the CSV file does not exist.
        DataError: a case does not match the pattern or is missing from the CSV file.

    Example:
        >>> patients_of(["patient021_frame01", "patient021_frame13"], r"(patient\d+)_")
        {'patient021_frame01': 'patient021', 'patient021_frame13': 'patient021'}
    """
    if pattern == AUTO:
        found = suggest_patient_pattern(case_ids)
        patients = patients_of(case_ids, found)
        return patients if found is None else SuggestedPatients(patients, found)
    if pattern is None:
        return {case: case for case in case_ids}
    if not isinstance(pattern, str):
        raise ConfigError(f"patient_pattern is {pattern!r}; give a regular expression, the path of a .csv file or None")
    if pattern.endswith(".csv"):
        return read_case_column(Path(pattern), "patient", case_ids)
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"patient_pattern {pattern!r} is not a regular expression ({error}); "
            r"write one such as '(patient\d+)_', or the path of a .csv file"
        ) from error
    group = min(1, regex.groups)
    patients = {case: match[group] for case in case_ids if (match := regex.search(case)) and match[group]}
    if unmatched := [case for case in case_ids if case not in patients]:
        raise DataError(
            f"patient_pattern {pattern!r} finds no patient in {some_of(unmatched)}; "
            r"write one that fits every case (for example '(patient\d+)_' takes patient021 from "
            "patient021_frame01), a .csv file with the columns case,patient, or null if every case is a patient"
        )
    return patients


def patients_in(cases: Sequence[Case], pattern: str | None = AUTO) -> dict[str, str]:
    """Say which patient each case of a data set shows, as `patients_of`, and by the headers of DICOM files.

    Where nobody has said it, cases with one PatientID show one patient, who is called as the first of them: the
    identifier itself is kept nowhere. Files that all have the same say nothing, for it was taken out of them.

    Args:
        cases: of the data set.
        pattern: see `patients_of`.

    Returns:
        See `patients_of`; no guess where every case has a PatientID.

    Raises:
        ConfigError: see `patients_of`.
        DataError: see `patients_of`.
    """
    ids = [case.id for case in cases]
    recorded = _recorded(cases) if pattern == AUTO else {}
    named = patients_of(ids, None if ids and len(recorded) == len(ids) else pattern)
    first: dict[str, str] = {}
    for case, number in recorded.items():
        first.setdefault(number, case)
    patients = {case: named[first[recorded[case]] if case in recorded else case] for case in ids}
    return SuggestedPatients(patients, named.pattern) if isinstance(named, SuggestedPatients) else patients


def patients_beside(
    cases: Sequence[Case], labelled: Sequence[Case], patients: Mapping[str, str], pattern: str | None = AUTO
) -> dict[str, str]:
    r"""Say which patient further images show, as far as it can be told: as of the cases of the data set.

    Args:
        cases: further images, by their names.
        labelled: the data set's.
        patients: of the latter, see `patients_in`.
        pattern: that was asked for, see `patients_of`.

    Returns:
        The patient of every image; one of which nothing is known has its own name.

    Example:
        >>> case = Case("patient021_frame05", ())
        >>> patients_beside([case], [], {"patient021_frame01": "patient021"}, r"(patient\d+)_")
        {'patient021_frame05': 'patient021'}
    """
    names = [case.id for case in cases]
    said = {name: name for name in names}
    rule = patients.pattern if isinstance(patients, SuggestedPatients) else pattern
    if rule and rule.endswith(".csv"):
        told = told_in(Path(rule), "patient", names)
        said |= {name: told[name] for name in names if name in told}
    elif rule and rule != AUTO:
        regex = re.compile(rule)
        found = ((name, regex.search(name)) for name in names)
        said |= {name: match[min(1, regex.groups)] or name for name, match in found if match}
    said |= {name: patients[name] for name in names if name in patients}
    if pattern == AUTO:
        recorded = _recorded([*labelled, *(replace(case, id=f"/{case.id}") for case in cases)])
        whose = {recorded[case.id]: patients[case.id] for case in labelled if case.id in recorded}
        said |= {name: whose[number] for name in names if (number := recorded.get(f"/{name}")) in whose}
    return said


def _recorded(cases: Sequence[Case]) -> dict[str, str]:
    """Case -> PatientID, of cases that are DICOM series and have one that tells patients apart."""
    found = {case.id: patient_id(case.images[0]) for case in cases if case.images}
    found = {
        case: number
        for case, number in found.items()
        if "".join(c for c in number.casefold() if c.isalnum()) not in _NOBODY
    }
    return found if len(set(found.values())) > 1 else {}
