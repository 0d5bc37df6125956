"""Runs and predictions in, a report out: what `adawac evaluate` and `adawac.evaluate` do."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from tempfile import TemporaryFile

import torch

from adawac.data.case_names import AUTO
from adawac.data.classes import Classes
from adawac.data.layouts.files import parse_labels
from adawac.data.preprocessing import AXES, Axis
from adawac.errors import ConfigError, DataError
from adawac.evaluation import CaseRow, Metadata, metadata_header, read_metadata, write_table
from adawac.evaluation.case_table import Metric, check_metric
from adawac.evaluation.references import References, classes_beside, named_classes, read_classes
from adawac.io.case_column import KEYS
from adawac.io.given import given_path, given_paths
from adawac.io.image_cases import find_images
from adawac.io.locking import locked
from adawac.io.own_code import given_back
from adawac.io.terminal import bar
from adawac.metrics import EmptyPolicy, empty_rule
from adawac.processes.cluster import Each, one_by_one
from adawac.report import html
from adawac.report.blocks import Section
from adawac.report.contents import Contents
from adawac.report.document import document
from adawac.report.make import make_report
from adawac.report.sources import Source, evaluate_sources, recipe_of, references_of_runs
from adawac.report.wording import left_out_of_means, summary
from adawac.report.write import write_report
from adawac.runs.folder import CASES, RunFolder

MOST_GROUPS = 12
"""Values of a column that is grouped by unasked: more make no table to be read."""

Named = str | os.PathLike[str]
"""A path; as text also METHOD=PATH or METHOD@SUBSET=PATH."""


@dataclass(frozen=True, repr=False)
class Report:
    """What came out of a comparison; a notebook shows it as a page.

    Attributes:
        contents: its numbers.
        page: the HTML file; None where nothing was written.
    """

    contents: Contents
    page: Path | None = None

    @property
    def summary(self) -> str:
        """The answer in a few sentences."""
        return summary(self.contents)

    @property
    def cases(self) -> list[CaseRow]:
        """The case tables of all runs, a row a number; `pandas.DataFrame(report.cases)` makes a table of them."""
        return [row for run in self.contents.runs for row in run.rows]

    @property
    def left_out(self) -> list[str]:
        """What does not count in the means, and why."""
        return list(dict.fromkeys(filter(None, map(left_out_of_means, self.contents.subsets))))

    def __repr__(self) -> str:
        return f"Report({self.summary}{f' {self.page}' if self.page else ''})"

    def _repr_html_(self) -> str:
        page = escape(html.render(document(self.contents)))
        return f'<iframe title="adawac report" style="width:100%;height:40rem;border:0" srcdoc="{page}"></iframe>'


def evaluate(
    sources: Named | Iterable[Named] | Mapping[str, Named | Sequence[Named]],
    output: Named | None = None,
    *,
    labels: Named | None = None,
    images: Named | None = None,
    classes: Named | Sequence[str] | Mapping[str, int] | None = None,
    metadata: Named | None = None,
    group_by: Sequence[str] = (),
    patient_pattern: str | None = AUTO,
    axis: Axis = "axial",
    policy: EmptyPolicy | None = None,
    reference: str | None = None,
    predict: bool = False,
    shared_cases: bool = False,
    pictures: int = 3,
    title: str | None = None,
    device: str | None = None,
    metrics: Mapping[str, Metric] | None = None,
    sections: Sequence[Callable[[Contents], Section]] = (),
    parquet: bool = False,
    command: str = "",
    each: Each = one_by_one,
) -> Report:
    """Compare runs, or predictions of any tool, on the same test cases.

    Args:
        sources: runs or their folders, folders of predictions, case tables, one or several; of a mapping the keys are
            METHOD or METHOD@SUBSET. Several of one method, such as a list in a mapping, are its seeds.
        output: folder for the report; None writes nothing.
        labels: folder of reference label maps, named like the predictions.
        images: folder of the images of the test cases, for pictures and for `predict`.
        classes: what label values mean: a dataset.json, names of 1, 2, ..., or {name: value}; None: what lies beside
            the labels or the predictions, or the run's own.
        metadata: a CSV with columns case or patient, and those to group by.
        group_by: columns of `metadata`; empty: all of few values.
        patient_pattern: whom a case shows: regular expression or CSV; None: every case is a patient.
        axis: how volumes are cut into slices.
        policy: what empty masks are worth; None is "penalise", and leaves case tables theirs.
        reference: method that the others are compared with; None: Pair (equal compute), ERM, or the first.
        predict: predict with the checkpoints, though there are case tables.
        shared_cases: leave out cases that are not in all sources.
        pictures: worst cases to draw.
        title: of the report; None: the name of `output`.
        device: where to predict; None takes CUDA if there is one.
        metrics: further metrics, by their name.
        sections: functions of the report's `Contents` that give a further `Section`.
        parquet: write cases.parquet as well.
        command: what was typed, for the report.
        each: where cases are measured, see `adawac.processes.cluster`.

    Raises:
        ConfigError: something that is needed is not given.
        DataError: all problems of all sources together.
    """
    empty_rule(policy or "penalise")  # known, before anything is read
    metrics = {} if metrics is None else metrics
    sections = [sections] if callable(sections) else sections
    group_by = [group_by] if isinstance(group_by, str) else group_by
    if not isinstance(metrics, Mapping):
        raise ConfigError(f"metrics is a {type(metrics).__name__}; give a mapping of names and functions")
    if axis not in AXES:
        raise ConfigError(f"axis is {axis!r}; give one of {', '.join(AXES)}")
    if not isinstance(pictures, int) or pictures < 0:
        raise ConfigError(f"pictures is {pictures!r}; give a number of cases, 0 for none")
    for name, metric in metrics.items():
        check_metric(name, metric)
    named = sources if isinstance(sources, Mapping) else {"": sources}
    chosen = [
        Source.named(str(name), str(path)) if name else Source.parse(str(path))
        for name, paths in named.items()
        for path in given_paths(paths, "evaluate: sources", "give runs, folders of predictions or case tables")
    ]
    paths = {"labels": labels, "images": images, "metadata": metadata, "output": output}
    labels, images, metadata, output = (_path(path, name) for name, path in paths.items())
    if output is not None:
        _check_output(output)
    groupings = _metadata(metadata, group_by)  # before hours of measuring
    if patient_pattern == AUTO and metadata is not None and set(KEYS) <= set(metadata_header(Path(metadata))):
        patient_pattern = str(metadata)
    references, why_none = None, ""
    if labels is not None:
        meaning = _classes(classes, Path(labels), chosen)
        data = [recipe_of(RunFolder(each.path)).data for each in chosen if each.kind == "run" and images is not None]
        found = None if images is None else find_images(Path(images), data[0].places if data else ())
        references = References.of_folder(Path(labels), meaning, found, patient_pattern, axis)
    elif images is not None or classes is not None:
        raise ConfigError("--images and --classes belong to --labels, the folder of the reference label maps; give it")
    else:
        references, why_none = references_of_runs(chosen, predict)
    if references is not None and not shared_cases:
        for grouping in groupings:
            grouping.of(references.cases if grouping.key == "case" else references.patients.values())
    runs = evaluate_sources(
        chosen,
        None if references is None else replace(references, metrics=metrics),
        policy or "penalise",
        again=predict,
        shared=shared_cases,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        track=bar("Measuring"),
        each=each,
    )
    rows = [row for run in runs for row in run.rows]
    if missing := metrics.keys() - {row.metric for row in rows}:
        raise ConfigError(
            f"--metrics: {', '.join(sorted(missing))} is measured of predictions, but all sources are case tables; "
            "give folders of predictions with --labels, or --predict to measure run folders anew"
        )
    if policy and (other := sorted({row.policy for row in rows} - {policy})):
        raise ConfigError(
            f"--policy is {policy}, but there are case tables that were measured with {', '.join(other)}; add "
            f"--predict to measure run folders anew, or test the runs with --model.policy {policy}"
        )
    contents = make_report(
        runs,
        references,
        title=title or (Path(output).resolve().name if output else "Evaluation"),
        reference=reference,
        metadata=groupings,
        patient_pattern=patient_pattern,
        shared=shared_cases,
        pictures=pictures,
        why_no_references=why_none,
        command=command,
    )
    if output is None:
        return Report(contents)
    folder, report = Path(output), Report(contents)
    with locked(folder):  # files of one report, whatever else is written there
        write_table(folder / CASES, report.cases)
        if parquet:
            write_table(folder / "cases.parquet", report.cases)
        further = [given_back(section.__name__, section(contents), Section) for section in sections]  # it may fail
        return Report(contents, write_report(contents, folder, further))


def _check_output(folder: Path) -> None:
    """Refuse the folder of a run or study, whose case table or results a report's would replace, or one out of reach.

    Raises:
        ConfigError: naming what lies there.
        OSError: it cannot be written.
    """
    there = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=folder).close()
    if not there:
        folder.rmdir()
    a_run = RunFolder(folder).config_file.is_file()
    if a_run or (folder / "cells.csv").is_file():
        what = "run's case table" if a_run else "study's results"
        raise ConfigError(f"{folder} holds a {what}, which the report's would replace; give a folder of its own")


def _path(path: object, name: str) -> Path | None:
    return None if path is None else given_path(path, f"evaluate: {name}", "give a path")


def _classes(
    given: Named | Sequence[str] | Mapping[str, int] | None, labels: Path, sources: Sequence[Source]
) -> Classes | None:
    """What label values mean; None leaves it to the labels."""
    if isinstance(given, str | os.PathLike):
        return read_classes(Path(given))
    if isinstance(given, Mapping):
        return Classes.from_labels(*parse_labels(given, Path("classes")))
    if given is not None:
        return named_classes(list(given))
    if (found := classes_beside(labels)) is not None:
        return found
    for source in sources:
        if source.kind == "predictions" and (found := classes_beside(source.path)) is not None:
            return found
        if source.kind == "run":
            return recipe_of(RunFolder(source.path)).data.classes
    return None


def _metadata(path: Named | None, group_by: Sequence[str]) -> list[Metadata]:
    """The columns that group cases: those named, else all of few values."""
    if path is None:
        if group_by:
            raise ConfigError("--group-by names columns of --metadata, a CSV file; give it")
        return []
    path = Path(path)
    columns = group_by or [name for name in metadata_header(path) if name not in KEYS]
    found = [read_metadata(path, column) for column in columns]
    used = [each for each in found if group_by or len(each.groups) <= MOST_GROUPS]
    if not used:
        raise DataError(
            f"--metadata {path}: no column of at most {MOST_GROUPS} values beside case and patient; add one "
            "to group by, such as site, or name one with --group-by"
        )
    return used
