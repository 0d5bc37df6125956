"""Shows after every epoch how the weights separate the slices, and on what scales the losses are."""

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from adawac.data.preprocessing import Axis
from adawac.data.units import UnitTable
from adawac.figures import weights_by_position
from adawac.metrics import separation_auroc
from adawac.metrics.group_means import group_means, mean_ratio
from adawac.runs.folder import RunFolder
from adawac.runs.slice_weights import SliceWeights
from adawac.training.callbacks.board import boards
from adawac.training.task import SegmentationTask

ENDS: dict[Axis, tuple[str, str]] = {
    "axial": ("inferior", "superior"),
    "coronal": ("anterior", "posterior"),
    "sagittal": ("right", "left"),
}
"""What lies at the first and at the last slice of a canonical volume."""


class WeightMonitor(Callback):
    """Logs losses and weights of the two groups of slices, and draws the weights by slice position.

    Scalars go to every logger and to `callback_metrics`, where other callbacks may monitor them; histograms
    and the figure to TensorBoard, in the epochs that validate: to draw takes half a second. All is read at the end
    of an epoch from tables with a row a slice.

    - `ce/dense`, `ce/sparse`, `consistency/dense`, `consistency/sparse`: means of each slice's last loss.
    - `ratio/ac_over_ce`, `ratio/ce_over_dice_loss`: the scales of the three losses.
    - `weights/dense_mean`, `weights/sparse_mean`, `weights/auroc`: the latter of the log-odds as detector of
      label-dense slices over the training set.
    - histograms `weights/dense`, `weights/sparse`, `log_odds`; figure `weights/by_position`.

    Slices without a supervised loss are left out of all this: those that are wholly ignored are in neither group, and
    what has not been drawn yet has the weight that it began with.

    What is undefined (no consistency loss, an empty group, a method without weights per slice) is left out. When
    training ends the weights of all slices are written into the run's folder.

    Args:
        cases: volumes in the figure, the first of the training set; 0 for no figure.
    """

    def __init__(self, cases: int = 4) -> None:
        self.cases = cases

    def on_train_epoch_end(self, trainer: pl.Trainer, task: SegmentationTask) -> None:  # type: ignore[override]
        """Read the tables and log."""
        last = task.last_losses
        seen = np.flatnonzero(task.data.units.labelled & last.drawn)
        units = task.data.units.take(seen)
        dense = units.dense
        supervised, consistency = (_array(losses)[seen] for losses in (last.supervised, last.consistency))
        dice = trainer.callback_metrics.get("train/dice_loss")
        scalars = {
            **_by_group("ce/{}", supervised, dense),
            **_by_group("consistency/{}", consistency, dense),
            "ratio/ac_over_ce": mean_ratio(consistency, supervised),
            "ratio/ce_over_dice_loss": math.nan if dice is None else mean_ratio(supervised, _array(dice.reshape(1))),
        }
        if (found := weights_in_use(task)) is not None:
            weights, log_odds = found
            scores = (weights if log_odds is None else log_odds)[seen]
            scalars |= _by_group("weights/{}_mean", weights[seen], dense)
            scalars["weights/auroc"] = separation_auroc(scores, dense)
            ends = ENDS[task.data.facts.preprocessing.axis]
            validates = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
            for board in boards(trainer) if validates else ():
                self._draw(board.experiment, trainer.global_step, weights[seen], units, ends)
                if log_odds is not None:
                    board.experiment.add_histogram("log_odds", scores, trainer.global_step)
        # All processes have computed the same; to say so costs nothing and spares a warning a scalar.
        task.log_dict({name: value for name, value in scalars.items() if math.isfinite(value)}, sync_dist=True)

    def on_fit_end(self, trainer: pl.Trainer, task: SegmentationTask) -> None:  # type: ignore[override]
        """Write the table of weights, where the method has one."""
        run = RunFolder.of_trainer(trainer)
        if (found := weights_in_use(task)) is not None and run is not None:
            SliceWeights.of_units(task.data.units, *found, task.last_losses.drawn).write(run.weights_file)

    def _draw(
        self, board: Any, step: int, weights: NDArray[np.float32], units: UnitTable, ends: tuple[str, str]
    ) -> None:
        """Histograms of both groups and the figure."""
        for name, group in (("dense", units.dense), ("sparse", units.sparse)):
            if group.any():
                board.add_histogram(f"weights/{name}", weights[group], step)
        if self.cases and len(units):  # of which there are none while no step was taken
            shown = [units.cases[case] for case in np.unique(units.case)[: self.cases]]
            figure = weights_by_position(weights, units, shown, ends)
            board.add_figure("weights/by_position", figure, step)


def weights_in_use(task: SegmentationTask) -> tuple[NDArray[np.float32], NDArray[np.float64] | None] | None:
    """(n,) weight of each training sample, and its log-odds if it has any: of the weighting, or of what draws batches.

    None where neither keeps a weight a sample.
    """
    for source in (task.weighting, task.data.sampling):
        if (weights := getattr(source, "weights", None)) is not None:
            log_odds = getattr(source, "log_odds", None)
            doubles = None if log_odds is None else torch.as_tensor(log_odds).detach().double().cpu().numpy()
            return _array(torch.as_tensor(weights)), doubles
    return None


def _by_group(name: str, values: NDArray[np.float32], dense: NDArray[np.bool_]) -> dict[str, float]:
    return {name.format(group): mean for group, mean in group_means(values, dense)._asdict().items()}


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
