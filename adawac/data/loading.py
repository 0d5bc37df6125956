"""In which order training units make batches, and a loader that goes on from where it stood."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from adawac.data.datasets import UnitDataset
from adawac.data.sampling.adaptive import AdaptiveSampling, Draw
from adawac.data.sampling.sampling import Losses, Sampling, drawn_rows
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError


class EpochOrder(Sampler[list[int]]):
    """Batches of rows, shuffled anew every epoch as a pure function of (seed, epoch).

    Args:
        num_samples: rows to draw from.
        batch_size: most rows of a batch, over all processes; all batches have this many or one or a few less.
        seed: of the order.
        share: (rank, number of processes) whose part of each batch is wanted.

    Raises:
        ConfigError: if the batches are too small for each process to have a row.

    Example:
        >>> order = EpochOrder(num_samples=11, batch_size=4, seed=0)
        >>> [len(batch) for batch in order], sorted(sum(order, [])) == list(range(11))
        ([3, 4, 4], True)
        >>> [len(batch) for batch in EpochOrder(num_samples=11, batch_size=4, seed=0, share=(1, 2))]
        [1, 2, 2]
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int, share: tuple[int, int] = (0, 1)) -> None:
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.world = share
        self.epoch = 0
        self.first_batch = 0
        smallest = num_samples // len(self) if num_samples else 0
        if smallest < self.world:
            raise ConfigError(
                f"a batch of {smallest} training samples cannot be shared by {self.world} processes; "
                "raise data.batch_size, or lower trainer.devices"
            )

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; stay in the middle of the one that a resume has led to."""
        if epoch != self.epoch:
            self.epoch, self.first_batch = epoch, 0

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, and batches of it that have been handed out."""
        return {"epoch": self.epoch, "batches": self.first_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        self.epoch, self.first_batch = state["epoch"], state["batches"]

    def hand_out(self) -> None:
        """A batch leaves the loader, to be trained on."""
        self.first_batch += 1

    def step_done(self) -> None:
        """The batch handed out last has been trained on, and the next one is wanted."""

    def __iter__(self) -> Iterator[list[int]]:
        rows = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_samples)
        for batch in range(self.first_batch, len(self)):
            first, end = self.bounds(batch)
            yield rows[first:end][self.rank :: self.world].tolist()

    def bounds(self, batch: int) -> tuple[int, int]:
        """First and end of a batch in the order of its epoch.

        The batches are even: a last one of a single row would have nothing to compare it with, nor enough for every
        process.
        """
        return batch * self.num_samples // len(self), (batch + 1) * self.num_samples // len(self)


class DrawnOrder(EpochOrder):
    """Batches drawn by a `Sampling`, as a pure function of (seed, epoch, batch) and the losses when the epoch began.

    Args:
        units: to draw from.
        batch_size: units of a batch.
        seed: of the order.
        sampling: draws a batch.
        losses: gives the (n,) last supervised loss of each unit, NaN for those not seen yet.
        share: (rank, number of processes) whose part of each batch is wanted.
    """

    def __init__(
        self,
        units: UnitTable,
        batch_size: int,
        seed: int,
        sampling: Sampling,
        losses: Callable[[], NDArray[np.float32]],
        share: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(sampling.in_an_epoch(units), batch_size, seed, share)
        self.units = units
        self.sampling = sampling
        self.losses = losses
        self._losses_at_start: NDArray[np.float32] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, and look at the losses anew when it begins."""
        if epoch != self.epoch:
            self._losses_at_start = None
        super().set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        if self._losses_at_start is None:
            self._losses_at_start = self.losses().copy()
        for batch in range(self.first_batch, len(self)):
            first, end = self.bounds(batch)
            rng = np.random.default_rng((self.seed, self.epoch, batch))
            rows = drawn_rows(self.sampling, self.units, self._losses_at_start, end - first, rng)
            yield rows[self.rank :: self.world]

    def state_dict(self) -> dict[str, Any]:
        """Position, and the losses at the start of the epoch."""
        losses = None if self._losses_at_start is None else torch.from_numpy(self._losses_at_start)
        return super().state_dict() | {"losses": losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        super().load_state_dict(state)
        self._losses_at_start = None if state["losses"] is None else state["losses"].numpy()


class AdaptiveOrder(EpochOrder):
    """Batches of an `AdaptiveSampling`: each is drawn after a step, and trained on `lag` steps later.

    A batch is a function of the seed, of how many have been drawn before, and of the losses until then. Every process
    draws the same and takes its share. What has been drawn and not been trained on is in the checkpoint.

    Args:
        units: to draw from.
        batch_size: units of a batch.
        seed: of the draws.
        sampling: its weights are allocated afresh.
        losses: gives for (B,) rows of a trained batch their supervised losses, NaN for those that have none, and how
            often each has been trained on; None while that is not settled, as gradients are accumulated.
        share: (rank, number of processes) whose part of each batch is wanted.
        prefetched: batches that workers fetch ahead.

    Raises:
        ConfigError: if the sampling's lag is too short for the batches that are fetched ahead.
    """

    def __init__(
        self,
        units: UnitTable,
        batch_size: int,
        seed: int,
        sampling: AdaptiveSampling,
        losses: Callable[[Rows], tuple[Losses, NDArray[np.int32]] | None],
        share: tuple[int, int] = (0, 1),
        prefetched: int = 0,
    ) -> None:
        super().__init__(len(units), batch_size, seed, share)
        if sampling.lag is not None and sampling.lag <= prefetched:
            raise ConfigError(
                f"data.sampling draws with a lag of {sampling.lag}, but data.num_workers fetch {prefetched} batches "
                f"ahead; give a lag of at least {prefetched + 1}, or fewer workers"
            )
        self.sampling = sampling
        self.losses = losses
        self._waiting: deque[Draw] = deque()  # drawn and not yet handed out
        self._unobserved: list[Draw] = []  # handed out, and their losses not looked at
        self._handed_out = self._drawn = 0
        self._trained = np.zeros(len(units), dtype=np.int32)  # how often, as far as observed
        sampling.allocate(units)
        self._draw_up_to(sampling.lag or prefetched + 1)

    @property
    def lag(self) -> int:
        """Steps between the weights that a batch is drawn by and the step that trains on it."""
        return len(self._waiting) + (1 if self._unobserved else 0)

    @property
    def _size(self) -> int:
        return -(-self.num_samples // len(self))

    def _draw_up_to(self, number: int) -> None:
        while len(self._waiting) < number:
            self._waiting.append(self.sampling.draw_batch(self._size, np.random.default_rng((self.seed, self._drawn))))
            self._drawn += 1

    def hand_out(self) -> None:
        """A batch leaves the loader, to be trained on."""
        first, end = self.bounds(self.first_batch)
        rows, p = self._waiting.popleft()
        self._unobserved.append(Draw(rows[: end - first], p[: end - first]))
        self._handed_out += 1
        super().hand_out()

    def step_done(self) -> None:
        """The batch handed out last has been trained on: move the weights, and draw another one."""
        if not self._unobserved:
            return
        waiting = len(self._waiting)
        rows = np.concatenate([batch.rows for batch in self._unobserved])
        if (found := self.losses(rows)) is not None:
            losses, trained = found
            # A rejected step has left no loss: what the table holds is older.
            losses = np.where(trained > self._trained[rows], losses, np.nan)
            self._trained[rows] = trained
            ends = np.cumsum([len(batch.rows) for batch in self._unobserved])
            for batch, its_losses in zip(self._unobserved, np.split(losses, ends[:-1]), strict=True):
                self.sampling.observe(batch, its_losses)
            self._unobserved.clear()
        self._draw_up_to(waiting + 1)

    def __iter__(self) -> Iterator[list[int]]:
        start, first_batch = self._handed_out, self.first_batch
        for batch in range(first_batch, len(self)):
            ahead = start + batch - first_batch - self._handed_out
            first, end = self.bounds(batch)
            yield self._waiting[ahead].rows[: end - first].tolist()[self.rank :: self.world]

    def state_dict(self) -> dict[str, Any]:
        """Position, weights, and what has been drawn and not been trained on."""
        return super().state_dict() | {
            "drawn": self._drawn,
            "waiting": [(torch.from_numpy(rows), torch.from_numpy(p)) for rows, p in self._waiting],
            "unobserved": [(torch.from_numpy(rows), torch.from_numpy(p)) for rows, p in self._unobserved],
            "trained": torch.from_numpy(self._trained.copy()),
            "sampling": self.sampling.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position; with at least the lag that there is now, and batches of the size that there is now."""
        super().load_state_dict(state)
        lag = self.lag
        self._drawn = state["drawn"]
        waiting = (Draw(rows.numpy(), p.numpy()) for rows, p in state["waiting"])
        self._waiting = deque(draw for draw in waiting if len(draw.rows) == self._size)
        self._unobserved = [Draw(rows.numpy(), p.numpy()) for rows, p in state["unobserved"]]
        self._trained = state["trained"].numpy().copy()
        self.sampling.load_state_dict(state["sampling"])
        self._draw_up_to(lag - (1 if self._unobserved else 0))


@dataclass(frozen=True)
class TaskLosses:
    """Losses of the units as a trainer's task keeps them; where there is no such task, nothing is known.

    Attributes:
        trainer: of Lightning, or None.
    """

    trainer: Any

    def last(self, number: int) -> Losses:
        """(n,) last supervised loss of every training unit, NaN where none is known."""
        table = getattr(getattr(self.trainer, "lightning_module", None), "last_losses", None)
        if table is None:
            return np.full(number, np.nan, dtype=np.float32)
        losses: Losses = table.supervised.cpu().numpy()
        return losses

    def settled(self, rows: Rows) -> tuple[Losses, NDArray[np.int32]] | None:
        """What the task has found of trained rows, see `AdaptiveOrder`."""
        settled = getattr(getattr(self.trainer, "lightning_module", None), "settled_losses", None)
        return None if settled is None else settled(rows)


def order_of(
    units: UnitTable,
    batch_size: int,
    seed: int,
    sampling: Sampling | None,
    losses: TaskLosses,
    share: tuple[int, int],
    prefetched: int,
) -> EpochOrder:
    """In which order units make batches.

    Args:
        units: the table of training units.
        batch_size: units a step, over all processes.
        seed: of the order.
        sampling: draws the batches; None shuffles.
        losses: that samplings look at.
        share: (rank, number of processes).
        prefetched: batches that are fetched ahead.
    """
    if sampling is None:
        return EpochOrder(len(units), batch_size, seed, share)
    if isinstance(sampling, AdaptiveSampling):
        return AdaptiveOrder(units, batch_size, seed, sampling, losses.settled, share, prefetched)
    return DrawnOrder(units, batch_size, seed, sampling, lambda: losses.last(len(units)), share)


class ResumableLoader(DataLoader[Any]):
    """A loader that knows how many batches it has handed out, and goes on from there after a resume.

    Lightning saves and restores the state of a loader that has `state_dict` and `load_state_dict`, and calls
    `set_epoch` of its sampler before each epoch; elsewhere call `loader.order.set_epoch(epoch)` yourself. Batches
    are counted as they leave the loader, so those that workers have fetched ahead do not count.

    Args:
        dataset: its items are whole batches.
        order: which rows make a batch.
        options: further arguments of `torch.utils.data.DataLoader`.
    """

    def __init__(self, dataset: UnitDataset, order: EpochOrder, **options: Any) -> None:
        # Creating an iterator draws from a generator: one of its own leaves the global one alone.
        super().__init__(dataset, sampler=order, batch_size=None, generator=torch.Generator().manual_seed(0), **options)
        self.order = order

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator does as well
        order = self.order
        order.step_done()
        if order.first_batch == len(order):
            order.first_batch = 0
        for batch in super().__iter__():
            order.hand_out()
            yield batch
            order.step_done()

    def state_dict(self) -> dict[str, Any]:
        """Where the order stands."""
        return self.order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that have been handed out."""
        self.order.load_state_dict(state)
