"""Names slices whose labels may be missing: those without labels that stay as hard as those with."""

import logging
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback

from adawac.errors import some_of
from adawac.task import SegmentationTask
from adawac.weighting.suspects import FILE, suspects, write_suspects

log = logging.getLogger(__name__)


class SuspectSlices(Callback):
    """Writes `suspects.csv` into the run's folder when training ends: case, unit and score, the hardest first.

    A slice is hard by its log-odds where the method has them, else by its last cross-entropy. Suspect are label-sparse
    slices with a score above the median of label-dense ones, see `adawac.weighting.suspects`. After so
    short a training that no organ is found yet all slices are alike, and the list says nothing. Where a sampler draws
    some slices rarely their losses are old, and too high for that alone: then only log-odds name any.
    """

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write, and say how many there are."""
        task, log_dir = cast(SegmentationTask, pl_module), trainer.log_dir  # broadcast: every process has to ask
        if not trainer.is_global_zero or log_dir is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        log_odds = getattr(task.weighting, "log_odds", None)
        if log_odds is None and task.data.sampling is not None:
            return
        scores = (task.last_losses.ce if log_odds is None else log_odds).detach().double().cpu().numpy()
        seen = np.flatnonzero(np.isfinite(scores))
        units, scores = task.data.units.take(seen), scores[seen]
        found = [(units.cases[units.case[row]], units.key(row), scores[row]) for row in suspects(scores, units.dense)]
        write_suspects(Path(log_dir) / FILE, found)
        if found:
            log.info(
                "suspects.csv: %d of %d label-sparse %s are harder than half of the label-dense ones; "
                "is a label missing? %s",
                len(found),
                np.count_nonzero(~units.dense),
                units.kind.noun[1],
                some_of([f"{case}:{key}" for case, key, _ in found]),
            )
