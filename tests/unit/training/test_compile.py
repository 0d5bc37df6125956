"""What is compiled computes the same; what cannot be compiled is used all the same, and it is said why."""

import copy
import logging
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from adawac.losses import cross_entropy, dice_loss
from adawac.networks import NetworkSpec
from adawac.training.performance.compile import Compiled

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
    compiled = Compiled(network, "the network", backend=backend)
    for size in (2, 1, 2):  # batches of an epoch may differ by one
        one, two = network(image[:size]), compiled(image[:size])
        torch.testing.assert_close(two.logits, one.logits)
        torch.testing.assert_close(two.features, one.features)
    torch.testing.assert_close(gradients(network, compiled, image), gradients(network, network, image))
    assert compiled._compiled is not None


def test_each_size_of_batch_is_compiled_for_itself(network):
    compiled_graphs = []

    def backend(graph, inputs):
        compiled_graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    compiled = Compiled(network, "the network", backend=backend)
    for size in (4, 3, 2, 4, 3, 2):
        compiled(torch.rand(size, 1, 16, 16))
    assert len(compiled_graphs) == 3


def test_a_compiler_that_fails_is_named_and_training_goes_on(network, image, caplog):
    def broken(graph, inputs):
        raise RuntimeError("no such target")

    compiled = Compiled(network, "the network", backend=broken)
    with caplog.at_level(logging.WARNING):
        outputs = [compiled(image).logits for _ in range(2)]
    assert [torch.equal(output, network(image).logits) for output in outputs] == [True, True]
    (message,) = (
        record.getMessage() for record in caplog.records if record.name == "adawac.training.performance.compile"
    )
    assert "no such target" in message
    assert message.startswith("model.compile: the network")


UNCOMPILABLE = """
import logging, torch
from adawac.networks import NetworkSpec
from adawac.training.performance.compile import Compiled
from adawac.losses import cross_entropy, dice_loss
logging.basicConfig(level=logging.WARNING)
spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"})
print(Compiled(spec.build(1, 3), "the network")(torch.zeros(2, 1, 16, 16)).logits.shape)
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
        Compiled(network, "the network", backend="eager")(torch.rand(2, 5, 16, 16))
    assert "uncompiled" not in caplog.text


NORMS = {
    "plain": nn.InstanceNorm2d(4),
    "affine": nn.InstanceNorm2d(4, affine=True),
    "of volumes": nn.InstanceNorm3d(4, affine=True, eps=0.1),
    "with running statistics": nn.InstanceNorm2d(4, track_running_stats=True),
}


@pytest.mark.parametrize("kind", NORMS)
def test_instance_norms_are_spelt_out_and_stay_what_they_are(kind):
    torch.compiler.reset()  # what the last norm has taught it of sizes
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph.code)
        return graph.forward

    norm = copy.deepcopy(NORMS[kind])
    for weight in norm.parameters():
        nn.init.normal_(weight)
    own = copy.deepcopy(norm)
    values = 3 + torch.randn(2, 4, *[6] * (3 if "volumes" in kind else 2))
    found, wanted = values.clone().requires_grad_(), values.clone().requires_grad_()
    one, two = Compiled(norm, "the norm", backend=backend)(found), own(wanted)
    torch.testing.assert_close(one, two)
    one.pow(3).sum().backward()
    two.pow(3).sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-4)
    for weight, other in zip(norm.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.state_dict(), own.state_dict())
    assert ("instance_norm" in graphs[0]) == (kind == "with running statistics")
    assert len(graphs) == 1


def test_an_instance_norm_of_bfloat16_is_rounded_once(image):
    values = (3 + image).bfloat16()
    norm = nn.InstanceNorm2d(1)
    found = Compiled(norm, "the norm", backend="eager")(values)
    torch.testing.assert_close(found, norm(values.double()).bfloat16())  # torch's own is off by 3 bits


TRANSPOSED = {
    "plain": nn.ConvTranspose2d(4, 3, kernel_size=3, stride=2, padding=1, output_padding=1),
    "without a bias": nn.ConvTranspose2d(4, 3, kernel_size=2, stride=2, bias=False),
    "in groups, dilated": nn.ConvTranspose2d(4, 6, kernel_size=3, groups=2, dilation=2),
    "of volumes": nn.ConvTranspose3d(4, 3, kernel_size=2, stride=2),
}


@pytest.mark.parametrize("kind", TRANSPOSED)
def test_biases_of_transposed_convolutions_are_added_apart(kind):
    torch.compiler.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.extend(node for node in graph.graph.nodes if "conv_transpose" in str(node.target))
        return graph.forward

    layer = TRANSPOSED[kind]
    values = torch.randn(2, 4, *[6] * (3 if "volumes" in kind else 2))
    found, wanted = values.clone().requires_grad_(), values.clone().requires_grad_()
    one, two = Compiled(layer, "the layer", backend=backend)(found), layer(wanted)
    torch.testing.assert_close(one, two)
    inputs = [found, *layer.parameters()], [wanted, *layer.parameters()]
    for grad, other in zip(
        torch.autograd.grad(one.square().sum(), inputs[0]),
        torch.autograd.grad(two.square().sum(), inputs[1]),
        strict=True,
    ):
        torch.testing.assert_close(grad, other, rtol=1e-4, atol=1e-4)
    (convolution,) = graphs
    assert convolution.args[2] is None


def test_losses_are_the_same_where_they_share_their_logarithms():
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    label = torch.randint(0, 3, (2, 8, 8), dtype=torch.int32)
    label[0, :2] = 255

    def losses(logits, label):
        return cross_entropy(logits, label).sum() + dice_loss(logits, label)

    one, two = Compiled(losses, "the losses", backend="aot_eager")(logits, label), losses(logits, label)
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(torch.autograd.grad(one, logits), torch.autograd.grad(two, logits))
