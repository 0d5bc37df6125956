"""Stops a training whose loss or gradient is no longer finite, before such numbers reach a checkpoint."""

import logging
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from adawac.data.units import UnitTable
from adawac.errors import TrainingError
from adawac.training.callbacks.checkpoints import run_checkpoint
from adawac.types import Batch

log = logging.getLogger(__name__)

MOST_IN_A_ROW = 20
"""Batches left out one after the other: then it is not the batches."""


class _Step(NamedTuple):
    """What a step was made of, and whether it was finite; on a GPU the answer is on its way."""

    step: int
    epoch: int
    rows: list[Tensor]
    finite: Tensor
    arrived: "torch.cuda.Event | None"


class FiniteGuard(Callback):
    """Looks at the loss and at the norm of all gradients of every step.

    On a CPU a bad step is never taken. A GPU is not waited for: the answer is copied while it works on, and read a
    step later; in any case before a checkpoint is written. To leave batches out it must be waited for in each step.
    With float16 (`16-mixed`) the loss scaler rejects steps with infinite gradients, which is its way of working.

    Args:
        action: `stop` ends the training; `skip` leaves the batch out, says which, and counts.

    Raises:
        TrainingError: naming step, cases and slices, and the last good checkpoint.
    """

    def __init__(self, action: Literal["stop", "skip"] = "stop") -> None:
        self.action = action
        self.skipped = 0
        self._in_a_row = 0
        self._rows: list[Tensor] = []
        self._loss: Tensor | None = None
        self._pending: deque[_Step] = deque()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, idx: int) -> None:
        """Remember what the step is made of: several batches where gradients are accumulated."""
        self._rows.append(batch.index)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Remember the loss: one that is not finite stays so in a sum."""
        self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the step before it is taken."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        finite = torch.isfinite(self._loss) if self._loss is not None else torch.tensor(True)
        if getattr(trainer.precision_plugin, "scaler", None) is None:
            finite = finite & torch.isfinite(torch.nn.utils.get_total_norm([p.grad for p in parameters]))
        step = _Step(trainer.global_step, trainer.current_epoch, self._rows, *_on_its_way(finite, self.action))
        self._rows, self._loss = [], None
        if self.action == "skip":
            self._skip_unless_finite(trainer, pl_module, step, parameters)
            return
        self._pending.append(step)
        self._check(trainer, pl_module, leave=0 if step.arrived is None else 1)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Write nothing before every step is known to be finite."""
        self._check(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the last step, too."""
        self._check(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """A resumed run counts on."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on."""
        self.skipped = state_dict["skipped"]

    def _check(self, trainer: pl.Trainer, pl_module: pl.LightningModule, leave: int = 0) -> None:
        while len(self._pending) > leave:
            step = self._pending.popleft()
            if step.arrived is not None:
                step.arrived.synchronize()
            if not step.finite:
                raise TrainingError(
                    f"{_describe(step, pl_module)}. {_advice(trainer)}; to leave such batches out: --non_finite skip"
                )

    def _skip_unless_finite(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, step: _Step, parameters: list[torch.nn.Parameter]
    ) -> None:
        if trainer.strategy.reduce_boolean_decision(bool(step.finite), all=True):
            self._in_a_row = 0
            return
        for parameter in parameters:  # optimisers pass over parameters without a gradient: nothing moves, nor decays
            parameter.grad = None
        self.skipped += 1
        self._in_a_row += 1
        log.warning("%s; left out (%d so far)", _describe(step, pl_module), self.skipped)
        network = pl_module.network
        healthy = all(torch.isfinite(t).all() for t in network.state_dict().values() if t.is_floating_point())  # type: ignore[union-attr]
        if not healthy or self._in_a_row == MOST_IN_A_ROW:
            raise TrainingError(
                f"{_describe(step, pl_module)}, and leaving batches out does not help: "
                + (f"{self._in_a_row} in a row" if healthy else "the network's own numbers are not finite any more")
                + f". {_advice(trainer)}"
            )


def _on_its_way(finite: Tensor, action: str) -> "tuple[Tensor, torch.cuda.Event | None]":
    """The answer itself, or its copy in the host's memory and when it will be there."""
    if finite.device.type != "cuda" or action == "skip":
        return finite, None
    copy = torch.empty((), dtype=torch.bool, pin_memory=True)
    copy.copy_(finite, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()
    return copy, arrived


def _describe(step: _Step, pl_module: pl.LightningModule) -> str:
    rows = torch.cat(step.rows).cpu()
    losses = pl_module.last_losses.supervised.cpu()[rows]  # type: ignore[union-attr, index]
    units: UnitTable = pl_module.trainer.datamodule.units  # type: ignore[attr-defined]
    culprits = rows[losses.isinf()]  # NaN: not seen yet, or nothing is labelled there
    own = f"; with a loss of their own that is not finite: {_slices(units, culprits)}" if len(culprits) else ""
    return (
        f"step {step.step} (epoch {step.epoch}): the loss or its gradient is not finite; "
        f"the batch was {_slices(units, rows)}{own}"
    )


def _slices(units: UnitTable, rows: Tensor) -> str:
    """Cases and slices of rows, such as `pt_1 slices 3, 7; pt_4 slice 2`."""
    by_case: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows.tolist()):  # by case, then by position
        by_case[units.cases[units.case[row]]].append(str(units.key(row)))
    return "; ".join(f"{case} {units.kind.noun[len(keys) > 1]} {', '.join(keys)}" for case, keys in by_case.items())


def _advice(trainer: pl.Trainer) -> str:
    """Where to go on from, and what is not done yet."""
    folder = getattr(run_checkpoint(trainer), "dirpath", None)
    files = sorted(Path(folder).glob("*.ckpt"), key=lambda path: path.stat().st_mtime) if folder else []
    last = f"The last good checkpoint is {files[-1]}" if files else "There is no checkpoint yet"
    clips, precise = trainer.gradient_clip_val is not None, trainer.precision == "32-true"
    untried = ["trainer.gradient_clip_val"] * (not clips) + ["trainer.precision 32-true"] * (not precise)
    return f"{last}. Try {', or '.join(['a lower learning rate', *untried])}"
