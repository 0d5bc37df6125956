"""What came out of a study: a line per method and subset over seeds, and the case tables of all cells together."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from adawac.errors import percent, rounded
from adawac.evaluation import (
    COLUMNS,
    TRAINING_UNITS,
    CaseRow,
    lost_classes,
    read_run,
    summarise_methods,
)
from adawac.evaluation.summary import Summary
from adawac.evaluation.table_files import write_csv
from adawac.io.atomic import write_text
from adawac.report.write import plain
from adawac.study.spec import FOLD, SEED, Cell, Study


@dataclass(frozen=True)
class CellResult:
    """What one finished cell has to say.

    Attributes:
        cell: its name.
        options: axis -> option.
        dice: mean Dice, over the pairs of class and test case that count in all cells measured alike.
        dice_dense: the same on label-dense slices.
        false_positive_slices: label-sparse slices with any foreground predicted.
        sparse_slices: label-sparse slices there are.
        steps: of the optimiser; None where the run did not record it.
        images_seen: training slices drawn, repetitions counted; None where the run did not record it.
        network_passes: images that went through the network in training: images seen, times views.
        seconds: fit and test, all attempts; None where not recorded.
    """

    cell: str
    options: dict[str, str]
    dice: float
    dice_dense: float
    false_positive_slices: int
    sparse_slices: int
    steps: int | None
    images_seen: int | None
    network_passes: int | None
    seconds: float | None


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds; `sd` is None for a single one."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one or more values; NaN where one of them is.

        Example:
            >>> Spread.of([0.5, 0.75, 1.0])
            Spread(mean=0.75, sd=0.25)
        """
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "-"
        return rounded(self.mean) + (
            "" if self.sd is None else f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{rounded(self.sd)}"
        )


def tested(cell: Cell) -> list[CaseRow]:
    """The case table of a finished cell, under its name, with what the record of its run says of its training."""
    return [row._replace(run=cell.name) for row in read_run(cell.run)]


def views(tables: Mapping[str, Sequence[CaseRow]]) -> list[tuple[dict[str, Sequence[CaseRow]], dict[str, str]]]:
    """The case tables of cells, those together that are measured alike: same test cases, classes and policy.

    A grid may go over data sets, or over folds that test different patients; of these there is no common mean. But what
    one of all the cells could not learn counts in none.

    Args:
        tables: cell, or whatever is looked at side by side -> case table.

    Returns:
        For each view its tables, and the classes that count in no mean, with the reason.
    """
    found: dict[object, dict[str, Sequence[CaseRow]]] = {}
    for name, rows in tables.items():
        kind = tuple(frozenset(getattr(row, field) for row in rows) for field in ("case", "class_name", "policy"))
        found.setdefault(kind, {})[name] = rows
    trained = [row for rows in tables.values() for row in rows if row.metric == TRAINING_UNITS]
    return [
        (view, lost_classes([*(row for rows in view.values() for row in rows), *trained])) for view in found.values()
    ]


def cell_results(cells: Sequence[Cell]) -> tuple[list[CellResult], list[str]]:
    """Sum up the case tables of finished cells and the records of their runs.

    Returns:
        A result for each cell, means over the same pairs of class and case in all that are measured alike; and what is
        left out of the means, with the reason.
    """
    summaries: dict[str, Summary] = {}
    left_out: dict[str, None] = {}
    for view, lost in views({cell.name: tested(cell) for cell in cells}):
        found = summarise_methods(view, lost)
        summaries |= found
        left_out |= dict.fromkeys(str(each) for summary in found.values() for each in summary.left_out)
    return [_cell_result(cell, summaries[cell.name]) for cell in cells], list(left_out)


def _cell_result(cell: Cell, summary: Summary) -> CellResult:
    record = cell.run.record
    return CellResult(
        cell=cell.name,
        options=dict(cell.options),
        dice=summary.mean().value,
        dice_dense=summary.mean(group="dense").value,
        false_positive_slices=summary.false_positive_slices.part,
        sparse_slices=summary.false_positive_slices.whole,
        steps=record.get("steps"),
        images_seen=record.get("images_seen"),
        network_passes=record.get("network_passes"),
        seconds=cell.record.get("seconds"),
    )


def gather(study: Study) -> tuple[list[CellResult], list[str]]:
    """Read all finished cells, write `results.json` and `cells.csv` into the study's folder, return `cell_results`.

    `cells.csv` is the case table of all cells, with method and subset as in the study's report; its columns start with
    run (the cell) and the axes of the study.
    """
    columns = list(dict.fromkeys(("run", *study.axes, *COLUMNS)))
    lines: list[list[object]] = []
    finished = [cell for cell in study.cells if cell.state == "finished"]
    for cell in finished:
        rows = tested(cell)
        method, subset = study.labels(cell)
        labels = {"run": cell.name, "method": method or rows[0].method, "subset": subset}
        for row in rows:
            values = {**dict(zip(COLUMNS, row, strict=True)), **cell.options, **labels}
            lines.append([values[column] for column in columns])
    results, left_out = cell_results(finished)
    content = {
        "study": study.name,
        "axes": study.axes,
        "unfinished": {cell.name: cell.state for cell in study.cells if cell.state != "finished"},
        "cells": plain(results),
        "left_out": left_out,
    }
    write_csv(study.folder / "cells.csv", lines, columns)
    write_text(study.folder / "results.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    return results, left_out


def results_table(study: Study, results: Sequence[CellResult], left_out: Sequence[str] = ()) -> Table:
    """A line for each combination of options, averaged over seeds and folds, for the terminal; `left_out` beneath."""
    axes = [axis for axis in study.axes if axis not in (SEED, FOLD)]
    caption = "mean ± standard deviation over runs; images seen and network passes of one run"
    planned = [tuple(cell.settings.values()) for cell in study.cells]
    done = [tuple(result.options[axis] for axis in axes) for result in results]
    over = [tuple(result.options.get(axis) for axis in (SEED, FOLD)) for result in results]
    averaged = {settings: {of for its, of in zip(done, over, strict=True) if its == settings} for settings in done}
    if any(of != next(iter(averaged.values())) for of in averaged.values()):
        caption += ". Where runs are missing, means are of the others, of other seeds or cases than in the lines beside"
    if left_out:
        caption += f". Left out of the means: {'; '.join(left_out)}"
    table = Table(
        title=Text(study.name),
        caption=Text(caption),
        caption_justify="left",
    )
    for axis in axes:
        table.add_column(Text(axis))
    for title in ("runs", "Dice", "Dice, dense", "sparse slices with false positives", "images seen", "network passes"):
        table.add_column(title, justify="right")
    for settings in dict.fromkeys(planned):
        found = [result for result in results if tuple(result.options[axis] for axis in axes) == settings]
        table.add_row(*map(Text, [*settings, f"{len(found)} of {planned.count(settings)}", *_texts(found)]))
    return table


def _texts(results: Sequence[CellResult]) -> list[str]:
    if not results:
        return ["-"] * 5
    sparse = sum(result.sparse_slices for result in results)
    shares = sum(result.false_positive_slices for result in results) / sparse if sparse else None
    return [
        str(Spread.of([result.dice for result in results])),
        str(Spread.of([result.dice_dense for result in results])),
        "n = 0" if shares is None else f"{percent(shares, 1)}%",
        _count([result.images_seen for result in results]),
        _count([result.network_passes for result in results]),
    ]


def _count(values: Sequence[int | None]) -> str:
    """One number where all runs agree, else from - to."""
    known = sorted({value for value in values if value is not None})
    if not known:
        return "-"
    return f"{known[0]}" if len(known) == 1 else f"{known[0]} - {known[-1]}"
