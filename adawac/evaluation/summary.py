"""From case tables to the numbers that are read first: means over cases, and methods side by side."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from adawac.errors import DataError, counted, percent, rounded, some_of, together
from adawac.evaluation.case_table import ANY_CLASS, CaseRow
from adawac.evaluation.counted import LeftOut
from adawac.evaluation.in_view import InView
from adawac.evaluation.pairing import MEAN_OF_CLASSES
from adawac.metrics import EmptyPolicy, policy_note


class Mean(NamedTuple):
    """A mean, and over how much it is one.

    Attributes:
        value: NaN if everything was left out.
        n: cases in the mean of a class, or classes in the mean of classes.
        left_out: those that do not count.
    """

    value: float
    n: int
    left_out: int


class Share(NamedTuple):
    """A count out of all there are."""

    part: int
    whole: int

    def __str__(self) -> str:
        return f"{self.part} of {self.whole} ({percent(self.part / self.whole, 1)}%)" if self.whole else "n = 0"


@dataclass(frozen=True)
class Summary:
    """What is read first of one method, over the pairs of class and case that count in all methods in view.

    Attributes:
        method: its name.
        policy: what empty masks are worth.
        cases: number of cases.
        patients: whom they show; means are over patients.
        runs: number of runs.
        classes: names of the foreground classes, in the order of the table.
        view: all methods in view.
        values: (group, metric, class) -> one value a case and run, whether it counts or not.
    """

    method: str
    policy: EmptyPolicy
    cases: int
    patients: int
    runs: int
    classes: tuple[str, ...]
    view: InView
    values: Mapping[tuple[str, str, str], Sequence[float]]

    @property
    def metrics(self) -> set[str]:
        """Names of the metrics that were measured."""
        return {metric for _, metric, _ in self.values}

    def per_class(self, metric: str = "dice", group: str = "all") -> dict[str, Mean]:
        """Mean of each foreground class that has been measured."""
        return {
            name: self._select(metric, group, name) for name in self.classes if (group, metric, name) in self.values
        }

    def mean(self, metric: str = "dice", group: str = "all") -> Mean:
        """Mean over classes; `n` and `left_out` count classes."""
        per_class = self.per_class(metric, group)
        if not per_class:
            return Mean(float("nan"), 0, 0)
        counted = sum(mean.n > 0 for mean in per_class.values())
        return Mean(self._select(metric, group, MEAN_OF_CLASSES).value, counted, len(per_class) - counted)

    def _select(self, metric: str, group: str, name: str) -> Mean:
        shared = self.view.shared(metric, group)
        chosen = shared.select(name)
        return Mean(chosen.means[shared.methods.index(self.method)], chosen.cases, len(chosen.left_out))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What does not count in the means of Dice over all slices, nor in the others that are shown, and why."""
        return self.view.left_out

    def of(self, metric: str, group: str = "all", class_name: str | None = None) -> NDArray[np.float64]:
        """A value for each case and run, of one class or, by default, of all foreground classes."""
        names = self.classes if class_name is None else (class_name,)
        return np.concatenate([np.empty(0), *(self.values.get((group, metric, name), ()) for name in names)])

    def total(self, metric: str, group: str = "all", class_name: str | None = None) -> float:
        """Sum over cases of a count, of one class or, by default, of all foreground classes."""
        return float(np.nansum(self.of(metric, group, class_name)))

    @property
    def missed(self) -> Share:
        """Organs nowhere predicted, of those in the references; over classes, cases and runs."""
        return self._share("missed", int((self.of("reference_voxels") > 0).sum()))

    @property
    def false_alarms(self) -> Share:
        """Organs predicted, of those nowhere in the references; over classes, cases and runs.

        A reference that is wholly ignored says of no organ that it is not there.
        """
        absent, unknown = self.of("reference_voxels") == 0, np.isnan(self.of("false_alarm"))
        return self._share("false_alarm", int(absent.sum() - unknown.sum()))

    def _share(self, metric: str, whole: int) -> Share:
        """Of a count over foreground classes; of nothing where it was not measured."""
        return Share(int(self.total(metric)), whole) if self.of(metric).size else Share(0, 0)

    @property
    def ignored_slices(self) -> int:
        """Slices that are wholly ignored, neither label-dense nor label-sparse; over cases."""
        return int(self.total("slices", "ignored", ANY_CLASS) / self.runs)

    @property
    def false_positive_slices(self) -> Share:
        """Slices with any foreground predicted, of the label-sparse ones; over cases and runs."""
        found, slices = (self.total(metric, "sparse", ANY_CLASS) for metric in ("false_positive_slices", "slices"))
        return Share(int(found), int(slices))

    @property
    def worst_class(self) -> tuple[str, Mean] | None:
        """The class of the lowest mean Dice; None where no class has any."""
        means = {name: mean for name, mean in self.per_class().items() if mean.n}
        return min(means.items(), key=lambda item: item[1].value) if means else None


def summarise(rows: Iterable[CaseRow]) -> Summary:
    """Gather the case table of one method.

    Args:
        rows: of any number of cases and of runs (seeds) of one method.

    Raises:
        DataError: if there are no rows, rows of several policies, or the same number twice.

    Example:
        >>> row = CaseRow("run_0", "erm", "ct_7", "p3", "liver", "all", "dice", 0.9, "penalise")
        >>> rows = [row, row._replace(class_name="spleen", value=0.6), row._replace(case="ct_8", value=0.8)]
        >>> rows.append(rows[1]._replace(case="ct_8", value=0.8))
        >>> summary = summarise(rows)
        >>> round(summary.mean().value, 3), summary.worst_class[0]  # liver 0.85, spleen 0.7
        (0.775, 'spleen')
    """
    rows = list(rows)
    [summary] = summarise_methods({next((row.method for row in rows), ""): rows}).values()
    return summary


def summarise_methods(
    rows_by_method: Mapping[str, Sequence[CaseRow]], lost: Mapping[str, str] | None = None
) -> dict[str, Summary]:
    """Gather the case tables of methods that are looked at side by side: their means are over the same pairs.

    Args:
        rows_by_method: name of the method -> its case table.
        lost: class -> why it counts in no mean; None: what the rows say, see `lost_classes`.

    Raises:
        DataError: if the tables do not fit together.
    """
    view = InView(rows_by_method, lost)
    return {method: _summary(method, rows, view) for method, rows in rows_by_method.items()}


def _summary(method: str, rows: Sequence[CaseRow], view: InView) -> Summary:
    policies = sorted({row.policy for row in rows})
    if len(policies) != 1:
        raise DataError(
            f"a summary needs rows of one empty-mask policy, found {', '.join(policies) or 'no rows'}; "
            "evaluate every case with the same policy"
        )
    values: dict[tuple[str, str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    for row in rows:
        cell = values[row.group, row.metric, row.class_name]
        if (row.run, row.case) in cell:
            raise DataError(
                f"case {row.case}, run {row.run!r}: {row.group}/{row.metric}/{row.class_name} comes twice; "
                "give each run a name of its own, and each case one set of rows"
            )
        cell[row.run, row.case] = row.value
    return Summary(
        method=method,
        policy=policies[0],
        cases=len({row.case for row in rows}),
        patients=len({row.patient or row.case for row in rows}),
        runs=len({row.run for row in rows}),
        classes=tuple(dict.fromkeys(row.class_name for row in rows if row.class_name != ANY_CLASS)),
        view=view,
        values={key: tuple(cell.values()) for key, cell in values.items()},
    )


def summary_table(rows_by_method: Mapping[str, Sequence[CaseRow]], title: str | None = None) -> Table:
    """Methods side by side, for the terminal: a column a method, a line a quantity, the policy beneath.

    Args:
        rows_by_method: name of the method -> its case table.
        title: above the table.

    Raises:
        DataError: if the methods were evaluated with different policies, or a table does not sum up.

    Example:
        >>> row = CaseRow("run_0", "erm", "ct_7", "p3", "liver", "all", "dice", 0.9, "skip")
        >>> table = summary_table({"erm": [row], "adawac": [row]}, title="Test cases")
        >>> print(table.caption)
        Empty masks, policy skip: both empty: left out; one empty: Dice 0, distance = diagonal of the volume.
    """
    lines, footer = summary_lines(rows_by_method)
    table = Table(title=Text(title) if title else None, caption=Text(footer), caption_justify="left")
    table.add_column("")
    for method in rows_by_method:
        table.add_column(Text(method), justify="right")  # Text: names from the data are not markup
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def to_markdown(rows_by_method: Mapping[str, Sequence[CaseRow]]) -> str:
    """The same table as `summary_table`, in Markdown.

    Args:
        rows_by_method: name of the method -> its case table.

    Raises:
        DataError: as `summary_table`.

    Example:
        >>> row = CaseRow("run_0", "erm", "ct_7", "p3", "liver", "all", "dice", 0.9, "skip")
        >>> print(to_markdown({"erm": [row]}).splitlines()[3])
        | Dice, liver | 0.900 |
    """
    lines, footer = summary_lines(rows_by_method)
    header = [["", *rows_by_method], ["---", *["---:"] * len(rows_by_method)]]
    table = ["| " + " | ".join(map(_markdown_cell, line)) + " |" for line in [*header, *lines]]
    return "\n".join([*table, "", footer, ""])


def _markdown_cell(text: str) -> str:
    escaped = "".join(f"\\{char}" if char in r"\|`*_<>[]" else char for char in text)
    return " ".join(escaped.split())


def summary_lines(rows_by_method: Mapping[str, Sequence[CaseRow]]) -> tuple[list[list[str]], str]:
    """Lines of a table (name of the quantity, one text a method) and the words beneath it."""
    summaries = list(summarise_methods(rows_by_method).values())
    policies = {summary.policy for summary in summaries}
    if len(policies) != 1:
        found = ", ".join(sorted(policies)) or "no method"
        raise DataError(
            f"methods side by side need one empty-mask policy, found {found}; evaluate them all with the same one"
        )
    lines = [["cases", *(how_many(summary, str(summary.cases)) for summary in summaries)]]
    for name in dict.fromkeys(name for summary in summaries for name in summary.classes):
        lines.append([f"Dice, {name}", *(in_words(s.per_class().get(name)) for s in summaries)])
    lines.append(["Dice, mean of classes", *(in_words(s.mean(), "classes") for s in summaries)])
    lines.append(["Dice, worst class", *(_worst(s) for s in summaries)])
    lines.append(["Dice, label-dense slices", *(in_words(s.mean(group="dense"), "classes") for s in summaries)])
    lines.append(["false-positive sparse slices", *(str(s.false_positive_slices) for s in summaries)])
    if any(s.ignored_slices for s in summaries):
        lines.append(["wholly ignored slices", *(str(s.ignored_slices) for s in summaries)])
    for metric in sorted({m for s in summaries for m in s.metrics if m in ("hd95_mm", "hd95_voxel")}):
        unit = metric.removeprefix("hd95_")
        lines.append([f"HD95 (pooled), {unit}", *(in_words(s.mean(metric), "classes", 2) for s in summaries)])
    lines.append(["organs missed", *(str(s.missed) for s in summaries)])
    lines.append(["organs falsely found", *(str(s.false_alarms) for s in summaries)])
    left_out = list(dict.fromkeys(each for summary in summaries for each in summary.left_out))
    said = [f"Left out of the means: {'; '.join(map(str, left_out))}."] if left_out else []
    how = [f"Predicted with: {found}."] if (found := predicted_how(rows_by_method)) else []
    return lines, " ".join([policy_note(policies.pop()), *how, *said])


def predicted_how(rows_by_method: Mapping[str, Sequence[CaseRow]]) -> str:
    """Whose predictions were made with which settings, as far as case tables say; empty where none does.

    Example:
        >>> row = CaseRow("0", "erm", "a", "a", "liver", "all", "dice", 0.9, "skip", predicted_with="precision 32-true")
        >>> predicted_how({"erm": [row], "pair": [row._replace(predicted_with="precision 32-true, flip_left_right")]})
        'erm with precision 32-true; pair with precision 32-true, flip_left_right'
        >>> predicted_how({"erm": [row], "pair": [row], "nnU-Net": [row._replace(predicted_with="")]})
        'precision 32-true'
    """
    methods = together(
        (said, method)
        for method, rows in rows_by_method.items()
        for said in dict.fromkeys(row.predicted_with for row in rows if row.predicted_with)
    )
    if len(methods) < 2:
        return next(iter(methods), "")
    return "; ".join(f"{', '.join(of)} with {said}" for said, of in methods.items())


def how_many(summary: Summary, cases: str) -> str:
    """So many cases, in words, and their patients and runs where these are of another number."""
    patients = f" of {counted(summary.patients, 'patient')}" if summary.patients < summary.cases else ""
    return f"{cases}{patients}" + (f" x {summary.runs} runs" if summary.runs > 1 else "")


def in_words(mean: Mean | None, of: str = "cases", digits: int = 3) -> str:
    """A mean, and how many are left out of it; a dash where there is none."""
    if mean is None:
        return "-"
    value = rounded(mean.value, digits) if mean.n else "-"
    return f"{value} ({mean.left_out} of {mean.n + mean.left_out} {of} left out)" if mean.left_out else value


def _worst(summary: Summary) -> str:
    if summary.worst_class is None:
        return "-"
    _, mean = summary.worst_class
    worst = [name for name, each in summary.per_class().items() if each.n and each.value == mean.value]
    return f"{rounded(mean.value)} ({some_of(worst)})"
