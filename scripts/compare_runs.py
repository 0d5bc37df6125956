"""Put the test results of several runs side by side: Markdown, JSON, case tables, and pictures of the weights.

    python scripts/compare_runs.py runs/openkbp_unet_{erm,pair,adawac}/version_0 -o docs/results/openkbp

Every run must have been tested (`adawac test RUN`). Beside the metrics stands what the weights did in training: how
well the log-odds detect label-dense slices (AUROC over the whole training set), and the mean weight of either group.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from adawac.evaluation import CaseRow, read_run, summarise_methods, to_markdown
from adawac.runs.folder import RunFolder

WEIGHTS = {"weights/auroc": "AUROC", "weights/dense_mean": "mean weight, dense", "weights/sparse_mean": "sparse"}
SHOWN_EPOCHS = (1, 2, 5, 10, 20, 50, 100, 200)


def main() -> None:
    """Read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder with cases.csv in it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="writes OUTPUT.md, OUTPUT.json, OUTPUT/*.csv")
    args = parser.parse_args()

    rows: dict[str, list[CaseRow]] = {}
    training: dict[str, dict[str, Any]] = {}
    args.output.mkdir(parents=True, exist_ok=True)
    for run in args.runs:
        table = read_run(RunFolder(run))
        method = table[0].method
        if method in rows:
            parser.error(f"{run}: {method} has a run here already; `adawac evaluate` takes several seeds of a method")
        rows[method] = table
        training[method] = course(run) | {"record": json.loads((run / "run.json").read_text())}
        shutil.copyfile(run / "cases.csv", args.output / f"{method}.csv")
        if picture := last_picture(run, "weights/by_position"):
            (args.output / f"{method}_weights.png").write_bytes(picture)

    text = "\n".join([to_markdown(rows), *weights_table(training), *times(training)])
    args.output.with_suffix(".md").write_text(text)
    results = {
        method: training[method] | {"dice": {name: mean.value if mean.n else None for name, mean in means.items()}}
        for method, means in ((method, summary.per_class()) for method, summary in summarise_methods(rows).items())
    }
    args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


def course(run: Path) -> dict[str, Any]:
    """What TensorBoard's log says of a training: the weights after every epoch, and how long it took."""
    events = EventAccumulator(str(run)).Reload()
    known = set(events.Tags()["scalars"])
    scalars = {tag: [event.value for event in events.Scalars(tag)] for tag in WEIGHTS if tag in known}
    losses = events.Scalars("train/loss")
    return {
        **scalars,
        "steps": losses[-1].step + 1,
        "minutes": (max(events.Scalars(tag)[-1].wall_time for tag in known) - losses[0].wall_time) / 60,
    }


def last_picture(run: Path, tag: str) -> bytes | None:
    """The last picture of this tag in TensorBoard's log, as PNG."""
    events = EventAccumulator(str(run), size_guidance={"images": 0}).Reload()
    return events.Images(tag)[-1].encoded_image_string if tag in events.Tags()["images"] else None


def weights_table(training: dict[str, dict[str, Any]]) -> list[str]:
    """A line an epoch, for each method that has weights per slice."""
    lines: list[str] = []
    for method, values in training.items():
        if "weights/auroc" not in values:
            continue
        last = len(values["weights/auroc"])
        lines += [f"| {method}, epoch | " + " | ".join(WEIGHTS.values()) + " |", "|---|" + "---:|" * len(WEIGHTS)]
        for epoch in sorted({epoch for epoch in SHOWN_EPOCHS if epoch < last} | {last}):
            lines.append(f"| {epoch} | " + " | ".join(f"{values[tag][epoch - 1]:.3f}" for tag in WEIGHTS) + " |")
        lines.append("")
    return lines


def times(training: dict[str, dict[str, Any]]) -> list[str]:
    """How long each training took, from its first logged step to its last, validation included."""
    minutes = ", ".join(f"{method} {values['minutes']:.0f}" for method, values in training.items())
    devices = ", ".join(sorted({values["record"]["device"] for values in training.values()}))
    return [f"Minutes of training, validation included, on {devices}: {minutes}.", ""]


if __name__ == "__main__":
    main()
