"""Draws of which each unit comes exactly as often as its probability says: by class, and by the losses of steps."""

from itertools import count, islice

import numpy as np
import pytest
from scipy.stats import chisquare

from adawac.data.groups import PositionBins
from adawac.data.loading import AdaptiveOrder
from adawac.data.sampling import AdaptiveSampling, ClassBalanced
from adawac.data.sampling.systematic import at_most, draw_exactly
from adawac.data.units import UnitTable
from adawac.errors import ConfigError


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
