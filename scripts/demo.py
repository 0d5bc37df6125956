"""Train ERM and AdaWAC on generated CT, test both, and show what came out. Run by `make demo`.

Everything lies in the folder `demo`. What is finished is kept: run it again and it goes on where it stopped;
delete the folder to start afresh.
"""

import argparse
import logging
import os
import shutil
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import adawac
from adawac.cli import main as command
from adawac.evaluation import CaseRow, read_csv, summary_table, to_markdown
from adawac.figures import Panel, overlay, side_by_side
from adawac.io.volumes import read_nifti
from adawac.runs.folder import RunFolder
from adawac.training.performance.cpu import emulates_bfloat16

DEMO = Path("demo")
DATA = DEMO / "phantom-ct"
CONFIGS = Path(os.path.relpath(Path(__file__).resolve().parent.parent / "configs"))
METHODS = {"erm": "ERM", "adawac": "AdaWAC"}
SHOWN = (0.1, 0.35, 0.6, 0.9)
"""Of a volume's length: the slices that are drawn with their weights."""

NEXT = """
Pictures           {demo}/pictures
TensorBoard        {bin}tensorboard --logdir {demo}/runs

Your own data      {bin}adawac init PATH/TO/DATA -o mine.yaml    (MSD, nnU-Net, Synapse, ACDC, or two folders of NIfTI)
                   {bin}adawac fit mine.yaml
                   {bin}adawac test runs/NAME/version_0
                   {bin}adawac study mine_study.yaml    (does reweighting help there?)
                   {bin}adawac predict runs/NAME/version_0 -i IMAGES -o LABELS
"""


def main() -> None:
    """Generate, train, test, compare."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    console = Console()
    if not (DATA / "dataset.json").exists():
        shutil.rmtree(DATA, ignore_errors=True)
        run("phantom", str(DATA), "--patients", "16", "--size", "40", "96", "96")
    runs = {method: trained_run(method) for method in METHODS}

    rows = {method: read_csv(folder / "cases.csv") for method, folder in runs.items()}
    console.print(summary_table(rows, title="Four test volumes of generated CT"))
    (DEMO / "results.md").write_text(to_markdown(rows))
    draw(runs, rows["adawac"])
    console.print(
        "\nGenerated organs are easier than real ones, and four volumes are few: this shows how it works, not how well."
    )
    in_venv = Path(".venv/bin/adawac").exists()
    print(NEXT.format(demo=DEMO, bin=".venv/bin/" if in_venv else ""))


def run(*arguments: str) -> None:
    """Show a command as a user would type it, and run it."""
    print(f"\n$ adawac {' '.join(arguments)}", flush=True)
    if code := command(arguments):
        raise SystemExit(code)


def trained_run(method: str) -> Path:
    """Fit and test a method, unless that is done already; the folder of its run."""
    folder = DEMO / "runs" / method / "version_0"
    if not (folder / "cases.csv").exists():
        shutil.rmtree(folder, ignore_errors=True)
        places = ("--data.root", str(DATA), "--runs", str(DEMO / "runs"))
        which = ("--name", method, "--model.weighting", METHODS[method])
        precision = ("--trainer.precision", "32-true") * emulates_bfloat16()
        run("fit", str(CONFIGS / "phantom_unet.yaml"), *which, *places, *precision)
        run("test", str(folder))
    return folder


def draw(runs: dict[str, Path], rows: list[CaseRow]) -> None:
    """Predictions over the slice of a test volume with the most organs; the last weights by slice position."""
    pictures = DEMO / "pictures"
    pictures.mkdir(exist_ok=True)
    case = rows[0].case
    image, target = (read_nifti(DATA / folder / f"{case}.nii.gz") for folder in ("imagesTr", "labelsTr"))
    labels = target.array[0].astype(np.uint8)
    position = int(max(range(len(labels)), key=lambda z: (len(np.unique(labels[z])), np.count_nonzero(labels[z]))))
    for method, folder in runs.items():
        segmenter = adawac.load(folder)
        figure = overlay(
            np.clip(image.array[0, position], *segmenter.recipe.data.preprocessing.window),
            labels[position],
            segmenter.predict(image, case)[position],
            segmenter.recipe.data.classes.names,
            title=f"{method}: {case}, slice {position} of {len(labels)}",
            spacing=image.geometry.spacing[1:] if image.geometry.spacing else (1.0, 1.0),
        )
        figure.savefig(pictures / f"prediction_{method}.png")
    draw_weights(runs["adawac"]).savefig(pictures / "weights_of_slices.png")
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    events = EventAccumulator(str(runs["adawac"]), size_guidance={"images": 0}).Reload()
    (pictures / "weights_by_position.png").write_bytes(events.Images("weights/by_position")[-1].encoded_image_string)


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
