"""Shows after every epoch what was drawn, where a sampling decides it."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from adawac.data.sampling import AdaptiveSampling, DrawSummary
from adawac.training.task import SegmentationTask


class DrawMonitor(Callback):
    """Logs how often slices have been drawn since training began; of plain shuffling, which draws all alike, nothing.

    - `draws/dense_share`, `draws/class/CLASS`: share of the draws that were label-dense, that held a class.
    - `draws/per_slice_min`, `draws/per_slice_median`, `draws/per_slice_max`: draws of a slice.
    - `draws/effective_slices`: so many slices, drawn equally often, would vary as much.
    - `draws/q/GROUP`: share that an `AdaptiveSampling` gives to a group now.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: SegmentationTask) -> None:  # type: ignore[override]
        """Log."""
        data, draws = pl_module.data, pl_module.last_losses.draws.cpu().numpy()
        sampling = data.sampling
        if sampling is None or (drawn := DrawSummary.of(data.units, draws)) is None:
            return
        scalars = drawn.scalars()
        if isinstance(sampling, AdaptiveSampling) and len(sampling.q) > 1:
            scalars |= {f"draws/q/{name}": float(q) for name, q in zip(sampling.group_names, sampling.q, strict=True)}
        # All processes have drawn the same; to say so costs nothing and spares a warning a scalar.
        pl_module.log_dict(scalars, sync_dist=True)
