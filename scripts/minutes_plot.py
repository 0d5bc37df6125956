"""Dice against minutes of CPU, of what adawac_minutes.py and nnunet_minutes.py have written.

python scripts/minutes_plot.py docs/results/minutes/hippocampus*.json -o docs/results/minutes/hippocampus.png
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

COLOURS = {"adawac": "tab:blue", "nnU-Net": "tab:orange"}
LINES = {"2d": "--", "3d": "-"}


def main() -> None:
    """Draw a curve a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    figure = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for path in args.results:
        found = json.loads(path.read_text())
        kind = found["configuration"][:2].lower()
        name: str | None = f"{found['tool']}, {kind.upper()}"
        for curve in [run["curve"] for run in found["runs"]] if "runs" in found else [found["curve"]]:
            minutes, dice = [point["cpu_minutes"] for point in curve], [point["val_dice"] for point in curve]
            axes.plot(minutes, dice, LINES[kind], color=COLOURS[found["tool"]], marker=".", label=name)
            name = None  # the others of one kind look the same
    axes.set(xlabel="minutes of one CPU core, validations apart", ylabel="Dice, validation cases", ylim=(-0.02, 1))
    axes.legend(frameon=False)
    figure.savefig(args.output)


if __name__ == "__main__":
    main()
