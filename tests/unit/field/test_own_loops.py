"""What somebody's own loop may hand over wrongly: said in words, where it moved other samples or pixels in silence."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adawac.augment import RandomAugmentation, StrongAugmentation
from adawac.data.sampling import AdaptiveSampling
from adawac.data.subsets import Annotated
from adawac.data.unit_kinds import PatchUnit
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError
from adawac.losses.supervised import CrossEntropy, dice_loss
from adawac.types import SampleLosses
from adawac.weighting import PMDRO, AdaWAC, GroupDRO, LastLosses, ReweightOnly

TABLES = [AdaWAC(num_samples=5), ReweightOnly(num_samples=5), PMDRO(num_samples=5), GroupDRO(), LastLosses()]
TABLES[3].assign(torch.tensor([0, 1, 0, 1, 1]), ["a", "b"])
TABLES[4].allocate(5)


def losses_of(*index):
    one = torch.linspace(0.1, 1, len(index))
    return SampleLosses(torch.tensor(index), one, one.flip(0), one > 0.5)


def units(number, dense=10):
    voxels = np.full((number, 2), 90)
    voxels[dense:, 1] = 0
    return UnitTable.of_slices(["a"], [voxels], (10, 10), ("background", "liver"))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
@pytest.mark.parametrize(
    ("index", "said"), [((-1, 0), "index -1 of 5 samples"), ((0, 5), "index 5"), ((2, 2), "twice in a batch; draw")]
)
def test_rows_that_are_none_move_nothing(table, index, said):
    before = {name: buffer.clone() for name, buffer in table.named_buffers()}
    with pytest.raises(ConfigError, match=said):
        (table.record if isinstance(table, LastLosses) else table.step)(losses_of(*index))
    assert all(torch.equal(buffer, before[name]) or buffer.isnan().all() for name, buffer in table.named_buffers())


@pytest.mark.parametrize("method", [AdaWAC, ReweightOnly, PMDRO])
def test_the_state_of_other_samples_is_not_loaded_in_the_place_of_these(method):
    saved = method(num_samples=5)
    saved.step(losses_of(0, 3))
    with pytest.raises(RuntimeError, match=r"size mismatch for log_\w+: .*\[5\].*\[7\]"):
        method(num_samples=7).load_state_dict(saved.state_dict())
    unknown = method()
    unknown.load_state_dict(saved.state_dict())  # as `adawac test` does
    assert torch.equal(unknown.weights, saved.weights)


def test_losses_are_one_a_sample():
    logits, label = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)
    index, each = torch.arange(2), F.cross_entropy(logits, label, reduction="none").mean((1, 2))
    for wrong in (F.cross_entropy(logits, label), each[:, None], each[:1]):
        with pytest.raises(DataError, match=r'one number a sample.*reduction="none"'):
            SampleLosses(index, wrong, each, each > 0)
    with pytest.raises(DataError, match=r"supervised is of type ndarray; give a tensor, as by torch\.as_tensor"):
        SampleLosses(torch.arange(2), np.ones(2), None, torch.ones(2, dtype=torch.bool))
    with pytest.raises(DataError, match=r"index is torch\.float32; give the row"):
        SampleLosses(index.float(), each, each, each > 0)
    bytes_ = AdaWAC(num_samples=2).step(SampleLosses(index.byte(), each, each.flip(0), each > 0))  # torch masks by them
    assert torch.equal(bytes_.supervised, AdaWAC(num_samples=2).step(losses_like(index, each)).supervised)


def losses_like(index, each):
    return SampleLosses(index, each, each.flip(0), each > 0)


@pytest.mark.parametrize("augmentation", [RandomAugmentation(), StrongAugmentation()])
@pytest.mark.parametrize("shape", [(2, 1, 8, 12), (2, 12, 8), (2, 8, 6), (1, 8, 12)])
def test_labels_of_other_pixels_than_the_images(augmentation, shape):
    with pytest.raises(DataError, match=r"give \(2, 8, 12\), a class a pixel"):
        augmentation(
            torch.rand(2, 1, 8, 12), torch.zeros(shape, dtype=torch.long), torch.arange(2), seed=0, epoch=0, view=0
        )


@pytest.mark.parametrize("loss", [CrossEntropy(), dice_loss])
def test_labels_of_other_pixels_than_the_logits(loss):
    logits, label = torch.randn(2, 3, 8, 12), torch.randint(0, 3, (2, 8, 12))
    with pytest.raises(DataError, match=r"label of shape \(2, 12, 8\); give \(2, 8, 12\)"):
        loss(logits, label.transpose(1, 2))
    assert torch.equal(loss(logits, label[:, None]), loss(logits, label))  # MONAI's labels
    if isinstance(loss, CrossEntropy):
        expected = F.cross_entropy(logits, label, reduction="none").mean((1, 2))
        torch.testing.assert_close(loss(logits, label[:, None]), expected)


def test_a_draw_follows_losses_of_any_kind_and_refuses_the_state_of_other_units():
    rng, given = np.random.default_rng(0), np.linspace(0.25, 2, 8)
    states = []
    for losses in (given, given.tolist(), torch.tensor(given, requires_grad=True), torch.tensor(given).bfloat16()):
        sampling = AdaptiveSampling(balance="classes")
        sampling.allocate(units(40))
        batch = sampling.draw_batch(8, np.random.default_rng(0))
        sampling.observe(batch, losses)
        states.append(sampling.state_dict())
    assert all(torch.equal(state["log_odds"], states[0]["log_odds"]) for state in states)  # quarters are exact
    for wrong in (given[:7], given[:, None], given.mean()):
        with pytest.raises(ConfigError, match="for 8 units; give one a unit"):
            sampling.observe(batch, wrong)
    other = AdaptiveSampling(balance="classes")
    with pytest.raises(ConfigError, match=r"allocated are 0 in 0; call allocate\(units\)"):
        other.load_state_dict(states[0])
    other.allocate(units(30))
    with pytest.raises(ConfigError, match="of 40 units in 1 groups, but allocated are 30"):
        other.load_state_dict(states[0])
    named = UnitTable.of_slices(["a"], [np.array([[9, 3]] * 40)], (3, 4), ("background", "spleen"))
    other.allocate(named)
    with pytest.raises(ConfigError, match="state is of the groups liver, but allocated are those of spleen"):
        other.load_state_dict(states[0])
    other.load_state_dict({key: value for key, value in states[0].items() if key != "groups"})  # of before
    other.allocate(units(40, dense=0))  # no class is held: all alike, as ClassBalanced draws
    assert len(set(other.draw_batch(8, rng).rows)) == 8
    np.testing.assert_allclose(other.probabilities(), 1 / 40)


def test_labels_are_hidden_of_whole_volumes_where_patches_share_voxels():
    kind, voxels = PatchUnit((2, 4, 4), overlap=0.5), np.full((15, 2), 16)
    table = UnitTable.of_volumes(kind, ["a", "b"], [(6, 4, 8)] * 2, [voxels] * 2, ("background", "liver"))
    with pytest.raises(ConfigError, match="patches share voxels; give volumes instead"):
        Annotated(every=2).of(table)
    assert Annotated(volumes=1).of(table).labelled.sum() == 15
