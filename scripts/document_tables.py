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
from typing import Any

from table_kinds import KINDS, Source

from adawac.report.wording import MINUS

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- table: (?P<kind>\w+) (?P<sources>[^\n]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
NUMBER = re.compile(r"(<!-- n (?P<name>\w+) -->)[^\n]*?(<!-- /n -->)")
NUMBERS = re.compile(r"^<!-- numbers\n(?P<lines>.*?)^-->$", re.DOTALL | re.MULTILINE)


def source(text: str) -> Source:
    """FILE or FILE#NAME,NAME."""
    file, _, names = text.partition("#")
    return Source(read(ROOT / file), tuple(filter(None, names.split(","))))


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
        sources = [source(each) for each in place["sources"].split()]
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


if __name__ == "__main__":
    sys.exit(main())
