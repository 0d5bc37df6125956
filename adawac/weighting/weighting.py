"""The contract of a weighting: losses of a batch in, weights out, state updated on the way."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from adawac.data.units import UnitTable
from adawac.errors import ConfigError
from adawac.types import SampleLosses, Weights


class Weighting(nn.Module, ABC):
    """How much each sample's supervised and consistency losses count.

    A weighting never sees the network. `step` receives the detached losses of a batch, updates the weighting's own
    state and returns the weights; the caller forms the loss, always a mean over the batch:

        loss = mean(weights.supervised * losses.supervised) + mean(weights.consistency * losses.consistency)

    each over the samples that have such a loss: of a slice that is wholly ignored there is no supervised one.

    A new method is one subclass in one file; nothing else needs to know it.

    Attributes:
        views: augmented views per sample that the method needs, 1 or 2.
        uses_consistency: whether the consistency loss is needed at all.
    """

    views: ClassVar[int] = 2
    uses_consistency: ClassVar[bool] = True

    def allocate(self, units: UnitTable) -> None:
        """Make the state for a training set, afresh at every call; called before a checkpoint is loaded.

        Args:
            units: the n training samples; row i is the sample with index i.
        """

    @property
    def weights(self) -> Tensor | None:
        """(n,) weight of every training sample's supervised loss; None for a method that keeps no such table."""
        return None

    @abstractmethod
    def step(self, losses: SampleLosses) -> Weights:
        """Update the state with the losses of a batch and return the batch's weights.

        Args:
            losses: detached float32 losses of B samples, every index at most once; `supervised` is NaN for a sample
                that has no such loss: its state must stay as it is, and consistency is all that it has, see
                `consistency_alone`.

        Returns:
            Weights of shape (B,).
        """

    def required_consistency(self, losses: SampleLosses) -> Tensor:
        """(B,) consistency losses of a batch, for a method that cannot do without.

        Raises:
            ConfigError: if there are none.
        """
        if losses.consistency is None:
            raise ConfigError(f"{type(self).__name__} needs a consistency loss; give each sample two views")
        return losses.consistency


class PerSampleState(nn.Module):
    """Base for modules whose buffers have a row per training sample.

    Their size is known only once the data are, so loading a state dict takes over the saved size where there is none.
    """

    renamed_buffers: ClassVar[dict[str, str]] = {}
    """Names of buffers in checkpoints of 0.1.0, and what they are called now."""

    def number_of(self, samples: int) -> int:
        """The number of samples that it is made for.

        Raises:
            ConfigError: if it is no such number.
        """
        if not isinstance(samples, int) or isinstance(samples, bool) or samples < 0:
            raise ConfigError(
                f"{type(self).__name__}: num_samples is {samples!r}; give the number of training samples, such as "
                "len(dataset)"
            )
        return samples

    def rows_of(self, index: Tensor, table: Tensor) -> Tensor:
        """The rows of a batch in a table of all samples, looked at where no device has to be waited for.

        Raises:
            ConfigError: if there is no such row (one below 0 would be that of another sample), or one comes twice.
        """
        if index.device.type == "cpu" and len(index):
            rows, name = index.tolist(), type(self).__name__
            if min(rows) < 0 or max(rows) >= len(table):
                raise ConfigError(
                    f"{name}: a batch has index {min(rows) if min(rows) < 0 else max(rows)} of {len(table)} "
                    f"samples, counted from 0; give {name}(num_samples=...) all that there are"
                )
            if len(set(rows)) < len(rows):
                raise ConfigError(f"{name}: a sample comes twice in a batch; draw without replacement")
        return index

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        for old, new in self.renamed_buffers.items():
            if prefix + old in state_dict:
                state_dict[prefix + new] = state_dict.pop(prefix + old)
        for name, buffer in list(self.named_buffers(recurse=False)):
            saved = state_dict.get(prefix + name)
            if saved is not None and buffer.shape[:1] == (0,):  # else torch refuses another size: other samples
                setattr(self, name, torch.empty_like(saved, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def consistency_alone(weights: Weights, losses: SampleLosses) -> Weights:
    """(0, 1) for the samples that have no supervised loss, which nobody annotated; the others as they are.

    Example:
        >>> losses = SampleLosses(torch.arange(2), torch.tensor([0.3, torch.nan]), torch.ones(2), torch.ones(2) > 0)
        >>> consistency_alone(Weights(torch.full((2,), 0.5), torch.full((2,), 0.5)), losses)
        Weights(supervised=tensor([0.5000, 0.0000]), consistency=tensor([0.5000, 1.0000]))
    """
    without = losses.supervised.isnan()
    assert weights.consistency is not None
    return Weights(weights.supervised.masked_fill(without, 0), weights.consistency.masked_fill(without, 1))


def at_least_float32(losses: Tensor) -> Tensor:
    """Losses in a precision to compute weights in: float16 and bfloat16 become float32."""
    return losses.to(torch.promote_types(losses.dtype, torch.float32))
