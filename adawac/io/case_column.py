"""What a user's CSV file says of each case or patient: their site, their scanner, whom a case shows."""

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from unicodedata import normalize

from adawac.errors import ConfigError, DataError, did_you_mean, readable, some_of
from adawac.io.readers import ending_of

KEYS = ("case", "patient")
"""What a line may be about: names of columns, also in capitals."""

Lines = Sequence[Mapping[str, str]]


def as_called(name: str, known: Collection[str]) -> str:
    """What a list calls by the name of a file, as the data call it; anything else as it stands.

    Args:
        name: of a case, or of its file, with or without its folder, its ending and the number of a channel.
        known: names of the cases.

    Example:
        >>> [as_called(name, ["pt_4"]) for name in ("pt_4", "imagesTr/pt_4_0000.nii.gz", "pt_4.nii", "pt_5.nii")]
        ['pt_4', 'pt_4', 'pt_4', 'pt_5.nii']
    """
    path = Path(name.replace("\\", "/"))
    plain = re.sub(r"(\.npy)?\.(npz|h5)$", "", path.name.removesuffix(ending_of(path)))
    meant = (name, path.name, plain, plain.removesuffix("_0000"))
    return next((each for each in meant if each in known and ".." not in path.parts), name)


def read_lines(path: Path) -> tuple[tuple[str, ...], Lines]:
    """Header and lines of a CSV file; blanks around names and values are none of them, missing fields are empty.

    Args:
        path: file in UTF-8 or UTF-16, between whose fields stands a comma, or a semicolon or tabulator as Excel writes.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        with readable(path):
            text, mark = csv_text(path)
        read = csv.reader(io.StringIO(normalize("NFC", text), newline=""), delimiter=mark, skipinitialspace=True)
        rows = [[field.strip() for field in row] for row in read if row]  # in Unicode's form of the names of cases
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the path of a CSV file in UTF-8") from error
    header, *lines = rows or [[]]
    header = [name.lower() if name.lower() in KEYS else name for name in header]
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise ConfigError(f"{path}: the column {twice[0]} comes twice; rename or remove one of them")
    return tuple(header), [dict(zip_longest(header, line[: len(header)], fillvalue="")) for line in lines]


def csv_text(path: Path) -> tuple[str, str]:
    """What a CSV file holds, in whatever of Excel's ways it was saved, and the character between its fields.

    Raises:
        OSError: it cannot be opened.
        UnicodeDecodeError: it is neither UTF-8 nor UTF-16.
        csv.Error: it is no CSV file.
    """
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        raise csv.Error("it is a table of Excel or another zip archive: save it as CSV")
    text = content.decode(json.detect_encoding(content))
    return text, max(",;\t", key=text.partition("\n")[0].count)


def is_nothing(text: str) -> bool:
    """Whether a cell says nothing: it is empty, or holds what pandas, R or a spreadsheet write there.

    Example:
        >>> [is_nothing(text) for text in ("", "NaN", "NA", "#N/A", "none", "0")]
        [True, True, True, True, False, False]
    """
    return text.lower() in ("", "nan", "na", "<na>", "n/a", "#n/a", "null")


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
        if name and not is_nothing(value) and values.setdefault(name, value) != value:
            raise DataError(f"{path}: {key} {name} has two values of {column}; keep one line for it")
    return values


def meant_by(missing: Sequence[str], due: Collection[str], told: Mapping[str, str]) -> str:
    """What lines without a case may have been meant for; where no case has one, what they are called instead."""
    others = sorted(told.keys() - set(due))
    if len(missing) == len(due) and others:
        return f" (the table calls them {some_of(others)});"
    return did_you_mean(missing, others)


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
    table = told_in(path, column, cases)
    if missing := [case for case in cases if case not in table]:
        meant = meant_by(missing, cases, table)
        raise DataError(f"{path}: no {column} for case {some_of(missing)}{meant} add a line 'case,{column}' for each")
    return {case: table[case] for case in cases}


def told_in(path: Path, column: str, cases: Sequence[str]) -> dict[str, str]:
    """What a column says, of whatever cases it says anything; arguments and errors as of `read_case_column`."""
    header, lines = read_lines(path)
    if not {"case", column} <= set(header):
        raise DataError(
            f"{path}: needs a header line 'case,{column}' and a line for every case but begins with "
            f"{','.join(header)[:60]!r}; add them"
        )
    return column_of(path, [{**line, "case": as_called(line["case"], set(cases))} for line in lines], "case", column)
