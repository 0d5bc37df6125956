"""Write the tables and numbers of README.md and docs/ from the committed results, so that none of them is typed.

    python scripts/document_tables.py            # writes them
    python scripts/document_tables.py --check    # names the documents that differ from the results; exit status 1

A document says where a table stands and what it shows:

    <!-- table: study docs/results/openkbp5/results.json -->
    <!-- /table -->

    <!-- table: ratios docs/results/benchmark_methods.json#erm,adawac docs/results/benchmark_metrics.json -->
    <!-- /table -->

    <!-- table: folds docs/results/openkbp5_search_small.json -->
    <!-- /table -->

    <!-- table: nulls docs/results/null_simulation.json -->
    <!-- /table -->

    <!-- table: kills docs/results/interrupted_commands.json -->
    <!-- /table -->

    <!-- table: scale docs/results/scale.json -->
    <!-- /table -->

    <!-- table: units docs/results/units_phantom.json -->
    <!-- /table -->

Files are relative to the repository; names after # choose rows. To show another study, name its file.

A number in a sentence has a name, and the end of the document says what it is, as with links by reference:

    ... gains <!-- n gain -->4.9<!-- /n --> points, ...

    <!-- numbers
    gain: docs/results/openkbp5_tuned/results.json#subsets.sparse_mix.comparisons.pair_foreground.0.difference points
    -->

After # stands the way through the file, see `values_at`; after it how the number is written, see `written`.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any, NamedTuple

from adawac.report.wording import MINUS, counted, interval, number, signed
from adawac.study.folds import fold_table

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- table: (?P<kind>\w+) (?P<sources>[^\n]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
NUMBER = re.compile(r"(<!-- n (?P<name>\w+) -->)[^\n]*?(<!-- /n -->)")
NUMBERS = re.compile(r"^<!-- numbers\n(?P<lines>.*?)^-->$", re.DOTALL | re.MULTILINE)
Results = Mapping[str, Any]


class Source(NamedTuple):
    """Results that a table shows, and which of them; no names: all."""

    results: Results
    names: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> "Source":
        """FILE or FILE#NAME,NAME."""
        file, _, names = text.partition("#")
        return cls(read(ROOT / file), tuple(filter(None, names.split(","))))


@cache
def read(path: Path) -> Any:
    """Results in JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; say which documents differ")
    check: bool = parser.parse_args().check
    stale = 0
    for document in documents():
        before = document.read_text(encoding="utf-8")
        try:
            after = filled(before)
        except (KeyError, ValueError, OSError) as error:
            print(f"{document.relative_to(ROOT)}: {error.args[0] if isinstance(error, KeyError) else error}")
            return 1
        if after != before:
            stale += 1
            print(f"{document.relative_to(ROOT)}: {'differs from the committed results' if check else 'written'}")
            if not check:
                document.write_text(after, encoding="utf-8")
    return int(check and stale > 0)


def documents() -> list[Path]:
    """The documents that may hold tables and numbers."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def filled(text: str) -> str:
    """A document with all its tables and numbers made anew.

    Raises:
        KeyError: a place names a kind of table, a number or a result that there is not, or a number has no place.
        FileNotFoundError: a place names results that there are not.
    """

    def fill(place: re.Match[str]) -> str:
        sources = [Source.read(source) for source in place["sources"].split()]
        return f"{place[1]}{KINDS[place['kind']](sources)}\n{place[4]}"

    known = numbers(text)
    places = {place["name"] for place in NUMBER.finditer(text)}
    if unlike := places ^ set(known):
        names = ", ".join(sorted(unlike))
        raise KeyError(f"{names}: a number needs a line in <!-- numbers, and such a line a place")
    text = NUMBER.sub(lambda place: f"{place[1]}{known[place['name']]}{place[3]}", text)
    return PLACE.sub(fill, text)


def numbers(text: str) -> dict[str, str]:
    """Name -> as it is written, of all numbers that a document defines."""
    lines = [line for block in NUMBERS.finditer(text) for line in block["lines"].splitlines() if line.strip()]
    found = {}
    for line in lines:
        name, _, what = line.partition(": ")
        source, _, form = what.partition(" ")
        file, _, way = source.partition("#")
        found[name] = written(values_at(read(ROOT / file), way.split(".")), form)
    return found


def values_at(results: Any, way: Sequence[str]) -> list[Any]:
    """What lies at the end of a way through results: one value, or several.

    A step is a key, without its spaces; in a list a position, or what is due of its members: `erm` is short for
    `name=erm`, and `method=erm,labels=erased` takes all that have both, of themselves or among their `options`.

    Raises:
        KeyError: a step leads nowhere.

    Example:
        >>> runs = [{"options": {"seed": 0}, "dice": 0.7}, {"options": {"seed": 1}, "dice": 0.8}]
        >>> values_at({"all runs": runs}, ["allruns", "seed=1", "dice"])
        [0.8]
    """
    if not way:
        return list(results) if isinstance(results, list) else [results]
    step, *rest = way
    if isinstance(results, Mapping):
        following = [value for key, value in results.items() if key.replace(" ", "") == step]
    elif step.isdecimal():
        following = list(results[int(step) : int(step) + 1])
    else:
        due = dict(pair.split("=") for pair in (step if "=" in step else f"name={step}").split(","))
        following = [one for one in results if due.items() <= _as_text(one | one.get("options", {})).items()]
    if not following:
        raise KeyError(f"{step} is not there, in {'.'.join(way)}")
    return [value for each in following for value in values_at(each, rest)]


def _as_text(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if not isinstance(value, (dict, list))}


OVER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "median": median,
    "lowest": min,
    "highest": max,
    "low": lambda values: quantiles(values, n=4)[0],
    "high": lambda values: quantiles(values, n=4)[2],
    "sum": sum,
}
"""What makes one number of several."""


SCALES = {"points": (100, ".1f"), "GB": (1e-9, ".2f")}
"""Units of a form's own: factor, format."""


def written(values: Sequence[Any], form: str) -> str:
    """A value as a document shows it.

    Args:
        values: one; or several, of which the form makes one by its first word, or shows the lowest and the highest.
        form: `points` (a difference of Dice, times 100), `GB` (of bytes), a format of Python's such as .3f or .0%, or
            nothing for words.

    Example:
        >>> written([0.0491], "points"), written([0.967, 0.975], "mean .2f"), written([0.92, 0.97], "range .0%")
        ('4.9', '0.97', '92 to 97 %')
        >>> written(["no significant difference"], "")
        'no significant difference'
    """
    if not form:
        (word,) = values
        return str(word)
    over, _, how = form.rpartition(" ")
    if over == "range":
        low, high = _formatted(min(values), how), _formatted(max(values), how)
        return low if low == high else f"{low.removesuffix(' %')} to {high}"
    (one,) = [OVER[over](values)] if over else values
    return _formatted(one, how)


def _formatted(value: float, how: str) -> str:
    scale = SCALES.get(how)
    text = f"{value:{how}}" if scale is None else f"{value * scale[0]:{scale[1]}}"
    return text.replace("%", " %").replace("-", MINUS) if "e" not in text else text


def study_table(sources: Sequence[Source]) -> str:
    """A row for each training subset and method of `adawac study` or `adawac evaluate`: Dice, and the difference."""
    return "\n\n".join(_one_study(source.results, source.names) for source in sources)


def _one_study(results: Results, names: Sequence[str]) -> str:
    reference: str = results["reference"]
    rows: list[list[str]] = []
    for subset in results["subsets"]:
        for method in subset["methods"]:
            if names and method["name"] not in names:
                continue
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
    compared = [found[0] for subset in results["subsets"] for found in subset["comparisons"].values()]
    if family := max((each.get("family", 0) for each in compared), default=0):
        note += f" Verdicts are corrected by Holm over {counted(family, 'comparison')}."
    return "\n".join([*_table(header, rows, words=(0, 1, 6)), "", note])


def _compared(found: Sequence[Results] | None) -> list[str]:
    """The difference of the means and the verdict on it; nothing for the reference itself."""
    if not found:
        return ["", ""]
    mean = found[0]
    within = "no interval" if mean["low"] is None else interval(mean["low"], mean["high"], sign=True)
    return [f"{signed(mean['difference'])} ({within})", mean["verdict"]]


def null_table(sources: Sequence[Source]) -> str:
    """A row for each number of patients and seeds that `scripts/null_simulation.py` drew, over all its sources."""
    rows: list[list[str]] = []
    for results, _ in sources:
        kinds = dict.fromkeys((row["patients"], row["runs"]) for row in results["rows"])
        for patients, runs in kinds:
            found = [row for row in results["rows"] if (row["patients"], row["runs"]) == (patients, runs)]
            rows.append([f"{patients} x {runs}", *(_percents([row[name] for row in found]) for name in NULL_COLUMNS)])
    header = ["patients x seeds", *NULL_COLUMNS.values()]
    return "\n".join(_table(header, rows, words=()))


NULL_COLUMNS = {
    "any false verdict": "studies with any false verdict",
    "p below 0.05": "p < 0.05, one comparison of means",
    "p below 0.05, an organ": "p < 0.05, one organ",
    "difference held": "interval of a difference holds it",
    "difference held, an organ": "the same, one organ",
    "mean held": "interval of a mean holds it",
}
"""What the simulation counts -> its column."""


def _percents(shares: Sequence[float]) -> str:
    """Shares of equal weight: their mean, and from the least to the greatest."""
    low, high = min(shares), max(shares)
    return f"{mean(shares):.1%}" + (f" ({low:.1%} to {high:.1%})" if high > low else "")


def units_table(sources: Sequence[Source]) -> str:
    """A row for each kind of training sample that `scripts/units.py` put side by side."""
    rows = [
        [
            row["unit"],
            f"{row['samples']:,}",
            f"{row['label-dense']:.0%}",
            f"{row['steps']:,}",
            f"{row['dice']:.3f}",
            f"{row['worst']['dice']:.3f} ({row['worst']['organ']})",
            f"{row['auroc']:.3f}",
            f"{row['weight, dense']:.2f}",
            f"{row['weight, sparse']:.2f}",
        ]
        for source in sources
        for row in source.results["rows"]
    ]
    header = ["unit", "training samples", "label-dense", "steps", "Dice", "worst organ", "AUROC"]
    return "\n".join(_table([*header, "weight, dense", "sparse"], rows, words=(0,)))


def folds_table(sources: Sequence[Source]) -> str:
    """A row for each setting of a cross-validation by `adawac study`: Dice, and the difference over the folds."""
    return "\n\n".join(fold_table(source.results) for source in sources)


def kill_table(sources: Sequence[Source]) -> str:
    """A row for each command that `scripts/interrupted_commands.py` disturbed."""
    rows = [
        [
            f"`{row['command']}`",
            str(row["kills"]),
            f"{row['whole']} of {row['kills']}",
            f"{row['alike']} of {row['together']}",
        ]
        for source in sources
        for row in source.results["rows"]
    ]
    header = ["command", "kills", "as if nothing had been", "right, of four at once"]
    return "\n".join(_table(header, rows, words=(0,)))


def scale_table(sources: Sequence[Source]) -> str:
    """A row for each command and for draws that `scripts/scale.py` measured, at each size, with fitted exponents."""
    rows: list[list[str]] = []
    for results, _ in sources:
        slopes = results["exponents"]
        for name in dict.fromkeys(row["command"] for row in results["commands"]):
            of_it = [row for row in results["commands"] if row["command"] == name]
            for what, form in [each for each in (("MiB", ".0f"), ("seconds", ".1f")) if each[0] in of_it[0]]:
                sizes = ", ".join(f"{row[what]:{form}} ({row['volumes']:,})" for row in of_it)
                rows.append([f"`{name}`", f"{what} (volumes)", sizes, f"{slopes[f'{name}, {what}']:.2f}"])
        draws = ", ".join(f"{row['ms']:.2f} ({row['slices']:,})" for row in results["draws"])
        rows.append(["an adaptive batch", "ms (slices)", draws, f"{slopes['draw, ms']:.2f}"])
    return "\n".join(_table(["what", "in", "at each size", "exponent"], rows, words=(0, 1, 2)))


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


def plans_table(sources: Sequence[Source]) -> str:
    """A row for each data set and kind of sample that `scripts/plans.py` planned, nnU-Net's plan beside ours."""
    rows = []
    for source in sources:
        for name, plans in source.results["plans"].items():
            for kind in ("2d", "3d"):
                cells = [
                    [" x ".join(map(str, p["patch"])), p["spacing"], p["batch"]]
                    for p in (plans["ours"][kind], plans["nnunet"][kind])
                ]
                for cell in cells:
                    cell[1] = " x ".join(f"{step:.2f}" for step in cell[1][-2:])
                rows.append([name, kind.upper(), *map(str, cells[0] + cells[1])])
    header = ["data set", "", "ours: sample", "mm in plane", "batch", "nnU-Net: sample", "mm in plane", "batch"]
    return "\n".join(_table(header, rows, words=(0, 1)))


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
    "nulls": null_table,
    "plans": plans_table,
    "kills": kill_table,
    "scale": scale_table,
    "ratios": ratio_table,
    "units": units_table,
}
"""What a table of each kind is made by."""


if __name__ == "__main__":
    sys.exit(main())
