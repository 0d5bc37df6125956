"""How often does a report find what is not there? Studies of equal methods, drawn as those in docs/results fell.

    python scripts/null_simulation.py -o docs/results/null_simulation.json     # about six minutes on one core

Each study has a reference and three methods that are all alike: Dice of organ k of patient i in run r of method m is

    expit(level_k + patient_ik + (patient and method)_imk + run_mrk + (run and patient)_imrk),

all terms normal, correlated over the organs as they were in a committed study, whose case table they are estimated from
(mean squares of log-odds). The study is judged as a report judges it. Of several seeds the truth is that methods do not
differ; of a single one it is how these trained networks differ, by quadrature over all patients.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from adawac.evaluation import MEAN_OF_CLASSES, Comparison, read_table
from adawac.evaluation.intervals import Interval, mean_interval, paired_test
from adawac.evaluation.statistics import corrected

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ("openkbp5", "openkbp5_small", "acdc", "phantom")
PATIENTS, SEEDS, METHODS, ORGANS = (6, 12, 40), (1, 3), 3, 5
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
Array = NDArray[np.float64]


class Spreads(NamedTuple):
    """How Dice fell in a study, in log-odds: the level (K,) of K organs, and covariances (K, K) over them."""

    level: Array
    patient: Array
    patient_method: Array
    run: Array
    run_patient: Array

    @classmethod
    def of(cls, odds: Array) -> "Spreads":
        """By mean squares of log-odds (methods, runs, patients, organs)."""
        methods, runs, patients, _ = odds.shape
        of_cell, of_run, of_method = odds.mean(axis=1), odds.mean(axis=2), odds.mean(axis=(1, 2))
        of_patient, level = odds.mean(axis=(0, 1)), odds.mean(axis=(0, 1, 2))
        both = odds - of_cell[:, None] - of_run[:, :, None] + of_method[:, None, None]
        run_patient = _square(both) / (methods * (runs - 1) * (patients - 1))
        run = _square(of_run - of_method[:, None]) / (methods * (runs - 1)) - run_patient / patients
        cell = _square(of_cell - of_patient - of_method[:, None] + level) / ((methods - 1) * (patients - 1))
        patient = _square(of_patient - level) / (patients - 1) - cell / methods
        return cls(level, *map(_possible, (patient, cell - run_patient / runs, run, run_patient)))

    def draw(self, patients: int, runs: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Dice of a study (methods, patients, runs, organs), and the true mean Dice of its networks (methods, organs).

        With several runs the truth is that of all networks that could have been trained.
        """

        def normal(covariance: Array, *shape: int) -> Array:
            return rng.multivariate_normal(np.zeros(len(covariance)), covariance, shape, method="eigh")

        methods = METHODS + 1
        run = normal(self.run, methods, 1, runs)
        odds = self.level + run + normal(self.patient, 1, patients, 1)
        odds = odds + normal(self.patient_method, methods, patients, 1)
        odds = odds + normal(self.run_patient, methods, patients, runs)
        variance = np.diag(self.patient + self.patient_method + self.run_patient)
        centre = self.level + run[:, 0, 0] if runs == 1 else np.tile(self.level, (methods, 1))
        spread = np.sqrt(variance if runs == 1 else variance + np.diag(self.run))
        truth = np.average(expit(centre[..., None] + spread[:, None] * NODES), axis=-1, weights=NODE_WEIGHTS)
        return expit(odds), truth


def _square(rows: Array) -> Array:
    rows = rows.reshape(-1, rows.shape[-1])
    return rows.T @ rows


def _possible(covariance: Array) -> Array:
    """The nearest matrix that can be a covariance: a difference of mean squares need not be one."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def spreads() -> Iterator[tuple[str, Spreads]]:
    """Of each training subset of each study."""
    for study in STUDIES:
        folder = ROOT / "docs/results" / study
        subset_of = {run["name"]: run["subset"] for run in json.loads((folder / "results.json").read_text())["runs"]}
        found: dict[str, dict[tuple[str, ...], list[float]]] = {}
        for row in read_table(folder / "cases.parquet"):
            if row.metric == "dice" and row.group == "all":
                key = row.method, row.run, row.patient, row.class_name
                found.setdefault(subset_of[row.run], {}).setdefault(key, []).append(row.value)
        for subset, values in found.items():
            dice = np.array([np.mean(of_patient) for _, of_patient in sorted(values.items())])
            shape = [len(set(names)) for names in zip(*values, strict=True)]
            shape[1] //= shape[0]  # runs of each method
            yield f"{study} {subset}".strip(), Spreads.of(logit(np.clip(dice, 0.01, 0.99)).reshape(shape)[..., :ORGANS])


def simulate(spread: Spreads, patients: int, runs: int, studies: int, seed: int) -> dict[str, float]:
    """Shares of studies, of single comparisons, and of intervals that hold the truth."""
    rng = np.random.default_rng(seed)
    hits: dict[str, list[bool]] = {}
    for study in range(studies):
        dice, truth = spread.draw(patients, runs, rng)
        mean, true_mean = dice.mean(axis=-1), truth.mean(axis=-1)
        tests = [paired_test(each, mean[0]) for each in mean[1:]]
        pairs = corrected([[_comparison(test, patients, runs)] for test in tests])
        organ = study % dice.shape[-1]
        of_organ = paired_test(dice[1, ..., organ], dice[0, ..., organ])
        for name, hit in {
            "any false verdict": any(pair[0].verdict in ("better", "worse") for pair in pairs),
            "p below 0.05": bool(tests[0].p < 0.05),
            "p below 0.05, an organ": bool(of_organ.p < 0.05),
            "difference held": _holds(tests[0], true_mean[1] - true_mean[0]),
            "difference held, an organ": _holds(of_organ, truth[1, organ] - truth[0, organ]),
            "mean held": _holds(mean_interval(mean[0]), true_mean[0]),
        }.items():
            hits.setdefault(name, []).append(hit)
    return {name: float(np.mean(of_studies)) for name, of_studies in hits.items()}


def _comparison(test: Interval, patients: int, runs: int) -> Comparison:
    numbers = [float(each) for each in test]
    name = MEAN_OF_CLASSES
    return Comparison("m", "reference", "dice", name, *numbers, np.nan, 0, patients, (runs, runs), (), None)


def _holds(interval: Interval, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def main() -> None:
    """Simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--studies", type=int, default=2000, help="of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    args = parser.parse_args()
    sources = dict(spreads())
    rows: list[dict[str, Any]] = []
    for patients in PATIENTS:
        for runs in SEEDS:
            for name, spread in sources.items():
                found = simulate(spread, patients, runs, args.studies, args.seed)
                rows.append({"source": name, "patients": patients, "runs": runs, **found})
                print(rows[-1], flush=True)
    results = {"studies": args.studies, "seed": args.seed, "methods": METHODS, "rows": rows}
    args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
