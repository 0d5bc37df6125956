"""Do the weights separate label-dense from label-sparse slices, on every network, optimiser and data set of a study?

    adawac study configs/studies/separation.yaml --jobs 2
    python scripts/separation.py configs/studies/separation.yaml -o docs/results/separation

Reads what every finished cell logged at the end of its epochs: AUROC of the log-odds as detector of label-dense
slices over the whole training set, mean weight of either group, the raw consistency loss over the cross-entropy, and
the standard deviation of the features over a batch, of which the share that is left since the first epoch tells a
collapse. A cell holds where the AUROC is 0.85 or more, the mean weight of dense slices above and of sparse slices
below 1/2, and a tenth or more of the features' standard deviation left.
"""

import argparse
import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from adawac.study import Study, read_study

LOGGED = {
    "auroc": "weights/auroc",
    "dense": "weights/dense_mean",
    "sparse": "weights/sparse_mean",
    "ac_over_ce": "ratio/ac_over_ce",
    "feature_std": "train/feature_std",
}
AUROC, STD_LEFT = 0.85, 0.1


def main() -> None:
    """Read, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="STUDY.yaml", help="the study that was run")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="writes OUTPUT.md and OUTPUT.json")
    args = parser.parse_args()

    study = read_study(args.study, args.runs)
    cells = [{**cell.options, **course(cell.run.path)} for cell in study.cells if cell.state == "finished"]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(cells, indent=1) + "\n")
    text = "\n".join([*table(cells), *unfinished(study)])
    args.output.with_suffix(".md").write_text(text + "\n")
    print(text)


def course(run: Path) -> dict[str, list[float]]:
    """What was logged, by epoch."""
    events = EventAccumulator(str(run)).Reload()
    epochs = [event.step for event in events.Scalars(LOGGED["auroc"])]
    values = {name: {event.step: event.value for event in events.Scalars(tag)} for name, tag in LOGGED.items()}
    # What is logged every few steps has its last value before the epoch's end.
    return {name: [of[max(step for step in of if step <= epoch)] for epoch in epochs] for name, of in values.items()}


def holds(cell: dict) -> bool:
    """The rule at the top of this file, after the last epoch."""
    return (
        cell["auroc"][-1] >= AUROC
        and cell["dense"][-1] > 0.5 > cell["sparse"][-1]
        and cell["feature_std"][-1] >= STD_LEFT * cell["feature_std"][0]
    )


def table(cells: list[dict]) -> list[str]:
    """A line a cell, the rules apart."""
    lines = []
    for rule in dict.fromkeys(cell["rule"] for cell in cells):
        chosen = [cell for cell in cells if cell["rule"] == rule]
        lines += [
            f"**{rule}**: holds in {sum(map(holds, chosen))} of {len(chosen)} cells",
            "",
            "| data | network | optimiser | AUROC by epoch | weight, dense | sparse | ac / ce | std left | holds |",
            "|---|---|---|---|---:|---:|---:|---:|---|",
        ]
        for cell in chosen:
            aurocs = " ".join(f"{value:.2f}" for value in cell["auroc"])
            left = cell["feature_std"][-1] / cell["feature_std"][0]
            lines.append(
                f"| {cell['data']} | {cell['network']} | {cell['optimizer']} | {aurocs} | {cell['dense'][-1]:.3f} "
                f"| {cell['sparse'][-1]:.3f} | {cell['ac_over_ce'][-1]:.2g} | {left:.2f} "
                f"| {'yes' if holds(cell) else 'no'} |"
            )
        lines.append("")
    return lines


def unfinished(study: Study) -> list[str]:
    """Which cells are missing."""
    missing = [cell.name for cell in study.cells if cell.state != "finished"]
    return [f"Not run to the end: {', '.join(missing)}.", ""] if missing else []


if __name__ == "__main__":
    main()
