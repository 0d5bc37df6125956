"""Numbers as words: how a report writes differences, intervals and verdicts."""

import math
from collections.abc import Iterable, Mapping, Sequence

from adawac.errors import some_of
from adawac.evaluation import Comparison, Estimate
from adawac.evaluation.intervals import LEVEL
from adawac.evaluation.statistics import least_p
from adawac.report.contents import MethodResult, Report, SubsetResult
from adawac.report.runs import MethodRun

MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 3) -> str:
    """A number with a true minus; a dash where there is none.

    Example:
        >>> number(0.12345), number(-0.00001), number(float("nan"))
        ('0.123', '0.000', '-')
    """
    if not math.isfinite(value):
        return "-"
    written = f"{value:.{digits}f}"
    return written.lstrip("-") if float(written) == 0 else written.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign.

    Example:
        >>> signed(0.0213), signed(-0.0213), signed(0.0)
        ('+0.021', '−0.021', '0.000')
    """
    written = number(value, digits)
    return f"+{written}" if written.strip("0.") and written[0] not in (MINUS, "-") else written


def p_value(p: float) -> str:
    """A p-value.

    Example:
        >>> p_value(0.0123), p_value(1e-9)
        ('p = 0.012', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {number(p)}"


def interval(low: float, high: float, digits: int = 3, *, sign: bool = False) -> str:
    """An interval; empty where there is none.

    Example:
        >>> interval(0.0083, 0.0341, sign=True)
        '+0.008 to +0.034'
    """
    write = signed if sign else number
    return f"{write(low, digits)} to {write(high, digits)}" if math.isfinite(low) and math.isfinite(high) else ""


def estimated(value: Estimate | None, digits: int = 3, highest: float = 1.0) -> str:
    """A mean with its interval, which is cut where no value can lie.

    Example:
        >>> estimated(Estimate("liver", 0.9, 0.75, 1.04, n=5, runs=1, left_out=("ct_7",)))
        '0.900 (0.750 to 1.000), 1 left out'
    """
    if value is None or not value.n:
        return "-"
    found = interval(max(value.low, 0.0), min(value.high, highest), digits) if math.isfinite(value.low) else ""
    left_out = f", {len(value.left_out)} left out" if value.left_out else ""
    return number(value.mean, digits) + (f" ({found})" if found else "") + left_out


def counted(count: int, what: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "seed"), counted(12, "patient")
        ('1 seed', '12 patients')
    """
    return f"{count} {what if count == 1 else what + 's'}"


def spread(values: Sequence[int]) -> str:
    """A count that all runs share, or from the least to the most.

    Example:
        >>> spread([900, 900]), spread([900, 700]), spread([])
        ('900', '700 to 900', '-')
    """
    known = [f"{value:,}".replace(",", "\N{NO-BREAK SPACE}") for value in sorted(set(values))]
    return "-" if not known else known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"


def difference(comparison: Comparison) -> str:
    """By how much Dice, with the interval."""
    found = interval(comparison.low, comparison.high, sign=True)
    return f"{signed(comparison.difference)} Dice" + (f", 95 % interval {found}" if found else "")


def seeds(comparison: Comparison) -> str:
    """How many runs stand against each other."""
    mine, theirs = comparison.runs
    return f"{counted(mine, 'run')} each" if mine == theirs else f"{counted(mine, 'run')} against {theirs}"


def left_out_of_means(subset: SubsetResult) -> str:
    """What does not count in the means of a subset, and why; empty where everything counts."""
    return f"Left out of the means: {'; '.join(map(str, subset.left_out))}." if subset.left_out else ""


def on_subset(name: str, *, capital: bool = False) -> str:
    """What was trained on, as the start of a heading or within a sentence."""
    if not name:
        return "These test cases" if capital else "these test cases"
    return f"Trained on {name}" if capital else f"training subset {name}"


def focus(methods: Sequence[str], reference: str) -> list[str]:
    """The methods that the first sentence is about: AdaWAC if it is there, else all but the reference."""
    others = [method for method in methods if method != reference]
    return [method for method in others if method.casefold() == "adawac"] or others


def summary_sentence(subsets: Sequence[SubsetResult], reference: str, runs: Sequence[MethodRun] = ()) -> str:
    """The answer: better, worse or not told apart, by how much, on what; and whose numbers are too good for that."""
    return " ".join([_answer(subsets, reference), *(said for run in runs for said in _trained_on(run))])


def summary(report: Report) -> str:
    """The first lines of a report: the answer, and whom its cases show where that is not one patient each."""
    answer = summary_sentence(report.subsets, report.reference, report.runs)
    return f"{answer} {report.patients}" if report.patients else answer


def _trained_on(run: MethodRun) -> Iterable[str]:
    if run.related:
        yield (
            f"{len(run.related)} of the {len(run.cases)} cases are, by their names, of patients of whom {run.name} was "
            f"trained on another case ({some_of(run.related)}): its numbers are too good."
        )
    if seen := sorted(run.cases & set(run.training)):
        yield (
            f"{len(seen)} of the {len(run.cases)} cases have the names of cases that {run.name} was trained on "
            f"({some_of(seen)}): where they are the same, its numbers are too good."
        )


def _answer(subsets: Sequence[SubsetResult], reference: str) -> str:
    methods = list(dict.fromkeys(method.name for subset in subsets for method in subset.methods))
    if len(methods) == 1:
        return "; ".join(_alone(subset.methods[0], subset.name) for subset in subsets) + "."
    chosen = focus(methods, reference)
    sentences = [text for method in chosen if (text := _sentence(method, subsets, reference))]
    if not sentences:
        return f"Nothing can be compared yet: {reference} and another method need finished runs on the same subset."
    rest = [method for method in methods if method not in (*chosen, reference)]
    compared = [found[0] for subset in subsets for found in subset.comparisons.values()]
    return " ".join([*sentences, *_rest(rest, subsets, reference), _basis(compared)])


def _alone(method: MethodResult, subset: str) -> str:
    found = method.dice[0]
    on = f" on {on_subset(subset)}" if subset else ""
    apart = " (runs of one method are its seeds; METHOD=PATH tells them apart)" if found.runs > 1 else ""
    return (
        f"{method.name}{on}: mean Dice {estimated(found)} over {counted(found.n, 'patient')} and "
        f"{counted(found.runs, 'run')}, nothing to compare with{apart}"
    )


def _sentence(method: str, subsets: Sequence[SubsetResult], reference: str) -> str:
    """One method: what it is better on, what worse, what it is not told apart on."""
    clauses: list[str] = []
    for verdict, words in _WORDS.items():
        where = [
            (f"on {on_subset(subset.name)} " if subset.name else "") + f"({difference(found[0])})"
            for subset in subsets
            if (found := subset.comparisons.get(method)) and found[0].verdict == verdict
        ]
        if where:
            clauses.append(f"{words} {'it' if clauses else reference} {' and '.join(where)}")
    return f"{method} is {', '.join(clauses)}." if clauses else ""


_WORDS = {"better": "better than", "worse": "worse than", "not told apart": "not told apart from"}


def _rest(methods: Sequence[str], subsets: Sequence[SubsetResult], reference: str) -> list[str]:
    """The other methods: only what was told apart is named one by one."""
    found = [
        (method, subset.name, subset.comparisons[method][0].verdict)
        for method in methods
        for subset in subsets
        if method in subset.comparisons
    ]
    told = [
        f"{method} is {verdict}" + (f" on {on_subset(subset)}" if subset else "")
        for method, subset, verdict in found
        if verdict != "not told apart"
    ]
    same = [method for method in methods if all(each[2] == "not told apart" for each in found if each[0] == method)]
    same = [method for method in same if any(each[0] == method for each in found)]
    sentences = [f"Against {reference}, {', '.join(told)}."] if told else []
    if same:
        names = same[0] if len(same) == 1 else f"{', '.join(same[:-1])} and {same[-1]}"
        sentences.append(f"{names} {'is' if len(same) == 1 else 'are'} not told apart from {reference}.")
    return sentences


def _basis(compared: Sequence[Comparison]) -> str:
    """On how much the answer rests."""
    patients = sorted({found.n for found in compared})
    runs = sorted({count for found in compared for count in found.runs})
    measured = f"Measured on {_range(patients, 'patient')}, with {_range(runs, 'run')} of each method"
    limits = [": this is said of these trained models, other seeds may fall elsewhere" if runs[0] == 1 else "", "."]
    if patients[0] and least_p(patients[0]) >= 1 - LEVEL:
        limits.append(" So few patients cannot tell methods apart, whatever these do.")
    return measured + "".join(limits)


def _range(counts: Sequence[int], what: str) -> str:
    low, high = counts[0], counts[-1]
    return counted(low, what) if low == high else f"{low} to {counted(high, what)}"


def shared_out(kinds: Mapping[str, Sequence[str]]) -> str:
    """Who is of which kind.

    Example:
        >>> shared_out({"slice": ("erm", "pair"), "patch": ("adawac",)})
        'slice: erm, pair; patch: adawac'
    """
    return "; ".join(f"{kind}: {', '.join(methods)}" for kind, methods in kinds.items())


def verdict_counts(subsets: Sequence[SubsetResult]) -> Mapping[str, int]:
    """How many comparisons there are, in how many the means were told apart, and in how many any organ."""
    found = [
        [each.verdict != "not told apart" for each in comparisons]
        for subset in subsets
        for comparisons in subset.comparisons.values()
    ]
    return {
        "all": len(found),
        "told apart": sum(mean for mean, *_ in found),
        "any organ": sum(any(organs) for _, *organs in found),
    }
