"""Case tables as files: CSV for everybody, Parquet where they are large."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from adawac.errors import ConfigError, DataError, readable
from adawac.evaluation.case_table import CaseRow, limits
from adawac.io.atomic import atomic_write
from adawac.io.case_column import csv_text, is_nothing
from adawac.io.terminal import as_cell, of_cell
from adawac.metrics import EMPTY_RULES

COLUMNS = tuple("class" if field == "class_name" else field for field in CaseRow._fields)
"""Of the file, in the order of the fields of `CaseRow`."""

REQUIRED_COLUMNS = COLUMNS[: -len(CaseRow._field_defaults)]
"""Without these a file is no case table; older ones lack others, those of a study have the axes of its grid as well."""

_REMEDY = "write the table anew with `adawac.evaluation.write_table`"


def write_table(path: Path, rows: Iterable[CaseRow]) -> None:
    """Write a case table whole or not at all; `read_table` gives back the same rows to the last bit.

    Args:
        path: a .csv or .parquet file, replaced if it is there.
        rows: of any number of cases, methods and runs.

    Raises:
        ConfigError: if the suffix is neither, or Parquet is asked for without pyarrow.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> row = CaseRow("run_0", "erm", "ct_7", "p3", 'kidney, "left"', "all", "dice", 1 / 3, "penalise")
        >>> with TemporaryDirectory() as folder:
        ...     write_table(Path(folder) / "table.csv", [row])
        ...     read_table(Path(folder) / "table.csv") == [row]
        True
    """
    (write_parquet if _is_parquet(path) else write_csv)(path, rows)


def read_table(path: Path) -> list[CaseRow]:
    """Read a case table that `write_table` wrote; see there for an example.

    Args:
        path: a .csv or .parquet file.

    Raises:
        ConfigError: if the suffix is neither, or Parquet is read without pyarrow.
        DataError: if the file is missing or is no case table.
    """
    return (read_parquet if _is_parquet(path) else read_csv)(path)


def write_csv(path: Path, rows: Iterable[Iterable[Any]], columns: Sequence[str] = COLUMNS) -> None:
    """Write a case table as CSV, whole or not at all.

    Args:
        path: the file, replaced if it is there.
        rows: of any number of cases, methods and runs.
        columns: of the rows.
    """
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        # Names are quoted whatever is in them; floats are written in their shortest exact form.
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([as_cell(field) for field in row] for row in rows)


def read_csv(path: Path) -> list[CaseRow]:
    """Read a case table that `write_csv` or a study wrote, now or before hashes were written; other columns are left.

    One that Excel has saved since is read, too: with semicolons or tabs, decimal commas, a byte order mark.

    Args:
        path: the file.

    Raises:
        DataError: if the file is missing or is no case table, naming the line.
    """
    path = Path(path)
    try:
        with readable(path):
            text, mark = csv_text(path)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)  # pandas takes a line torn in the middle
        columns = _check_columns(tuple(next(reader, ())), path)
        comma = mark != ","  # of decimals, as Excel writes them where fields are not parted by commas
        return [
            _row([of_cell(field) for field in fields], columns, f"{path}, line {reader.line_num}", comma)
            for fields in reader
            if fields  # blank lines are none
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def write_parquet(path: Path, rows: Iterable[CaseRow]) -> None:
    """Write a case table as Parquet, whole or not at all.

    Args:
        path: the file, replaced if it is there.
        rows: of any number of cases, methods and runs.

    Raises:
        ConfigError: if pyarrow is not installed.
    """
    arrow, parquet = _arrow(path, "pyarrow"), _arrow(path, "pyarrow.parquet")
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    types = [arrow.float64() if name == "value" else arrow.string() for name in COLUMNS]
    arrays = [arrow.array(values, type_) for values, type_ in zip(columns, types, strict=True)]
    table = arrow.Table.from_arrays(arrays, names=list(COLUMNS))
    with atomic_write(path) as unfinished:
        parquet.write_table(table, unfinished, compression="zstd")


def read_parquet(path: Path) -> list[CaseRow]:
    """Read a case table that `write_parquet` wrote.

    Args:
        path: the file.

    Raises:
        ConfigError: if pyarrow is not installed.
        DataError: if the file is missing or is no case table, naming the row.
    """
    arrow, parquet = _arrow(path, "pyarrow"), _arrow(path, "pyarrow.parquet")
    try:
        with readable(path):
            table = parquet.read_table(path, memory_map=False)
    except (OSError, arrow.ArrowException) as error:
        raise _unreadable(path, error) from error
    columns = _check_columns(tuple(table.column_names), path)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [_row(row, columns, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _is_parquet(path: Path) -> bool:
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{path}: a case table is a .csv or a .parquet file, not {suffix or 'one without suffix'!r}")
    return suffix == ".parquet"


def _arrow(path: Path, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{path}: Parquet needs pyarrow, which is not installed ({error}); install it with "
            "`pip install 'adawac[parquet]'`, or name a .csv file"
        ) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not readable as a case table ({error}); {_REMEDY}")


def _check_columns(found: tuple[str, ...], path: Path) -> tuple[str, ...]:
    """The columns of a case table, in any order."""
    if len(set(found)) < len(found) or not set(REQUIRED_COLUMNS) <= set(found):
        raise DataError(f"{path}: a case table has the columns {REQUIRED_COLUMNS}, each once, found {found}; {_REMEDY}")
    return found


def _row(fields: Sequence[Any], columns: tuple[str, ...], place: str, comma: bool = False) -> CaseRow:
    if len(fields) != len(columns):
        raise DataError(f"{place}: {len(fields)} fields where {len(columns)} are due; {_REMEDY}")
    of_column = dict(zip(columns, fields, strict=True))
    number, policy = of_column["value"], of_column["policy"]
    try:
        said = ("" if number is None else str(number)).strip().replace(",", "." if comma else ",")
        value = math.nan if is_nothing(said) else float(said)  # as pandas and R write what is undefined
    except (TypeError, ValueError):
        raise DataError(f"{place}: the value must be a number, found {number!r}; {_REMEDY}") from None
    least, most = limits(str(of_column["metric"]))
    if value < least or value > most:
        due = "is 0 or more" if most > 1 else "lies between 0 and 1"
        remedy = "with NaN where there is none" if most > 1 else "no percentages"
        raise DataError(f"{place}: {of_column['metric']} {due}, found {number!r}; {_REMEDY}, {remedy}")
    if policy not in EMPTY_RULES:
        raise DataError(f"{place}: the policy must be one of {', '.join(EMPTY_RULES)}, found {policy!r}; {_REMEDY}")
    return CaseRow._make(value if column == "value" else of_column.get(column, "") for column in COLUMNS)
