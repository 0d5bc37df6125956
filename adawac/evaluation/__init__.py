"""From predicted volumes to case table and summary."""

from adawac.evaluation.case_table import ANY_CLASS, CaseRow, case_rows
from adawac.evaluation.groups import (
    SIZE_GROUPS,
    GroupSummary,
    Metadata,
    metadata_header,
    metadata_rows,
    position_groups,
    position_rows,
    read_metadata,
    size_rows,
    summarise_groups,
    voxel_volumes,
)
from adawac.evaluation.pairing import MEAN_OF_CLASSES
from adawac.evaluation.statistics import Comparison, Estimate, Ranking, compare, estimate, rank_methods
from adawac.evaluation.summary import Share, summarise, summary_table, to_markdown
from adawac.evaluation.table_files import COLUMNS, read_csv, read_table, write_table

__all__ = [
    "ANY_CLASS",
    "COLUMNS",
    "MEAN_OF_CLASSES",
    "SIZE_GROUPS",
    "CaseRow",
    "Comparison",
    "Estimate",
    "GroupSummary",
    "Metadata",
    "Ranking",
    "Share",
    "case_rows",
    "compare",
    "estimate",
    "metadata_header",
    "metadata_rows",
    "position_groups",
    "position_rows",
    "rank_methods",
    "read_csv",
    "read_metadata",
    "read_table",
    "size_rows",
    "summarise",
    "summarise_groups",
    "summary_table",
    "to_markdown",
    "voxel_volumes",
    "write_table",
]
