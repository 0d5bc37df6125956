"""How far intervals and verdicts can be trusted with the cases and runs at hand: simulated, not assumed.

Dice of case i in run r of method m is drawn as

    expit(level + case_i + (method and case)_mi + run_mr + (run and case)_mir),

all terms normal, and 0 with a small probability (a miss): bounded, skewed, paired over cases, and with runs that are
lucky or not on all cases at once. Two methods are drawn alike; so whatever tells them apart is a false positive. True
means come from quadrature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.table import Table
from scipy.special import expit

from adawac.errors import ConfigError
from adawac.evaluation.intervals import LEVEL, Array, Interval, bootstrap_interval, mean_interval
from adawac.evaluation.statistics import paired_test


@dataclass(frozen=True)
class Scenario:
    """A distribution of Dice; standard deviations are those of log-odds.

    Attributes:
        name: in the table.
        level: log-odds of a typical case.
        case: how much cases differ, for all methods alike.
        method_case: how much a method suits some cases better than others.
        run: how much a training is lucky on all cases at once.
        run_case: how much it is lucky on single cases.
        missed: probability that the organ is not found at all, 0 to 1.
    """

    name: str
    level: float
    case: float
    method_case: float = 0.1
    run: float = 0.0
    run_case: float = 0.2
    missed: float = 0.0

    @property
    def mean(self) -> float:
        """The true mean Dice."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(101)
        spread = np.sqrt(self.case**2 + self.method_case**2 + self.run**2 + self.run_case**2)
        return float((1 - self.missed) * np.average(expit(self.level + spread * nodes), weights=weights))

    def draw(self, trials: int, cases: int, runs: int, rng: np.random.Generator) -> Array:
        """Dice of two equal methods, (2, trials, cases, runs)."""

        def normal(spread: float, *shape: int) -> Array:
            return spread * rng.standard_normal(shape)

        odds = self.level + normal(self.case, 1, trials, cases, 1) + normal(self.method_case, 2, trials, cases, 1)
        odds = odds + normal(self.run, 2, trials, 1, runs) + normal(self.run_case, 2, trials, cases, runs)
        return np.asarray(expit(odds) * (rng.random(odds.shape) >= self.missed))


SCENARIOS = (
    Scenario("even organ, Dice about 0.95", 3.0, 0.35),
    Scenario("usual organ, about 0.89", 2.2, 0.7),
    Scenario("hard organ, about 0.73", 1.2, 1.0),
    Scenario("long tail, about 0.87", 2.4, 1.2),
    Scenario("usual organ, runs differ by 0.005", 2.2, 0.7, run=0.05),
    Scenario("usual organ, runs differ by 0.01", 2.2, 0.7, run=0.1),
    Scenario("long tail, runs differ by 0.01", 2.4, 1.2, run=0.1),
    Scenario("usual organ, 2 % missed", 2.2, 0.7, missed=0.02),
    Scenario("usual organ, runs differ by 0.03", 2.2, 0.7, run=0.3),
)
"""The spreads of log-odds between cases are those of organs of the head and neck and of the heart, 0.2 to 1.

Runs differ by 0.03 after short trainings of few slices (docs/results, OpenKBP).
"""


class Rate(NamedTuple):
    """Share of trials, and the standard error of the simulation."""

    value: float
    error: float

    @classmethod
    def of(cls, hits: Array) -> "Rate":
        """Of one hit or miss a trial.

        Example:
            >>> Rate.of(np.array([1.0, 1.0, 1.0, 0.0]))
            Rate(value=0.75, error=0.21650635094610965)
        """
        value = float(np.mean(hits))
        return cls(value, float(np.sqrt(value * (1 - value) / len(hits))))

    def __str__(self) -> str:
        return f"{self.value:.1%} ± {self.error:.1%}"


class Coverage(NamedTuple):
    """What a simulation found.

    Attributes:
        scenario: what was simulated.
        mean: how often the interval of a mean holds the true mean.
        difference: how often the interval of the difference of two equal methods holds 0.
        told_apart: how often two equal methods are told apart, whichever way.
    """

    scenario: Scenario
    mean: Rate
    difference: Rate
    told_apart: Rate


def simulate_coverage(
    cases: int, runs: int = 1, trials: int = 4000, scenarios: Sequence[Scenario] = SCENARIOS, seed: int = 0
) -> list[Coverage]:
    """Coverage of the nominal 95 % intervals, and false positives of the verdict, for so many cases and runs.

    Args:
        cases: number of test cases, each of another patient, at least 2.
        runs: of each method, with different seeds.
        trials: data sets that are drawn for each scenario.
        scenarios: what to draw.
        seed: of the simulation.

    Raises:
        ConfigError: if there are too few cases, runs or trials.

    Example:
        >>> [found] = simulate_coverage(30, trials=200, scenarios=SCENARIOS[:1])
        >>> 0.9 < found.mean.value, found.told_apart.value < 0.1
        (True, True)
    """
    if cases < 2 or runs < 1 or trials < 1:
        raise ConfigError(f"coverage of {cases} cases, {runs} runs, {trials} trials; give at least 2, 1 and 1")
    found = []
    for scenario, stream in zip(scenarios, np.random.default_rng(seed).spawn(len(scenarios)), strict=True):
        hits = []
        for size in _blocks(trials, cases * runs):
            first, second = scenario.draw(size, cases, runs, stream)
            test = paired_test(first, second)
            told_apart = test.p < 1 - LEVEL
            hits.append([_holds(mean_interval(first), scenario.mean), _holds(test.interval, 0), told_apart])
        found.append(Coverage(scenario, *map(Rate.of, np.concatenate(hits, axis=1).astype(np.float64))))
    return found


def simulate_bootstrap(
    cases: int, runs: int = 1, trials: int = 400, scenarios: Sequence[Scenario] = SCENARIOS, seed: int = 0
) -> list[tuple[Scenario, Rate, Rate]]:
    """The same for `bootstrap_interval` (999 resamples): scenario, coverage of a mean and of a difference."""
    found = []
    for scenario, stream in zip(scenarios, np.random.default_rng(seed).spawn(len(scenarios)), strict=True):
        first, second = scenario.draw(trials, cases, runs, stream)
        means = [_holds(bootstrap_interval(x, None, 999, i), scenario.mean) for i, x in enumerate(first)]
        pairs = enumerate(zip(first, second, strict=True))
        differences = [_holds(bootstrap_interval(x, y, 999, i), 0) for i, (x, y) in pairs]
        found.append((scenario, Rate.of(np.array(means)), Rate.of(np.array(differences))))
    return found


def coverage_table(found: Sequence[Coverage], cases: int, runs: int) -> Table:
    """For the terminal, with what it means.

    Example:
        >>> coverage_table(simulate_coverage(5, trials=10, scenarios=SCENARIOS[:1]), 5, 1).row_count
        1
    """
    caption = "± is the simulation's standard error. Two equal methods should be told apart in at most 5 %."
    if runs == 1:
        caption += (
            " With one run each, the statistics are about these trained models: they cannot know how much runs differ, "
            "and where they do, equal methods are told apart too often. Train several seeds to speak of methods."
        )
    table = Table(
        title=f"Coverage of nominal {LEVEL:.0%} intervals, {cases} cases x {runs} runs of each method",
        caption=caption,
        caption_justify="left",
    )
    table.add_column("simulated")
    for title in ("of a mean", "of a difference", "equal methods told apart"):
        table.add_column(title, justify="right")
    for each in found:
        table.add_row(each.scenario.name, str(each.mean), str(each.difference), str(each.told_apart))
    return table


def _holds(interval: Interval, truth: float) -> Array:
    return np.asarray((interval.low <= truth) & (truth <= interval.high), dtype=np.float64)


def _blocks(trials: int, size: int) -> list[int]:
    """Trials in blocks that need little memory."""
    block = max(1, 1_000_000 // size)
    return [min(block, trials - start) for start in range(0, trials, block)]
