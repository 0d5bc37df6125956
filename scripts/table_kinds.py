"""The tables of the documents: results in, Markdown out, a function a kind; `document_tables.py` puts them in place."""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median, quantiles
from typing import Any, NamedTuple

from adawac.report.wording import counted, interval, number, signed
from adawac.study.folds import fold_table

Results = Mapping[str, Any]


class Source(NamedTuple):
    """Results that a table shows, and which of them; no names: all."""

    results: Results
    names: tuple[str, ...] = ()


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


def gains_table(sources: Sequence[Source]) -> str:
    """A row for each data set and subset on which settings were trained: Dice of the reference, and what others add."""
    names = dict.fromkeys(name for results, _ in sources for row in results["rows"] for name in row["gains"])
    [reference] = {row["reference"] for results, _ in sources for row in results["rows"]}
    rows = []
    for row in (row for results, _ in sources for row in results["rows"]):
        gains = [row["gains"].get(name) for name in names]
        added = [f"{signed(g['difference'])} ({interval(g['low'], g['high'], sign=True)})" if g else "" for g in gains]
        rows.append(
            [row["on"], f"{row['steps']:,}", row["patients"], str(row["trainings"]), number(row["dice"]), *added]
        )
    header = [
        "trained on",
        "steps",
        "patients",
        "trainings each",
        f"`{reference}`",
        *(f"`{name}` adds" for name in names),
    ]
    return "\n".join(_table(header, rows, words=(0, 2)))


def shares_table(sources: Sequence[Source]) -> str:
    """A row for each share of the training set that is annotated: Dice of each fold that was trained."""
    kinds = {"usual": "usual views", "strong": "strong views", "teacher": "strong views, teacher of the rest"}
    rows = [
        [row["annotated"], f"{mean(row['slices']):,.0f}", *(", ".join(map(number, row[kind])) for kind in kinds)]
        for results, _ in sources
        for row in results["rows"]
    ]
    return "\n".join(_table(["annotated", "slices", *kinds.values()], rows, words=(0,)))


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
    """A row for each work that `scripts/scale.py` measured: memory and time at each size, with fitted exponents."""
    rows: list[list[str]] = []
    for results, _ in sources:
        for name in dict.fromkeys(row["what"] for row in results["rows"]):
            of_it = [row for row in results["rows"] if row["what"] == name]
            for what, form in [
                each for each in (("MiB", ".0f"), ("seconds", ".1f"), ("ms", ".2f")) if each[0] in of_it[0]
            ]:
                sizes = ", ".join(f"{row[what]:{form}} ({row['size']:,})" for row in of_it)
                slope = results["exponents"][f"{name}, {what}"]
                rows.append([name, f"{what} ({of_it[0]['of']})", sizes, f"{slope:.2f}"])
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
    "gains": gains_table,
    "nulls": null_table,
    "plans": plans_table,
    "kills": kill_table,
    "scale": scale_table,
    "shares": shares_table,
    "ratios": ratio_table,
    "units": units_table,
}
"""What a table of each kind is made by."""
