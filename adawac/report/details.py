"""The sections of a report that go into detail: organs, where it helps and where not, weights, labels to look at."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from adawac.errors import counted, some_of, together
from adawac.evaluation import MEAN_OF_CLASSES, Ranking
from adawac.evaluation.group_rows import GroupMean
from adawac.report import charts
from adawac.report.blocks import Block, Heading, Paragraph, Picture, Table
from adawac.report.contents import Contents, MethodResult, SubsetResult
from adawac.report.families import Family
from adawac.report.runs import nouns
from adawac.report.wording import (
    MINUS,
    both_p,
    difference,
    estimated,
    family_note,
    interval,
    left_out_of_means,
    means_of,
    number,
    on_subset,
    organs_of,
    p_value,
    shared_out,
    signed,
    spread,
)
from adawac.runs.suspects import FOUND

MOST_SUSPECTS = 10
"""Rows of their table; the run's own table has all."""

OF = "\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}"

Columns = Mapping[str, Callable[[MethodResult], str]]
"""Title of a column -> what it says of a method."""


def subheading(report: Contents, subset: SubsetResult) -> list[Block]:
    """Which subset this is about, where there are several."""
    return [Heading(on_subset(subset.name, capital=True))] if len(report.subsets) > 1 else []


def method_table(first: str, methods: Sequence[MethodResult], columns: Columns, note: str = "") -> Table:
    """A line a method, a column a title with what stands beneath it; the first column has this title."""
    lines = ((method.name, *(cell(method) for cell in columns.values())) for method in methods)
    return Table((first, *columns), tuple(lines), note)


def organs(report: Contents) -> Iterable[Block]:
    """Forest plot, Dice and differences of every organ, ranks of the methods."""
    for i, subset in enumerate(report.subsets):
        yield from subheading(report, subset)
        if subset.comparisons:
            yield charts.picture(
                f"organs_{i}",
                charts.forest(organ_lines(subset, report.reference)),
                "Forest plot of the differences of Dice to the reference: "
                + "; ".join(f"{method}: {difference(found[0])}" for method, found in subset.comparisons.items()),
                "To the right of 0 the method is better. Filled: better or worse after Holm's correction; open: no "
                "significant difference, or a single run. An arrow: the interval goes on beyond the figure.",
            )
        names = [organ_name(each.class_name) for each in subset.methods[0].dice]
        header = ("Dice", *(method.name for method in subset.methods))
        columns = [{organ_name(each.class_name): each for each in method.dice} for method in subset.methods]
        lines = tuple((name, *(estimated(column.get(name)) for column in columns)) for name in names)
        yield Table(header, lines, left_out_of_means(subset))
        if subset.comparisons:
            yield _comparison_table(report, subset)
        if subset.ranking is not None:
            yield _ranks(report, subset.ranking, i)


def organ_lines(subset: SubsetResult, reference: str) -> dict[str, list[charts.Line]]:
    """Title of a panel -> what the forest plot of the organs shows in it, their mean first."""
    return {
        f"{method} {MINUS} {reference}": [
            charts.Line(organ_name(found.class_name), found.difference, found.low, found.high, found.verdict, row == 0)
            for row, found in enumerate(comparisons)
        ]
        for method, comparisons in subset.comparisons.items()
    }


def organ_name(class_name: str) -> str:
    """What a report calls a class, or the mean of all."""
    return "mean of organs" if class_name == MEAN_OF_CLASSES else class_name


def _comparison_table(report: Contents, subset: SubsetResult) -> Table:
    header = ("difference of Dice", *subset.comparisons)
    rows = zip(*subset.comparisons.values(), strict=False)
    lines = tuple(
        (
            organ_name(row[0].class_name),
            *(f"{signed(c.difference)}, {both_p(c)}: {c.verdict}" if c.n else "n = 0" for c in row),
        )
        for row in rows
    )
    means, organs = means_of(report.subsets), organs_of(report.subsets)
    corrections = f"the mean by {family_note(means, 'means')}, organs by {family_note(organs, 'organs')}"
    note = (
        f"p is that of the interval; in brackets: corrected, {corrections}. Better and worse mean that the corrected p "
        "is below 0.05, of an organ that of the mean, too. Single run: one of the two methods has no more, hence no "
        "verdict."
    )
    return Table(header, lines, note)


def _ranks(report: Contents, ranking: Ranking, i: int) -> Picture:
    said = ", ".join(f"{name} {rank:.2f}" for name, rank in ranking.ranks.items())
    return charts.picture(
        f"ranks_{i}",
        charts.ranks(ranking, charts.method_styles(report.methods, report.reference)),
        f"Mean ranks: {said}",
        f"Mean Dice, over the seeds of each method, ranked on each of {counted(ranking.n, 'patient')}: {said}. A "
        "description of these trained networks (Friedman's test that they are all equal: "
        f"{p_value(ranking.p)}), not a verdict on methods: those stand in the table above.",
    )


# --- groups -----------------------------------------------------------------------------------------------------------


def groups(report: Contents) -> Iterable[Block]:
    """Label-dense and label-sparse slices, positions along the volume, organ sizes, metadata."""
    yield Paragraph(
        "Differences here are 95 % intervals over patients and runs, without correction for the number of groups: they "
        "say where to look, not what is proven. Some gap between the best and the worst group is there by chance, the "
        "larger the fewer their patients."
    )
    for i, subset in enumerate(report.subsets):
        yield from subheading(report, subset)
        if subset.cuts:
            yield Paragraph(
                f"Not all volumes are cut into the same slices. {shared_out(subset.cuts)}. What is measured by slice "
                "or along the volume is of other slices in each, and not compared; whole volumes are. To compare it, "
                "test all with the same data.axis, or measure all anew with --predict and one --axis."
            )
        yield _dense_and_sparse(report, subset)
        if any(differences for family in subset.families for differences in family.differences.values()):
            yield _groups_figure(report, subset, i)
        for family in subset.families:
            yield _family_table(family)
            if family.title.startswith("Position"):
                yield _position_figure(report, family, i)


def _dense_and_sparse(report: Contents, subset: SubsetResult) -> Table:
    def against(method: MethodResult) -> str:
        if (found := subset.false_slices.get(method.name)) is None:
            return ""
        return f"{signed(found.difference, 2)} ({interval(found.low, found.high, 2, sign=True) or 'without ends'})"

    columns: Columns = {
        "Dice, label-dense": lambda method: estimated(method.dense),
        "recall, label-dense": lambda method: estimated(method.recall),
        "label-sparse slices (no foreground) with false positives": lambda method: str(method.false_slices),
        f"such slices per volume, difference to {report.reference}": against,
        "false-positive voxels per volume": lambda method: number(method.false_voxels, 1),
    }
    most = max((method.ignored_slices for method in subset.methods), default=0)
    ignored = f"Neither: {most} slices that are wholly ignored. " if most else ""
    note = (
        "Label-dense: the reference has any foreground in the slice. On label-sparse slices there is nothing to "
        "overlap with, so what counts is how many stay clean: their numbers are over cases and runs, and a difference "
        f"below 0 is of fewer false positives. {ignored}{report.policy_note} {left_out_of_means(subset)}"
    ).rstrip()
    return method_table("slices", subset.methods, columns, note)


def group_lines(subset: SubsetResult, reference: str) -> dict[str, list[charts.Line]]:
    """Title of a panel -> what the forest plot of the groups shows in it, family by family."""
    methods = list(dict.fromkeys(method for family in subset.families for method in family.differences))
    panels = {}
    for method in methods:
        lines = []
        for family in subset.families:
            lines.append(charts.Line(family.title, heading=True))
            for group in family.groups:
                found = family.differences.get(method, {}).get(group)
                n = max((g.n for s in family.summaries.values() for g in s.groups if g.name == group), default=0)
                label = f"{group}  (n = {n})"
                lines.append(charts.Line(label, *((found.difference, found.low, found.high) if found else ())))
        panels[f"{method} {MINUS} {reference}"] = lines
    return panels


def _groups_figure(report: Contents, subset: SubsetResult, i: int) -> Picture:
    return charts.picture(
        f"groups_{i}",
        charts.forest(group_lines(subset, report.reference)),
        "Differences of Dice to the reference in each group of slices and cases; the tables below hold the means.",
        "To the right of 0 the method is better. n: test cases that count; a group without any keeps its line.",
    )


def _family_table(family: Family) -> Table:
    header = (family.title, *(group.replace(" of ", OF) for group in family.groups), "mean", "worst", "gap")
    lines = []
    for method, summary in family.summaries.items():
        cells = [f"{number(group.mean)} ({_how_many(group)})" if group.n else "n = 0" for group in summary.groups]
        worst = "-" if summary.worst is None else summary.worst.name
        lines.append((method, *cells, number(summary.mean), worst, number(summary.gap)))
    return Table(header, tuple(lines), f"{family.note} n: test cases that count.")


def _how_many(group: GroupMean) -> str:
    """Cases of a group, and patients where they are fewer."""
    of = f" of {counted(group.patients, 'patient')}" if group.patients < group.n else ""
    return f"n = {group.n}{of}"


def _position_figure(report: Contents, family: Family, i: int) -> Picture:
    values = {method: [group.mean for group in summary.groups] for method, summary in family.summaries.items()}
    first = next(iter(family.summaries.values()))
    return charts.picture(
        f"position_{i}",
        charts.position_curves(
            values,
            charts.method_styles(report.methods, report.reference),
            "position along the volume, first slice to last",
            [g.n for g in first.groups],
        ),
        "Dice along the volume: "
        + "; ".join(f"{method} {', '.join(map(number, line))}" for method, line in values.items()),
        "Dice of the organs in each fifth of the volume, of those cases whose reference has any there.",
    )


# --- weights ----------------------------------------------------------------------------------------------------------


def weights(report: Contents) -> Iterable[Block]:
    """Weights along the volume, their means by group, and how well they separate the groups."""
    one, many = nouns(report.runs)
    for i, subset in enumerate(report.subsets):
        weighted = [method for method in subset.methods if method.weights]
        if not weighted:
            continue
        yield from subheading(report, subset)
        first = {  # of each method, that has weights
            run.method: run.name
            for run in reversed(report.runs)
            if run.subset == subset.name and run.weights is not None
        }
        panels = {f"{method.name}, {first[method.name]}": method.weights[0] for method in weighted}
        yield charts.picture(
            f"weights_{i}",
            charts.weights_along(panels),
            f"Weight of every training {one} by its position, label-dense and label-sparse {many} apart.",
            f"Each mark is a training {one} at the end of the run that is named; lines join the means in tenths of the "
            "volume.",
        )
        columns: Columns = {
            "runs": lambda method: str(len(method.weights)),
            many: lambda method: spread([len(each.case) for each in method.weights]),
            "label-dense": lambda method: spread([int(each.dense.sum()) for each in method.weights]),
            "mean, label-dense": lambda method: _over_runs([each.means.dense for each in method.weights]),
            "mean, label-sparse": lambda method: _over_runs([each.means.sparse for each in method.weights]),
            "AUROC": lambda method: _over_runs([each.auroc for each in method.weights]),
        }
        note = (
            f"A weight: of the {one}'s label in the loss; where weights decide what is drawn, of the {one} in the "
            f"draw. AUROC: how well weights detect label-dense {many}; 0.5 says nothing, 1 is perfect, below 0.5 they "
            f"lie the other way round. AdaWAC is not told which {many} these are; methods that know groups (GroupDRO) "
            "are. From the lowest run to the highest. All is of the end of training, whichever epoch was tested, and "
            f"of those training {many} that were drawn and not wholly ignored."
        )
        if subset.units or subset.cuts:
            of = "; ".join(shared_out(kinds) for kinds in (subset.units, subset.cuts) if kinds)
            note += f" Methods here do not weigh the same things, so that the rows are no comparison ({of})."
        yield method_table("weights", weighted, columns, note)


def _over_runs(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)] or [math.nan]
    low, high = number(min(known)), number(max(known))
    return low if low == high else f"{low} to {high}"


# --- suspects ---------------------------------------------------------------------------------------------------------


def suspects(report: Contents) -> Iterable[Block]:
    """The label-sparse slices that stayed hard, those first that most runs name; none of runs that find no organ."""
    one, many = nouns(report.runs)
    for subset in report.subsets:
        runs = [run for run in report.runs if run.subset == subset.name and run.suspects is not None]
        blind = [run.name for run in runs if run.best_dice < FOUND]
        runs = [run for run in runs if run.name not in blind]
        mixed = [run.name for run in runs if run.weights is not None and run.weights.mixed]
        runs = [run for run in runs if run.name not in mixed]
        places = together((name, place) for run in runs for place, name in enumerate(run.suspects or ()))
        if places or blind or mixed:
            yield from subheading(report, subset)
        if blind:
            yield Paragraph(
                f"{some_of(blind)}: no organ reaches a Dice of {FOUND} on the test cases. To such "
                f"a network every {one} is hard, whatever its label, so that it names none here."
            )
        if mixed:
            yield Paragraph(
                f"{some_of(mixed)}: the weights do not set label-dense above label-sparse {many} (AUROC in the table "
                "above), so that none that they name stands out."
            )
        if not places:
            continue
        first = sorted(places, key=lambda name: (-len(places[name]), sum(places[name])))[:MOST_SUSPECTS]
        first_voxel = (
            "Slices are counted from 0, axial ones from inferior to superior, whichever way a file stores them."
            if one == "slice"
            else "A patch is called by its first voxel on the training grid, counted from 0."
        )
        note = (
            f"{len(places)} {one if len(places) == 1 else many} in all. No label lies in them, and still they were "
            f"harder to the network at the end of training than half of the {many} that have one, by their weights, or "
            "by their last losses where a method has none: a label may be missing, or an organ begins there. "
            f"{first_voxel}"
        )
        yield Table(
            (f"volume:{one}", "named by"),
            tuple((name, f"{len(places[name])}{OF}{counted(len(runs), 'run')}") for name in first),
            note,
        )
