"""What TensorBoard opens on: the curves that matter together, the learning rate, and the settings beside the Dice."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from adawac.runs.config_diff import flatten
from adawac.training.callbacks.checkpoints import validated_dice
from adawac.training.task import SegmentationTask

LAYOUT = {
    "What matters": {
        "Dice on the validation cases": ["Multiline", ["val/dice$", "val/dice_dense$"]],
        "Dice of each organ": ["Multiline", ["val/dice/.*"]],
        "losses": ["Multiline", ["train/loss$", "train/ce$", "train/dice_loss$", "train/consistency$"]],
        "weights, label-dense and label-sparse": ["Multiline", ["weights/dense_mean", "weights/sparse_mean"]],
        "do the weights tell them apart (0.5: no, 1: yes)": ["Multiline", ["weights/auroc"]],
        "learning rate": ["Multiline", ["train/learning_rate"]],
    }
}
"""Of the tab Custom scalars: chapter -> chart -> its curves, as regular expressions."""

SHOWN = (
    "model.weighting", "model.supervised", "model.consistency", "model.network", "model.optimizer", "model.schedule",
    "model.dice_ratio", "data.subset", "data.sampling", "data.size", "data.batch_size", "data.split",
    "trainer.max_epochs", "seed_everything",
)  # fmt: skip
"""Of the tab HPARAMS: settings, with what lies within them."""


class Board(Callback):
    """Sets out the tabs of TensorBoard beside the curves themselves."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say which curves stand together."""
        for logger in boards(trainer):
            logger.experiment.add_custom_scalars(LAYOUT)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the learning rate of the first group of parameters."""
        pl_module.log("train/learning_rate", trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: SegmentationTask) -> None:  # type: ignore[override]
        """Put the settings beside the Dice of the best checkpoint, which is tested: runs are compared by it."""
        flat = flatten(pl_module.settings or {})
        shown = {key: value for key, value in flat.items() if key.startswith(SHOWN) and value is not None}
        plain = {key: each if isinstance(each, bool | int | float | str) else str(each) for key, each in shown.items()}
        if (dice := validated_dice(trainer)) is None:  # what came last is not the best
            return
        summaries = hparams(plain, {"val/best_dice": dice})  # type: ignore[no-untyped-call]
        for logger in boards(trainer):
            logger.experiment.add_scalar("val/best_dice", dice, trainer.global_step)
            for summary in summaries:
                logger.experiment._get_file_writer().add_summary(summary)


def boards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    """The loggers that write for TensorBoard; none in processes but the first."""
    return [each for each in trainer.loggers if isinstance(each, TensorBoardLogger) and trainer.is_global_zero]
