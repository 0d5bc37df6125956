"""What a run writes on the way: record, case table, TensorBoard monitors; and what guards it."""

from adawac.callbacks.case_table import CaseTableWriter
from adawac.callbacks.finite import FiniteGuard
from adawac.callbacks.interruption import DueValidation, StopOnSignal
from adawac.callbacks.pictures import PredictionPictures
from adawac.callbacks.progress import RunProgress
from adawac.callbacks.run_record import RunRecord
from adawac.callbacks.suspects import SuspectSlices
from adawac.callbacks.weight_monitor import WeightMonitor

__all__ = [
    "CaseTableWriter",
    "DueValidation",
    "FiniteGuard",
    "PredictionPictures",
    "RunProgress",
    "RunRecord",
    "StopOnSignal",
    "SuspectSlices",
    "WeightMonitor",
]
