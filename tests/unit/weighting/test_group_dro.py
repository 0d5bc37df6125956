"""Group DRO, against NumPy; groups that come and go."""

import numpy as np
import pytest
import torch
from weighting_losses import DENSE, B, N, assert_agree, make, random_losses

from adawac.data.groups import OrganPresent, PositionBins
from adawac.errors import ConfigError
from adawac.types import SampleLosses
from adawac.weighting import GroupDRO


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_numpy(dtype):
    rng = np.random.default_rng(0)
    weighting = make(GroupDRO(PositionBins(4), step_size=0.5), dtype)
    groups = weighting.member.numpy()
    q, absent = np.full(4, 0.25), 0
    for _ in range(50):
        losses = random_losses(rng, dtype)
        ce, group = losses.supervised.numpy().astype(float), groups[losses.index.numpy()]
        expected = np.zeros(B)
        for g in range(4):
            q[g] *= np.exp(0.5 * ce[group == g].mean()) if (group == g).any() else 1
            absent += not (group == g).any()
        q /= q.sum()
        for g in range(4):
            expected[group == g] = q[g] / (group == g).mean() if (group == g).any() else 0
        assert_agree(weighting.step(losses).supervised, expected)
        assert_agree(weighting.q, q)
    assert absent  # or it was not under test


def test_the_loss_is_the_mean_of_the_groups_weighted_by_q():
    losses = random_losses(np.random.default_rng(1), torch.float64)
    weighting = make(GroupDRO(), torch.float64)
    loss = (weighting.step(losses).supervised * losses.supervised).mean()
    means = torch.stack([losses.supervised[losses.dense].mean(), losses.supervised[~losses.dense].mean()])
    torch.testing.assert_close(loss, (weighting.q * means).sum())


def test_groups_are_label_dense_and_label_sparse_by_default():
    weighting = make(GroupDRO())
    assert weighting.names == ("label-dense", "label-sparse")
    assert torch.equal(weighting.member == 0, DENSE)
    assert weighting.q.tolist() == pytest.approx([0.5, 0.5])


def test_the_table_of_weights_is_that_of_a_batch_like_the_training_set():
    weighting = make(GroupDRO())
    expected = torch.where(DENSE, 0.5 / DENSE.float().mean(), 0.5 / (~DENSE).float().mean())
    torch.testing.assert_close(weighting.weights, expected)
    assert weighting.weights.mean() == pytest.approx(1)


def test_a_group_without_members_takes_no_part():
    weighting = GroupDRO()
    weighting.assign(torch.zeros(N, dtype=torch.int64), ["all"])
    losses = random_losses(np.random.default_rng(2))
    assert weighting.step(losses).supervised.tolist() == pytest.approx([1.0] * B)


def test_non_finite_losses_are_left_out_of_the_groups_means():
    index = torch.arange(6)
    ce = torch.tensor([torch.inf, 0.5, 0.7, torch.nan, 0.1, 0.2])
    weighting, clean = make(GroupDRO(step_size=1.0)), make(GroupDRO(step_size=1.0))
    weights = weighting.step(SampleLosses(index, ce, None, DENSE[index]))
    finite = ce.isfinite()
    clean.step(SampleLosses(index[finite], ce[finite], None, DENSE[index[finite]]))
    assert weights.supervised.isfinite().all()
    torch.testing.assert_close(weighting.q, clean.q)


def test_a_checkpoint_of_other_groups_is_refused():
    saved = make(GroupDRO(OrganPresent("liver"))).state_dict()
    with pytest.raises(ConfigError, match="resume with the checkpoint's data and groups"):
        make(GroupDRO()).load_state_dict(saved)
    unsized = GroupDRO()
    unsized.load_state_dict(saved)
    assert unsized.names == ("liver", "no liver")


def test_unknown_groups_are_refused():
    with pytest.raises(ConfigError, match="call allocate"):
        GroupDRO().step(random_losses(np.random.default_rng(3)))
