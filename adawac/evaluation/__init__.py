"""From predicted volumes to case table and summary."""

from adawac.evaluation.case_table import ANY_CLASS, CaseRow, case_rows, read_csv, write_csv
from adawac.evaluation.summary import Mean, Summary, summarise, summary_table, to_markdown

__all__ = [
    "ANY_CLASS",
    "CaseRow",
    "Mean",
    "Summary",
    "case_rows",
    "read_csv",
    "summarise",
    "summary_table",
    "to_markdown",
    "write_csv",
]
