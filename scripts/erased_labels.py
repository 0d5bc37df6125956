"""Erase the labels of some label-dense training slices, as if nobody had outlined them, and see what becomes of them.

    python scripts/erased_labels.py erase openkbp-ct erased30 --share 0.3 --drop SpinalCord Esophagus
    adawac study configs/studies/stress.yaml --jobs 12
    python scripts/erased_labels.py measure configs/studies/stress.yaml erased30 -o docs/results/stress

`erase` copies a data set of NIfTI labels with a splits.json. In the copy a share of all label-dense training slices,
drawn by their names, holds background only; validation and test stay whole. A larger share erases what a smaller one
does, and more. `slices.csv` in the copy names every training slice: erased, else dense or sparse as before.

`measure` reads the last checkpoint of every finished cell: the mean weight of the three groups, and how well log-odds
and the last cross-entropy detect erased slices among those and the label-sparse ones (AUROC); and of the label-sparse
slices that a run names, because they stay as hard as label-dense ones, how many are erased. In a cell that was
trained on whole labels `erased` are the same slices with their labels, to compare with.
"""

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from separation import unfinished

from adawac.data.classes import Classes
from adawac.data.layouts import detect
from adawac.data.patients import patients_of
from adawac.data.splits import FileSplit
from adawac.errors import AdaWACError, ConfigError, DataError
from adawac.io.volumes import write_label_nifti
from adawac.metrics import separation_auroc
from adawac.runs.checkpoint import read_checkpoint
from adawac.runs.resume import DATA
from adawac.runs.suspects import read_suspects
from adawac.study import Cell, read_study
from adawac.study.results import Spread, cell_results
from adawac.types import IGNORE_INDEX

GROUPS = ("dense", "sparse", "erased")
TABLE = "slices.csv"
SCORES = {"log-odds": "weighting.log_odds", "cross-entropy": "last_losses.supervised"}
"""What might tell slices apart -> its name in a checkpoint."""

NAMED = ("erased of named", "named of erased")
"""Shares: precision and recall of the label-sparse slices that a run names as suspects."""

Slice = tuple[str, int]
"""Case and number of a slice, inferior to superior."""


def main(argv: list[str]) -> int:
    """Erase or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    erasing = commands.add_parser("erase", help="copy a data set without some of its labels")
    erasing.add_argument("source", type=Path, metavar="DATA", help="folder of the data set, with its splits.json")
    erasing.add_argument("target", type=Path, metavar="COPY", help="folder to write, not there yet")
    erasing.add_argument("--share", type=float, required=True, help="of the label-dense training slices, 0 to 1")
    erasing.add_argument("--seed", type=int, default=0, help="another one draws other slices (default: 0)")
    erasing.add_argument("--drop", nargs="*", default=[], metavar="CLASS", help="make no slice label-dense: data.drop")
    erasing.set_defaults(run=lambda args: erase(args.source, args.target, args.share, args.seed, args.drop))
    measuring = commands.add_parser("measure", help="what weights and losses say of the erased slices")
    measuring.add_argument("study", type=Path, metavar="STUDY.yaml", help="the study that was run on the copy")
    measuring.add_argument("copy", type=Path, metavar="COPY", help=f"the copy, for its {TABLE}")
    measuring.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    measuring.add_argument("-o", "--output", type=Path, required=True, help="writes OUTPUT.md and OUTPUT.json")
    measuring.set_defaults(run=lambda args: measure(args.study, args.copy, args.runs, args.output))
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except AdaWACError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def erase(source: Path, target: Path, share: float, seed: int, drop: Sequence[str]) -> None:
    """Write the copy, whole or not at all.

    Raises:
        ConfigError: the target is there, there is no splits.json, or the share erases none or all.
        DataError: the data set or a label breaks a rule.
    """
    if target.exists():
        raise ConfigError(f"{target} is there already; give the name of a folder to be made, or delete it")
    layout = detect(source)
    collection = layout.scan(source)
    classes = Classes.from_labels(collection.labels, collection.ignore_value, drop)
    labelled = {case.id: case for case in collection.cases if case.label}
    split = FileSplit().split(source, list(labelled.values()), patients_of(list(labelled), None))
    labels = {id_: layout.read_label(labelled[id_]) for id_ in split.train}
    dense = {id_: label_dense(classes, label.array[0]) for id_, label in labels.items()}
    erased = draw([(id_, int(z)) for id_, of in dense.items() for z in np.flatnonzero(of)], share, seed)

    files = [path for path in source.rglob("*") if path.is_file()]
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        copy = Path(scratch, target.name)
        for path in files:
            place = copy / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        for id_ in sorted({id_ for id_, _ in erased}):
            label = labels[id_].array[0].copy()
            label[[z for case, z in erased if case == id_]] = 0
            write_label_nifti(copy / labelled[id_].label[0].relative_to(source), label, labels[id_].geometry)
        with (copy / TABLE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["case", "slice", "group"])
            for id_, of in dense.items():
                for z, is_dense in enumerate(of):
                    group = "erased" if (id_, z) in erased else "dense" if is_dense else "sparse"
                    writer.writerow([id_, z, group])
        copy.rename(target)
    print(
        f"{target}: erased {len(erased)} of {sum(int(of.sum()) for of in dense.values())} label-dense training slices"
    )


def label_dense(classes: Classes, label: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which slices of a label (Z, Y, X) hold any class that is trained on."""
    index = classes.encode(label)
    return np.asarray(((index > 0) & (index != IGNORE_INDEX)).any(axis=(1, 2)))


def draw(dense: Collection[Slice], share: float, seed: int) -> set[Slice]:
    """This share of the slices, by a hash of seed and name: no library's generator can change which."""
    count = round(share * len(dense))
    if not 0 < count < len(dense):
        raise ConfigError(
            f"--share {share} erases {count} of {len(dense)} label-dense training slices; it must erase some and leave "
            "some, such as 0.3"
        )
    shuffled = sorted(dense, key=lambda one: sha256(f"{seed}:{one[0]}:{one[1]}".encode()).digest())
    return set(shuffled[:count])


def measure(study_file: Path, copy: Path, runs: Path, output: Path) -> None:
    """Read all finished cells, write.

    Raises:
        ConfigError: the study or a checkpoint cannot be read.
        DataError: a run was trained on slices that are not in the copy's table.
    """
    with (copy / TABLE).open(newline="", encoding="utf-8") as file:
        group_of = {(row["case"], int(row["slice"])): row["group"] for row in csv.DictReader(file)}
    study = read_study(study_file, runs)
    finished = [cell for cell in study.cells if cell.state == "finished"]
    results, _ = cell_results(finished)
    cells = [measured(cell, group_of) | {"dice": each.dice} for cell, each in zip(finished, results, strict=True)]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(cells, indent=1) + "\n")
    text = "\n".join([*table(cells), "", *unfinished(study)])
    output.with_suffix(".md").write_text(text)
    print(text)


def measured(cell: Cell, group_of: Mapping[Slice, str]) -> dict[str, Any]:
    """Means by group and AUROC at the end of training."""
    checkpoint = read_checkpoint(cell.run.last)
    slices = [(case, z) for case, keys in json.loads(checkpoint[DATA])["slices"].items() for z in keys]
    if unknown := [one for one in slices if one not in group_of]:
        case, z = unknown[0]
        raise DataError(
            f"{cell.run.path}: {len(unknown)} of its {len(slices)} training slices, such as {case}:{z}, are not in "
            f"{TABLE}; "
            "give the copy that the study was run on"
        )
    group = np.array([group_of[one] for one in slices])
    state = checkpoint["state_dict"]
    state.setdefault("last_losses.supervised", state.get("last_losses.ce"))  # of a run of 0.1.0
    scores = {name: state[key].double().numpy() for name, key in SCORES.items() if key in state}
    shown = {"cross-entropy": scores["cross-entropy"]}
    if "log-odds" in scores:
        shown["weight"] = state[SCORES["log-odds"]].double().sigmoid().numpy()
    detected = group != "dense"
    return {
        "options": dict(cell.options),
        "slices": {name: int((group == name).sum()) for name in GROUPS},
        "means": {of: {name: float(values[group == name].mean()) for name in GROUPS} for of, values in shown.items()},
        "auroc": {
            name: separation_auroc(score[detected], group[detected] == "erased") for name, score in scores.items()
        },
        "named": named(cell.run.suspects_file, dict(zip(slices, group, strict=True))),
    }


def named(path: Path, group: Mapping[Slice, str]) -> dict[str, float]:
    """How many label-sparse slices a run suspects, and the shares of erased ones.

    Args:
        path: its `suspects.csv`.
        group: of the slices that it was trained on.
    """
    suspects = read_suspects(path)
    erased = {f"{case}:{z}" for (case, z), name in group.items() if name == "erased"}
    return {
        "slices": len(suspects),
        "erased of named": len(erased & set(suspects)) / max(1, len(suspects)),
        "named of erased": len(erased & set(suspects)) / max(1, len(erased)),
    }


def table(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each combination of options, over seeds."""
    settings = [{axis: option for axis, option in cell["options"].items() if axis != "seed"} for cell in cells]
    titles = ["runs", "Dice", *(f"weight, {name}" for name in GROUPS), *(f"AUROC of {name}" for name in SCORES), *NAMED]
    lines = []
    for setting in (setting for at, setting in enumerate(settings) if setting not in settings[:at]):
        chosen = [cell for cell, its in zip(cells, settings, strict=True) if its == setting]
        weights = [cell["means"]["weight"] for cell in chosen if "weight" in cell["means"]]
        columns = [[cell["dice"] for cell in chosen]]
        columns += [[of[name] for of in weights] for name in GROUPS]
        columns += [[cell["auroc"][name] for cell in chosen if name in cell["auroc"]] for name in SCORES]
        columns += [[cell["named"][name] for cell in chosen] for name in NAMED]
        values = [str(Spread.of(column)) if column else "" for column in columns]
        lines.append(f"| {' | '.join([*setting.values(), str(len(chosen)), *values])} |")
    axes = list(settings[0]) if settings else []
    return [f"| {' | '.join([*axes, *titles])} |", "|---" * len(axes) + "|---:" * len(titles) + "|", *lines]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
