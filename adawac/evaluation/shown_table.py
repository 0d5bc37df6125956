"""A case table that shows itself: in a line at a prompt, as a table in a notebook."""

import math
from collections.abc import Sequence
from html import escape

from adawac.errors import DataError, counted, rounded, together
from adawac.evaluation.case_table import CaseRow
from adawac.evaluation.summary import how_many, in_words, summarise_methods, summary_lines


class CaseTable(list[CaseRow]):
    """What was measured of every case, a row a number; `pandas.DataFrame(table)` makes a data frame of it.

    Example:
        >>> row = CaseRow("run_0", "AdaWAC", "ct_7", "p3", "liver", "all", "dice", 0.9, "penalise")
        >>> CaseTable([row, row._replace(case="ct_8", patient="p4", value=0.8)])
        CaseTable(AdaWAC, 2 cases, Dice 0.850)
    """

    @property
    def methods(self) -> dict[str, list[CaseRow]]:
        """The rows of each method; of each on each training subset, where there are several: those are no seeds."""
        several = len({row.subset for row in self}) > 1
        return together(
            (f"{row.method} on {row.subset or 'no subset'}" if several else row.method, row) for row in self
        )

    def __repr__(self) -> str:
        if not self:
            return "CaseTable(empty)"
        try:
            summaries = summarise_methods(self.methods)
            said = "; ".join(
                f"{name}, {how_many(each, counted(each.cases, 'case'))}, Dice {in_words(each.mean(), 'classes')}"
                for name, each in summaries.items()
            )
        except DataError as error:  # such as methods of other cases, of which there is no common mean
            said = f"{counted(len(self), 'row')}, no means: {error}"
        return f"CaseTable({said})"

    def _repr_html_(self) -> str:
        """The means, and the Dice of every case below them."""
        if not self:
            return "<p>no cases</p>"
        try:
            lines, footer = summary_lines(self.methods)
        except DataError as error:
            lines, footer = [], f"no means: {error}"
        dice = [row for row in self if (row.metric, row.group) == ("dice", "all")]
        classes = list(dict.fromkeys(row.class_name for row in dice))
        cases: dict[tuple[str, str], dict[str, float]] = {}
        for row in dice:
            cases.setdefault((row.case, " ".join(filter(None, (row.method, row.run)))), {})[row.class_name] = row.value
        each = [[*key, *(_number(found.get(name, math.nan)) for name in classes)] for key, found in cases.items()]
        return (
            (_table(["", *self.methods], lines) if lines else "")
            + f"<p>{escape(footer)}</p><details><summary>Dice of every case</summary>"
            + _table(["case", "run", *classes], each)
            + "</details>"
        )


def _number(value: float) -> str:
    return rounded(value) if math.isfinite(value) else "-"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells) + "</tr>"

    return (
        f"<table><thead>{row(header, 'th')}</thead><tbody>{''.join(row(line, 'td') for line in lines)}</tbody></table>"
    )
