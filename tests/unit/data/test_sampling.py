from itertools import count, islice

import numpy as np
import pytest
from scipy.stats import chisquare

from adawac.data.groups import PositionBins
from adawac.data.loading import AdaptiveOrder, DrawnOrder
from adawac.data.sampling import (
    AdaptiveSampling,
    ClassBalanced,
    ForegroundOversampling,
    GroupBalanced,
    HardnessWeighted,
    WithUnlabelled,
)
from adawac.data.sampling.systematic import at_most, draw_exactly
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


@pytest.fixture
def organs():
    """100 slices: 60 background, 30 liver, 8 liver and spleen, 2 gallbladder."""
    voxels = np.tile([9, 0, 0, 0], (100, 1))
    voxels[10:48, 1], voxels[40:48, 2], voxels[70:72, 3] = 4, 4, 4
    return UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver", "spleen", "gallbladder"))


def chi_square_p(counts, expected):
    return chisquare(counts, expected * counts.sum() / expected.sum()).pvalue


def test_every_row_comes_as_often_as_its_probability_says(organs):
    """10^5 units drawn in batches of 8, against p: each must come size * p_i times a batch."""
    rng = np.random.default_rng(0)
    p = at_most(rng.dirichlet(np.full(100, 0.3)), 1 / 8)
    counts = np.zeros(100)
    for _ in range(12_500):
        rows = draw_exactly(p, organs.dense, 8, rng)
        assert len(set(rows.tolist())) == 8
        counts[rows] += 1
    drawn = p > 1e-4
    # Without replacement counts vary less than the test supposes, so that a wrong p is found all the sooner.
    assert chi_square_p(counts[drawn], p[drawn]) > 0.001
    wrong = np.roll(p, 1)
    assert chi_square_p(counts[drawn & (wrong > 1e-4)], wrong[drawn & (wrong > 1e-4)]) < 1e-6


def test_each_batch_has_the_label_dense_units_that_its_draw_means(organs):
    rng, sampling = np.random.default_rng(0), ClassBalanced(2 / 3)
    mean = 12 * sampling.probabilities(organs)[organs.dense].sum()
    found = {int(organs.dense[sampling.draw(organs, np.zeros(100), 12, rng)].sum()) for _ in range(200)}
    assert found == {int(mean), int(mean) + 1}


def test_of_many_units_each_comes_as_often_as_its_probability_says(organs):
    """More units than are laid out one by one; the same sampling has drawn from another table before."""
    rng, sampling = np.random.default_rng(0), ClassBalanced()
    assert sampling.draw(organs, np.zeros(100), 8, rng).max() < 100
    voxels = np.tile([9, 0, 0], (12_000, 1))
    voxels[2000:4000, 1], voxels[11_990:, 2] = 4, 4
    many = UnitTable.of_slices(["a"], [voxels], (3, 3), ("background", "liver", "spleen"))
    counts = np.zeros(12_000)
    for _ in range(2000):
        rows = sampling.draw(many, np.zeros(12_000), 24, rng)
        assert len(set(rows.tolist())) == 24
        counts[rows] += 1
    p = sampling.probabilities(many)
    parts = [slice(0, 1000), slice(1000, 2000), slice(2000, 3000), slice(3000, 4000), slice(4000, 11_990)]
    counts, p = (np.array([each[part].sum() for part in [*parts, slice(11_990, None)]]) for each in (counts, p))
    assert chi_square_p(counts, p) > 0.001
    assert chi_square_p(counts, p * [1.2, 1, 1, 1, 1, 1]) < 1e-6


def test_every_class_comes_equally_often(organs):
    p = ClassBalanced(share=1.0, cap=100.0).probabilities(organs)
    by_hand = np.zeros(100)
    by_hand[10:48] += 1 / 3 / 38
    by_hand[40:48] += 1 / 3 / 8
    by_hand[70:72] += 1 / 3 / 2
    assert p == pytest.approx(by_hand)


def test_a_class_of_few_slices_is_capped(organs):
    p = ClassBalanced(share=1.0, cap=5.0).probabilities(organs)
    rest = 1 - 1 / 3 - 1 / 3 - 2 * 5 / 100  # what the cap leaves goes to all units alike
    assert p[70:72] == pytest.approx(5 / 100 + rest / 100)
    assert p.sum() == pytest.approx(1)


def test_a_class_without_units_is_no_class(organs):
    without = UnitTable.of_slices(["a"], [organs.voxels * [1, 1, 1, 0]], (3, 3), organs.classes)
    assert ClassBalanced(1.0, 100.0).probabilities(without)[40:48] == pytest.approx(1 / 2 / 38 + 1 / 2 / 8)


def test_at_most_keeps_proportions_below_its_bound():
    p = at_most(np.array([0.6, 0.25, 0.1, 0.05]), 0.3)
    assert p == pytest.approx([0.3, 0.3, 0.4 * 2 / 3, 0.4 / 3])
    assert at_most(np.array([0.5, 0.5, 0.0]), 1 / 3).sum() == pytest.approx(2 / 3)  # nothing else to give it to


class TestAdaptive:
    """The update against METHOD's formulas, written out in plain loops."""

    def by_hand(self, z, m, rows, p, losses, n, eta):
        z, (mean, weight) = z.copy(), m
        u = [1 / (n * q) for q in p]
        mean = 0.9 * mean + 0.1 * sum(a * b for a, b in zip(u, losses, strict=True)) / sum(u)
        weight = 0.9 * weight + 0.1
        for row, rarity, loss in zip(rows, u, losses, strict=True):
            z[row] += eta * min(rarity, 5) * (min(loss / (mean / weight), 5) - 1)
            z[row] = max(-6, min(6, z[row]))
        return z, (mean, weight)

    def test_one_group_is_the_rule_of_adawac_s(self, organs):
        sampling, rng = AdaptiveSampling(floor=0.05, step_size=3.0), np.random.default_rng(0)
        sampling.allocate(organs)
        z, m = np.zeros(100), (0.0, 0.0)
        for _ in range(40):
            batch = sampling.draw_batch(8, rng)
            losses = rng.exponential(size=8)
            sampling.observe(batch, losses)
            z, m = self.by_hand(z, m, batch.rows, batch.p, losses, 100, 3.0)
            assert sampling.log_odds == pytest.approx(z)
            beta = 1 / (1 + np.exp(-z))
            assert sampling.probabilities() == pytest.approx(0.05 / 100 + 0.95 * beta / beta.sum())

    def test_it_is_drawn_from_as_from_any_other(self, organs):
        sampling = AdaptiveSampling()
        sampling.allocate(organs)
        rows = sampling.draw(organs, None, 8, np.random.default_rng(3))
        assert rows.tolist() == sampling.draw_batch(8, np.random.default_rng(3)).rows.tolist()

    def test_classes_without_steps_are_class_balanced(self, organs):
        sampling = AdaptiveSampling("classes", floor=1 / 3, step_size=0, group_step_size=0)
        sampling.allocate(organs)
        batch = sampling.draw_batch(8, np.random.default_rng(0))
        sampling.observe(batch, np.arange(8.0))
        assert sampling.probabilities() == pytest.approx(ClassBalanced(2 / 3, 100.0).probabilities(organs))

    def test_a_hard_class_comes_more_often(self, organs):
        sampling, rng = AdaptiveSampling("classes", floor=1 / 3, step_size=0), np.random.default_rng(0)
        sampling.allocate(organs)
        for _ in range(200):
            batch = sampling.draw_batch(8, rng)
            sampling.observe(batch, np.where(organs.voxels[batch.rows, 3] > 0, 2.0, 0.5))
        q = dict(zip(sampling.group_names, sampling.q, strict=True))
        assert q["gallbladder"] > 0.6
        assert q["liver"] == pytest.approx(0.3 / 3, abs=0.05)  # the floor that all have
        assert sum(q.values()) == pytest.approx(1)

    def test_groups_may_be_of_any_kind(self, organs):
        sampling = AdaptiveSampling(PositionBins(4))
        sampling.allocate(organs)
        assert len(sampling.q) == 4
        assert sampling.probabilities() == pytest.approx(np.full(100, 0.01))

    def test_what_has_no_loss_moves_nothing(self, organs):
        sampling = AdaptiveSampling()
        sampling.allocate(organs)
        batch = sampling.draw_batch(4, np.random.default_rng(0))
        sampling.observe(batch, np.full(4, np.nan))
        assert not sampling.log_odds.any()
        sampling.observe(batch, np.array([np.nan, np.inf, 1.0, 1.0]))
        assert sampling.log_odds[batch.rows][0] == 0
        assert sampling.log_odds[batch.rows][1] == 6
        assert np.isfinite(sampling.probabilities()).all()


class TestAdaptiveOrder:
    def order(self, units, lag=None, losses=None, **options):
        losses = losses or (lambda rows: (np.where(units.dense[rows], 2, 0.1), np.full(len(rows), next(steps))))
        steps = count(1)
        return AdaptiveOrder(units, 8, 0, AdaptiveSampling(lag=lag), losses, **options)

    def train(self, order, epochs=1):
        found = []
        for epoch in range(epochs):
            order.set_epoch(epoch)
            order.step_done()
            order.first_batch = 0
            for rows in order:
                order.hand_out()
                found.append(rows)
                order.step_done()
        return found

    def test_the_step_before_decides(self, organs):
        quiet = self.train(self.order(organs, losses=lambda rows: None))
        moved = self.train(self.order(organs))
        assert moved[0] == quiet[0]
        assert moved[1] != quiet[1]

    def test_with_a_lag_the_steps_before_it_decide(self, organs):
        quiet, moved = (self.train(self.order(organs, 3, losses=f)) for f in (lambda rows: None, None))
        assert moved[:3] == quiet[:3]
        assert moved[3] != quiet[3]

    def test_processes_share_what_one_draws(self, organs):
        parts = [self.train(self.order(organs, share=(rank, 2)), 2) for rank in range(2)]
        for whole, one, two in zip(self.train(self.order(organs), 2), *parts, strict=True):
            assert whole[::2] == one
            assert whole[1::2] == two

    def test_a_rejected_step_moves_nothing(self, organs):
        order = self.order(organs, losses=lambda rows: (np.full(len(rows), 9.0), np.zeros(len(rows))))
        self.train(order)
        assert not order.sampling.log_odds.any()

    def test_it_goes_on_from_anywhere(self, organs):
        whole = self.order(organs)
        iterator = iter(whole)
        for _ in range(5):
            next(iterator)
            whole.hand_out()
            whole.step_done()
        resumed = self.order(organs)
        resumed.load_state_dict(whole.state_dict())
        assert list(islice(resumed, 1)) == [next(iterator)]

    def test_a_lag_shorter_than_what_is_fetched_ahead_is_refused(self, organs):
        with pytest.raises(ConfigError, match="at least 5, or fewer workers"):
            self.order(organs, lag=4, prefetched=4)
        assert self.order(organs, prefetched=4).lag == 5
