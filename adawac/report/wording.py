"""Numbers as words: how a report writes differences, intervals and verdicts."""

import math
from collections.abc import Iterable, Mapping, Sequence

from adawac.errors import beside, counted, rounded, some_of, together
from adawac.evaluation import Comparison, Estimate
from adawac.evaluation.intervals import ENUMERATED, LEVEL
from adawac.evaluation.statistics import Verdict, least_p
from adawac.report.compute import unequal_compute
from adawac.report.contents import Contents, MethodResult, SubsetResult
from adawac.report.runs import MethodRun, unlike
from adawac.report.seed_noise import COMMITTED, seed_noise

MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 3) -> str:
    """A number with a true minus; a dash where there is none.

    Example:
        >>> number(0.12345), number(-0.00001), number(float("nan"))
        ('0.123', '0.000', '-')
    """
    if not math.isfinite(value):
        return "-"
    written = rounded(value, digits)
    return written.lstrip("-") if float(written) == 0 else written.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign, and with as many digits, up to six, as show on which side of 0 it lies.

    Example:
        >>> signed(0.0213), signed(-0.0213), signed(0.0), signed(0.00043)
        ('+0.021', '−0.021', '0.000', '+0.0004')
    """
    enough = next((more for more in range(digits, 7) if round(value, more)), digits) if math.isfinite(value) else digits
    written = number(value, enough)
    return f"+{written}" if written.strip("0.") and written[0] not in (MINUS, "-") else written


def p_value(p: float) -> str:
    """A p-value, with as many digits as show on which side of 0.05 it lies.

    Example:
        >>> p_value(0.0123), p_value(1e-9), p_value(0.0498)
        ('p = 0.012', 'p < 0.001', 'p = 0.0498')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {beside(p, 0.05)}" if math.isfinite(p) else "p = -"


def both_p(comparison: Comparison) -> str:
    """The p of a comparison, and corrected for the number of its family where that has more than one."""
    if comparison.family < 2:
        return p_value(comparison.p)
    return f"{p_value(comparison.p)} ({p_value(comparison.p_holm).removeprefix('p ').removeprefix('= ')})"


def interval(low: float, high: float, digits: int = 3, *, sign: bool = False) -> str:
    """An interval; empty where there is none.

    Example:
        >>> interval(0.0083, 0.0341, sign=True)
        '+0.008 to +0.034'
    """
    write = signed if sign else number
    return f"{write(low, digits)} to {write(high, digits)}" if math.isfinite(low) and math.isfinite(high) else ""


def estimated(value: Estimate | None, digits: int = 3) -> str:
    """A mean with its interval.

    Example:
        >>> estimated(Estimate("liver", 0.9, 0.75, 1.0, n=5, runs=1, left_out=("ct_7",)))
        '0.900 (0.750 to 1.000), without ct_7'
    """
    if value is None or not value.n:
        return "-"
    found = interval(value.low, value.high, digits)
    return number(value.mean, digits) + (f" ({found})" if found else "") + without(value.left_out, ", ")


def without(cases: Sequence[str], before: str = "") -> str:
    """Which cases do not count in a number; why stands in `left_out_of_means`. Empty where all do.

    Example:
        >>> without(["ct_7", "ct_9"], ", "), without([f"ct_{i}" for i in range(7)])
        (', without ct_7, ct_9', 'without 7 cases')
    """
    names = ", ".join(cases) if len(cases) < 3 else f"{len(cases)} cases"
    return f"{before}without {names}" if cases else ""


def spread(values: Sequence[float]) -> str:
    """A count that all runs share, or from the least to the most.

    Example:
        >>> spread([900, 900]), spread([900, 700]), spread([2.5]), spread([])
        ('900', '700 to 900', '2.5', '-')
    """
    known = [f"{value:,.10g}".replace(",", "\N{NO-BREAK SPACE}") for value in sorted(set(values))]
    return "-" if not known else known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"


def difference(comparison: Comparison) -> str:
    """By how much Dice, with the interval."""
    if not comparison.n:
        return "no case counts"
    found = interval(comparison.low, comparison.high, sign=True)
    return f"{signed(comparison.difference)} Dice, 95 % interval {found or 'without ends'}"


def seeds(runs: tuple[int, int]) -> str:
    """How many runs stand against each other."""
    mine, theirs = runs
    return f"{counted(mine, 'run')} each" if mine == theirs else f"{counted(mine, 'run')} against {theirs}"


def left_out_of_means(subset: SubsetResult) -> str:
    """What does not count in the means of a subset, and why; empty where everything counts."""
    return f"Left out of the means: {'; '.join(map(str, subset.left_out))}." if subset.left_out else ""


def on_subset(name: str, *, capital: bool = False) -> str:
    """What was trained on, as the start of a heading or within a sentence."""
    if not name:
        return "These test cases" if capital else "these test cases"
    if name == "Full":  # as the runs of no subset call it
        return "Trained on all slices" if capital else "all training slices"
    return f"Trained on {name}" if capital else f"training subset {name}"


def focus(methods: Sequence[str], reference: str) -> list[str]:
    """The methods that the first sentence is about: AdaWAC if it is there, else all but the reference."""
    others = [method for method in methods if method != reference]
    return [method for method in others if method.casefold() == "adawac"] or others


def summary_sentence(subsets: Sequence[SubsetResult], reference: str, runs: Sequence[MethodRun] = ()) -> str:
    """The answer: better, worse, no difference, by how much, on what; and whose numbers are too good for that."""
    return " ".join([_answer(subsets, reference, runs), *(said for run in runs for said in _trained_on(run))])


def summary(report: Contents) -> str:
    """The first lines of a report: the answer, and whom its cases show where that is not one patient each."""
    answer = summary_sentence(report.subsets, report.reference, report.runs)
    told = [answer, unequal_compute(report), *unlike(report.runs), *_not_in_view(report), report.patients]
    return " ".join(filter(None, told))


def _not_in_view(report: Contents) -> Iterable[str]:
    """Cases and runs without which all numbers are: perhaps the hard ones, on which something failed."""
    if report.left_out:
        yield f"{counted(len(report.left_out), 'case').capitalize()} left out: {some_of(report.left_out)}."
    if report.unfinished:
        missing = some_of([f"{name} ({state})" for name, state in report.unfinished.items()])
        yield f"{counted(len(report.unfinished), 'planned run').capitalize()} not in this: {missing}."


def _trained_on(run: MethodRun) -> Iterable[str]:
    if run.related:
        yield (
            f"{len(run.related)} of the {len(run.cases)} cases seem to be of patients of whom {run.name} was trained "
            f"on another case ({some_of(run.related)}): where they are, its numbers are too good."
        )
    for did, names in (("was trained on", {*run.training, *run.seen}), ("was chosen on", {*run.chosen})):
        if seen := sorted(run.cases & names):
            yield (
                f"{len(seen)} of the {len(run.cases)} cases have the names of cases that {run.name} {did} "
                f"({some_of(seen)}): where they are the same, its numbers are too good."
            )


def _answer(subsets: Sequence[SubsetResult], reference: str, runs: Sequence[MethodRun]) -> str:
    methods = list(dict.fromkeys(method.name for subset in subsets for method in subset.methods))
    if len(methods) == 1:
        return "; ".join(_alone(subset.methods[0], subset.name) for subset in subsets) + "."
    chosen = focus(methods, reference)
    sentences = [text for method in chosen if (text := _sentence(method, subsets, reference))]
    if not sentences:
        if any(subset.comparisons for subset in subsets):
            return "Nothing can be compared: no case counts in all methods."
        return f"Nothing can be compared yet: {reference} and another method need finished runs on the same subset."
    rest = [method for method in methods if method not in (*chosen, reference)]
    return " ".join([*sentences, *_rest(rest, subsets, reference), *_basis(means_of(subsets), runs)])


def _alone(method: MethodResult, subset: str) -> str:
    found = method.dice[0]
    on = f" on {on_subset(subset)}" if subset else ""
    apart = " (runs of one method are its seeds; METHOD=PATH tells them apart)" if found.runs > 1 else ""
    return (
        f"{method.name}{on}: mean Dice {estimated(found)} over {counted(found.n, 'patient')} and "
        f"{counted(found.runs, 'run')}, nothing to compare with{apart}"
    )


def _sentence(method: str, subsets: Sequence[SubsetResult], reference: str) -> str:
    """One method: what it is better on, what worse, what nothing is found on."""
    clauses: list[str] = []
    for verdict, words in _WORDS.items():
        where = [
            (f"on {on_subset(subset.name)} " if subset.name else "") + f"({difference(found[0])})"
            for subset in subsets
            if (found := subset.comparisons.get(method)) and found[0].verdict == verdict
        ]
        if where:
            clauses.append(f"{words} {'it' if clauses else reference} {' and '.join(where)}")
    return f"{method} {', '.join(clauses)}." if clauses else ""


_WORDS: Mapping[Verdict, str] = {
    "better": "is better than",
    "worse": "is worse than",
    "no significant difference": "shows no significant difference from",
    "not significant after correction": "shows no difference that is significant after correction from",
    "single run": "gets no verdict against",
}


def _rest(methods: Sequence[str], subsets: Sequence[SubsetResult], reference: str) -> list[str]:
    """The other methods: what differs first, then those of one verdict everywhere, then the verdicts that are left."""
    found = [
        (method, subset.name, subset.comparisons[method][0].verdict)
        for method in methods
        for subset in subsets
        if method in subset.comparisons
    ]
    differ = together(
        ((subset, verdict), method) for method, subset, verdict in found if verdict in ("better", "worse")
    )
    clauses = [
        f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {verdict}"
        + (f" on {on_subset(subset)}" if subset else "")
        for (subset, verdict), names in differ.items()
    ]
    sentences = [f"Against {reference}, {', '.join(clauses)}."] if clauses else []
    of_method = together((method, verdict) for method, _, verdict in found)
    others = together(
        (("" if {*of_method[method]} == {verdict} else subset, verdict), method)
        for verdict in _WORDS
        for method, subset, this in found
        if this == verdict and verdict not in ("better", "worse")
    )
    for (subset, verdict), names in others.items():
        names = list(dict.fromkeys(names))
        verb, _, rest = _WORDS[verdict].partition(" ")
        on = f" on {on_subset(subset)}" if subset else ""
        verb = verb if len(names) == 1 else verb.removesuffix("s")
        sentences.append(f"{_listed(names)} {verb} {rest} {reference}{on}.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _basis(compared: Sequence[Comparison], runs: Sequence[MethodRun]) -> list[str]:
    """On how much the answer rests, and what it cannot say."""
    patients = sorted({found.n for found in compared})
    counts = sorted({number for found in compared for number in found.runs})
    measured = f"Measured on {_range(patients, 'patient')}, with {_range(counts, 'run')} of each method."
    return [measured, *filter(None, [of_single_runs(compared, runs), powerless(compared, "means")])]


def means_of(subsets: Sequence[SubsetResult]) -> list[Comparison]:
    """The comparisons of means of organs of all methods and training subsets in view."""
    return [found[0] for subset in subsets for found in subset.comparisons.values()]


def organs_of(subsets: Sequence[SubsetResult]) -> list[Comparison]:
    """The comparisons of single organs."""
    return [each for subset in subsets for _, *organs in subset.comparisons.values() for each in organs]


def of_single_runs(compared: Sequence[Comparison], runs: Sequence[MethodRun]) -> str:
    """Why there is no verdict where a method has a single run; empty where none has."""
    single = list(dict.fromkeys(found.runs for found in compared if found.verdict == "single run"))
    if not single:
        return ""
    known = seed_noise(runs)
    origin = "as those of methods here with several runs fell" if known else "as seeds fell in adawac's own studies"
    noise = {of: (known or COMMITTED) * math.sqrt(sum(1 / each for each in of) / 2) for of in single}
    said = ", ".join(
        f"{seeds(of)}: differences of up to {signed(noise[of]).removeprefix('+')} Dice are seed noise" for of in single
    )
    if all(of == (1, 1) for of in single):
        basis = "are of these trained networks, not of the methods"
    else:
        basis = "take the seeds of a single run to differ as those of the other method do, if that has several"
    return f"{said}, {origin}. Intervals and p {basis}; train at least three seeds of each."


def powerless(compared: Sequence[Comparison], what: str) -> str:
    """That so few patients could not have found any difference among so many comparisons, and what could; or nothing.

    Args:
        compared: all comparisons of a family.
        what: of what they are.
    """
    judged = [found for found in compared if found.n and found.verdict != "single run"]
    most = max((found.n for found in judged), default=0)
    family = max((found.family for found in judged), default=0)
    if not judged or family * least_p(most) < 1 - LEVEL:
        return ""
    needed = next((n for n in range(most, ENUMERATED + 1) if family * least_p(n) < 1 - LEVEL), 0)
    fewer = next((m for m in range(family, 0, -1) if m * least_p(most) < 1 - LEVEL), 0)
    instead = f"{counted(fewer, 'comparison')} at most"
    if needed:
        instead = f"{counted(needed, 'patient').capitalize()} could{f', or {instead}' if fewer else ''}."
    else:  # of more patients no smaller p is told
        instead = f"{instead.capitalize()} could." if fewer else ""
    least = number(least_p(most), 5).rstrip("0").rstrip(".")
    return (
        f"This study could not have found a difference of {what}, however large: of {counted(most, 'patient')} p is at "
        f"least {least}, and {counted(family, 'comparison')} must be corrected for. "
        f"{instead}"
    ).rstrip()


def family_note(compared: Sequence[Comparison], what: str) -> str:
    """What was corrected for.

    Args:
        compared: all comparisons of a family.
        what: of what they are.
    """
    size = max((found.family for found in compared), default=0)
    return f"Holm over the {counted(size, 'comparison')} of {what} in this report"


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
