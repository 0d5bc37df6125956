"""How far intervals and verdicts can be trusted with so many cases and seeds: simulated coverage and false positives.

python scripts/coverage.py --cases 30 --runs 3
"""

import argparse

from rich.console import Console

from adawac.evaluation.coverage import coverage_table, simulate_bootstrap, simulate_coverage


def main() -> None:
    """Parse, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, required=True, help="test cases, each of another patient")
    parser.add_argument("--runs", type=int, default=1, help="seeds of each method")
    parser.add_argument("--trials", type=int, default=4000, help="simulated data sets for each line")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    parser.add_argument("--bootstrap", type=int, metavar="TRIALS", help="the bootstrap beside it, in so many trials")
    args = parser.parse_args()

    console = Console()
    console.print(
        coverage_table(simulate_coverage(args.cases, args.runs, args.trials, seed=args.seed), args.cases, args.runs)
    )
    if args.bootstrap:
        for scenario, mean, difference in simulate_bootstrap(args.cases, args.runs, args.bootstrap, seed=args.seed):
            console.print(f"bootstrap, {scenario.name}: mean {mean}, difference {difference}")


if __name__ == "__main__":
    main()
