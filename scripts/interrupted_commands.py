"""Kills fit, study, prepare, predict and evaluate, and starts four of each at once: is anything lost or mixed?

    python scripts/interrupted_commands.py --kills 25 -o docs/results/interrupted_commands.json

Kills are SIGKILL at random moments, of a command and all processes of its group; then the same command is given again.
Four that are started at once share the folder they write into. What they leave is compared, byte for byte or, of
checkpoints, tensor for tensor, with what a command left that was never disturbed. Real processes, tiny generated data.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests' tiny data

os.environ["OMP_NUM_THREADS"] = "1"

import yaml
from injection.place import differing, state_of
from injection.processes import Ended, Moments, adawac, begin, ended
from tiny_data import write_msd

from adawac.cli import evaluate, fit, predict, prepare, study  # noqa: F401  # imported once, before processes fork
from adawac.inference import segmenter  # noqa: F401
from adawac.io.atomic import write_text
from adawac.report import make, write  # noqa: F401

TOGETHER = 4
"""Starts of one command at once."""

SCRATCH = (".lock", ".owner")
"""What may lie beside results: locks, which outlive those who held them."""


@dataclass
class Row:
    """What came of one command.

    Attributes:
        command: its name.
        kills: that met it while it ran.
        whole: of so many, how many left what the undisturbed one left once it had been given again.
        together: started at once.
        alike: of these, how many left what the undisturbed one left, or a whole run of their own.
    """

    command: str
    kills: int
    whole: int
    together: int
    alike: int


@dataclass
class Command:
    """A command, and how to see that what it left is right.

    Attributes:
        name: of the command.
        arguments: the folder it writes into -> arguments, for the k-th of several.
        left: what lies in that folder, to be compared; of runs those that have a checkpoint.
        own: whether each of several makes a folder of its own.
    """

    name: str
    arguments: Callable[[Path, int], list[str]]
    left: Callable[[Path], object]
    own: bool = False


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Parse the command line, disturb each command, write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25, help="in all, shared out over the commands (default: 25)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--commands", nargs="+", help="these only; default: all five")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write; default: print alone")
    args = parser.parse_args(argv)
    rng = random.Random(args.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        found = [each for each in commands(Path(folder)) if not args.commands or each.name in args.commands]
        for number, command in enumerate(found):
            kills = args.kills // len(found) + (number < args.kills % len(found))
            rows.append(disturbed(command, Path(folder, f"of_{command.name}"), kills, rng))
            print(rows[-1], flush=True)
            if args.output:  # after each, so that nothing is lost here, either
                line = (
                    f"python scripts/interrupted_commands.py --kills {args.kills} --seed {args.seed} -o {args.output}"
                )
                content = {"command": line, "machine": platform.machine(), "rows": [asdict(row) for row in rows]}
                write_text(args.output, json.dumps(content, indent=1) + "\n")
    return rows


def commands(home: Path) -> list[Command]:
    """Data, configurations and a trained run in `home`; the five commands."""
    data = write_msd(home / "msd", cases=8, shape=(12, 48, 48))
    settings = {
        "seed_everything": 3,
        "pictures": False,
        "trainer": {"accelerator": "cpu", "max_epochs": 4, "enable_progress_bar": False, "num_sanity_val_steps": 0},
        "data": {
            "root": str(data),
            "store": str(home / "store"),
            "split": {"class_path": "FractionSplit", "init_args": {"val": 0.2, "test": 0.2}},
            "size": [32, 32],
            "batch_size": 4,
        },
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "norm": "INSTANCE"},
            },
        },
    }
    config = home / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    grid = {"method": {"erm": {"model.weighting": "ERM"}, "adawac": {}}}
    (home / "grid.yaml").write_text(yaml.safe_dump({"name": "grid", "config": "config.yaml", "grid": grid}))
    trained = home / "trained"
    assert adawac("fit", f"--config={config}", f"--runs={trained}", "--name=one").status == 0
    run, images, labels = trained / "one/version_0", data / "imagesTr", data / "labelsTr"
    assert adawac("predict", str(run), "-i", str(images), "-o", str(home / "predictions")).status == 0
    measured = ["evaluate", f"mine={home / 'predictions'}", f"--labels={labels}", f"--images={images}"]
    return [
        Command(
            "fit",
            lambda out, k: [
                "fit",
                f"--config={config}",
                f"--runs={out}",
                "--name=one",
                *([] if k else ["--resume=auto"]),
            ],
            lambda out: [
                state_of(last.parent.parent) for last in sorted(out.glob("one/version_*/checkpoints/last.ckpt"))
            ],
            own=True,
        ),
        Command(
            "study",
            lambda out, _: ["study", str(home / "grid.yaml"), f"--runs={out}"],
            lambda out: cells_of(out / "grid"),
        ),
        Command(
            "prepare",
            lambda out, _: ["prepare", f"--config={config}", f"--data.store={out}"],
            lambda out: files_of(out, {"case.json", "image.npy", "label.npy", "native_label.npy"}),
        ),
        Command("predict", lambda out, _: ["predict", str(run), "-i", str(images), "-o", str(out)], files_of),
        Command("evaluate", lambda out, _: [*measured, "-o", str(out), "--title=mine"], files_of),
    ]


def disturbed(command: Command, home: Path, kills: int, rng: random.Random) -> Row:
    """Kill a command, and start four at once."""
    begun = time.monotonic()
    right(adawac(*command.arguments(home / "undisturbed", 0)))
    due = command.left(home / "undisturbed")
    moments = Moments(time.monotonic() - begun, rng)
    row = Row(command.name, 0, 0, TOGETHER, 0)
    while row.kills < kills:
        out = home / f"killed{row.kills}"
        if moments.interrupt(command.arguments(out, 0), 0.1, 0.95, group=True) is not None:
            row.kills += 1
            right(adawac(*command.arguments(out, 0)))
            row.whole += same(command.left(out), due)
        shutil.rmtree(out)
    out = home / "together"
    starts = [tempfile.TemporaryFile() for _ in range(TOGETHER)]  # noqa: SIM115  # open until all have ended
    processes = [begin(command.arguments(out, k), log) for k, log in enumerate(starts, 1)]
    for process, log in zip(processes, starts, strict=True):
        right(ended(process, log))
    if command.own:
        row.alike = sum(same([each], due) for each in command.left(out))
    else:
        row.alike = TOGETHER * same(command.left(out), due)
    return row


def right(done: Ended) -> None:
    """Nobody fails; a report may say that another writes the same."""
    if done.status != 0:
        raise SystemExit(done.said)


def same(left: object, due: object) -> bool:
    """Whether two commands left the same; of checkpoints, which are lists of tensors by name, bit for bit."""
    if isinstance(left, list) and isinstance(due, list):
        return len(left) == len(due) and not any(differing(a, b) for a, b in zip(left, due, strict=True))
    return left == due


def files_of(folder: Path, names: set[str] | None = None) -> dict[str, str]:
    """Hashes of the files of a folder, left-over scratch files included."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in SCRATCH]
    own = str(folder).encode()  # in the command that a report names
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes().replace(own, b"")).hexdigest()
        for path in files
        if names is None or path.name in names or path.name.startswith(".")
        if ".hashes" not in path.parts
    }


def cells_of(folder: Path) -> dict[str, object]:
    """Results of a study but for its seconds, and its cells' checkpoints by hash of their tensors."""
    results = json.loads((folder / "results.json").read_text())
    for cell in results["cells"]:
        del cell["seconds"]
    states = {run.parent.name: state_of(run) for run in sorted(folder.glob("*/version_*"))}
    hashes = {
        name: hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state.values())).hexdigest()
        for name, state in states.items()
    }
    return {"results": results, "states": hashes, "pages": sorted(path.name for path in folder.glob("report/*"))}


if __name__ == "__main__":
    main()
