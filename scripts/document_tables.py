"""Write the tables of README.md and docs/ from the committed results, so that no number in them is typed.

    python scripts/document_tables.py            # writes them
    python scripts/document_tables.py --check    # names the documents that differ from the results; exit status 1

A document says where a table stands and what it shows:

    <!-- table: study docs/results/openkbp5/results.json -->
    <!-- /table -->

    <!-- table: ratios docs/results/benchmark_methods.json#erm,adawac docs/results/benchmark_metrics.json -->
    <!-- /table -->

    <!-- table: folds docs/results/openkbp5_search_small.json -->
    <!-- /table -->

Files are relative to the repository; names after # choose rows. To show another study, name its file.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from adawac.report.wording import counted, interval, number, signed
from adawac.study.folds import fold_table

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- table: (?P<kind>\w+) (?P<sources>[^\n]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
Results = Mapping[str, Any]


class Source(NamedTuple):
    """Results that a table shows, and which of them; no names: all."""

    results: Results
    names: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> "Source":
        """FILE or FILE#NAME,NAME."""
        file, _, names = text.partition("#")
        return cls(json.loads((ROOT / file).read_text(encoding="utf-8")), tuple(filter(None, names.split(","))))


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; say which documents differ")
    check: bool = parser.parse_args().check
    stale = 0
    for document in documents():
        before = document.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            stale += 1
            print(f"{document.relative_to(ROOT)}: {'differs from the committed results' if check else 'written'}")
            if not check:
                document.write_text(after, encoding="utf-8")
    return int(check and stale > 0)


def documents() -> list[Path]:
    """The documents that may hold tables."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def filled(text: str) -> str:
    """A document with all its tables made anew.

    Raises:
        KeyError: a place names a kind of table that there is not.
        FileNotFoundError: a place names results that there are not.
    """

    def fill(place: re.Match[str]) -> str:
        sources = [Source.read(source) for source in place["sources"].split()]
        return f"{place[1]}{KINDS[place['kind']](sources)}\n{place[4]}"

    return PLACE.sub(fill, text)


def study_table(sources: Sequence[Source]) -> str:
    """A row for each training subset and method of `adawac study` or `adawac evaluate`: Dice, and the difference."""
    return "\n\n".join(_one_study(source.results) for source in sources)


def _one_study(results: Results) -> str:
    reference: str = results["reference"]
    rows: list[list[str]] = []
    for subset in results["subsets"]:
        for method in subset["methods"]:
            dice = method["dice"][0]
            rows.append(
                [
                    subset["name"],
                    f"`{method['name']}`",
                    str(dice["runs"]),
                    f"{max(method['network_passes']):,}",
                    f"{number(dice['mean'])} ({interval(max(dice['low'], 0), min(dice['high'], 1))})",
                    *_compared(subset["comparisons"].get(method["name"])),
                ]
            )
    header = ["trained on", "method", "seeds", "network passes", "Dice, mean of organs", f"minus `{reference}`", ""]
    patients = max(method["dice"][0]["n"] for subset in results["subsets"] for method in subset["methods"])
    note = f"{counted(patients, 'test patient')}. In brackets: 95 % intervals. Passes of slices in training, a run."
    return "\n".join([*_table(header, rows, words=(0, 1, 6)), "", note])


def _compared(found: Sequence[Results] | None) -> list[str]:
    """The difference of the means and the verdict on it; nothing for the reference itself."""
    if not found:
        return ["", ""]
    mean = found[0]
    within = interval(mean["low"], mean["high"], sign=True)
    return [f"{signed(mean['difference'])} ({within})", mean["verdict"]]


def folds_table(sources: Sequence[Source]) -> str:
    """A row for each setting of a cross-validation by `adawac study`: Dice, and the difference over the folds."""
    return "\n\n".join(fold_table(source.results) for source in sources)


def ratio_table(sources: Sequence[Source]) -> str:
    """A row for each ratio that `scripts/benchmark.py` measured: median and quartiles over its interleaved rounds."""
    rows: list[list[str]] = []
    for results, names in sources:
        chosen = {name: values for name, values in results["ratios"].items() if _chosen(name, names)}
        one = next((name for name, values in results["ratios"].items() if set(values) == {1.0}), "")
        for name, values in chosen.items():
            if name == one:  # what the others are relative to
                continue
            low, _, high = quantiles(values, n=4)  # as the benchmark prints them
            what = name if "/" in name else f"{name} / {one}"
            rows.append([what, f"{median(values):.2f}", f"{low:.2f} to {high:.2f}", _measured_on(results)])
    return "\n".join(_table(["time of", "ratio", "quartiles", "on"], rows, words=(0, 3)))


def _measured_on(results: dict[str, Any]) -> str:
    """Device, and what was set for it."""
    precision = results.get("precision", "32")
    settings = {
        precision: precision != "32",
        "compiled": results.get("compile"),
        "recorded": results.get("cuda_graphs"),
    }
    return ", ".join([results["device"], *(name for name, is_set in settings.items() if is_set)])


def _chosen(name: str, names: Sequence[str]) -> bool:
    """Whether a row is wanted; names in a document are written without spaces."""
    return not names or name.replace(" ", "") in names


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int]) -> list[str]:
    """Markdown of a table; columns of numbers stand to the right, those of words to the left."""
    rule = ["---" if column in words else "---:" for column in range(len(header))]
    return ["| " + " | ".join(line) + " |" for line in (header, rule, *rows)]


KINDS: Mapping[str, Callable[[Sequence[Source]], str]] = {
    "study": study_table,
    "folds": folds_table,
    "ratios": ratio_table,
}
"""What a table of each kind is made by."""


if __name__ == "__main__":
    sys.exit(main())
