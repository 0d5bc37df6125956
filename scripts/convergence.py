r"""AdaWAC's guarantee, run: the duality gap of its averaged iterates shrinks as O(1/sqrt(T)) on a convex problem.

    python scripts/convergence.py -o docs/results/convergence

The problem is logistic regression, theta in the ball of radius R, on n samples, each seen in two views:

    L(theta, beta) = (1/n) sum_i [beta_i ce_i(theta) + (1 - beta_i) ac_i(theta)],    beta in [0, 1]^n
    ce_i = logistic loss, averaged over the views,    ac_i = lambda (<x_i1, theta> - <x_i2, theta>)^2

both convex in theta; L is linear in beta. AdaWAC is stochastic mirror descent on it: each step draws B samples, moves
their log-odds with the weighting that `adawac fit` uses, then theta by a projected gradient step. (Calibration,
momentum, and shuffled epochs instead of independent draws, are outside of the guarantee.) The duality gap of the
averaged iterates, max_beta L(mean theta, beta) - min_theta L(theta, mean beta), is 0 at a saddle point only. Here it is
computed, not estimated, and laid beside its bound.

The bound. With horizon T and steps eta = c / sqrt(T) from theta_1 = 0 and beta_1 = 1/2,

    E[gap] <= (1/sqrt(T)) [2 R G_theta  +  2 sqrt(2 n log 2) G_beta  +  (R c_beta / 2B) mean_i(M_i K_i)]

for c_theta = R / G_theta and c_beta = sqrt(2 n log 2) / G_beta, where over the ball (`Problem.extremes`)

    M_i >= |ce_i - ac_i|,    H_i >= the gradient of either in theta,    K_i >= that of their difference,
    G_theta^2 = mean_i H_i^2,    G_beta^2 = mean_i M_i^2 / (4B).

1. As L is convex in theta and linear in beta, T gap <= max over (theta, beta) of the summed linear regrets of the two
   players at their true gradients.
2. The gradient of L in beta_i is (ce_i - ac_i) / n. The batch's own, times n / B and 0 elsewhere, is unbiased. So the
   log-odds move by (eta_beta / B) (ce_i - ac_i): AdaWAC's `step_size` is eta_beta / B. The entropy of beta_i is
   4-strongly convex on [0, 1], which makes the squared dual norm of that gradient sum_i (ce_i - ac_i)^2 / (4 B^2) over
   the batch, in expectation at most G_beta^2; and no beta is further than n log 2 from 1/2 in KL. In theta the
   norm is Euclidean, the second moment of the batch's gradient at most G_theta^2, half the squared distance R^2 / 2.
3. Mirror descent's regret at the stochastic gradients is at most D / eta + eta T G^2 / 2 for each player, which these
   steps make sqrt(2 D T) G. The noise, correlated with the best response, costs as much again: the regret of a second,
   imagined mirror descent that is fed the noise alone, whose second moment is not larger. Hence the factors of 2.
4. The paper's theta step uses the NEW weights of the batch, so its gradient is not unbiased. That is harmless: a step
   moves beta_i by at most eta_beta M_i / (4B), hence the gradient by at most (eta_beta / 4B) mean_i(M_i K_i) in
   expectation, and its inner product with a difference in the ball (at most 2R long) is the last term of the bound. It
   decreases with eta_beta, so the rate stays.

References:
    Nemirovski, Juditsky, Lan, Shapiro, "Robust stochastic approximation approach to stochastic programming", SIAM J.
    Optim. 2009, section 3 (steps 1 to 3). Dong, Xie, Ward, ICML 2023, Algorithm 1.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import expit

from adawac.figures import BLUE, VERMILION
from adawac.types import SampleLosses
from adawac.weighting import AdaWAC, Weighting

Array = NDArray[np.float64]
HORIZONS = (200, 600, 2000, 6000, 20000)
SEEDS = (0, 1, 2, 3, 4)
BATCH_SIZE = 16
SLOPE_REQUIRED = -0.4
"""The fitted slope in log-log must not lie above. The bound's is -1/2; at small T the gap falls more slowly."""


@dataclass(frozen=True)
class Problem:
    """Two views of n samples of a binary classification.

    Attributes:
        views: (2, n, d) features.
        labels: (n,) -1 or 1.
        radius: of the ball in which theta lies.
        consistency: lambda, the factor of the consistency loss.
    """

    views: Array
    labels: Array
    radius: float = 2.0
    consistency: float = 1.0

    @classmethod
    def random(cls, samples: int = 64, features: int = 5, seed: int = 0) -> "Problem":
        """Two overlapping classes, views of different brightness.

        Samples far from the boundary have a small logistic and a large consistency loss, those near it the reverse, so
        that at the saddle point some choose one, some the other, and some are torn.
        """
        rng = np.random.default_rng(seed)
        labels = rng.choice([-1.0, 1.0], samples)
        direction = rng.normal(size=features)
        shift = 2 * rng.random(samples) * labels
        clean = rng.normal(size=(samples, features)) / math.sqrt(features)
        clean += np.outer(shift, direction / np.linalg.norm(direction))
        contrast = rng.uniform(-0.2, 0.2, (samples, 1))
        return cls(np.stack([(1 + contrast) * clean, (1 - contrast) * clean]), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.intp]) -> "Problem":
        """The same problem on some of the samples."""
        return type(self)(self.views[:, rows], self.labels[rows], self.radius, self.consistency)

    def losses(self, theta: Array) -> tuple[Array, Array]:
        """(n,) logistic and (n,) consistency losses at (d,) theta."""
        scores = self.views @ theta
        return np.logaddexp(0, -self.labels * scores).mean(0), self.consistency * (scores[0] - scores[1]) ** 2

    def value(self, theta: Array, ce_weight: Array, ac_weight: Array) -> float:
        """Mean over the samples of ce_weight_i ce_i + ac_weight_i ac_i."""
        ce, ac = self.losses(theta)
        return float(np.mean(ce_weight * ce + ac_weight * ac))

    def gradient(self, theta: Array, ce_weight: Array, ac_weight: Array) -> Array:
        """(d,) gradient of `value` in theta."""
        scores = self.views @ theta
        slopes = -ce_weight * self.labels * expit(-self.labels * scores) / 2
        slopes[0] += 2 * ac_weight * self.consistency * (scores[0] - scores[1])
        slopes[1] -= 2 * ac_weight * self.consistency * (scores[0] - scores[1])
        return np.einsum("vn,vnd->d", slopes, self.views) / len(self)

    def extremes(self) -> tuple[Array, Array, Array]:
        """Bounds over the ball, in closed form.

        Returns:
            (n,) of |ce - ac|, of the length of ce's gradient, of that of ac's.
        """
        length = np.linalg.norm(self.views, axis=-1)
        apart = np.square(self.views[0] - self.views[1]).sum(-1)
        largest_ce = np.logaddexp(0, self.radius * length).mean(0)
        largest_ac = self.consistency * self.radius**2 * apart
        ce_gradient = (length * expit(self.radius * length)).mean(0)
        return np.maximum(largest_ce, largest_ac), ce_gradient, 2 * self.consistency * self.radius * apart

    def project(self, theta: Array) -> Array:
        """The nearest point of the ball."""
        length = math.sqrt(theta @ theta)
        return theta if length <= self.radius else theta * (self.radius / length)


@dataclass(frozen=True)
class Theory:
    """Step sizes and bound of the guarantee, each to be divided by sqrt(T).

    Attributes:
        theta_step: c_theta.
        beta_step: c_beta.
        bound: of the expected duality gap.
    """

    theta_step: float
    beta_step: float
    bound: float

    @classmethod
    def of(cls, problem: Problem, batch_size: int) -> "Theory":
        """The constants of a problem, in the notation of the module's docstring."""
        radius = problem.radius
        difference, ce_gradient, ac_gradient = problem.extremes()
        theta_norm = math.sqrt(np.mean(np.maximum(ce_gradient, ac_gradient) ** 2))
        beta_norm = math.sqrt(np.mean(difference**2) / (4 * batch_size))
        beta_distance = math.sqrt(2 * len(problem) * math.log(2))
        beta_step = beta_distance / beta_norm
        drift = radius * beta_step / (2 * batch_size) * float(np.mean(difference * (ce_gradient + ac_gradient)))
        bound = 2 * radius * theta_norm + 2 * beta_distance * beta_norm + drift
        return cls(radius / theta_norm, beta_step, bound)


def paper_rule(step_size: float, samples: int) -> Weighting:
    """The shipped AdaWAC, without what the guarantee does not cover."""
    return AdaWAC(step_size, calibrate=False, max_log_odds=None, num_samples=samples).double()


def averaged_iterates(
    problem: Problem,
    horizon: int,
    seed: int,
    rule: Callable[[float, int], Weighting],
) -> tuple[Array, Array]:
    """Run AdaWAC for a fixed number of steps.

    Args:
        problem: with n samples and d features.
        horizon: T, number of steps, which sets their size.
        seed: of the batches, drawn anew in each step, without replacement within it.
        rule: makes the weighting, given its step size and n.

    Returns:
        (d,) mean of theta and (n,) mean of beta over the iterates before each step.
    """
    rng = np.random.default_rng(seed)
    n, theory = len(problem), Theory.of(problem, BATCH_SIZE)
    theta_step = theory.theta_step / math.sqrt(horizon)
    beta_step = theory.beta_step / math.sqrt(horizon)
    weighting = rule(beta_step * (n / BATCH_SIZE) / n, n)  # the gradient's 1 / n, made unbiased by n / B
    theta = np.zeros(problem.views.shape[-1])
    theta_sum, beta_sum = np.zeros_like(theta), np.zeros(n)
    for _ in range(horizon):
        theta_sum += theta
        beta_sum += weighting.weights.numpy()
        rows = rng.permutation(n)[:BATCH_SIZE]
        batch = problem.take(rows)
        ce, ac = map(torch.from_numpy, batch.losses(theta))
        weights = weighting.step(
            SampleLosses(torch.from_numpy(rows), ce, ac, dense=torch.zeros(BATCH_SIZE, dtype=torch.bool))
        )
        gradient = batch.gradient(theta, weights.supervised.numpy(), weights.consistency.numpy())
        theta = problem.project(theta - theta_step * gradient)
    return theta_sum / horizon, beta_sum / horizon


def duality_gap(problem: Problem, theta: Array, beta: Array) -> float:
    """Largest L(theta, .) over [0, 1]^n less smallest L(., beta) over the ball; too small by at most 1e-10."""
    return float(np.maximum(*problem.losses(theta)).mean()) - problem.value(best_theta(problem, beta), beta, 1 - beta)


def best_theta(problem: Problem, beta: Array, tolerance: float = 1e-10, max_steps: int = 100_000) -> Array:
    """Minimise L(., beta) over the ball, by accelerated projected gradient with restarts, and prove it.

    L(theta) - min L is at most <gradient, theta> + R |gradient|, the most that its linearisation falls over the ball;
    the iteration ends when that is below `tolerance`.

    Raises:
        RuntimeError: if `max_steps` were not enough.
    """
    first, second = problem.views
    apart = first - second
    curvature = (first.T @ first + second.T @ second) / 8 + 2 * problem.consistency * apart.T @ apart
    step = len(problem) / np.linalg.eigvalsh(curvature)[-1]
    theta = ahead = np.zeros(first.shape[-1])
    momentum = 1.0
    for _ in range(max_steps):
        here = problem.gradient(theta, beta, 1 - beta)
        if here @ theta + problem.radius * np.linalg.norm(here) < tolerance:
            return theta
        before = theta
        theta = problem.project(ahead - step * problem.gradient(ahead, beta, 1 - beta))
        if (ahead - theta) @ (theta - before) > 0:
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = theta + (momentum - 1) / following * (theta - before)
        momentum = following
    raise RuntimeError(f"min over theta: not within {tolerance} of the optimum after {max_steps} steps")


@dataclass(frozen=True)
class Row:
    """Gaps at one horizon, a seed each, beside the bound of their expectation."""

    horizon: int
    gaps: list[float]
    bound: float


def measure(
    problem: Problem,
    horizons: Sequence[int],
    seeds: Sequence[int],
    rule: Callable[[float, int], Weighting] = paper_rule,
) -> list[Row]:
    """Gaps of the averaged iterates, a row a horizon."""
    bound = Theory.of(problem, BATCH_SIZE).bound
    return [
        Row(
            horizon,
            [duality_gap(problem, *averaged_iterates(problem, horizon, seed, rule)) for seed in seeds],
            bound / math.sqrt(horizon),
        )
        for horizon in horizons
    ]


def fitted_line(rows: Sequence[Row]) -> tuple[float, float]:
    """Slope and intercept of log(mean gap) over log(T), by least squares."""
    means = [np.mean(row.gaps) for row in rows]
    slope, intercept = np.polyfit(np.log([row.horizon for row in rows]), np.log(means), deg=1)
    return float(slope), float(intercept)


def guarantee_holds(rows: Sequence[Row]) -> bool:
    """Whether the gap shrinks about as fast as 1 / sqrt(T) or faster, and each lies under the bound."""
    return fitted_line(rows)[0] <= SLOPE_REQUIRED and all(max(row.gaps) <= row.bound for row in rows)


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| T | median gap | range over seeds | bound |", "|---:|---:|---:|---:|"]
    lines += [
        f"| {row.horizon} | {np.median(row.gaps):.4f} | {min(row.gaps):.4f} to {max(row.gaps):.4f} | {row.bound:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def draw(rows: Sequence[Row], name: str = "AdaWAC") -> Figure:
    """Gaps of every seed, their fit and the bound, over T."""
    slope, intercept = fitted_line(rows)
    horizons = np.array([row.horizon for row in rows])
    figure = Figure(figsize=(5.6, 4.0), dpi=150, layout="constrained")
    axes = figure.subplots()
    constant = rows[0].bound * math.sqrt(rows[0].horizon)
    axes.plot(horizons, [row.bound for row in rows], color=VERMILION, label=rf"bound, ${constant:.1f}\,/\sqrt{{T}}$")
    fit = np.exp(intercept) * horizons**slope
    axes.plot(horizons, fit, "--", color=BLUE, label=f"fit to the means, slope {slope:.2f}")
    for row in rows:
        axes.plot([row.horizon] * len(row.gaps), row.gaps, "o", color=BLUE, markersize=4, alpha=0.5)
    axes.plot([], [], "o", color=BLUE, alpha=0.5, markersize=4, label=f"{name}, {len(rows[0].gaps)} seeds")
    axes.set(xscale="log", yscale="log", xlabel="steps T", ylabel="duality gap of the averaged iterates")
    axes.grid(color="0.9")
    axes.legend(frameon=False)
    return figure


def main() -> int:
    """Measure, print, write; the exit code says whether the guarantee held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="writes OUTPUT.json and OUTPUT.png")
    args = parser.parse_args()

    problem = Problem.random()
    rows = measure(problem, HORIZONS, SEEDS)
    results = {
        "samples": len(problem),
        "radius": problem.radius,
        "seeds": SEEDS,
        "batch_size": BATCH_SIZE,
        "theory": asdict(Theory.of(problem, BATCH_SIZE)),
        "slope": fitted_line(rows)[0],
        "holds": guarantee_holds(rows),
        "rows": [asdict(row) for row in rows],
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    draw(rows).savefig(args.output.with_suffix(".png"))
    print(f"{table(rows)}\n\nSlope {results['slope']:.2f}; the guarantee {'holds' if results['holds'] else 'FAILS'}.")
    return 0 if results["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
