"""What a run writes on the way: record, case table, TensorBoard monitors; and what guards it."""

from adawac.training.callbacks.board import Board
from adawac.training.callbacks.case_table import CaseTableWriter
from adawac.training.callbacks.checkpoints import RunCheckpoint
from adawac.training.callbacks.draw_monitor import DrawMonitor
from adawac.training.callbacks.finite import FiniteGuard
from adawac.training.callbacks.foresight import Foresight
from adawac.training.callbacks.interruption import DueValidation, StopOnSignal
from adawac.training.callbacks.pictures import PredictionPictures
from adawac.training.callbacks.progress import RunProgress, run_progress
from adawac.training.callbacks.run_record import RunRecord
from adawac.training.callbacks.suspects import SuspectSlices
from adawac.training.callbacks.weight_monitor import WeightMonitor

__all__ = [
    "Board",
    "CaseTableWriter",
    "DrawMonitor",
    "DueValidation",
    "FiniteGuard",
    "Foresight",
    "PredictionPictures",
    "RunCheckpoint",
    "RunProgress",
    "RunRecord",
    "StopOnSignal",
    "SuspectSlices",
    "WeightMonitor",
    "run_progress",
]
