"""What a batch has moved beside the parameters is taken back where its step is not taken."""

import torch
from torch import Tensor, nn


class Rollback:
    """The buffers of a module as they were before a batch, to go back to.

    The forward pass moves a weighting's state, the last losses and running statistics before it is known whether the
    step will be taken: a loss scaler rejects it if a gradient is infinite, a guard leaves the batch out, an exception
    ends it. A copy of the buffers costs next to nothing beside a step, and works for every weighting.

    Args:
        module: whose buffers are kept, and those of the modules within it, as they are now.

    Example:
        >>> from adawac.types import SampleLosses
        >>> from adawac.weighting import AdaWAC
        >>> weighting = AdaWAC(calibrate=False, num_samples=1)
        >>> rollback = Rollback(weighting)
        >>> rollback.mark()
        >>> one = torch.ones(1)
        >>> weighting.step(SampleLosses(torch.tensor([0]), one, 0 * one, one > 0)).supervised
        tensor([0.5744])
        >>> rollback.restore()
        >>> weighting.weights
        tensor([0.5000])
    """

    def __init__(self, module: nn.Module) -> None:
        self._modules = list(module.modules())
        self._buffers: list[tuple[nn.Module, str, Tensor]] = []
        self._copies: list[Tensor] = []
        self.marked = False
        """Whether there is something to go back to."""

    def mark(self) -> None:
        """Remember the buffers as they are."""
        buffers = [(m, name, b) for m in self._modules for name, b in m._buffers.items() if b is not None]
        if len(buffers) != len(self._buffers) or any(
            new[2] is not old[2] for new, old in zip(buffers, self._buffers, strict=True)
        ):
            self._buffers = buffers
            self._copies = [torch.empty_like(buffer) for _, _, buffer in buffers]
        self._copy(self._copies, [buffer for _, _, buffer in buffers])
        self.marked = True

    def forget(self) -> None:
        """Keep what has been moved since: the step was taken."""
        self.marked = False

    def restore(self, where: Tensor | None = None) -> None:
        """Go back to the buffers as they were, in place; do nothing if there is nothing to go back to.

        Args:
            where: () on the buffers' device, not 0 if the step was rejected: so that the device need not be waited for.
                None: it was.
        """
        if not self.marked:
            return
        copies, buffers = self._copies, [buffer for _, _, buffer in self._buffers]
        if where is not None:
            copies = [torch.where(where != 0, copy, b) for copy, b in zip(copies, buffers, strict=True)]
        self._copy(buffers, copies)
        for module, name, buffer in self._buffers:
            module._buffers[name] = buffer  # a method may have put another in its place
        self.marked = False

    def before(self, module: nn.Module) -> dict[str, Tensor]:
        """The buffers of a module by name, as they were; none if there is nothing to go back to."""
        if not self.marked:
            return {}
        copies = {id(buffer): copy for (_, _, buffer), copy in zip(self._buffers, self._copies, strict=True)}
        return {name: copies[id(buffer)].clone() for name, buffer in module.named_buffers() if id(buffer) in copies}

    @staticmethod
    @torch.no_grad()
    def _copy(to: list[Tensor], of: list[Tensor]) -> None:
        """Copy tensors, on a GPU all of a kind at once."""
        for kind in {tensor.dtype for tensor in to}:
            rows = [row for row, tensor in enumerate(to) if tensor.dtype == kind and tensor.numel()]
            if rows:
                torch._foreach_copy_([to[row] for row in rows], [of[row] for row in rows])
