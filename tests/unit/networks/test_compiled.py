"""A compiled network computes the same; one that cannot be compiled trains all the same, and says why."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from adawac.networks import NetworkSpec
from adawac.networks.compiled import CompiledNetwork

SPEC = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"})


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SPEC.build(in_channels=1, num_classes=3)


@pytest.fixture
def image():
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def gradients(network, forward, image):
    network.zero_grad()
    output = forward(image)
    (output.logits.square().mean() + output.features[0].mean()).backward()
    return [weight.grad.clone() for weight in network.parameters()]


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_logits_features_and_gradients_are_the_same(network, image, backend):
    compiled = CompiledNetwork(network, backend=backend)
    for size in (2, 1, 2):  # batches of an epoch may differ by one
        one, two = network(image[:size]), compiled(image[:size])
        torch.testing.assert_close(two.logits, one.logits)
        torch.testing.assert_close(two.features, one.features)
    torch.testing.assert_close(gradients(network, compiled, image), gradients(network, network, image))
    assert compiled._compiled is not None


def test_a_compiler_that_fails_is_named_and_training_goes_on(network, image, caplog):
    def broken(graph, inputs):
        raise RuntimeError("no such target")

    compiled = CompiledNetwork(network, backend=broken)
    with caplog.at_level(logging.WARNING):
        outputs = [compiled(image).logits for _ in range(2)]
    assert [torch.equal(output, network(image).logits) for output in outputs] == [True, True]
    (message,) = (record.getMessage() for record in caplog.records if record.name == "adawac.networks.compiled")
    assert "no such target" in message
    assert "goes on uncompiled" in message


UNCOMPILABLE = """
import logging, torch
from adawac.networks import NetworkSpec
from adawac.networks.compiled import CompiledNetwork
logging.basicConfig(level=logging.WARNING)
spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"})
print(CompiledNetwork(spec.build(1, 3))(torch.zeros(2, 1, 16, 16)).logits.shape)
"""


@pytest.mark.slow
def test_without_a_compiler_the_remedy_is_named(tmp_path):
    environment = os.environ | {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILABLE], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert "[2, 3, 16, 16]" in done.stdout
    assert "install g++" in done.stderr


def test_what_the_network_does_wrong_is_not_taken_for_the_compiler_s_fault(network, caplog):
    with pytest.raises(RuntimeError, match="channels"):
        CompiledNetwork(network, backend="eager")(torch.rand(2, 5, 16, 16))
    assert "uncompiled" not in caplog.text
