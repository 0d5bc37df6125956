"""Names slices whose labels may be missing: those without labels that stay as hard as those with."""

import logging
from collections.abc import Mapping

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from adawac.errors import beside, some_of
from adawac.metrics import separation_auroc
from adawac.runs.folder import RunFolder
from adawac.runs.suspects import FOUND, least_auroc, suspects, write_suspects
from adawac.training.callbacks.weight_monitor import weights_in_use
from adawac.training.task import SegmentationTask

log = logging.getLogger(__name__)


class SuspectSlices(Callback):
    """Writes a table into the run's folder when training ends: case, unit and score, the hardest first.

    A slice is hard by its log-odds where the method has them, else by its last cross-entropy. Suspect are label-sparse
    slices with a score above the median of label-dense ones, see `adawac.runs.suspects`; of those that were never drawn
    nothing is known. None is named while no class has a Dice of `FOUND`, in the last validation or, without one, in the
    last training batch that was logged: to such a network every slice is hard. None is named either where the scores do
    not tell label-dense from label-sparse slices, an AUROC below `least_auroc`: then half of all would be.
    Where a sampler draws some slices rarely their losses are old, and too high for that alone: then only log-odds name
    any.
    """

    def on_fit_end(self, trainer: pl.Trainer, task: SegmentationTask) -> None:  # type: ignore[override]
        """Write, and say how many there are, or why there are none."""
        if (run := RunFolder.of_trainer(trainer)) is None:
            return
        log_odds = None if (weights := weights_in_use(task)) is None else weights[1]
        if log_odds is None and task.data.sampling is not None:
            return
        known = best_dice(trainer.callback_metrics, len(task.data.facts.classes))
        if known is None:  # nothing was trained: it had ended before, and its file is there
            return
        part, dice = known
        scores = task.last_losses.supervised.double().cpu().numpy() if log_odds is None else log_odds
        seen = np.flatnonzero(np.isfinite(scores) & task.data.units.labelled & task.last_losses.drawn)
        units, scores = task.data.units.take(seen), scores[seen]
        auroc = separation_auroc(scores, units.dense)  # NaN where there is one group alone, of which none is suspect
        what, why = "losses" if log_odds is None else "weights", ""
        if not dice >= FOUND:
            why = (
                f"the best class has a Dice of {beside(dice, FOUND)} in {part}, and below {FOUND} all are hard, "
                "whatever their labels"
            )
        elif auroc < (least := least_auroc(units.dense)):
            why = (
                f"the {what} do not set label-dense above label-sparse (AUROC {beside(auroc, least)}, at least "
                f"{beside(least, auroc, 2)} is due)"
            )
        if why:
            write_suspects(run.suspects_file, [])
            log.info("%s names no %s: %s; train longer", run.suspects_file.name, units.kind.noun[0], why)
            return
        found = [(units.cases[units.case[row]], units.key(row), scores[row]) for row in suspects(scores, units.dense)]
        write_suspects(run.suspects_file, found)
        if found:
            log.info(
                f"{run.suspects_file.name}: {len(found)} of {np.count_nonzero(units.sparse)} label-sparse "
                f"{units.kind.noun[1]} are harder than half of the label-dense ones; is a label missing? "
                + some_of([f"{case}:{key}" for case, key, _ in found])
            )


def best_dice(metrics: Mapping[str, Tensor], num_classes: int) -> tuple[str, float] | None:
    """Of what the Dice of the best class is known, and that Dice; None where nothing is known.

    The loss of a training batch is a mean over classes, background included. What background, at most 1, does not
    explain is the mean of the others, of which the best is not below.

    Args:
        metrics: what the task logged last, see `SegmentationTask`.
        num_classes: K, background included.

    Example:
        >>> import torch
        >>> best_dice({"val/dice/liver": torch.tensor(0.5), "val/dice/spleen": torch.tensor(0.75)}, 3)
        ('the last validation', 0.75)
        >>> best_dice({"train/dice_loss": torch.tensor(0.5)}, 2)  # no validation cases; background 1, the class 0
        ('the last training batch', 0.0)
    """
    validated = [float(value) for name, value in metrics.items() if name.startswith("val/dice/")]
    if validated:
        return "the last validation", max(validated)
    if "train/dice_loss" in metrics:
        explained = num_classes * (1 - float(metrics["train/dice_loss"]))
        return "the last training batch", max(0.0, (explained - 1) / (num_classes - 1))
    return None
