"""Gradients of small convolutions in bfloat16 on a CPU, where torch 2.13 leaves them unwritten."""

import pytest
import torch
from torch import nn

from adawac.networks import NetworkSpec
from adawac.networks.small_volumes import exact_small_volumes
from adawac.training.performance.compile import Compiled

LAYERS = {
    "two slices, kernel of three": (nn.Conv3d(16, 16, 3, padding=1), (2, 8, 8)),
    "four slices, kernel of five": (nn.Conv3d(16, 16, 5, padding=2), (4, 8, 8)),
    "one column, steps of two": (nn.Conv3d(16, 16, 3, stride=2, padding=1), (4, 1, 4)),
    "transposed": (nn.ConvTranspose3d(16, 16, 3, padding=1), (2, 8, 8)),
}


def poison_free_memory() -> None:
    """What is fetched next and never written is not finite."""
    for size in (1_000, 30_000, 1_000_000, 20_000_000):
        torch.full((size,), float("nan"))


@pytest.mark.parametrize("kind", LAYERS)
def test_weight_gradients_of_volumes_smaller_than_their_kernel(kind):
    layer, shape = LAYERS[kind]
    volume = torch.randn(2, 16, *shape)
    (wanted,) = torch.autograd.grad(layer(volume).square().sum(), layer.weight)
    poison_free_memory()
    with torch.autocast("cpu", torch.bfloat16), exact_small_volumes(volume):
        output = layer(volume)
        (found,) = torch.autograd.grad(output.float().square().sum(), layer.weight)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.02 * wanted.abs().max().item())


def test_larger_volumes_stay_in_bfloat16_and_smaller_ones_leave_it():
    layer = nn.Conv3d(1, 1, 3, padding=1)
    for depth, same in ((3, True), (2, False)):
        volume = torch.randn(1, 1, depth, 8, 8)
        with torch.autocast("cpu", torch.bfloat16):
            plain = layer(volume)
            with exact_small_volumes(volume):
                assert torch.equal(layer(volume), plain) == same


@pytest.mark.parametrize("backend", [None, pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_network_on_flat_patches_learns_in_bfloat16(backend):
    torch.manual_seed(0)
    network = NetworkSpec("monai.networks.nets.SegResNet").build(1, 3, spatial_dims=3)
    patch = torch.randn(2, 1, 16, 32, 32)  # two slices in the deepest layers
    weights = {name: weight for name, weight in network.named_parameters() if weight.ndim > 1}

    def gradients(forward):
        loss = forward(patch).logits.float().square().mean()
        return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))

    wanted = gradients(network)
    poison_free_memory()
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(Compiled(network, "the network", backend=backend) if backend else network)
    for name, gradient in found.items():
        assert (gradient - wanted[name]).norm() < 0.3 * wanted[name].norm(), name
