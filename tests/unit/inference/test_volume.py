import numpy as np
import pytest
import torch

from adawac.data.grid import Placement
from adawac.inference.volume import predict_volume
from adawac.networks import NetworkSpec

SIDES = (0, 2, 1)
"""Classes 1 and 2 are left and right."""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    spec = NetworkSpec("monai.networks.nets.UNet", {"channels": [8, 16], "strides": [2], "norm": "INSTANCE"})
    return spec.build(in_channels=2, num_classes=3).eval()


@pytest.fixture(scope="module")
def image():
    return torch.randn(2, 7, 16, 16, generator=torch.Generator().manual_seed(1))


WHOLE = Placement(plane=(20, 30), size=(16, 16), box=(0.0, 20.0, 0.0, 30.0))


def test_batches_do_not_change_the_prediction(network, image):
    preds = predict_volume(network, image, WHOLE, batch_size=32)
    assert preds.shape == (7, 20, 30)
    assert preds.dtype == np.uint8
    assert set(np.unique(preds)) == {0, 1, 2}
    for batch_size in (1, 3, 7):
        assert np.array_equal(predict_volume(network, image, WHOLE, batch_size=batch_size), preds)


def test_outside_of_the_grid_is_background(network, image):
    """The class of a network without a doubt that everything is class 2."""
    network = AlwaysTwo(network)
    inner = Placement(plane=(20, 30), size=(16, 16), box=(4.0, 16.0, -3.0, 21.0))
    preds = predict_volume(network, image, inner)
    assert (preds[:, 4:16, :21] == 2).all()
    assert (preds[:, :4] == 0).all()
    assert (preds[:, 16:] == 0).all()
    assert (preds[:, :, 21:] == 0).all()


class AlwaysTwo(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        output = self.network(image)
        return output._replace(logits=torch.zeros_like(output.logits) + torch.tensor([0.0, 0, 50]).view(3, 1, 1))


def test_flipping_makes_a_mirrored_patient_equal(network, image):
    """Averaged with the mirrored slices, a mirrored patient gets the mirrored labels, sides exchanged."""
    options = {"flip_left_right": True, "mirror_table": SIDES}
    preds = predict_volume(network, image, WHOLE, **options)
    mirrored = predict_volume(network, image.flip(-1), WHOLE, **options)
    assert np.array_equal(mirrored, np.array(SIDES)[preds[..., ::-1]])
    assert not np.array_equal(preds, predict_volume(network, image, WHOLE))


def test_flipping_without_sides_keeps_the_classes(network, image):
    preds = predict_volume(network, image, WHOLE, flip_left_right=True)
    mirrored = predict_volume(network, image.flip(-1), WHOLE, flip_left_right=True)
    assert np.array_equal(mirrored, preds[..., ::-1])


def test_no_gradient_is_kept_and_autocast_is_allowed(network, image):
    with torch.autocast("cpu", torch.bfloat16):
        preds = predict_volume(network, image, WHOLE)
    full = predict_volume(network, image, WHOLE)
    assert (preds == full).mean() > 0.95
    assert all(parameter.grad is None for parameter in network.parameters())
