"""The training task: AdaWAC's algorithm, step by step, as a LightningModule."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from adawac.augment import Augmentation, RandomAugmentation, comparable
from adawac.augment.randomness import Source
from adawac.data.datamodule import SegmentationData
from adawac.data.datasets import VolumeItem
from adawac.data.facts import DataFacts
from adawac.data.subsets import describe
from adawac.errors import ConfigError, DataError
from adawac.inference.largest_component import keep_largest
from adawac.inference.volume import predict_volume
from adawac.losses import ConsistencyLoss, CrossEntropy, FeatureConsistency, SupervisedLoss, dice_loss, feature_std
from adawac.metrics import TOLERANCE, EmptyPolicy, check_tolerance
from adawac.networks import NetworkSpec, SegmentationNetwork
from adawac.processes.distributed import gather_losses, take_weights
from adawac.runs.checkpoint import Recipe
from adawac.runs.resume import UNITS, check_resumable, check_testable, chosen_components, remembered
from adawac.training.first_network import first_network
from adawac.training.mean_teacher import MeanTeacher
from adawac.training.objective import detached, mean_of_views, over_scales, weighted_sum, weights_of
from adawac.training.performance.compile import Compiled
from adawac.training.performance.cuda_graphs import GraphedStep, recorder
from adawac.training.schedules import Poly, Schedule, begin, by_progress, progress
from adawac.training.validation import Validation
from adawac.types import Batch, NetworkOutput, SampleLosses, StepOutput, unlabelled
from adawac.weighting import AdaWAC, LastLosses, Weighting
from adawac.weighting.rollback import Rollback

Prediction = NDArray[np.uint8]
Forward = Callable[[Tensor], NetworkOutput]
Supervise = Callable[[Sequence[Tensor], Tensor], tuple[Tensor, Tensor, Tensor]]


class SegmentationTask(pl.LightningModule):
    """Trains a segmentation network on weighted slices, or patches.

    Args:
        network: class path and arguments of the network.
        weighting: how much each slice's losses count. None: AdaWAC.
        supervised: loss of a slice against its label. None: cross-entropy.
        consistency: loss of a slice between its two views. None: aligned and normalised.
        augmentation: how views are drawn. None: `RandomAugmentation`.
        teacher: labels samples that nobody annotated. None: they have a consistency loss or none.
        optimizer: made from the parameters.
        schedule: factor on the learning rate over the course of training. None: polynomial decay.
        dice_ratio: share of the batch Dice in the loss, 0 to 1; the weights do not touch it.
        init_from: checkpoint or run folder whose matching network weights are the start; or a file of published
            weights, for networks that can read one (TransUNet, ResNetUNet).
        flip_left_right: average predictions with those of mirrored slices.
        largest_component: keep only the largest connected part of classes where that is better on validation cases
            and worse on none of them; each checkpoint holds its own choice, for `test` and `predict`.
        policy: what empty masks are worth in the metrics of `test`, see `adawac.metrics`.
        tolerances: of the surface Dice in `test`, in mm (in voxels where the spacing is unknown).
        predict_batch_size: slices a forward pass when whole volumes are predicted.
        compile: put network and losses through `torch.compile` in training; where that fails, a warning says why and
            training goes on without. Predictions are never compiled.
        cuda_graphs: record a step once and replay it, which spares the host launching its kernels one by one; on one
            GPU, in `bf16-mixed` or `32-true`. Elsewhere a warning says why it is left out.
        channels_last: keep images and weights with their channels innermost, which tensor cores prefer.
        tf32: whether GPUs may round the factors of float32 products to 10 bits; None leaves it to torch, which does so
            in convolutions and not in matrix products.
        seed: of the views and of dropout; follows `seed_everything` on the command line.

    References:
        Dong, Xie, Ward, ICML 2023, Algorithm 1; the Dice term is the one of the official code.
    """

    def __init__(
        self,
        network: NetworkSpec,
        weighting: Weighting | None = None,
        supervised: SupervisedLoss | None = None,
        consistency: ConsistencyLoss | None = None,
        augmentation: Augmentation | None = None,
        teacher: MeanTeacher | None = None,
        optimizer: Callable[[Iterable[Tensor]], Optimizer] = torch.optim.AdamW,
        schedule: Schedule | None = None,
        dice_ratio: float = 0.5,
        init_from: str | None = None,
        flip_left_right: bool = False,
        largest_component: bool = False,
        policy: EmptyPolicy = "penalise",
        tolerances: tuple[float, ...] = (TOLERANCE,),
        predict_batch_size: int = 32,
        compile: bool = False,
        cuda_graphs: bool = False,
        channels_last: bool = False,
        tf32: bool | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= dice_ratio <= 1:
            raise ConfigError(f"model.dice_ratio is {dice_ratio}; give a share from 0 to 1 (0.5 is the paper's)")
        for tolerance in tolerances:
            check_tolerance(tolerance)
        self.network_spec = network
        self.weighting = weighting or AdaWAC()
        self.supervised = supervised or CrossEntropy()
        self.consistency = consistency or FeatureConsistency()
        self.augmentation = augmentation or RandomAugmentation()
        self.augmentation = comparable(self.augmentation, self.weighting.uses_consistency)
        self.teacher = teacher
        self.make_optimizer = optimizer
        self.schedule = schedule or Poly()
        self.dice_ratio = dice_ratio
        self.init_from = init_from
        self.flip_left_right = flip_left_right
        self.largest_component = largest_component
        self.policy: EmptyPolicy = policy
        self.tolerances = tolerances
        self.predict_batch_size = predict_batch_size
        self.compile_step = compile
        self.cuda_graphs = cuda_graphs
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.tf32 = tf32
        self.seed = seed
        self.network: SegmentationNetwork
        self._compiled: tuple[Forward, Supervise] | None = None
        self.graphed: GraphedStep | None = None  # records and replays steps; None where they run one by one
        self.recipe: Recipe | None = None
        self.last_losses = LastLosses()
        self._rollback = Rollback(self)
        self.settings: dict[str, Any] | None = None  # `settings_of` the run, where it has a configuration
        self.units_of_class: dict[str, int] | None = None  # trained on, that hold each class; None: not known
        self.shown_otherwise: tuple[str, ...] = ()  # how images reach the network now, and did not in training

    # --- what depends on the data -------------------------------------------------------------------------------

    @property
    def data(self) -> SegmentationData:
        """The data module of the run."""
        return cast(SegmentationData, self.trainer.datamodule)  # type: ignore[attr-defined]

    def setup(self, stage: str) -> None:
        """Check what was asked for, and build what has the data's shape."""
        if stage == "validate" and not self.data.split.val:
            raise DataError(f"{self.data.root}: the split names no validation cases; add some, or use `adawac test`")
        self._build(stage)
        if self.tf32 is not None:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32
        if stage == "fit" and self.compile_step:
            self._compiled = Compiled(self.network, "the network"), Compiled(self._supervise, "the losses")

    def configure_model(self) -> None:
        """Build parameters and buffers before `setup`: callbacks that average weights copy them."""
        self._build(self.trainer.state.fn)

    def begin(self, facts: DataFacts, trainer: Any, trains: bool) -> None:
        """Build what has the data's shape, once: `train` does so before volumes are read, which may take hours.

        Raises:
            ConfigError: settings of network, optimiser or prediction do not fit the data, or each other.
        """
        if self.recipe is not None:
            return
        recipe = Recipe(self.network_spec, facts)
        if self.flip_left_right:
            recipe.check_flip()
        mirrored = facts.mirror_table, facts.preprocessing.left_right_in_plane
        self.augmentation = self.augmentation.with_mirror(*mirrored)
        self.network = first_network(recipe, trainer, self.seed, self.init_from if trains else None)
        if self.teacher is not None:
            self.teacher.begin(self.network)
        if trains:
            self.make_optimizer(self.network.parameters())  # or what it refuses
        self.recipe = recipe

    def _build(self, stage: str | None) -> None:
        """Build what has the data's shape: the network once, a row of state for every slice afresh."""
        facts = self.data.facts
        self.begin(facts, self.trainer, trains=stage == "fit")
        if facts.unit.spatial_dims == 3 and self.memory_format is torch.channels_last:
            self.memory_format = torch.channels_last_3d
        self.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # torch's stubs forgot it
        if stage == "fit":
            units = self.data.units
            self.weighting.allocate(units)
            self.last_losses.allocate(len(units))
            self.units_of_class = dict(describe(units, np.arange(len(units))))
            self._rollback = Rollback(self)

    # --- training -----------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Two views, one forward pass, losses, weights, loss."""
        if self.graphed is None:
            step = self._compute(*batch, self.current_epoch)
        else:
            epoch = torch.full((), self.current_epoch, device=self.device)  # as a number it would be recorded with
            step = StepOutput(*self.graphed(*batch, epoch))  # type: ignore[arg-type]
        if self._logs_this_step():
            self.log("train/loss", step.loss.detach(), prog_bar=True)
            self.log_dict({"train/dice_loss": step.dice.detach(), "train/ce": step.supervised.nanmean()})
            self.log("train/feature_std", feature_std(step.features.chunk(self.weighting.views)[0]))
            if step.consistency is not None:
                self.log("train/consistency", step.consistency.detach().mean())
        return step.loss

    def _compute(self, image: Tensor, label: Tensor, index: Tensor, dense: Tensor, epoch: int | Tensor) -> StepOutput:
        """What happens to a batch, on its device alone, where nothing waits for it."""
        number = self.weighting.views
        source, own = Source(self.seed, epoch, index, tuple(range(number))), ~unlabelled(label)
        if self.teacher is not None:
            label = self.teacher.label(image, label, Source(self.seed, epoch, index, (0,)))
        views = self.augmentation.draw(image, label, source)
        forward, supervise = self._compiled or (self.network, self._supervise)
        output = forward(views.image.contiguous(memory_format=self.memory_format))
        supervised, labelled, dice = supervise((output.logits, *output.coarser), views.label.int())
        consistency = None
        if self.weighting.uses_consistency:
            consistency = self.consistency(*output.chunk(number), *views.affine.chunk(number))

        sample_losses = SampleLosses(index, supervised, consistency, dense)
        losses, mine = gather_losses(detached(sample_losses, labelled & own))
        weights = take_weights(weights_of(self.weighting, losses), mine)
        weighted = weighted_sum(supervised, consistency, weights, losses, labelled & own, labelled & ~own)
        loss: Tensor = self.dice_ratio * dice + (1 - self.dice_ratio) * weighted
        self.last_losses.record(losses)
        return StepOutput(loss, dice, losses.supervised[mine], consistency, output.features[-1])

    def _supervise(self, scales: Sequence[Tensor], label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of an int32 label (bytes compile to slow code): loss of every slice; if it has any; Dice of the batch."""
        views = self.weighting.views
        losses = over_scales([self.supervised(logits, label) for logits in scales])
        return *mean_of_views(losses, label, views), over_scales(
            [dice_loss(each, label, views=views) for each in scales]
        )

    def _logs_this_step(self) -> bool:
        """Every `log_every_n_steps` steps and at the end of an epoch: logging takes time, whether it is kept or not."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return self.trainer.is_last_batch or (every > 0 and (self.trainer.global_step + 1) % every == 0)

    def on_train_start(self) -> None:
        """Record steps where that is asked for; begin with the learning rate that is due, if training has an end."""
        begin(self.schedule, self.trainer)
        if self.cuda_graphs:
            self.graphed = recorder(self.trainer, self._compute, list(self.network.parameters()), [self])

    def on_train_end(self) -> None:
        """Give back the memory of recorded steps."""
        self.graphed = None

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make dropout a function of (seed, epoch, batch) alone: a resumed run needs no saved generator."""
        if not self._rollback.marked:  # where gradients are accumulated, several batches make a step
            self._rollback.mark()
        torch.manual_seed(int(np.random.SeedSequence((self.seed, self.current_epoch, batch_idx)).generate_state(1)[0]))
        if self.teacher is not None:
            self.teacher.follow(self.network, progress(self.trainer, stepping=True))

    def configure_optimizers(self) -> Any:
        """The optimiser, and the schedule as a factor a step."""
        optimizer = self.make_optimizer(self.network.parameters())
        if isinstance(optimizer, torch.optim.LBFGS):  # it flattens gradients without a copy
            self.memory_format = torch.contiguous_format
            self.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        optimizer.register_step_post_hook(self._on_step_taken)
        return {"optimizer": optimizer, "lr_scheduler": by_progress(self.schedule, optimizer, self.trainer)}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take the step; where it is not taken, its batches leave nothing but the mark of what is not finite itself."""
        try:
            super().optimizer_step(*args, **kwargs)
        finally:
            if self._rollback.marked:
                infinite = self.last_losses.supervised.isinf()  # `HardnessWeighted` would draw it again and again
                self._rollback.restore()
                self.last_losses.supervised.masked_fill_(infinite, torch.inf)

    def settled_losses(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
        """`LastLosses.of` samples; None while it is not known whether the step on them will be taken."""
        return None if self._rollback.marked else self.last_losses.of(rows)

    def _on_step_taken(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """The optimiser has run, as it does not where a loss scaler rejects the step; without gradients for nothing."""
        if any(parameter.grad is not None for parameter in self.network.parameters()):
            if (rejected := getattr(optimizer, "found_inf", None)) is not None:  # fused optimisers decide on the device
                self._rollback.restore(where=rejected)
            self._rollback.forget()

    # --- validation and test ------------------------------------------------------------------------------------

    def predict_item(self, item: VolumeItem) -> Prediction:
        """Class indices (S, H, W) of a volume on its native grid."""
        facts, shown = self.data.facts, (item.image, item.placement, self.data.facts.unit, self.predict_batch_size)
        return predict_volume(self.network, *shown, self.flip_left_right, facts.mirror_table)

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        names = self.data.facts.classes.names
        self._validation = Validation(names, self.units_of_class, self.device, self.largest_component)

    def validation_step(self, item: VolumeItem, batch_idx: int) -> Prediction:  # type: ignore[override]
        """Dice of a whole volume on its native grid; callbacks receive what was predicted."""
        preds = self.predict_item(item)
        self._validation.add(preds, item)
        return preds

    def on_validation_epoch_end(self) -> None:
        """Log what was found; all processes have the same: to say so spares a warning."""
        if self.recipe and self.trainer.state.fn == "fit":
            self.recipe = replace(self.recipe, largest_component=self._validation.worth_cleaning())
        scalars = self._validation.scalars()
        self.log("val/dice", scalars.pop("val/dice"), prog_bar=True, sync_dist=True)
        self.log_dict(scalars, sync_dist=True)

    def test_step(self, item: VolumeItem, batch_idx: int) -> Prediction:  # type: ignore[override]
        """A whole volume on its native grid; `CaseTableWriter` measures it."""
        return keep_largest(
            self.predict_item(item), self.recipe.cleaned if self.recipe and self.largest_component else ()
        )

    # --- checkpoints --------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe, with which the checkpoint alone can predict; of a step under way, what was before it."""
        checkpoint["state_dict"].update(self._rollback.before(self))
        if self.recipe is not None:
            checkpoint |= remembered(self.recipe, self.data.describe(), self.units_of_class, self.settings)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse what was made of other data, classes or parts, before any weight is taken over."""
        if (recipe := self.recipe) and (purpose := self.trainer.state.fn) == "fit":
            check_resumable(checkpoint, recipe, self.data.describe(), self.settings, self.trainer.ckpt_path)  # type: ignore[arg-type]
        elif recipe:
            ids = self.data.split.test if purpose == "test" else self.data.split.val
            parts = self.weighting, self.teacher
            self.shown_otherwise = check_testable(checkpoint, recipe, self.data.digests(ids), *parts)
        self.units_of_class = json.loads(checkpoint.get(UNITS, "null")) or self.units_of_class
        self.recipe = recipe and replace(recipe, largest_component=chosen_components(checkpoint))
