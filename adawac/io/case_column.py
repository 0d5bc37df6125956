"""What a user's CSV file says of each case or patient: their site, their scanner, whom a case shows."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from unicodedata import normalize

from adawac.errors import ConfigError, DataError, did_you_mean, some_of

Lines = Sequence[Mapping[str, str]]


def read_lines(path: Path) -> tuple[tuple[str, ...], Lines]:
    """Header and lines of a CSV file; blanks around names and values are none of them, missing fields are empty.

    Args:
        path: file in UTF-8 or UTF-16, between whose fields stands a comma, or a semicolon or tabulator as Excel writes.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
        if content.startswith(b"PK\x03\x04"):
            raise csv.Error("it is a table of Excel or another zip archive: save it as CSV")
        text = normalize("NFC", content.decode(json.detect_encoding(content)))  # as names of cases
        mark = max(",;\t", key=text.partition("\n")[0].count)
        read = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
        rows = [[field.strip() for field in row] for row in read if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the path of a CSV file in UTF-8") from error
    header, *lines = rows or [[]]
    return tuple(header), [dict(zip_longest(header, line[: len(header)], fillvalue="")) for line in lines]


def column_of(path: Path, lines: Lines, key: str, column: str) -> dict[str, str]:
    """What a column says of each case (or patient) that it says anything of.

    Args:
        path: where the lines are from, for errors.
        lines: of `read_lines`.
        key: name of the column that says whom a line is about.
        column: which one is wanted.

    Raises:
        DataError: if it gives a case two values.
    """
    values: dict[str, str] = {}
    for line in lines:
        name, value = line[key], line[column]
        if name and value and values.setdefault(name, value) != value:
            raise DataError(f"{path}: {key} {name} has two values of {column}; keep one line for it")
    return values


def read_case_column(path: Path, column: str, cases: Sequence[str]) -> dict[str, str]:
    """Read a column for every case.

    Args:
        path: CSV file with a header, a column `case` and the one that is wanted; it may hold more cases.
        column: which one.
        cases: ids of the cases that need a value.

    Returns:
        Value of each of the cases.

    Raises:
        ConfigError: the file cannot be read.
        DataError: it lacks a column or a case, or gives a case two values.
    """
    header, lines = read_lines(path)
    if not {"case", column} <= set(header):
        raise DataError(
            f"{path}: needs a header line 'case,{column}' and a line for every case but begins with "
            f"{','.join(header)[:60]!r}; add them"
        )
    table = column_of(path, lines, "case", column)
    if missing := [case for case in cases if case not in table]:
        meant = did_you_mean(missing, sorted(table.keys() - set(cases)))  # such as case_1.nii.gz
        raise DataError(f"{path}: no {column} for case {some_of(missing)}{meant} add a line 'case,{column}' for each")
    return {case: table[case] for case in cases}
