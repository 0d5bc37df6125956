"""Counter-based random numbers: exact bits, statistics, and no dependence on anything but the arguments."""

import numpy as np
import pytest
import torch
from scipy import stats

from adawac.augment.randomness import Source, Stream, keys, normal, uniform

INDEX = torch.arange(2000)


def test_uniform_is_splitmix64():
    state = 1234567
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    expected = np.array([output >> 40 for output in published]) / 2**24
    assert uniform(torch.tensor([state]), 4)[0].tolist() == expected.tolist()


def test_bits_never_change():
    """A resumed run must draw what it drew before: these values may never be edited."""
    drawn = uniform(keys(1234, 5, torch.tensor([0, 2**40, -1]), 1, Stream.GEOMETRY), 2)
    assert (drawn * 2**24).long().tolist() == [[12873140, 13588279], [7161266, 4375486], [7541814, 3368507]]


def reference_mix(value: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser in unsigned arithmetic, where nothing needs masks."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def test_outputs_match_unsigned_arithmetic():
    key = keys(7, 0, INDEX, 0, 0)
    steps = np.arange(1, 9, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    expected = reference_mix(key.numpy().view(np.uint64)[:, None] + steps) >> np.uint64(40)
    assert np.array_equal(uniform(key, 8).numpy() * 2**24, expected.astype(np.float32))


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"seed": -1},
        {"seed": 2**70 + 3},
        {"epoch": 1},
        {"view": 1},
        {"stream": 1},
        {"seed": 1, "epoch": -1},
        {"index": INDEX + 1},
    ],
    ids=str,
)
def test_any_coordinate_gives_uncorrelated_numbers(other):
    base = {"seed": 0, "epoch": 0, "index": INDEX, "view": 0, "stream": 0}
    first = uniform(keys(**base), 10).double().flatten()
    second = uniform(keys(**{**base, **other}), 10).double().flatten()
    assert not (first == second).float().mean() > 1e-3
    # 20 000 pairs: a correlation of 0.03 would be four standard deviations.
    assert abs(stats.pearsonr(first, second).statistic) < 0.03


def test_uniform_is_uniform():
    drawn = uniform(keys(3, 1, INDEX, 0, 0), 50)
    assert drawn.dtype == torch.float32
    assert 0 <= drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    assert stats.kstest(drawn.flatten(), "uniform").pvalue > 0.01
    assert stats.kstest(drawn[:, 0], "uniform").pvalue > 0.01  # across samples, as parameters are drawn


@pytest.mark.parametrize("count", [1, 50, 51])
def test_normal_is_normal(count):
    drawn = normal(keys(3, 1, INDEX, 0, 0), count)
    assert drawn.shape == (2000, count)
    assert stats.kstest(drawn.flatten(), "norm").pvalue > 0.01
    assert abs(drawn.mean()) < 4 / drawn.numel() ** 0.5
    assert abs(drawn.var() - 1) < 4 * (2 / drawn.numel()) ** 0.5


def test_normal_neighbours_and_pairs_are_uncorrelated():
    drawn = normal(keys(3, 1, torch.arange(4), 0, 0), 100_000).double()
    for row in drawn:
        for first, second in [(row[:-1], row[1:]), (row[:50_000], row[50_000:])]:
            assert abs(stats.pearsonr(first, second).statistic) < 0.02
            assert abs(stats.pearsonr(first.square(), second.square()).statistic) < 0.02
    assert torch.corrcoef(drawn).fill_diagonal_(0).abs().max() < 0.02


def test_numbers_depend_on_the_sample_only():
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    whole = normal(keys(0, 0, INDEX, 0, 0), 5)
    assert torch.equal(normal(keys(0, 0, order, 0, 0), 5), whole[order])
    assert torch.equal(normal(keys(0, 0, order[:1], 0, 0), 5), whole[order[:1]])
    assert torch.equal(uniform(keys(0, 0, INDEX, 0, 0), 9)[:, :4], uniform(keys(0, 0, INDEX, 0, 0), 4))


def test_no_global_generator_is_touched_or_read():
    state = torch.get_rng_state()
    first = normal(keys(0, 0, INDEX, 0, 0), 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(normal(keys(0, 0, INDEX, 0, 0), 3), first)


def test_source_names_the_same_numbers():
    source = Source(seed=4, epoch=2, index=INDEX, views=(1,))
    assert torch.equal(source.uniform(Stream.NOISE, 3), uniform(keys(4, 2, INDEX, 1, 3), 3))
    assert torch.equal(source.normal(Stream.ELASTIC, 3), normal(keys(4, 2, INDEX, 1, 1), 3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_the_same_bits():
    key = keys(0, 0, INDEX, 0, 0)
    assert torch.equal(keys(0, 0, INDEX.cuda(), 0, 0).cpu(), key)
    assert torch.equal(uniform(key.cuda(), 9).cpu(), uniform(key, 9))
