"""Compare the settings of a search by cross-validation: each patient is measured once, by the run of their fold.

    adawac study configs/studies/openkbp5_search.yaml --jobs 12 --data.root DATA/openkbp-ct
    python scripts/search.py configs/studies/openkbp5_search.yaml -o docs/results/openkbp5_search

A line a setting, the best first: mean Dice over organs and patients, and its difference from the first setting of the
study, paired by patient, with the 95 % interval of Student's t. Folds share training patients, so that the interval is
a little short; choosing the best of many flatters it. That is why a test set waits.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
from scipy import stats

from adawac.evaluation.table_files import read_table
from adawac.study import read_study


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="STUDY.yaml", help="axes: one of settings, and `fold`")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="writes OUTPUT.md and OUTPUT.json")
    args = parser.parse_args()

    study = read_study(args.study, args.runs)
    others = [axis for axis in study.axes if axis != "fold"]
    if len(others) != 1:  # a patient would be measured by several runs of a setting
        parser.error(f"{args.study}: beside `fold` there must be one axis, of settings; found {', '.join(others)}")
    patients: dict[str, dict[str, float]] = defaultdict(dict)
    unfinished = []
    for cell in study.cells:
        if cell.state == "finished":
            patients[cell.options[others[0]]] |= dice_by_patient(cell.cases)
        else:
            unfinished.append(cell.name)
    if not patients:
        parser.error(f"no cell of {args.study} has finished in {study.folder}; run `adawac study`, or correct --runs")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(patients, indent=1) + "\n")
    text = "\n".join(table(patients) + [f"\nNot run to the end: {', '.join(unfinished)}."] * bool(unfinished))
    args.output.with_suffix(".md").write_text(text + "\n")
    print(text)


def dice_by_patient(cases: Path) -> dict[str, float]:
    """Mean Dice over the organs of every patient of a case table."""
    values = defaultdict(list)
    for row in read_table(cases):
        if row.metric == "dice" and row.group == "all":
            values[row.patient].append(row.value)
    return {patient: mean(of) for patient, of in values.items()}


def table(patients: dict[str, dict[str, float]]) -> list[str]:
    """A line a setting, over the patients that all settings have been measured on."""
    common = sorted(set.intersection(*map(set, patients.values())))
    reference, *_ = patients
    dice = {setting: np.array([of[patient] for patient in common]) for setting, of in patients.items()}
    lines = [f"| setting | Dice, {len(common)} patients | minus {reference} | 95 % interval |", "|---|---:|---:|---|"]
    for setting in sorted(dice, key=lambda name: -dice[name].mean()):
        gain = dice[setting] - dice[reference]
        low, high = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain) or np.nan)
        interval = "" if setting == reference else f"{low:+.3f} to {high:+.3f}"
        lines.append(f"| {setting} | {dice[setting].mean():.3f} | {gain.mean():+.3f} | {interval} |")
    return lines


if __name__ == "__main__":
    main()
