"""From predicted volumes to case table and summary."""

from adawac.evaluation.case_table import ANY_CLASS, TRAINING_UNITS, CaseRow, MadeBy, case_rows, position_groups
from adawac.evaluation.counted import LeftOut, lost_classes
from adawac.evaluation.group_rows import (
    SIZE_GROUPS,
    GroupSummary,
    Metadata,
    group_summaries,
    metadata_header,
    metadata_rows,
    read_metadata,
    size_rows,
    summarise_groups,
    voxel_volumes,
)
from adawac.evaluation.in_view import InView
from adawac.evaluation.pairing import MEAN_OF_CLASSES, SharedCases
from adawac.evaluation.statistics import (
    Comparison,
    Estimate,
    Ranking,
    compare,
    corrected,
    estimate,
    estimate_methods,
    rank_methods,
)
from adawac.evaluation.summary import Share, summarise, summarise_methods, summary_table, to_markdown
from adawac.evaluation.table_files import COLUMNS, read_csv, read_table, write_table
from adawac.evaluation.training_record import made_by, predicted_with, read_run, training_rows

__all__ = [
    "ANY_CLASS",
    "COLUMNS",
    "MEAN_OF_CLASSES",
    "SIZE_GROUPS",
    "TRAINING_UNITS",
    "CaseRow",
    "Comparison",
    "Estimate",
    "GroupSummary",
    "InView",
    "LeftOut",
    "MadeBy",
    "Metadata",
    "Ranking",
    "Share",
    "SharedCases",
    "case_rows",
    "compare",
    "corrected",
    "estimate",
    "estimate_methods",
    "group_summaries",
    "lost_classes",
    "made_by",
    "metadata_header",
    "metadata_rows",
    "position_groups",
    "predicted_with",
    "rank_methods",
    "read_csv",
    "read_metadata",
    "read_run",
    "read_table",
    "size_rows",
    "summarise",
    "summarise_groups",
    "summarise_methods",
    "summary_table",
    "to_markdown",
    "training_rows",
    "voxel_volumes",
    "write_table",
]
