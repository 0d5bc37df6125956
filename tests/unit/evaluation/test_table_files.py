"""Case tables on their way through files: CSV and Parquet, from now and from before hashes were written."""

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from adawac.errors import ConfigError, DataError
from adawac.evaluation import COLUMNS, CaseRow, read_csv, read_table, write_table
from adawac.evaluation.table_files import write_csv

OLD_TABLES = Path(__file__).parents[3] / "docs/results"

ODD_NAMES = (
    "Kidney, left",
    'say "liver"',
    "line\nbreak",
    "carriage\rreturn",
    "Milz/Größe 肝",
    " 1.5 ",
    "nan",
    "",
)
ODD_VALUES = (0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, math.inf, 1e22, float(np.float32(0.1)))
ODD_ROWS = [
    CaseRow("run", "adawac", name, name, name, "all", "hd95_mm", value, "paper", "0123456789ab", name, "")
    for name, value in zip(ODD_NAMES, ODD_VALUES, strict=True)
]
both = pytest.mark.parametrize("name", ["cases.csv", "cases.parquet"])


def row(case="a", value=0.5):
    return CaseRow("0", "erm", case, case, "liver", "all", "dice", value, "skip")


@both
def test_a_file_gives_back_the_same_rows(tmp_path, name):
    path = tmp_path / "new" / name
    write_table(path, iter(ODD_ROWS))
    back = read_table(path)
    assert back == ODD_ROWS
    assert math.copysign(1, back[4].value) == -1
    assert [each.name for each in (tmp_path / "new").iterdir()] == [name]


@both
def test_values_that_were_left_out_stay_so_and_tables_may_be_empty(tmp_path, name):
    write_table(tmp_path / name, [row("a", math.nan), row("b", 0.5)])
    assert [math.isnan(each.value) for each in read_table(tmp_path / name)] == [True, False]
    write_table(tmp_path / name, [])
    assert read_table(tmp_path / name) == []


@both
def test_a_failed_write_leaves_the_old_table(tmp_path, name):
    def failing():
        yield row("b")
        raise RuntimeError("stopped")

    write_table(tmp_path / name, [row("a")])
    with pytest.raises(RuntimeError, match="stopped"):
        write_table(tmp_path / name, failing())
    assert read_table(tmp_path / name) == [row("a")]
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("path", sorted(OLD_TABLES.glob("*/*.csv")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_tables_of_any_age_are_read(path):
    rows = read_table(path)
    assert len(rows) > 700
    assert {len(each.data_hash) for each in rows} <= {0, 12}
    assert path.stem in {each.method for each in rows}


def test_a_table_from_before_hashes_has_none(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("run,method,case,patient,class,group,metric,value,policy\n0,erm,a,a,liver,all,dice,0.5,skip\n")
    assert read_csv(path) == [row()]
    assert read_csv(path)[0][-4:] == ("", "", "", "")  # nor a training subset


def test_the_table_of_a_study_has_axes_among_its_columns(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(
        "run,seed,subset,method,case,patient,class,group,metric,value,policy\n"
        "0,seed0,full,erm,a,a,liver,all,dice,0.5,skip\n"
    )
    assert read_csv(path) == [row()._replace(subset="full")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has the columns .*, found \(\)"),
        ("a,b\n1,2\n", r"found \('a', 'b'\)"),
        ("{older}\nr,m,c\n", "line 2: 3 fields where 9 are due"),
        ("{header}\nr,m,c,p,liver,all,dice,1,skip\n", "line 2: 9 fields where 14 are due"),
        ("{older},run\n", r"each once, found \('run', .*'run'\)"),
        ("{older}\nr,m,c,p,liver,all,dice,good,skip\n", "line 2: the value must be a number, found 'good'"),
        ("{older}\nr,m,c,p,liver,all,dice,84.5,skip\n", "line 2: dice lies between 0 and 1, found '84.5'"),
        ("{older}\nr,m,c,p,liver,all,hd95_mm,-1,skip\n", "hd95_mm is 0 or more, found '-1'"),
        ("{older}\nr,m,c,p,liver,all,missed,2,skip\n", "missed lies between 0 and 1, found '2'"),
        ("{older}\nr,m,c,p,liver,all,nsd_2mm,-0.1,skip\n", "nsd_2mm lies between 0 and 1, found '-0.1'"),
        (
            "{older}\nr,m,c,p,liver,all,dice,1,no\n",
            "line 2: the policy must be one of penalise, .*found 'no'",
        ),
    ],
)
def test_a_csv_file_that_is_no_case_table_is_refused(tmp_path, text, message):
    path = tmp_path / "cases.csv"
    older = "run,method,case,patient,class,group,metric,value,policy"
    path.write_text(text.format(older=older, header=",".join(COLUMNS)))
    with pytest.raises(DataError, match=rf"cases.csv.*{message}; write the table anew"):
        read_csv(path)


def test_a_parquet_file_that_is_no_case_table_is_refused(tmp_path):
    path = tmp_path / "cases.parquet"
    path.write_text("not parquet")
    with pytest.raises(DataError, match=r"cases\.parquet: not readable as a case table .*write the table anew"):
        read_table(path)
    pyarrow.parquet.write_table(pyarrow.table({"dice": [0.5]}), path)
    with pytest.raises(DataError, match=r"has the columns .*, found \('dice',\); write the table anew"):
        read_table(path)
    columns = dict(zip(COLUMNS, zip(*[row("a"), row("b")], strict=True), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns | {"value": ["0.5", "good"]}), path)
    with pytest.raises(DataError, match="row 2: the value must be a number, found 'good'; write the table anew"):
        read_table(path)


@both
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name}: not readable as a case table .*write the table anew"):
        read_table(tmp_path / name)


def test_a_suffix_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cases\.xlsx: a case table is a \.csv or a \.parquet file, not '\.xlsx'"):
        write_table(tmp_path / "cases.xlsx", [row()])
    with pytest.raises(ConfigError, match=r"a \.csv or a \.parquet file, not 'one without suffix'"):
        read_table(tmp_path / "cases")


def test_parquet_is_far_smaller_than_csv(tmp_path):
    rows = read_csv(OLD_TABLES / "openkbp/AdaWAC.csv")
    for name in ("cases.csv", "cases.parquet"):
        write_table(tmp_path / name, rows)
    assert (tmp_path / "cases.parquet").stat().st_size < (tmp_path / "cases.csv").stat().st_size / 4


def test_without_pyarrow_the_remedy_is_named_and_csv_still_works(tmp_path, monkeypatch):
    write_table(tmp_path / "cases.parquet", [row()])
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # what makes Python's import fail
    for use in (lambda path: write_table(path, [row()]), read_table):
        with pytest.raises(ConfigError, match=r"cases\.parquet: Parquet needs pyarrow, .*pip install 'adawac\[parq"):
            use(tmp_path / "cases.parquet")
    write_csv(tmp_path / "cases.csv", [row()])
    assert read_table(tmp_path / "cases.csv") == [row()]


@pytest.mark.parametrize(
    ("encoding", "mark", "point"),
    [("utf-8-sig", ",", "."), ("utf-16", "\t", ","), ("utf-8-sig", ";", ","), ("utf-8", ";", ".")],
)
def test_a_table_that_excel_has_saved_since_is_read(tmp_path, encoding, mark, point):
    rows = [row("a", 0.5), row("b", 0.125), row("c", math.nan)]
    write_table(tmp_path / "cases.csv", rows)
    with (
        (tmp_path / "cases.csv").open(newline="") as file,
        (tmp_path / "saved.csv").open("w", newline="", encoding=encoding) as saved,
    ):
        header, *lines = csv.reader(file)
        place = header.index("value")
        csv.writer(saved, delimiter=mark).writerows(
            [header, *([*line[:place], line[place].replace(".", point), *line[place + 1 :]] for line in lines)]
        )
    back = read_table(tmp_path / "saved.csv")
    assert back[:2] == rows[:2]
    assert math.isnan(back[2].value)
