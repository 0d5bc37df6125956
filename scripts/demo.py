"""Train AdaWAC, and plain training of the same cost, on generated CT; compare them in a report. Run by `make demo`.

Everything lies in the folder `demo`. What is finished is kept: run it again and it goes on where it stopped;
delete the folder to start afresh.
"""

import argparse
import os
import shutil
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import adawac
from adawac.cli import main as command
from adawac.figures import Panel, side_by_side
from adawac.io.volumes import read_nifti
from adawac.runs.folder import RunFolder
from adawac.training.performance.cpu import emulates_bfloat16

DEMO = Path("demo")
DATA = DEMO / "phantom-ct"
RUN = DEMO / "runs/demo/adawac-seed0/version_0"
PICTURE = DEMO / "weights_of_slices.png"
CONFIGS = Path(os.path.relpath(Path(__file__).resolve().parent.parent / "configs"))
SHOWN = (0.1, 0.35, 0.6, 0.9)
"""Of a volume's length: the slices that are drawn with their weights."""

NEXT = """
Generated organs are easier than real ones; four test volumes and one seed are few: this shows how it works, no more.

Report             {demo}/runs/demo/report/report.html
Weights of slices  {picture}
TensorBoard        {bin}tensorboard --logdir {demo}/runs

Your own data      {bin}adawac init PATH/TO/DATA -o mine.yaml    (MSD, nnU-Net, Synapse, ACDC, or two folders of NIfTI)
                   {bin}adawac fit mine.yaml
                   {bin}adawac test runs/NAME/version_0
                   {bin}adawac study mine_study.yaml    (does reweighting help there?)
                   {bin}adawac predict runs/NAME/version_0 -i IMAGES -o LABELS
"""


def main() -> None:
    """Generate, train, test, report."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not (DATA / "dataset.json").exists():
        shutil.rmtree(DATA, ignore_errors=True)
        run("phantom", str(DATA), "--patients", "16", "--size", "40", "96", "96")
    # Trainings side by side, a share of the cores each: networks this small gain little from a second thread.
    precision = ("--trainer.precision", "32-true") * emulates_bfloat16()
    places = ("--data.root", str(DATA), "--runs", str(DEMO / "runs"))
    run("study", str(CONFIGS / "studies/demo.yaml"), "--jobs", "auto", *places, *precision)
    draw_weights(RUN).savefig(PICTURE)
    print(NEXT.format(demo=DEMO, picture=PICTURE, bin=".venv/bin/" if Path(".venv/bin/adawac").exists() else ""))


def run(*arguments: str) -> None:
    """Show a command as a user would type it, and run it."""
    print(f"\n$ adawac {' '.join(arguments)}", flush=True)
    if code := command(arguments):
        raise SystemExit(code)


def draw_weights(run: Path) -> Figure:
    """Slices that AdaWAC trained on, from the lower to the upper end of a volume, each with its last weight."""
    segmenter, table = adawac.load(run), RunFolder.open(run).weights
    assert table is not None
    case = table.case[0]
    image, target = (read_nifti(DATA / folder / f"{case}.nii.gz") for folder in ("imagesTr", "labelsTr"))
    weights = {
        int(unit): weight for of, unit, weight in zip(table.case, table.unit, table.weight, strict=True) if of == case
    }
    preds = segmenter.predict(image, case)
    shown = np.clip(image.array[0], *segmenter.recipe.data.preprocessing.window)
    panels = {
        f"slice {z} of {len(preds)}\nweight {weights[z]:.2f}": Panel(shown[z], target.array[0, z], preds[z])
        for z in (round(share * (len(preds) - 1)) for share in SHOWN)
    }
    spacing = image.geometry.spacing or (1.0, 1.0, 1.0)
    return side_by_side(panels, segmenter.recipe.data.classes.names, spacing[1:])


if __name__ == "__main__":
    main()
