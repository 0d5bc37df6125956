"""Writes beside a run what it was made from: split, training units, versions."""

import json
import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from adawac.data.subsets import absent_classes, describe

log = logging.getLogger(__name__)


class RunRecord(Callback):
    """Writes `split.json` and `run.json` into the run's folder when training starts."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write both files."""
        log_dir = trainer.log_dir  # broadcast: every process has to ask
        if not trainer.is_global_zero or log_dir is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        run = Path(log_dir)
        run.mkdir(parents=True, exist_ok=True)
        data = trainer.datamodule  # type: ignore[attr-defined]
        data.split.save(run / "split.json")
        units, rows = data.units, np.arange(len(data.units))
        packages = ("adawac", "torch", "lightning", "monai", "numpy")
        record = {
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
            "device": str(pl_module.device),
            "subset": type(data.subset).__name__,
            "training_slices": len(units),
            "label_dense": int(units.dense.sum()),
            "slices_of_class": dict(describe(units, rows)),
            "absent_classes": list(absent_classes(units, rows)),
        }
        (run / "run.json").write_text(json.dumps(record, indent=1) + "\n")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how well the best checkpoint does and what to type next."""
        best, log_dir = trainer.checkpoint_callback, trainer.log_dir
        if not trainer.is_global_zero or log_dir is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if isinstance(best, ModelCheckpoint) and best.best_model_score is not None:
            log.info("best %s: %.3f", best.monitor, best.best_model_score)
        if trainer.datamodule.split.test:  # type: ignore[attr-defined]
            log.info("next: adawac test %s", os.path.relpath(log_dir))
