"""What a validation measures: Dice of whole volumes on their native grids, by which checkpoints are chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from adawac.data.datasets import VolumeItem
from adawac.inference.largest_component import keep_largest
from adawac.metrics import FalsePositiveSlices, VolumeDice
from adawac.metrics.empty import CHOOSING_POLICY


class Validation:
    """Gathers the volumes of one validation, of all processes.

    Args:
        classes: K names, background first.
        learned: class -> slices or patches that were trained on and hold it; a class of none counts in no mean. None
            where that is not known.
        device: where processes exchange what they found.
        cleaning: find out of which classes only the largest connected part is worth keeping.
    """

    def __init__(
        self,
        classes: Sequence[str],
        learned: Mapping[str, int] | None,
        device: torch.device,
        cleaning: bool = False,
    ) -> None:
        chosen = [k for k, name in enumerate(classes) if k and (learned or {}).get(name) != 0]
        self.names = [classes[k] for k in chosen]
        counted: dict[str, Any] = {
            "num_classes": len(classes),
            "classes": chosen,
            "policy": CHOOSING_POLICY,
            "reduction": "classes",
        }
        metrics: dict[str, Metric | MetricCollection] = {
            "dice": VolumeDice(**counted),
            "dice_dense": VolumeDice(**counted, slices="dense"),
            # Without foreground there is no Dice: what counts on label-sparse slices is how many are left clean.
            "false_positive_slices_sparse": FalsePositiveSlices(len(classes)),
        }
        self.metrics = MetricCollection(metrics, compute_groups=[list(metrics)]).to(device)  # all have the same counts
        by_case = {**counted, "reduction": "cases"}
        self.cleaning = [VolumeDice(**by_case).to(device) for _ in ("as predicted", "cleaned")] if cleaning else []
        self.chosen = chosen

    def add(self, preds: NDArray[Any], item: VolumeItem) -> None:
        """Count a predicted volume (S, H, W) against its reference."""
        self.metrics.update(preds, item.target, item.case, patient=item.patient)
        if self.cleaning:
            for dice, labels in zip(self.cleaning, (preds, keep_largest(preds, self.chosen)), strict=True):
                dice.update(labels, item.target, item.case, patient=item.patient)

    def worth_cleaning(self) -> tuple[str, ...]:
        """Classes whose largest part alone has the higher mean Dice, and in no case a lower one."""
        if not self.cleaning:
            return ()
        found = [dice.compute().values() for dice in self.cleaning]
        before, after = (torch.stack([dice.reshape(-1) for dice in cases]) for cases in found)  # (cases, classes)
        gains = (after - before).nan_to_num()
        worth = (gains >= 0).all(0) & (gains > 0).any(0)
        return tuple(name for name, better in zip(self.names, worth.tolist(), strict=True) if better)

    def scalars(self) -> dict[str, Tensor]:
        """The mean Dice of the organs that count, `val/dice`; and, where known, each organ's and each group's."""
        found = self.metrics.compute()
        dice = found["dice"].reshape(-1)  # torchmetrics makes a scalar of a single organ
        parts = {f"val/dice/{name}": value for name, value in zip(self.names, dice, strict=True)}
        parts["val/dice_dense"] = found["dice_dense"].nanmean()
        parts["val/false_positive_slices_sparse"] = found["false_positive_slices_sparse"]
        return {"val/dice": dice.nanmean(), **{name: value for name, value in parts.items() if value.isfinite()}}
