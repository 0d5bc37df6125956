"""ERM, Pair, ACR only and pseudo-AdaWAC against their rows in the table of methods."""

import numpy as np
import pytest
import torch
from weighting_losses import assert_agree, make, random_losses

from adawac.weighting import ERM, ACROnly, AdaWAC, Pair, PseudoAdaWAC

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", [ERM(), Pair(), ACROnly(), PseudoAdaWAC()])
def test_weights_are_those_of_the_table(method, dtype):
    rng = np.random.default_rng(0)
    for _ in range(50):
        losses = random_losses(rng, dtype)
        dense = losses.dense.numpy().astype(float)
        expected = {
            ERM: (np.ones(8), None),
            Pair: (np.ones(8), None),
            ACROnly: (np.full(8, 0.5), np.full(8, 0.5)),
            PseudoAdaWAC: (dense, 1 - dense),
        }[type(method)]
        weights = method.step(losses)
        assert weights.supervised.dtype == dtype
        assert_agree(weights.supervised, expected[0])
        if expected[1] is None:
            assert weights.consistency is None
        else:
            assert_agree(weights.consistency, expected[1])


def test_views():
    assert (ERM.views, Pair.views, ACROnly.views, PseudoAdaWAC.views) == (1, 2, 2, 2)


def test_acr_only_is_where_adawac_starts():
    start = make(AdaWAC(step_size=1e-9, calibrate=False)).step(random_losses(np.random.default_rng(1)))
    constant = ACROnly().step(random_losses(np.random.default_rng(1)))
    torch.testing.assert_close(start.supervised, constant.supervised)
    torch.testing.assert_close(start.consistency, constant.consistency)
