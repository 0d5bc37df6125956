"""Callbacks: what a run writes besides its checkpoints."""

from adawac.callbacks.case_table import CaseTableWriter
from adawac.callbacks.run_record import RunRecord

__all__ = ["CaseTableWriter", "RunRecord"]
