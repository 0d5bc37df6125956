"""Evaluation under subpopulation shift, and how far its intervals can be trusted.

    python scripts/evaluate_shift.py runs/mine/version_0 runs/mine_pair/version_0 -o report    # as `adawac evaluate`
    python scripts/evaluate_shift.py --coverage runs/mine/version_0 runs/mine_pair/version_0   # for those at hand
    python scripts/evaluate_shift.py --coverage --cases 30 --runs 3                            # for so many

`--coverage` simulates test sets of so many cases and seeds and prints how often the nominal 95 % intervals hold the
truth, and how often p is below 0.05 though two methods are equal.
"""

import argparse
import sys

from rich.console import Console
from simulated_coverage import coverage_table, simulate_coverage

from adawac.cli import main as adawac
from adawac.errors import AdaWACError
from adawac.report.shown_patients import by_patient
from adawac.report.sources import Source, evaluate_sources


def main(argv: list[str]) -> int:
    """Hand over to `adawac evaluate`, or simulate."""
    if "--coverage" not in argv:
        return adawac(["evaluate", *argv])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="tested runs, whose cases and seeds are counted")
    parser.add_argument("--coverage", action="store_true", required=True, help="simulate and print")
    parser.add_argument("--cases", type=int, help="test cases, each of another patient")
    parser.add_argument("--runs", type=int, help="seeds of each method")
    parser.add_argument("--trials", type=int, default=1000, help="simulated data sets for each line")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    args = parser.parse_args(argv)
    try:
        found = at_hand(args.sources) if args.sources else (None, 1)
        cases, runs = args.cases or found[0], args.runs or found[1]
        if cases is None:
            parser.error("give SOURCEs to count, or --cases")
        simulated = simulate_coverage(cases, runs, args.trials, seed=args.seed)
    except AdaWACError as error:
        print(error, file=sys.stderr)
        return 2
    Console().print(coverage_table(simulated, cases, runs))
    return 0


def at_hand(sources: list[str]) -> tuple[int, int]:
    """Patients in the test set, and the fewest seeds that a method has on a training subset."""
    evaluated = evaluate_sources([Source.parse(text) for text in sources], None, "penalise")
    runs, _ = by_patient(evaluated)
    seeds: dict[tuple[str, str], int] = {}
    for run in runs:
        seeds[run.method, run.subset] = seeds.get((run.method, run.subset), 0) + 1
    return len({row.patient for run in runs for row in run.rows}), min(seeds.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
