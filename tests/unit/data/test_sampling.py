import numpy as np
import pytest

from adawac.data.groups import PositionBins
from adawac.data.loading import DrawnOrder
from adawac.data.sampling import (
    AdaptiveSampling,
    ClassBalanced,
    ForegroundOversampling,
    GroupBalanced,
    HardnessWeighted,
    WithUnlabelled,
)
from adawac.data.units import UnitTable
from adawac.errors import ConfigError

N, DENSE = 60, 12
SAMPLINGS = [
    ForegroundOversampling(),
    GroupBalanced(),
    GroupBalanced(PositionBins(4)),
    HardnessWeighted(),
    ClassBalanced(),
]


@pytest.fixture
def units():
    voxels = np.tile([9, 0], (N, 1))
    voxels[20 : 20 + DENSE] = [5, 4]
    return UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))


@pytest.fixture
def losses():
    return np.random.default_rng(0).uniform(0, 0.1, N).astype(np.float32)


@pytest.mark.parametrize("size", [1, 24, N])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda sampling: type(sampling).__name__)
def test_no_unit_comes_twice_in_a_batch(sampling, size, units, losses):
    for seed in range(20):
        rows = sampling.draw(units, losses, size, np.random.default_rng(seed))
        assert len(set(rows.tolist())) == len(rows) == size
        assert rows.min() >= 0
        assert rows.max() < N


def test_foreground_oversampling_keeps_its_promise_in_every_batch(units, losses):
    sampling = ForegroundOversampling(0.33)
    dense = [units.dense[sampling.draw(units, losses, 24, np.random.default_rng(s))].sum() for s in range(50)]
    assert min(dense) >= 8  # a third of 24; the others come from all units, dense ones among them
    assert max(dense) > 8


def test_foreground_oversampling_takes_what_there_is(units, losses):
    rows = ForegroundOversampling(0.9).draw(units, losses, 24, np.random.default_rng(0))
    assert units.dense[rows].sum() == DENSE


def test_groups_come_equally_often(units, losses):
    sampling, member = GroupBalanced(), units.dense
    rng = np.random.default_rng(1)
    rows = np.concatenate([sampling.draw(units, losses, 2, rng) for _ in range(3000)])
    assert member[rows].mean() == pytest.approx(0.5, abs=0.03)  # 20 % of the units


def test_a_batch_of_different_units_weighs_a_group_as_sequential_draws_do():
    units = UnitTable.of_slices(["a"], [np.array([[5, 4], [9, 0], [9, 0], [9, 0]])], (3, 3), ("background", "liver"))
    rng, sampling = np.random.default_rng(3), GroupBalanced()
    batches = [sampling.draw(units, np.zeros(4), 2, rng) for _ in range(4000)]
    # The dense one comes first with probability 1/2, else second: its 1/2 beside the 2/6 of the two sparse ones left.
    assert np.mean([0 in batch for batch in batches]) == pytest.approx(0.5 + 0.5 * (1 / 2) / (1 / 2 + 2 / 6), abs=0.03)
    assert np.mean([1 in batch for batch in batches]) == pytest.approx(1.2 / 3, abs=0.03)


def test_foreground_oversampling_draws_what_is_not_reserved_from_all_alike():
    voxels = np.tile([9, 0], (5, 1))
    voxels[:2] = [5, 4]
    units = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver"))
    rng, sampling = np.random.default_rng(4), ForegroundOversampling(0.5)
    rows = np.concatenate([sampling.draw(units, np.zeros(5), 2, rng) for _ in range(6000)])
    # One of two dense rows, then any of the four left.
    assert np.bincount(rows) / 6000 == pytest.approx([0.5 + 0.5 / 4] * 2 + [1 / 4] * 3, abs=0.03)


def test_hard_units_follow_the_softmax_of_their_losses(units):
    losses = np.zeros(N, dtype=np.float32)
    losses[7] = 0.05
    rng = np.random.default_rng(2)
    rows = np.concatenate([HardnessWeighted(100.0).draw(units, losses, 1, rng) for _ in range(4000)])
    expected = np.exp(5) / (np.exp(5) + N - 1)
    assert (rows == 7).mean() == pytest.approx(expected, abs=0.03)


def test_unseen_units_come_first(units, losses):
    losses[[3, 50]] = np.nan
    rows = HardnessWeighted().draw(units, losses, 5, np.random.default_rng(0))
    assert {3, 50} <= set(rows.tolist())
    assert {3, 50} >= set(HardnessWeighted().draw(units, losses, 2, np.random.default_rng(0)).tolist())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_units_that_no_loss_tells_apart_come_equally_often(value, units):
    losses, rng = np.full(N, value, dtype=np.float32), np.random.default_rng(0)
    rows = np.concatenate([HardnessWeighted().draw(units, losses, 6, rng) for _ in range(1000)])
    counts = np.bincount(rows, minlength=N)
    assert counts == pytest.approx(np.full(N, 100), abs=45)


@pytest.mark.parametrize("sharpness", [0.0, 100.0])
def test_units_whose_loss_was_not_finite_come_last(units, losses, sharpness):
    losses[[3, 50]] = np.inf
    sampling, rng = HardnessWeighted(sharpness), np.random.default_rng(0)
    assert not {3, 50} & set(sampling.draw(units, losses, N - 2, rng).tolist())
    assert {3, 50} <= set(sampling.draw(units, losses, N, rng).tolist())


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: ForegroundOversampling(1.5), "from 0 to 1"),
        (lambda: HardnessWeighted(-1.0), "a finite one from 0"),
        (lambda: HardnessWeighted(float("inf")), "a finite one from 0"),
        (lambda: AdaptiveSampling(group_step_size=float("inf")), "finite and at least 0"),
        (lambda: ClassBalanced(1.5), "from 0 to 1"),
        (lambda: ClassBalanced(cap=0.5), "at least 1"),
        (lambda: AdaptiveSampling("organs"), "classes, a grouping"),
        (lambda: AdaptiveSampling(floor=0.0), "above 0"),
        (lambda: AdaptiveSampling(group_floor=2.0), "from 0 to 1"),
        (lambda: AdaptiveSampling(step_size=-1.0), "at least 0"),
        (lambda: AdaptiveSampling(step_size=float("nan")), "at least 0"),
        (lambda: AdaptiveSampling(max_log_odds=0.0), "above 0"),
        (lambda: AdaptiveSampling(lag=0), "the step before"),
    ],
)
def test_bad_settings_are_refused(make, remedy):
    with pytest.raises(ConfigError, match=remedy):
        make()


@pytest.mark.parametrize(
    "sampling",
    [
        ClassBalanced(),
        ForegroundOversampling(),
        GroupBalanced(),
        HardnessWeighted(),
        AdaptiveSampling("classes"),
        WithUnlabelled(),
    ],
)
def test_a_batch_of_more_than_there_is_is_refused(units, losses, sampling):
    """Rows are different ones; in a loop of one's own the draw had no end, rows twice, or fewer of them."""
    rng = np.random.default_rng(0)
    if isinstance(sampling, AdaptiveSampling):
        with pytest.raises(
            ConfigError, match=r"drawn from 0 units, .*; say which there are first, by `allocate\(units\)`"
        ):
            sampling.draw_batch(8, rng)
        sampling.allocate(units)
    assert sorted(sampling.draw(units, losses, N, rng).tolist()) == list(range(N))
    for size in (0, N + 1):
        with pytest.raises(ConfigError, match=f"a batch of {size} is drawn from {N} units, .*; give 1 to {N}"):
            sampling.draw(units, losses, size, rng)


def test_an_order_goes_on_with_the_losses_its_epoch_began_with(units, losses):
    table = losses.copy()
    order = DrawnOrder(units, 8, 0, HardnessWeighted(), lambda: table)
    whole = list(order)
    resumed = DrawnOrder(units, 8, 0, HardnessWeighted(), lambda: table)
    order.first_batch = 3
    table[:] = 0  # training has gone on
    resumed.load_state_dict(order.state_dict())
    assert list(resumed) == whole[3:]
    resumed.set_epoch(1)
    assert list(resumed) != whole
    assert len(whole) == 8
    assert {len(batch) for batch in whole} == {7, 8}
