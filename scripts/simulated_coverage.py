"""How far intervals and p can be trusted with the cases and runs at hand: simulated, not assumed.

Dice of case i in run r of method m is drawn as

    expit(level + case_i + (method and case)_mi + run_mr + (run and case)_mir),

all terms normal, and 0 with a small probability (a miss): bounded, skewed, paired over cases, and with runs that are
lucky or not on all cases at once. Two methods are drawn alike. True means come from quadrature: over all runs that
could have been trained, or of the one trained network where a method has a single run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.special import expit

from adawac.errors import ConfigError
from adawac.evaluation.intervals import LEVEL, Array, mean_interval, paired_test


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

    def draw(self, trials: int, cases: int, runs: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Dice of two equal methods, (2, trials, cases, runs), and the true mean Dice of each, (2, trials)."""

        def normal(spread: float, *shape: int) -> Array:
            return spread * rng.standard_normal(shape)

        odds = self.level + normal(self.case, 1, trials, cases, 1) + normal(self.method_case, 2, trials, cases, 1)
        run = normal(self.run, 2, trials, 1, runs)
        odds = odds + run + normal(self.run_case, 2, trials, cases, runs)
        dice = np.asarray(expit(odds) * (rng.random(odds.shape) >= self.missed))
        return dice, self._mean(run[:, :, 0, 0], 0) if runs == 1 else self._mean(np.zeros((2, trials)), self.run)

    def _mean(self, luck: Array, run: float) -> Array:
        """Mean Dice of networks that are lucky by so much, their runs spread by `run` about it."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        spread = np.sqrt(self.case**2 + self.method_case**2 + run**2 + self.run_case**2)
        found = np.average(expit(self.level + luck[..., None] + spread * nodes), axis=-1, weights=weights)
        return np.asarray((1 - self.missed) * found)


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
    def of(cls, hits: NDArray[np.floating | np.bool_]) -> "Rate":
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
        difference: how often the interval of the difference of two equal methods holds it.
        significant: how often p is below 0.05, though the methods are equal.
    """

    scenario: Scenario
    mean: Rate
    difference: Rate
    significant: Rate


def simulate_coverage(
    cases: int, runs: int = 1, trials: int = 1000, scenarios: Sequence[Scenario] = SCENARIOS, seed: int = 0
) -> list[Coverage]:
    """Coverage of the nominal 95 % intervals, and false positives of the test, for so many cases and runs.

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
        >>> 0.9 < found.mean.value, found.significant.value < 0.1
        (True, True)
    """
    if cases < 2 or runs < 1 or trials < 1:
        raise ConfigError(f"coverage of {cases} cases, {runs} runs, {trials} trials; give at least 2, 1 and 1")
    found = []
    for scenario, stream in zip(scenarios, np.random.default_rng(seed).spawn(len(scenarios)), strict=True):
        (first, second), (mine, theirs) = scenario.draw(trials, cases, runs, stream)
        means = mean_interval(first)
        tests = [paired_test(x, y) for x, y in zip(first, second, strict=True)]
        low, high, p = np.array([(test.low, test.high, test.p) for test in tests]).T
        hits = (_held(means.low, mine, means.high), _held(low, mine - theirs, high), p < 1 - LEVEL)
        found.append(Coverage(scenario, *map(Rate.of, hits)))
    return found


def coverage_table(found: Sequence[Coverage], cases: int, runs: int) -> Table:
    """For the terminal, with what it means.

    Example:
        >>> coverage_table(simulate_coverage(5, trials=10, scenarios=SCENARIOS[:1]), 5, 1).row_count
        1
    """
    caption = "± is the simulation's standard error. p of two equal methods should be below 0.05 in at most 5 %."
    if runs == 1:
        caption += (
            " With one run each, intervals are of these trained networks and hold how they differ; but equal methods "
            "differ by their seeds, and p is below 0.05 too often. Train several seeds to speak of methods."
        )
    table = Table(
        title=f"Coverage of nominal {LEVEL:.0%} intervals, {cases} cases x {runs} runs of each method",
        caption=caption,
        caption_justify="left",
    )
    table.add_column("simulated")
    for title in ("of a mean", "of a difference", "p < 0.05 of equal methods"):
        table.add_column(title, justify="right")
    for each in found:
        table.add_row(each.scenario.name, str(each.mean), str(each.difference), str(each.significant))
    return table


def _held(low: Array, truth: Array, high: Array) -> NDArray[np.bool_]:
    return (low <= truth) & (truth <= high)
