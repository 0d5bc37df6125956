"""Put tested AdaWAC runs on slices, on slices with neighbours and on patches side by side, as a Markdown table.

    python scripts/units.py runs/phantom_{unet,unet25d,unet3d}/version_0

Dice is of whole test volumes on their native grid (mean of the organs), AUROC how well the log-odds at the end of the
training detect label-dense samples, over the whole training set.
"""

import argparse
import json
from pathlib import Path

from adawac.data.unit_kinds import PatchUnit, UnitKind
from adawac.evaluation import read_run, summarise_methods
from adawac.evaluation.summary import Summary
from adawac.runs.checkpoint import RECIPE, Recipe, find_checkpoint, read_checkpoint
from adawac.runs.folder import RunFolder
from adawac.runs.slice_weights import SliceWeights

HEAD = ("unit", "training samples", "label-dense", "steps", "Dice", "worst organ", "AUROC", "weight, dense", "sparse")


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder with cases.csv in it")
    print("| " + " | ".join(HEAD) + " |\n|---|" + "---:|" * (len(HEAD) - 1))
    tables = {str(run): read_run(RunFolder(run)) for run in parser.parse_args().runs}
    summaries = summarise_methods(tables)
    for run, summary in summaries.items():
        print("| " + " | ".join(line(Path(run), summary)) + " |")
    if left_out := next(iter(summaries.values())).left_out:
        print(f"\nLeft out of the means: {'; '.join(map(str, left_out))}.")


def line(run: Path, summary: Summary) -> list[str]:
    """The cells of a run."""
    weights = SliceWeights.read(run / "weights.csv")
    worst = summary.worst_class
    recipe = Recipe.from_json(read_checkpoint(find_checkpoint(run))[RECIPE])
    return [
        describe(recipe.data.unit),
        str(len(weights.case)),
        f"{weights.dense.mean():.0%}",
        str(json.loads((run / "run.json").read_text())["steps"]),
        f"{summary.mean().value:.3f}",
        f"{worst[1].value:.3f} ({worst[0]})" if worst else "-",
        f"{weights.auroc:.3f}",
        f"{weights.means.dense:.2f}",
        f"{weights.means.sparse:.2f}",
    ]


def describe(unit: UnitKind) -> str:
    """Such as `2.5D, 3 slices`."""
    if isinstance(unit, PatchUnit):
        return f"3D, {' x '.join(map(str, unit.patch))}"
    return "2D" if unit.parts == 1 else f"2.5D, {unit.parts} slices"


if __name__ == "__main__":
    main()
