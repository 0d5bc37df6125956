"""Shows predictions over the image in TensorBoard, after validation."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from adawac.data.datasets import VolumeItem
from adawac.errors import ConfigError
from adawac.figures import overlay
from adawac.training.callbacks.board import boards
from adawac.training.task import SegmentationTask
from adawac.types import IGNORE_INDEX


class PredictionPictures(Callback):
    """Draws reference and prediction on the slice with the most foreground of the first validation volumes.

    Takes what `validation_step` returns: no volume is predicted twice. The tags are `val/pictures/<case>`.

    Args:
        cases: the first so many validation volumes are drawn.
        every_n_validations: draw at the first validation and every so many after it, at least 1.

    Raises:
        ConfigError: if `every_n_validations` is below 1.
    """

    def __init__(self, cases: int = 3, every_n_validations: int = 1) -> None:
        if every_n_validations < 1:
            raise ConfigError(
                f"PredictionPictures: every_n_validations is {every_n_validations}; it must be at least 1 "
                "(for no pictures set cases to 0)"
            )
        self.cases = cases
        self.every_n_validations = every_n_validations
        self._validations = 0

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: SegmentationTask,
        outputs: Any,
        batch: VolumeItem,
        batch_idx: int,
        *_: Any,
    ) -> None:
        """Draw one volume."""
        if trainer.sanity_checking or batch_idx >= self.cases or self._validations % self.every_n_validations:
            return
        facts = pl_module.data.facts
        target = np.asarray(batch.target)
        position = fullest_slice(target)
        for board in boards(trainer):
            figure = overlay(
                batch.placement.to_native(batch.image[:1, position, None])[0, 0].numpy(),
                target[position],
                outputs[position],
                facts.classes.names,
                title=f"{batch.case}, slice {position} (0 to {len(target) - 1})",
                spacing=(1.0, 1.0) if batch.spacing is None else batch.spacing[1:],
                origin="upper" if facts.preprocessing.axis == "axial" else "lower",  # rows run to the back, or up
            )
            board.experiment.add_figure(f"val/pictures/{batch.case}", figure, trainer.global_step)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the validations."""
        self._validations += not trainer.sanity_checking


def fullest_slice(target: NDArray[np.uint8]) -> int:
    """The slice with the most foreground; ignored voxels are none.

    Args:
        target: (S, H, W) class indices.

    Example:
        >>> target = np.zeros((3, 4, 4), np.uint8)
        >>> target[1, 0], target[2] = 1, IGNORE_INDEX
        >>> fullest_slice(target)
        1
    """
    foreground = (target > 0) & (target != IGNORE_INDEX)
    return int(np.count_nonzero(foreground, axis=(1, 2)).argmax())
