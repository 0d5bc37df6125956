"""Consistency of several layers, of probabilities, of relations, and their sum: by plain loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from adawac.errors import ConfigError
from adawac.losses import (
    CombinedConsistency,
    ConsistencyLoss,
    FeatureConsistency,
    ProbabilityConsistency,
    RelationalConsistency,
)
from adawac.types import NetworkOutput


def outputs(layers: int = 1) -> tuple[list[NetworkOutput], tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    both = [
        NetworkOutput(
            torch.randn(4, 3, 8, 8, generator=generator),
            tuple(torch.randn(4, 6, 4, 4, generator=generator) for _ in range(layers)),
        )
        for _ in range(2)
    ]
    return both, (torch.eye(2, 3).expand(4, 2, 3), torch.eye(2, 3).expand(4, 2, 3))


def test_several_layers_are_averaged() -> None:
    (first, second), affines = outputs(layers=2)
    single = [
        FeatureConsistency()(NetworkOutput(one, (one,)), NetworkOutput(two, (two,)), *affines)
        for one, two in zip(first.features, second.features, strict=True)
    ]
    both = FeatureConsistency()(first, second, *affines)
    torch.testing.assert_close(both, torch.stack(single).mean(0))


def test_probabilities_by_hand() -> None:
    (first, second), affines = outputs()
    one, two = first.logits.softmax(1), second.logits.softmax(1)
    expected = 3 * (one - two).square().sum(1).mean((1, 2))
    torch.testing.assert_close(ProbabilityConsistency(3.0)(first, second, *affines), expected)


def test_probabilities_follow_the_views() -> None:
    (first, _), (identity, _) = outputs()
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))[:2].expand(4, 2, 3)
    mirrored = NetworkOutput(first.logits.flip(-1), first.features)
    assert ProbabilityConsistency()(first, mirrored, identity, flip).max() < 1e-10
    assert ProbabilityConsistency()(first, mirrored, identity, identity).min() > 0.01


def test_relations_by_hand() -> None:
    (first, second), affines = outputs()
    loss = RelationalConsistency(2.0)(first, second, *affines)
    for i in range(4):
        differences = []
        for j in range(4):
            cosines = [
                F.cosine_similarity(o.features[0][i].mean((1, 2)), o.features[0][j].mean((1, 2)), dim=0)
                for o in (first, second)
            ]
            differences.append((cosines[0] - cosines[1]) ** 2)
        assert loss[i].item() == pytest.approx(2 * torch.stack(differences).mean().item(), rel=1e-4)


def test_relations_do_not_change_with_a_common_rotation_of_the_features() -> None:
    (first, _), affines = outputs()
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1))).Q
    turned = NetworkOutput(first.logits, (torch.einsum("fg,bghw->bfhw", rotation, first.features[0]),))
    assert RelationalConsistency()(first, turned, *affines).max() < 1e-10


def test_sum() -> None:
    (first, second), affines = outputs()
    parts = [FeatureConsistency(0.5), ProbabilityConsistency(2.0), RelationalConsistency()]
    expected = sum(part(first, second, *affines) for part in parts)
    torch.testing.assert_close(CombinedConsistency(parts)(first, second, *affines), expected)


def test_a_sum_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="give at least one"):
        CombinedConsistency([])


@pytest.mark.parametrize("loss", [ProbabilityConsistency(), RelationalConsistency()])
def test_gradient_reaches_both_views(loss: ConsistencyLoss) -> None:
    both, affines = outputs()
    leaves = [tensor.requires_grad_() for output in both for tensor in (output.logits, *output.features)]
    loss(*both, *affines).sum().backward()
    used = [leaf.grad is not None and bool(leaf.grad.any()) for leaf in leaves]
    assert used in ([True, False, True, False], [False, True, False, True])
