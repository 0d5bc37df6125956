"""Injects faults into real runs on tiny data and writes what was lost: docs/reliability.md.

    python scripts/fault_injection.py --kills 25 -o docs/reliability.md

Kills are SIGKILL at random moments of preparing, training and studying. After each the same command is given again with
`--resume auto`; when it ends, its last checkpoint is compared bit for bit with that of a run that was never disturbed.
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests' tiny data

os.environ["OMP_NUM_THREADS"] = "1"

from injection import damage, kills
from injection.endurance import long_run
from injection.place import Row, prepare


def main() -> None:
    """Parse the command line, inject the faults, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=25, help="kills in all; one in five while preparing, one in ten of a study"
    )
    parser.add_argument("--faults", type=int, default=4, help="how often each other fault is injected")
    parser.add_argument("--steps", type=int, default=100_000, help="of the long run; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("-o", "--output", type=Path, help="page to write; default: print it")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    preparing, studying = max(1, args.kills // 5), max(1, args.kills // 10)
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder))
        faults: list[Callable[[], Row]] = [
            lambda: kills.in_training(place, args.kills - preparing - studying, rng),
            lambda: kills.in_preparing(place, preparing, rng),
            lambda: kills.asked_to_stop(place, args.faults, rng),
            lambda: damage.full_disk(place, args.faults, rng),
            lambda: damage.damaged_checkpoint(place, args.faults, rng),
            lambda: damage.damaged_store(place, args.faults, rng),
            lambda: kills.in_studying(place, studying, rng),
        ]
        if args.steps:
            faults.append(long_run(place, args.steps))
        before = args.output.read_text(encoding="utf-8") if args.output and args.output.is_file() else ""
        rest = "".join(before.partition("\n## ")[1:])  # what others wrote beneath
        rows = []
        for inject in faults:
            rows.append(inject())
            print(rows[-1], file=sys.stderr, flush=True)
            text = page(rows, args) + rest
            if args.output:  # after each, so that nothing is lost here, either
                args.output.write_text(text, encoding="utf-8")
    if not args.output:
        print(text)


def page(rows: Sequence[Row], args: argparse.Namespace) -> str:
    """The table with the command that makes it."""
    command = f"python scripts/fault_injection.py --kills {args.kills} --faults {args.faults} --steps {args.steps}"
    return "\n".join(
        [
            "# What a run survives",
            "",
            "Whether you can leave a training alone: what is lost when a command is killed, a disk fills up or a",
            "file is damaged. Further down: how troubles that others reported, and faults in data from the field,",
            "are met here, and how often a report says that methods differ where they do not.",
            "",
            f"Written by `{command} --seed {args.seed} -o docs/reliability.md`:",
            "real processes on tiny generated data, interrupted or damaged at random moments; then the same",
            "command is given again.",
            "",
            "| fault | times | what happened | what was lost |",
            "|---|---:|---|---|",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
            "",
        ]
    )


if __name__ == "__main__":
    main()
