"""adawac's Dice on validation cases against minutes of CPU: `init` and `fit` as they are written, as in nnunet_minutes.

    OMP_NUM_THREADS=1 python scripts/adawac_minutes.py DATA/hippocampus-mr --3d --seeds 0 1 2 -o hippocampus_3d.json

Minutes count planning, preparing and training, but not validations. One thread. What is there of the JSON stays: a seed
that is in it is not trained again. With `--test` each best checkpoint is measured on the test cases, once, at the end.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from nnunet_minutes import minutes

from adawac import fit, init


class Minutes(Callback):
    """Writes a line for each validation.

    Args:
        path: file of lines, each a point of the curve.
        before: minutes when this process began its part.
    """

    def __init__(self, path: str, before: float) -> None:
        self.path, self.uncounted, self.begun = Path(path), before, 0.0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here minutes do not count."""
        self.begun = minutes()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here they do."""
        if not trainer.sanity_checking:
            dice = round(float(trainer.callback_metrics["val/dice"]), 4)
            point = {
                "step": trainer.global_step,
                "cpu_minutes": round(self.begun - self.uncounted, 1),
                "val_dice": dice,
            }
            with self.path.open("a") as lines:
                lines.write(json.dumps(point) + "\n")
            print(point, flush=True)
        self.uncounted += minutes() - self.begun


def main() -> None:
    """Plan, train each seed, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--3d", dest="patches", action="store_true", help="as `init --3d`")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help='of `fit`, as JSON: {"data.drop": ["Larynx"]}')
    parser.add_argument("--epochs", type=int, help="instead of those planned, to try this script")
    args = parser.parse_args()
    found: dict[str, Any] = json.loads(args.output.read_text()) if args.output.exists() else {"runs": []}
    for seed in args.seeds:
        if any(run["seed"] == seed for run in found["runs"]):
            continue
        found["runs"].append({"seed": seed, **trained(args, seed)})
        command = f"python scripts/adawac_minutes.py {args.data.name}{' --3d' * args.patches} -o {args.output.name}"
        found |= {"tool": "adawac", "configuration": "3D" if args.patches else "2D", "settings": args.settings}
        found |= {"command": command}
        args.output.write_text(json.dumps(found, indent=1) + "\n")


def trained(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The curve of one training, and its Dice on test cases if asked for."""
    before = minutes()
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "curve")
        plan = Path(folder, "plan.yaml")
        init(args.data, output=plan, patches=args.patches)
        curve = {"class_path": "adawac_minutes.Minutes", "init_args": {"path": str(lines), "before": before}}
        settings: dict[str, Any] = {"precision": "32-true", "callbacks": [curve]}
        settings |= {"max_epochs": args.epochs} if args.epochs else {}
        own = {"seed_everything": seed, "data.store": f"{folder}/store", "runs": folder}
        run = fit(plan, trainer=settings, **args.settings, **own)
        result: dict[str, Any] = {"curve": [json.loads(line) for line in lines.read_text().splitlines()]}
        if args.test:
            rows = [row for row in run.test() if row.metric == "dice" and row.group == "all"]
            result["test_dice"] = round(mean(row.value for row in rows), 4)
        return result


if __name__ == "__main__":
    main()
