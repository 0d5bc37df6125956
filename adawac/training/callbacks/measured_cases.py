"""Measures what `test` predicts: the case table as CSV, and its summary on the screen."""

import os
import shlex
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from adawac.data.datasets import VolumeItem
from adawac.evaluation import (
    CaseRow,
    MadeBy,
    case_rows,
    made_by,
    predicted_with,
    summary_table,
    training_rows,
    write_table,
)
from adawac.io.terminal import Console
from adawac.processes.distributed import gather_cases
from adawac.runs.folder import RunFolder
from adawac.training.task import SegmentationTask


class CaseTableWriter(Callback):
    """Measures every predicted volume, writes the case table into the run's folder and prints its summary.

    Attributes:
        rows: the case table of the last test, of all processes.
    """

    def __init__(self) -> None:
        self.rows: list[CaseRow] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: SegmentationTask) -> None:  # type: ignore[override]
        """Find out who is going to predict."""
        self._measured: dict[str, list[CaseRow]] = {}
        method, units = type(pl_module.weighting).__name__, pl_module.units_of_class
        flags = pl_module.flip_left_right, pl_module.largest_component
        predicted = predicted_with(str(trainer.precision), *flags, pl_module.shown_otherwise)
        who = MadeBy(method=method, units=units, predicted_with=predicted)
        if (run := RunFolder.of_trainer(trainer)) is not None:
            who = made_by(run, method, Path(trainer.ckpt_path) if trainer.ckpt_path else None, predicted, units)
        self._made_by: MadeBy = trainer.strategy.broadcast(who)

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: SegmentationTask, outputs: Any, batch: VolumeItem, *_: Any
    ) -> None:
        """Measure a volume (S, H, W) on its native grid."""
        self._measured[batch.case] = case_rows(
            batch.case,
            batch.patient,
            outputs,
            batch.target,
            batch.steps,
            pl_module.data.facts.classes.names,
            pl_module.policy,
            made_by=self._made_by,
            data_hash=batch.data_hash,
            tolerances=pl_module.tolerances,
        )

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring the rows of all processes together, in the order of the cases; write and print."""
        measured = gather_cases(self._measured)
        order = trainer.datamodule.split.test  # type: ignore[attr-defined]
        rows = [row for case in order if case in measured for row in measured[case]]
        self.rows = [*rows, *training_rows(rows, self._made_by.units)]
        if (run := RunFolder.of_trainer(trainer)) is None or not rows:
            return
        write_table(run.cases_file, self.rows)
        console = Console()
        console.print(summary_table({self._made_by.method: self.rows}))
        console.print(f"case table: {os.path.relpath(run.cases_file)}", markup=False, soft_wrap=True)
        command = shlex.join(["adawac", "evaluate", os.path.relpath(run.path), "-o", "report"])
        console.print(f"next: {command}", markup=False, soft_wrap=True)
