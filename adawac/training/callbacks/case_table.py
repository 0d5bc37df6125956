"""Writes what `test` measured: the case table as CSV, and its summary on the screen."""

import os
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from adawac.evaluation import CaseRow, recorded_units, summary_table, training_rows, write_table
from adawac.io.hashing import short_hash
from adawac.runs.folder import RunFolder


class CaseTableWriter(Callback):
    """Writes the case table into the run's folder and prints its summary."""

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write and print."""
        rows: list[CaseRow] = pl_module.case_rows  # type: ignore[assignment]
        if (run := RunFolder.of_trainer(trainer)) is None or not rows:
            return
        checkpoint = short_hash([Path(trainer.ckpt_path)] if trainer.ckpt_path else [])
        config = short_hash([run.config_file])
        rows = [row._replace(run=run.experiment, checkpoint_hash=checkpoint, config_hash=config) for row in rows]
        rows += training_rows(rows, recorded_units(run))  # which old checkpoints do not know
        write_table(run.cases_file, rows)
        console = Console()
        console.print(summary_table({rows[0].method: rows}))
        console.print(f"case table: {os.path.relpath(run.cases_file)}")
