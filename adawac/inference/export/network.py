"""What is exported: a network without its adapter, the recipe around it, and the proof that a copy answers alike."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from adawac.errors import ConfigError, one_line
from adawac.inference.load_runs import read_model
from adawac.networks.untrusted import watched
from adawac.runs.checkpoint import Recipe

TOLERANCE = 1e-3
"""How far logits of an export may differ from the network's, relative to the largest."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and what has to happen around it.

    Attributes:
        network: images (N, C, h, w) on the training grid in, logits (N, K, h, w) out; in eval mode, on the CPU.
        in_channels: C; where it is shown neighbouring slices, those of an image's first channel in their order, then
            those of the second.
        recipe: window, grid, classes and the rest; its JSON travels with every export.
    """

    network: nn.Module
    in_channels: int
    recipe: Recipe

    def example(self, batch_size: int) -> Tensor:
        """Images (N, C, h, w) on the training grid; the same at every call."""
        generator = torch.Generator().manual_seed(batch_size)
        return torch.rand(batch_size, self.in_channels, *self.recipe.input_size, generator=generator)

    @torch.no_grad()
    def check(self, exported: Callable[[Tensor], Tensor], kind: str) -> None:
        """Compare an export with the network, also on a number of slices that it was not made with.

        Args:
            exported: images in, logits out.
            kind: what it is, for the error.

        Raises:
            ConfigError: if it fails, or gives other logits.
        """
        for batch_size in (1, 3):
            image = self.example(batch_size)
            expected = self.network(image)
            try:
                error = float((exported(image) - expected).abs().max() / expected.abs().max())
                problem = f"its logits differ by {error:.1e} of the largest where {TOLERANCE} is allowed"
            except Exception as failure:  # whatever a runtime may raise
                error, problem = float("inf"), one_line(failure)[:300]
            if not error <= TOLERANCE:  # nor NaN
                raise ConfigError(
                    f"network {self.recipe.network.architecture} does not survive as {kind}: with {batch_size} slices "
                    f"{problem}; choose another --format"
                )


def load_network(run: Path, trust: bool = False) -> TrainedNetwork:
    """The network of a run, its weights loaded.

    Args:
        run: a checkpoint, or a run folder, whose best checkpoint is taken.
        trust: as for `adawac.load`.

    Raises:
        ConfigError: as `adawac.load` does.
    """
    recipe, adapter = read_model(run, trust)
    adapter.eval()
    with nullcontext() if trust else watched():
        bare = recipe.network.build_bare(  # without the adapter, whose hooks cannot be traced
            adapter.in_channels, adapter.num_classes, recipe.data.unit.spatial_dims
        )
    bare.load_state_dict(adapter.network.state_dict())
    return TrainedNetwork(bare.eval(), adapter.in_channels, recipe)
