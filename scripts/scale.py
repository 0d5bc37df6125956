"""Memory and time against the number of volumes, slices, classes, voxels and processes: what stays flat, what grows?

    TMPDIR=/dev/shm python scripts/scale.py -o docs/results/scale.json  # flushing takes no time there

Sizes that the JSON has already are not measured again.
Volumes are tiny and alike, so that whatever grows with their number shows. Time is that of the processor, as others may
use the machine. Slopes are exponents b of a * n^b, fitted to all sizes; those of slices only from a million on. What a
volume adds is the slope between the two largest numbers of them. A plot lies beside the JSON.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scaled_work import Row, of_classes, of_processes, of_slices, of_volumes, of_voxels

from adawac.io.atomic import write_text

WHAT = {"MiB": "memory, MiB", "seconds": "processor, s", "ms": "processor, ms"}
WORK = {
    "volumes": (of_volumes, [10, 100, 1000, 3000]),
    "slices": (of_slices, [10**4, 10**5, 10**6, 10**7]),
    "classes": (of_classes, [4, 13, 39, 117]),
    "voxels": (of_voxels, [96**3, 144**3, 216**3, 320**3]),
    "processes": (of_processes, [1, 2, 4, 8]),
}
LARGE = 10**6
"""Slices from which a draw's slope is fitted."""


def main() -> None:
    """Parse the command line, measure, write after each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (_, sizes) in WORK.items():
        parser.add_argument(f"--{name}", type=int, nargs="*", default=sizes)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write; default: print alone")
    args = parser.parse_args()
    rows: list[Row] = json.loads(args.output.read_text())["rows"] if args.output and args.output.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for name, (work, _) in WORK.items():
            home = Path(folder, name)
            home.mkdir()
            done = {row["size"] for row in rows if row["of"] == name}
            for row in work([size for size in getattr(args, name) if size not in done], home):
                rows.append(row)
                print(json.dumps(row), flush=True)
                if args.output:
                    write(rows, args.output)


def write(rows: list[Row], output: Path) -> None:
    """The JSON of what is known so far, and the plot."""
    rows.sort(key=lambda row: list(WORK).index(row["of"]))
    found: dict[str, Any] = {"command": f"TMPDIR=/dev/shm python scripts/scale.py -o {output}"}
    found["clock"] = f"seconds of the processor, all threads, while others used the machine ({os.cpu_count()} cores)"
    found |= {"rows": rows, "exponents": {}, "a volume adds": {}}
    for name, of_it in by_work(rows).items():
        large = [row for row in of_it if row["of"] != "slices" or row["size"] >= LARGE]
        found["exponents"] |= {f"{name}, {what}": exponent(large, what) for what in WHAT if what in of_it[0]}
        if of_it[0]["of"] == "volumes":
            found["a volume adds"][name.strip("`")] = {what: slope(of_it, what) for what in WHAT if what in of_it[0]}
    write_text(output, json.dumps(found, indent=1) + "\n")
    plot(rows).savefig(output.with_suffix(".png"))


def by_work(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows of each work, at all its sizes."""
    return {name: [row for row in rows if row["what"] == name] for name in dict.fromkeys(row["what"] for row in rows)}


def exponent(rows: list[Row], what: str) -> float | None:
    """B of what = a * size^b; None of a single size."""
    if len(rows) < 2:
        return None
    return round(float(np.polyfit(np.log([row["size"] for row in rows]), np.log([row[what] for row in rows]), 1)[0]), 3)


def slope(rows: list[Row], what: str) -> float | None:
    """Between the two largest sizes."""
    if len(rows) < 2:
        return None
    less, more = rows[-2:]
    return round((more[what] - less[what]) / (more["size"] - less["size"]), 5)


def plot(rows: list[Row]) -> Figure:
    """Memory above, time below, against what each column counts."""
    columns = [name for name in WORK if any(row["of"] == name for row in rows)]
    figure = Figure(figsize=(2.6 * len(columns), 4.8), dpi=110, layout="constrained")
    for column, of in zip(figure.subplots(2, len(columns), squeeze=False).T, columns, strict=True):
        for name, of_it in by_work([row for row in rows if row["of"] == of]).items():
            for axes, what in zip(column, ("MiB", "ms" if "ms" in of_it[0] else "seconds"), strict=True):
                sizes, used = [row["size"] for row in of_it], [row[what] for row in of_it]
                axes.loglog(sizes, used, marker="o", markersize=4, label=name.replace("`", ""))
                axes.set(xlabel=of, ylabel=WHAT[what])
                axes.set_xticks(sizes, [f"{size:.0e}" if size >= 10**4 else f"{size}" for size in sizes], fontsize=7)
        column[0].set_ylim(100, 4000)  # flat looks flat
        low, high = column[1].get_ylim()
        column[1].set_ylim(low / 2, high * 4)
        column[1].legend(frameon=False, fontsize=7)
        for axes in column:
            axes.minorticks_off()
    return figure


if __name__ == "__main__":
    main()
