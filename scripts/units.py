"""Put tested AdaWAC runs on slices, on slices with neighbours and on patches side by side.

    python scripts/units.py runs/phantom_{slices,neighbours,slabs,quarters}/version_0 -o docs/results/units_phantom.json
    python scripts/document_tables.py     # the table in docs/results/units.md

Dice is of whole test volumes on their native grid (mean of the organs), AUROC how well the log-odds at the end of the
training detect label-dense samples, over the whole training set.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from adawac.data.unit_kinds import PatchUnit, UnitKind
from adawac.evaluation import read_run, summarise_methods
from adawac.evaluation.summary import Summary
from adawac.runs.checkpoint import RECIPE, Recipe, find_checkpoint, read_checkpoint
from adawac.runs.folder import RunFolder
from adawac.runs.slice_weights import SliceWeights


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder with cases.csv in it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    args = parser.parse_args()
    summaries = summarise_methods({str(run): read_run(RunFolder(run)) for run in args.runs})
    rows = [measured(Path(run), summary) for run, summary in summaries.items()]
    left_out = [str(each) for each in next(iter(summaries.values())).left_out]
    args.output.write_text(json.dumps({"left_out": left_out, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def measured(run: Path, summary: Summary) -> dict[str, Any]:
    """What is known of a run."""
    weights = SliceWeights.read(run / "weights.csv")
    worst = summary.worst_class
    recipe = Recipe.from_json(read_checkpoint(find_checkpoint(run))[RECIPE])
    return {
        "name": run.parent.name,
        "unit": describe(recipe.data.unit),
        "samples": len(weights.case),
        "label-dense": float(weights.dense.mean()),
        "steps": json.loads((run / "run.json").read_text())["steps"],
        "dice": summary.mean().value,
        "worst": None if worst is None else {"organ": worst[0], "dice": worst[1].value},
        "auroc": weights.auroc,
        "weight, dense": float(weights.means.dense),
        "weight, sparse": float(weights.means.sparse),
    }


def describe(unit: UnitKind) -> str:
    """Such as `2.5D, 3 slices`."""
    if isinstance(unit, PatchUnit):
        return f"3D, {' x '.join(map(str, unit.patch))}"
    return "2D" if unit.parts == 1 else f"2.5D, {unit.parts} slices"


if __name__ == "__main__":
    main()
