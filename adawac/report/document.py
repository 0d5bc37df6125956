"""The report as a document: what `adawac.report.contents` computed, in the order in which a reader asks.

Does it help, by how much, for which organs, where, what did the weights do, what do failures look like, can this be
trusted, and how was it made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from adawac.evaluation import MEAN_OF_CLASSES
from adawac.evaluation.coverage import Coverage
from adawac.metrics import EmptyPolicy, empty_rule
from adawac.report import figures
from adawac.report.blocks import Block, Code, Document, Finding, Heading, Paragraph, Picture, Section, Table
from adawac.report.contents import Family, MethodResult, SubsetResult
from adawac.report.runs import MethodRun
from adawac.report.wording import (
    MINUS,
    counted,
    difference,
    estimated,
    interval,
    number,
    on_subset,
    p_value,
    seeds,
    signed,
    spread,
    summary_sentence,
    verdict_counts,
)


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Attributes:
        title: of the report.
        reference: method that the others are compared with.
        policy: what empty masks are worth.
        runs: everything that went in.
        subsets: what came out.
        command: what was typed to make the report; "" where it was not typed.
        versions: package -> version that made the report.
        left_out: cases that were not taken, each with the reason.
        unfinished: runs that are missing -> why.
        coverage: what a simulation of the intervals found; empty where none was asked for.
        coverage_of: (patients, runs) that were simulated.
        pictures: worst cases.
        no_pictures: why there are none.
    """

    title: str
    reference: str
    policy: EmptyPolicy
    runs: Sequence[MethodRun]
    subsets: Sequence[SubsetResult]
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    unfinished: Mapping[str, str] = field(default_factory=dict)
    coverage: Sequence[Coverage] = ()
    coverage_of: tuple[int, int] = (0, 0)
    pictures: Sequence[Picture] = ()
    no_pictures: str = ""

    @property
    def summary(self) -> str:
        """The answer."""
        return summary_sentence(self.subsets, self.reference)

    @property
    def styles(self) -> dict[str, tuple[str, str]]:
        """Colour and marker of each method, the same in all figures."""
        return figures.method_styles(list(dict.fromkeys(run.method for run in self.runs)), self.reference)

    @property
    def policy_note(self) -> str:
        """The empty-mask policy in words."""
        return f"Empty masks, policy {self.policy}: {empty_rule(self.policy).meaning}."


def document(report: Report) -> Document:
    """Put a report into words, tables and figures."""
    sections = [
        Section("Verdicts", tuple(_verdicts(report)), "Verdicts"),
        Section("Methods side by side", tuple(_methods(report)), "Methods"),
        Section("Organ by organ", tuple(_organs(report)), "Organs"),
        Section("Where it helps, and where not", tuple(_groups(report)), "Where"),
        Section("What the weights do", tuple(_weights(report)), "Weights"),
        Section("Worst cases", (*report.pictures, *_said(report.no_pictures)), "Pictures"),
        Section("Can these numbers be trusted?", tuple(_trust(report)), "Trust"),
        Section("How this was made", tuple(_making(report)), "Making"),
    ]
    return Document(report.title, report.summary, tuple(section for section in sections if section.blocks))


def _said(text: str) -> list[Block]:
    return [Paragraph(text)] if text else []


def _verdicts(report: Report) -> Iterable[Block]:
    for subset in report.subsets:
        for method, (found, *_) in subset.comparisons.items():
            lines = {each.name: each for each in subset.methods}
            mine, theirs = lines[method].dice[0], lines[report.reference].dice[0]
            yield Finding(
                found.verdict,
                f"{on_subset(subset.name, capital=True)}: {method} against {report.reference}",
                f"Mean Dice {number(mine.mean)} against {number(theirs.mean)}: {difference(found)}; "
                f"{counted(found.n, 'patient')}, {seeds(found)}, {p_value(found.p_holm)}.",
            )
        if not subset.comparisons and len(subset.methods) > 1:
            yield Finding(None, on_subset(subset.name, capital=True), f"{report.reference} has no run here.")
    if report.unfinished:
        missing = "; ".join(f"{name} ({state})" for name, state in report.unfinished.items())
        yield Paragraph(f"Not in this report, because not finished: {missing}.")


def _methods(report: Report) -> Iterable[Block]:
    unit = next((method.unit for subset in report.subsets for method in subset.methods), "mm")
    header = (
        "method", "runs", "Dice, mean of organs", f"HD95 (pooled), {unit}", "organs missed", "organs falsely found",
        "images seen", "network passes",
    )  # fmt: skip
    for subset in report.subsets:
        yield from _subheading(report, subset)
        yield Table(header, tuple(_method_line(method) for method in subset.methods))
    yield Paragraph(
        f"In brackets: 95 % intervals. {report.policy_note} Misses and false alarms are counted over organs, cases and "
        "runs. Images seen and network passes are those of one run in training: AdaWAC looks at each image twice."
    )


def _method_line(method: MethodResult) -> tuple[str, ...]:
    return (
        method.name,
        str(len(method.runs)),
        estimated(method.dice[0]),
        estimated(method.hd95, 1, highest=float("inf")),
        str(method.missed),
        str(method.false_alarms),
        spread(method.images_seen),
        spread(method.network_passes),
    )


def _subheading(report: Report, subset: SubsetResult) -> list[Block]:
    """Which subset this is about, where there are several."""
    return [Heading(on_subset(subset.name, capital=True))] if len(report.subsets) > 1 else []


# --- organs -----------------------------------------------------------------------------------------------------------


def _organs(report: Report) -> Iterable[Block]:
    for i, subset in enumerate(report.subsets):
        yield from _subheading(report, subset)
        if subset.comparisons:
            panels = {
                f"{method} {MINUS} {report.reference}": [
                    figures.Line(
                        _organ(found.class_name), found.difference, found.low, found.high, found.verdict, row == 0
                    )
                    for row, found in enumerate(comparisons)
                ]
                for method, comparisons in subset.comparisons.items()
            }
            yield Picture(
                f"organs_{i}",
                "svg",
                figures.encode(figures.forest(panels)),
                "Forest plot of the differences of Dice to the reference: "
                + "; ".join(f"{method}: {difference(found[0])}" for method, found in subset.comparisons.items()),
                "To the right of 0 the method is better. Filled: told apart after Holm's correction over the organs; "
                "an arrow: the interval goes on beyond the figure.",
            )
        names = [_organ(each.class_name) for each in subset.methods[0].dice]
        header = ("Dice", *(method.name for method in subset.methods))
        columns = [{_organ(each.class_name): each for each in method.dice} for method in subset.methods]
        yield Table(header, tuple((name, *(estimated(column.get(name)) for column in columns)) for name in names))
        if subset.comparisons:
            yield _comparison_table(subset)
        if subset.ranking is not None:
            yield from _ranks(report, subset, i)


def _organ(class_name: str) -> str:
    return "mean of organs" if class_name == MEAN_OF_CLASSES else class_name


def _comparison_table(subset: SubsetResult) -> Table:
    header = ("difference of Dice", *subset.comparisons)
    rows = zip(*subset.comparisons.values(), strict=False)
    lines = tuple(
        (_organ(row[0].class_name), *(f"{signed(c.difference)}, {p_value(c.p_holm)}: {c.verdict}" for c in row))
        for row in rows
    )
    note = (
        "p is the larger of a t test's and of Wilcoxon's signed ranks', over patients; corrected by Holm over the "
        "organs, the mean by itself. Told apart means below 0.05."
    )
    return Table(header, lines, note)


def _ranks(report: Report, subset: SubsetResult, i: int) -> Iterable[Block]:
    ranking = subset.ranking
    if ranking is None:
        return
    said = ", ".join(f"{name} {rank:.2f}" for name, rank in ranking.ranks.items())
    meaning = (
        f"mean ranks differ if they are more than {ranking.critical_difference:.2f} apart (Nemenyi)"
        if ranking.p < 0.05
        else "so the ranks tell nothing apart"
    )
    yield Picture(
        f"ranks_{i}",
        "svg",
        figures.encode(figures.ranks(ranking, report.styles)),
        f"Mean ranks: {said}",
        f"Mean Dice ranked on each of {counted(ranking.n, 'patient')}: {said}. Friedman's test that all are equal: "
        f"{p_value(ranking.p)}; {meaning}.",
    )


# --- groups -----------------------------------------------------------------------------------------------------------


def _groups(report: Report) -> Iterable[Block]:
    yield Paragraph(
        "Differences here are 95 % intervals without correction for the number of groups: they say where to look, not "
        "what is proven."
    )
    for i, subset in enumerate(report.subsets):
        yield from _subheading(report, subset)
        yield _dense_and_sparse(report, subset)
        if any(differences for family in subset.families for differences in family.differences.values()):
            yield _groups_figure(report, subset, i)
        for family in subset.families:
            yield _family_table(family)
            if family.title.startswith("Position"):
                yield _position_figure(report, family, i)


def _dense_and_sparse(report: Report, subset: SubsetResult) -> Table:
    header = (
        "slices", "Dice, label-dense", "recall, label-dense", "label-sparse slices with false positives",
        f"difference to {report.reference}, per volume", "false-positive voxels per volume",
    )  # fmt: skip
    lines = []
    for method in subset.methods:
        found = subset.false_slices.get(method.name)
        against = (
            "" if found is None else f"{signed(found.difference, 2)} ({interval(found.low, found.high, 2, sign=True)})"
        )
        lines.append(
            (
                method.name,
                estimated(method.dense),
                estimated(method.recall),
                str(method.false_slices),
                against,
                number(method.false_voxels, 1),
            )
        )
    note = (
        "Label-dense: the reference has any foreground in the slice. On label-sparse slices there is nothing to "
        f"overlap with, so what counts is how many stay clean. {report.policy_note}"
    )
    return Table(header, tuple(lines), note)


def _groups_figure(report: Report, subset: SubsetResult, i: int) -> Picture:
    methods = list(dict.fromkeys(method for family in subset.families for method in family.differences))
    panels = {}
    for method in methods:
        lines = []
        for family in subset.families:
            lines.append(figures.Line(family.title))
            for group in family.groups:
                found = family.differences.get(method, {}).get(group)
                n = max((g.n for s in family.summaries.values() for g in s.groups if g.name == group), default=0)
                label = f"{group}  (n = {n})"
                lines.append(
                    figures.Line(label)
                    if found is None
                    else figures.Line(label, found.difference, found.low, found.high)
                )
        panels[f"{method} {MINUS} {report.reference}"] = lines
    return Picture(
        f"groups_{i}",
        "svg",
        figures.encode(figures.forest(panels)),
        "Differences of Dice to the reference in each group of slices and cases; the tables below hold the means.",
        "To the right of 0 the method is better. n: test cases with a value; a group without any keeps its line.",
    )


def _family_table(family: Family) -> Table:
    header = (family.title, *family.groups, "mean", "worst", "gap")
    lines = []
    for method, summary in family.summaries.items():
        cells = [f"{number(group.mean)} (n = {group.n})" if group.n else "n = 0" for group in summary.groups]
        worst = "-" if summary.worst is None else summary.worst.name
        lines.append((method, *cells, number(summary.mean), worst, number(summary.gap)))
    return Table(header, tuple(lines), family.note)


def _position_figure(report: Report, family: Family, i: int) -> Picture:
    values = {method: [group.mean for group in summary.groups] for method, summary in family.summaries.items()}
    first = next(iter(family.summaries.values()))
    return Picture(
        f"position_{i}",
        "svg",
        figures.encode(
            figures.position_curves(
                values, report.styles, "position along the volume, first slice to last", [g.n for g in first.groups]
            )
        ),
        "Dice along the volume: "
        + "; ".join(f"{method} {', '.join(map(number, line))}" for method, line in values.items()),
        "Dice of the organs in each fifth of the volume, of those cases whose reference has any there.",
    )


# --- weights ----------------------------------------------------------------------------------------------------------


def _weights(report: Report) -> Iterable[Block]:
    for i, subset in enumerate(report.subsets):
        weighted = [method for method in subset.methods if method.weights]
        if not weighted:
            continue
        yield from _subheading(report, subset)
        panels = {f"{method.name}, {method.runs[0]}": method.weights[0] for method in weighted}
        yield Picture(
            f"weights_{i}",
            "svg",
            figures.encode(figures.weights_along(panels)),
            "Weight of every training slice by its position, label-dense and label-sparse slices apart.",
            "Each mark is a training slice at the end of the first run; lines join the means in tenths of the volume.",
        )
        header = ("weights", "runs", "mean, label-dense", "mean, label-sparse", "AUROC")
        lines = []
        for method in weighted:
            means = [table.means for table in method.weights]
            lines.append(
                (
                    method.name,
                    str(len(method.weights)),
                    _over_runs([each.dense for each in means]),
                    _over_runs([each.sparse for each in means]),
                    _over_runs([table.auroc for table in method.weights]),
                )
            )
        note = (
            "AUROC: how well the weights detect label-dense slices, which nobody told AdaWAC of; 0.5 says nothing, "
            "1 is perfect. From the lowest run to the highest."
        )
        yield Table(header, tuple(lines), note)


def _over_runs(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


# --- trust and making -------------------------------------------------------------------------------------------------


def _trust(report: Report) -> Iterable[Block]:
    compared = [found[0] for subset in report.subsets for found in subset.comparisons.values()]
    sentences = [
        "The unit of every test is the patient: all methods see the same test cases, so that differences are paired."
    ]
    if compared:
        n, runs = min(found.n for found in compared), min(min(found.runs) for found in compared)
        sentences.append(f"There are {counted(n, 'patient')} and at least {counted(runs, 'run')} of each method.")
        if n < 6:
            sentences.append("Signed ranks cannot tell methods apart with fewer than 6 patients, whatever they do.")
        if runs == 1:
            sentences.append(
                "With one run of a method all is said of this trained model, not of the method: another seed may fall "
                "elsewhere, and how far cannot be known. Train at least three seeds before you believe a difference."
            )
        elif runs < 4:
            sentences.append(
                f"So few runs know little of how much seeds differ: with {runs} of each the intervals are long, and "
                "rightly so."
            )
        counts = verdict_counts(report.subsets)
        sentences.append(
            f"{counted(counts['all'], 'comparison')} of means at 5 % each: if all methods were equal, about "
            f"{0.05 * counts['all']:.1f} would be told apart by chance; {counts['told apart']} were."
        )
    sentences.append(
        "Not told apart does not mean equal: the interval says how large a difference may still be. And no interval "
        "knows of what the test set does not hold: other scanners, other patients, a failure that is rare."
    )
    yield Paragraph(" ".join(sentences))
    if report.coverage:
        patients, runs = report.coverage_of
        yield Table(
            ("simulated", "95 % interval of a mean holds it", "of a difference", "equal methods told apart"),
            tuple(
                (each.scenario.name, str(each.mean), str(each.difference), str(each.told_apart))
                for each in report.coverage
            ),
            f"Simulated data sets of {counted(patients, 'patient')} and {counted(runs, 'run')} of each method, as many "
            "as here at least; ± is the simulation's standard error. Due are 95 %, 95 % and at most 5 %.",
        )
    else:
        yield Paragraph(
            "How often such intervals hold the truth with so few cases and runs is simulated by --coverage."
        )


def _making(report: Report) -> Iterable[Block]:
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
