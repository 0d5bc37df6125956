"""What a run writes on the way: record, case table, TensorBoard monitors; and what guards it."""

from typing import Literal

from lightning.pytorch.callbacks import Callback

from adawac.training.callbacks.board import Board
from adawac.training.callbacks.checkpoints import RunCheckpoint
from adawac.training.callbacks.draw_monitor import DrawMonitor
from adawac.training.callbacks.finite import FiniteGuard
from adawac.training.callbacks.foresight import Foresight
from adawac.training.callbacks.interruption import DueValidation, GoingOn, StopOnSignal
from adawac.training.callbacks.measured_cases import CaseTableWriter
from adawac.training.callbacks.prediction_pictures import PredictionPictures
from adawac.training.callbacks.progress import RunProgress as RunProgress  # configurations of 0.1.0 may name it
from adawac.training.callbacks.progress import run_progress
from adawac.training.callbacks.run_record import RunRecord
from adawac.training.callbacks.suspect_slices import SuspectSlices
from adawac.training.callbacks.weight_monitor import WeightMonitor


def default_callbacks(non_finite: Literal["stop", "skip"] = "stop", pictures: bool = True) -> list[Callback]:
    """What every run gets besides the callbacks of its configuration.

    Args:
        non_finite: what a loss or gradient that is not finite does, see `FiniteGuard`.
        pictures: whether to draw weights and predictions into TensorBoard.
    """
    due = DueValidation()
    return [
        Foresight(),
        FiniteGuard(non_finite),
        due,
        RunRecord(),  # counts a step before a signal may save it as done
        StopOnSignal(),
        RunCheckpoint(
            filename="best",
            monitor="val/dice",
            mode="max",
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        ),
        RunCheckpoint(filename="last", save_on_train_epoch_end=True, enable_version_counter=False),
        run_progress(),
        CaseTableWriter(),
        Board(),
        WeightMonitor(cases=4 if pictures else 0),
        DrawMonitor(),
        SuspectSlices(),
        PredictionPictures(cases=3 if pictures else 0),
        GoingOn(due),
    ]
