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
    unfinished = [cell.name for cell in study.cells if cell.state != "finished"]
    left_out = {cell.options[others[0]] for cell in study.cells if cell.name in unfinished}
    patients: dict[str, dict[str, float]] = defaultdict(dict)
    for cell in study.cells:
        if (setting := cell.options[others[0]]) not in left_out:
            patients[setting] |= dice_by_patient(cell.cases)
    if not patients:
        parser.error(
            f"no setting of {args.study} has finished all its folds in {study.folder}; run `adawac study`, or correct "
            "--runs"
        )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(patients, indent=1) + "\n")
    text = "\n".join(table(patients) + [f"\nNot run to the end: {', '.join(sorted(left_out))}."] * bool(left_out))
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
    """A line a setting; all of them were measured on the same patients."""
    reference, *_ = patients
    everybody = sorted(patients[reference])
    dice = {setting: np.array([of[patient] for patient in everybody]) for setting, of in patients.items()}
    lines = [
        f"| setting | Dice, {len(everybody)} patients | minus {reference} | 95 % interval |",
        "|---|---:|---:|---|",
    ]
    for setting in sorted(dice, key=lambda name: -dice[name].mean()):
        gain = dice[setting] - dice[reference]
        low, high = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain) or np.nan)
        interval = "" if setting == reference else f"{low:+.3f} to {high:+.3f}"
        lines.append(f"| {setting} | {dice[setting].mean():.3f} | {gain.mean():+.3f} | {interval} |")
    return lines


if __name__ == "__main__":
    main()
