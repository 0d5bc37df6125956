"""The report as a document: what `adawac.report.contents` computed, in the order in which a reader asks.

Does it help, by how much, for which organs, where, what did the weights do, which labels may be missing, what do
failures look like, can this be trusted, and how was it made.
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial

from adawac.errors import counted
from adawac.evaluation import Comparison
from adawac.report.annotated import annotated
from adawac.report.blocks import Block, Code, Document, Finding, Paragraph, Section, Table
from adawac.report.by_patient import by_patient
from adawac.report.contents import Contents, MethodResult
from adawac.report.details import Columns, groups, method_table, organs, subheading, suspects, weights
from adawac.report.drawn import drawn
from adawac.report.runs import nouns
from adawac.report.wording import (
    both_p,
    difference,
    estimated,
    family_note,
    left_out_of_means,
    means_of,
    number,
    of_single_runs,
    on_subset,
    organs_of,
    powerless,
    seeds,
    shared_out,
    spread,
    summary,
    without,
)

KNOWN = {
    "erm": "ERM: plain training on one view of each image.",
    "pair": "Pair: plain training on two augmented views of each image, none of which weighs more than another.",
    "adawac_s": "AdaWAC-S: one view; for each image a weight that is learnt, by which it is drawn.",
    "adawac": "AdaWAC: two views, and for each image a weight that is learnt, between its label and their agreement.",
}
"""What methods are, by their names or the first word of these; a study may name its others as it likes."""


def document(report: Contents) -> Document:
    """Put a report into words, tables and figures."""
    sections = [
        Section("Verdicts", tuple(_verdicts(report)), "Verdicts"),
        Section("Methods side by side", tuple(_methods(report)), "Methods"),
        Section("Organ by organ", tuple(organs(report)), "Organs"),
        Section("Patient by patient", tuple(by_patient(report)), "Patients"),
        Section("Where it helps, and where not", tuple(groups(report)), "Where"),
        Section("What the weights do", tuple(weights(report)), "Weights"),
        Section("What was drawn", tuple(drawn(report)), "Draws"),
        Section("What annotation is worth", tuple(annotated(report)), "Annotation"),
        Section(f"Training {nouns(report.runs)[1]} to look at", tuple(suspects(report)), "Labels"),
        Section("Worst cases", (*report.pictures, *_said(report.no_pictures)), "Pictures"),
        Section("Can these numbers be trusted?", tuple(_trust(report)), "Trust"),
        Section("How this was made", tuple(_making(report)), "Making"),
    ]
    return Document(
        report.title,
        summary(report),
        tuple(section for section in sections if section.blocks),
    )


def _said(text: str) -> list[Block]:
    return [Paragraph(text)] if text else []


def _verdicts(report: Contents) -> Iterable[Block]:
    for subset in report.subsets:
        for method, (found, *_) in subset.comparisons.items():
            lines = {each.name: each for each in subset.methods}
            mine, theirs = lines[method].dice[0], lines[report.reference].dice[0]
            left_out = without(found.left_out, ", ")
            yield Finding(
                found.verdict,
                f"{on_subset(subset.name, capital=True)}: {method} against {report.reference}",
                f"Mean Dice {number(mine.mean)} against {number(theirs.mean)}: {difference(found)}; "
                f"{counted(found.n, 'patient')}{left_out}, {seeds(found.runs)}, {both_p(found)}.",
            )
        if not subset.comparisons and len(subset.methods) > 1:
            yield Finding(None, on_subset(subset.name, capital=True), f"{report.reference} has no run here.")
    if means := means_of(report.subsets):
        other = "In brackets stands the corrected one; the other" if any(each.family > 1 for each in means) else "It"
        yield Paragraph(
            f"Better and worse: p, corrected by {family_note(means, 'means')}, is below 0.05. {other} is below 0.05 "
            "exactly where the interval does not hold 0."
        )
    if report.unfinished:
        missing = "; ".join(f"{name} ({state})" for name, state in report.unfinished.items())
        yield Paragraph(f"Not in this report, because not finished: {missing}.")


def _methods(report: Contents) -> Iterable[Block]:
    units = sorted({method.unit for subset in report.subsets for method in subset.methods})
    columns: Columns = {
        "runs": lambda method: str(len(method.runs)),
        "Dice, mean of organs": lambda method: estimated(method.dice[0]),
        **{f"HD95 (pooled), {unit}": partial(_hd95, unit) for unit in units},
        "organs missed": lambda method: str(method.missed),
        "organs falsely found": lambda method: str(method.false_alarms),
        "images seen": lambda method: spread(method.images_seen),
        "network passes": lambda method: spread(method.network_passes),
    }
    for subset in report.subsets:
        yield from subheading(report, subset)
        yield method_table("method", subset.methods, columns)
        yield from _said(left_out_of_means(subset))
    unlike = "".join(
        f" What an image is differs here: {shared_out(subset.units)}." for subset in report.subsets if subset.units
    )
    yield Paragraph(
        "In brackets: 95 % intervals, over patients and, where a method has several, over runs; of a single run they "
        f"do not know how other seeds would fall. {report.policy_note} HD95: 95th percentile of the distances between "
        "the surfaces of prediction and reference. Misses and false alarms are counted over all organs, cases and "
        "runs, whatever the means leave out. "
        f"Images seen and network passes are those of one run in training, without what a teacher passes.{unlike}"
    )
    names = {method.name.casefold() for subset in report.subsets for method in subset.methods}
    words = [re.split(r"[\W_]+", name) for name in names]
    kinds = {whole if (whole := "_".join(each[:2])) in KNOWN else each[0] for each in words}
    known = [said for kind, said in KNOWN.items() if kind in kinds]
    yield from _said(" ".join(known))


def _hd95(unit: str, method: MethodResult) -> str:
    return estimated(method.hd95, 1) if unit == method.unit else "-"


def _trust(report: Contents) -> Iterable[Block]:
    sentences = [
        "The unit of every test is the patient: all methods see the same test cases, so that differences are paired."
    ]
    if means := means_of(report.subsets):
        sentences += _limits(report, means)
    if report.policy == "skip":
        sentences.append(
            "Where the reference lacks an organ, only a false alarm has a value under the policy skip; what one method "
            "falsely finds and the other leaves empty is left out of their comparison, so that false alarms decide "
            "nothing in it: see organs falsely found."
        )
    sentences.append(
        "No significant difference does not mean equal: the interval says how large a difference may still be. And no "
        "interval knows of what the test set does not hold: other scanners, other patients, a failure that is rare."
    )
    yield Paragraph(" ".join(sentences))


def _limits(report: Contents, means: Sequence[Comparison]) -> Iterable[str]:
    """What so few patients and runs, and so many verdicts, allow to be said."""
    n, runs = min(found.n for found in means), min(min(found.runs) for found in means)
    are = "is" if n == 1 else "are"
    yield f"There {are} {counted(n, 'patient')} and at least {counted(runs, 'run')} of each method."
    yield (
        "Interval and p are one test: sign flips of the differences of patients, with the variation between runs "
        "added where a method has several. How often they hold what they promise for 6 to 40 patients was simulated: "
        "docs/reliability.md."
    )
    organs = organs_of(report.subsets)
    yield from filter(None, (of_single_runs(means, report.runs), powerless(means, "means")))
    yield from filter(None, [powerless(organs, "single organs")] if organs else [])
    if 1 < runs < 4:
        yield (
            f"So few runs know little of how much seeds differ: with {runs} the intervals are long, and "
            "rightly so. They take the seeds of both methods to differ alike."
        )
    yield (
        f"Verdicts are corrected for their number, by {family_note(means, 'means')}"
        f"{' and ' + family_note(organs, 'organs') if organs else ''}; an organ gets one only where the mean has "
        "one. So where no method differs from the reference, a report says of any that it does in at most 5 %."
    )


def _making(report: Contents) -> Iterable[Block]:
    if report.command:
        yield Code(report.command)
    names = list(dict.fromkeys(name for run in report.runs for name in run.made))
    yield Table(
        ("run", "method", "subset", "cases", *names),
        tuple(
            (run.name, run.method, run.subset or "-", str(len(run.cases)), *(run.made.get(name, "-") for name in names))
            for run in report.runs
        ),
        words=True,
    )
    facts = [report.policy_note, "HD95 is the 95th percentile of the distances of both directions pooled (medpy)."]
    if report.left_out:
        facts.append(f"Left out: {'; '.join(report.left_out)}.")
    if report.versions:
        facts.append(f"Report by {', '.join(f'{name} {version}' for name, version in report.versions.items())}.")
    yield Paragraph(" ".join(facts))
