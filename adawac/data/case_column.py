"""What a user's CSV file says of each case: their patient, their site, their scanner."""

import csv
from collections.abc import Sequence
from pathlib import Path

from adawac.errors import ConfigError, DataError, some_of


def read_case_column(path: Path, column: str, cases: Sequence[str]) -> dict[str, str]:
    """Read a column for every case.

    Args:
        path: CSV file in UTF-8 with a header, a column `case` and the one that is wanted; it may hold more cases.
        column: which one.
        cases: ids of the cases that need a value.

    Returns:
        Value of each of the cases.

    Raises:
        ConfigError: the file cannot be read.
        DataError: it lacks a column or a case, or gives a case two values.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the path of a CSV file") from error
    if not rows or not {"case", column} <= rows[0].keys():
        raise DataError(f"{path}: needs a header line 'case,{column}' and a line for every case; add them")
    table: dict[str, str] = {}
    for row in rows:
        if table.setdefault(row["case"], row[column]) != row[column]:
            raise DataError(f"{path}: case {row['case']} has two values of {column}; keep one line for it")
    if missing := [case for case in cases if not table.get(case)]:
        raise DataError(f"{path}: no {column} for case {some_of(missing)}; add a line 'case,{column}' for each")
    return {case: table[case] for case in cases}
