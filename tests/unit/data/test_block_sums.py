"""Draws from blocks of rows: as probable as from the rows themselves, and the same where each is a block."""

import numpy as np
import pytest

from adawac.data.sampling import AdaptiveSampling
from adawac.data.sampling.adaptive import _kinds
from adawac.data.sampling.block_sums import Blocks
from adawac.data.sampling.systematic import at_most, draw_exactly
from adawac.data.units import UnitTable

N, SIZE, DRAWS = 61, 6, 1000


@pytest.fixture(params=["even", "steep", "few"])
def p(request) -> np.ndarray:
    """Of which some lie above 1 / SIZE, alone or together with their block."""
    rng = np.random.default_rng(1)
    p = {"even": rng.uniform(0.5, 1, N), "steep": rng.exponential(1, N) ** 3, "few": np.full(N, 0.002)}[request.param]
    if request.param == "few":
        p[[3, 4, 30]] = 1.0
    return p / p.sum()


DENSE = np.arange(N) % 13 < 4


def sums(blocks: Blocks, p: np.ndarray) -> np.ndarray:
    return (p[blocks.rows] * blocks.there).sum(axis=1)


@pytest.mark.parametrize("most", [8, 20])
def test_every_row_comes_as_often_as_its_probability_says(p, most):
    blocks, due = Blocks(DENSE, most), SIZE * at_most(p, 1 / SIZE)
    assert np.array_equal(np.sort(blocks.rows[blocks.there]), np.arange(N))
    assert all(row in blocks.rows[blocks.of_row[row]] for row in range(N))
    came = np.zeros(N)
    for seed in range(DRAWS):
        rows, its_p = blocks.draw(sums(blocks, p), p.__getitem__, SIZE, np.random.default_rng(seed))
        assert len(set(rows.tolist())) == SIZE
        assert its_p == pytest.approx(due[rows] / SIZE)
        assert abs(DENSE[rows].sum() - due[DENSE].sum()) < 1 + 1e-9
        came[rows] += 1
    spread = np.sqrt(due * (1 - due.clip(max=1)) / DRAWS)
    assert (np.abs(came / DRAWS - due) < 5 * spread + 1e-9).all()


def test_a_block_a_row_draws_what_rows_draw(p):
    blocks = Blocks(DENSE)
    assert blocks.rows.shape == (N, 1)
    for seed in range(20):
        rows, its_p = blocks.draw(sums(blocks, p), p.__getitem__, SIZE, np.random.default_rng(seed))
        bounded = at_most(p, 1 / SIZE)
        assert np.array_equal(rows, draw_exactly(bounded, DENSE, SIZE, np.random.default_rng(seed)))
        assert its_p == pytest.approx(bounded[rows])


def test_kinds_are_the_groups_that_a_row_is_in():
    rng = np.random.default_rng(0)
    member = rng.random((200, 11)) < 0.3
    kind, groups = _kinds([np.flatnonzero(column) for column in member.T], 200)
    assert np.array_equal(groups[kind] > 0, member)
    assert len(groups) < 200


def table(rows: int) -> UnitTable:
    rng = np.random.default_rng(0)
    voxels = np.repeat(rng.integers(0, 2, (rows // 20, 4)), 20, axis=0)
    voxels[:, 0] = 9
    return UnitTable.of_slices(["a"], [voxels], (8, 8), ("background", "a", "b", "c"))


def test_sums_stay_those_of_the_weights(monkeypatch):
    """Whatever was observed: so a run that goes on draws what an unbroken one draws."""
    monkeypatch.setattr(Blocks.__init__, "__defaults__", (100,))
    units = table(4000)
    sampling = AdaptiveSampling("classes")
    sampling.allocate(units)
    for step in range(60):
        batch = sampling.draw_batch(8, np.random.default_rng(step))
        sampling.observe(batch, np.random.default_rng(step).exponential(1, 8))
    other = AdaptiveSampling("classes")
    other.allocate(units)
    other.load_state_dict(sampling.state_dict())
    assert np.array_equal(other._sums, sampling._sums)
    one, two = (each.draw_batch(8, np.random.default_rng(99)) for each in (sampling, other))
    assert np.array_equal(one.rows, two.rows)
    p = sampling.probabilities()
    beta, share = sampling.weights, (1 - sampling.floor) * sampling.q
    by_hand = sum(
        q * beta * held / (beta * held).sum() for q, held in zip(share, (units.voxels[:, 1:] > 0).T, strict=True)
    )
    assert p == pytest.approx(by_hand + (1 - by_hand.sum()) / 4000)
    assert sums(sampling._blocks, p).sum() == pytest.approx(1)
