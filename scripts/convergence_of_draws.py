r"""The guarantee of draws that follow the losses, run: the duality gap shrinks as O(1/sqrt(T)) on a convex problem.

    python scripts/convergence_of_draws.py -o docs/results/convergence_draws

As scripts/convergence.py, with a constant tau in place of the consistency loss, and with weights that decide what is
drawn instead of how much it counts (`adawac.data.sampling.AdaptiveSampling` with one group):

    L(theta, beta) = (1/n) sum_i [beta_i ce_i(theta) + (1 - beta_i) tau],
    p_i = gamma / n + (1 - gamma) beta_i / sum beta

Its largest value over beta is mean_i max(ce_i, tau): the conditional value at risk at a fixed threshold (Rockafellar,
Uryasev 2000). A step draws B samples, each with probability B p_i, and with u_i = 1 / (n p_i)

    theta moves by the batch's mean of u_i beta_i grad ce_i,    z_i by (eta / B) u_i (ce_i - tau):

both unbiased, so that step 1 to 3 of scripts/convergence.py's proof hold as they stand, without its step 4. As
p_i >= gamma / n and p_i >= (1 - gamma) beta_i / sum beta, the second moments are at most

    G_theta^2 = mean_i H_i^2 / (1 - gamma),    G_beta^2 = mean_i M_i^2 / (4 gamma B),    M_i >= |ce_i - tau|.

What `AdaptiveSampling` does otherwise is outside of the guarantee: tau is a running mean, u_i and ce_i are bounded, the
factor u_i beta_i (nearly the same for all) is left out of the step of the network, batch Dice, and real networks.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
from convergence import BATCH_SIZE, HORIZONS, SEEDS, Array, Problem, Row, draw, duality_gap, fitted_line, table
from scipy.special import expit

from adawac.data.sampling.systematic import at_most, draw_exactly

TAU = 0.4
"""Near the median loss at the solution: some samples lie above, some below."""

FLOOR = 0.2
"""gamma. The bound grows as 1 / sqrt(gamma)."""


class AtThreshold(Problem):
    """One loss a sample, and a constant to beat."""

    def losses(self, theta: Array) -> tuple[Array, Array]:
        """(n,) logistic losses, and tau."""
        ce, _ = super().losses(theta)
        return ce, np.full_like(ce, TAU)


def steps_and_bound(problem: Problem) -> tuple[float, float, float]:
    """c_theta, c_beta and the bound, each to be divided by sqrt(T)."""
    largest, gradient, _ = problem.extremes()
    difference = np.maximum(TAU, largest - TAU)
    theta_norm = math.sqrt(np.mean(gradient**2) / (1 - FLOOR))
    beta_norm = math.sqrt(np.mean(difference**2) / (4 * FLOOR * BATCH_SIZE))
    distance = math.sqrt(2 * len(problem) * math.log(2))
    bound = 2 * problem.radius * theta_norm + 2 * distance * beta_norm
    return problem.radius / theta_norm, distance / beta_norm, bound


def averaged_iterates(problem: Problem, horizon: int, seed: int, sign: float = 1.0) -> tuple[Array, Array]:
    """Draw by the weights for a fixed number of steps.

    Args:
        problem: with n samples and d features.
        horizon: T, number of steps, which sets their size.
        seed: of the draws.
        sign: of the weights' steps; -1 is a wrong rule, which the check must find.

    Returns:
        (d,) mean of theta and (n,) mean of beta over the iterates before each step.
    """
    rng, n = np.random.default_rng(seed), len(problem)
    theta_step, beta_step, _ = (each / math.sqrt(horizon) for each in steps_and_bound(problem))
    theta, log_odds = np.zeros(problem.views.shape[-1]), np.zeros(n)
    theta_sum, beta_sum = np.zeros_like(theta), np.zeros(n)
    for _ in range(horizon):
        beta = expit(log_odds)
        theta_sum += theta
        beta_sum += beta
        p = at_most(FLOOR / n + (1 - FLOOR) * beta / beta.sum(), 1 / BATCH_SIZE)
        rows = draw_exactly(p, np.zeros(n, dtype=bool), BATCH_SIZE, rng)
        rarity, batch = 1 / (n * p[rows]), problem.take(rows)
        ce, tau = batch.losses(theta)
        log_odds[rows] += sign * beta_step / BATCH_SIZE * rarity * (ce - tau)
        gradient = batch.gradient(theta, rarity * beta[rows], np.zeros(BATCH_SIZE))
        theta = problem.project(theta - theta_step * gradient)
    return theta_sum / horizon, beta_sum / horizon


def measure(problem: Problem, horizons: tuple[int, ...], seeds: tuple[int, ...], sign: float = 1.0) -> list[Row]:
    """Gaps of the averaged iterates, a row a horizon."""
    *_, bound = steps_and_bound(problem)
    return [
        Row(
            horizon,
            [duality_gap(problem, *averaged_iterates(problem, horizon, seed, sign)) for seed in seeds],
            bound / math.sqrt(horizon),
        )
        for horizon in horizons
    ]


def random_problem() -> AtThreshold:
    """That of scripts/convergence.py, without its consistency loss."""
    two = Problem.random()
    return AtThreshold(two.views, two.labels, two.radius, consistency=0.0)


def main() -> int:
    """Measure, print, write; the exit code says whether the guarantee held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="writes OUTPUT.json and OUTPUT.png")
    args = parser.parse_args()
    problem = random_problem()
    rows = measure(problem, HORIZONS, SEEDS)
    slope = fitted_line(rows)[0]
    results = {
        "samples": len(problem),
        "tau": TAU,
        "floor": FLOOR,
        "seeds": SEEDS,
        "batch_size": BATCH_SIZE,
        "slope": slope,
        "holds": all(max(row.gaps) <= row.bound for row in rows),
        "rows": [{"horizon": row.horizon, "gaps": row.gaps, "bound": row.bound} for row in rows],
    }
    args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    draw(rows, "drawn by weights").savefig(args.output.with_suffix(".png"))
    print(f"{table(rows)}\n\nSlope {slope:.2f}; the bound {'holds' if results['holds'] else 'FAILS'}.")
    return 0 if results["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
