"""Where a report's runs come from: run folders, folders of predictions by any tool, case tables."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from adawac.data.layouts.masks import labels_at
from adawac.data.sampling.draw_summary import DrawSummary
from adawac.errors import AdaWACError, ConfigError, DataError, did_you_mean_file, some_of, together
from adawac.evaluation import CaseRow, MadeBy, made_by, predicted_with, read_run, read_table
from adawac.evaluation.predictions import (
    Predict,
    copied,
    disjoint,
    from_files,
    measure,
    name_problems,
    nothing,
    prediction_files,
    untold,
)
from adawac.evaluation.references import References
from adawac.evaluation.training_record import Settings, predicted_with_of
from adawac.evaluation.turned import turned
from adawac.inference.prediction_folder import recorded
from adawac.io.image_cases import fixed_part
from adawac.io.readers import reader_of
from adawac.io.terminal import Track
from adawac.metrics import EmptyPolicy
from adawac.processes.cluster import Each, one_by_one
from adawac.report.anew import predicted_by
from adawac.report.run_origin import annotated_of, made_of, pass_of
from adawac.report.runs import MethodRun, check_seeds, warn_of_other_files
from adawac.runs.checkpoint import RECIPE, Recipe, read_checkpoint
from adawac.runs.folder import CASES, RunFolder

log = logging.getLogger(__name__)

RESULTS = "results.json"
"""Of a report: its numbers, beside its case table."""

Measured = Callable[[Predict, References, MadeBy], list[CaseRow]]
"""Measures all that is predicted; what cannot be measured is told to whoever made it."""


@dataclass(frozen=True)
class Source:
    """What was named on the command line.

    Attributes:
        path: a run folder, a folder or pattern of predictions, or a case table.
        method: its method; "" to find out.
        subset: what it was trained on; "" to find out.
    """

    path: Path
    method: str = ""
    subset: str = ""

    @classmethod
    def parse(cls, text: str) -> "Source":
        """PATH, METHOD=PATH or METHOD@SUBSET=PATH; the path of a report is that of its case table.

        Raises:
            ConfigError: if there is nothing at the path.

        Example:
            >>> Source.parse("nnU-Net@full=.")
            Source(path=PosixPath('.'), method='nnU-Net', subset='full')
        """
        splits = [(text[: found.start()], text[found.end() :]) for found in re.finditer("=", text)]
        there = [split for split in splits if Path(split[1]).expanduser().exists()]  # `lr=0.1=RUN` is of lr=0.1
        whole = [("", text)]
        return cls.named(*(whole * Path(text).exists() + there + splits + whole)[0])

    @classmethod
    def named(cls, name: str, path: str) -> "Source":
        """Of a name, METHOD or METHOD@SUBSET or none, and a path.

        Raises:
            ConfigError: if there is nothing at the path.
        """
        text, path = f"{name}={path}" if name else path, os.path.expanduser(path)
        if not Path(path).exists() and not ("*" in path and labels_at(Path(path))):
            raise ConfigError(
                f"{text}: there is nothing at {path}{did_you_mean_file(Path(path))} "
                "give METHOD=PATH or PATH of what is there"
            )
        method, _, subset = name.partition("@")
        place, table = Path(path), Path(path) / CASES
        run = RunFolder(place)
        if place.is_dir() and not (run.exists or labels_at(place)) and run.meant != ";":
            raise ConfigError(f"{text}: {path} holds no predictions and is no run folder{run.meant}")
        is_report = table.is_file() and (place / RESULTS).is_file() and not labels_at(place)  # else one beside them
        return cls(table if is_report else place, method, subset)

    @property
    def kind(self) -> Literal["table", "run", "predictions"]:
        """What it is, by what lies there."""
        if self.path.is_file() and not reader_of(self.path):
            return "table"
        run = RunFolder(self.path)
        with_table = run.exists and not labels_at(self.path)  # one that was freed of all else
        return "run" if run.config_file.is_file() or with_table else "predictions"


def evaluate_sources(
    sources: Sequence[Source],
    references: References | None,
    policy: EmptyPolicy,
    *,
    again: bool = False,
    shared: bool = False,
    device: str = "cpu",
    track: Track[Any] | None = None,
    each: Each = one_by_one,
) -> list[MethodRun]:
    """Case tables of all sources, read where they are there, measured where not.

    Args:
        sources: what was named.
        references: the test cases; None where none are at hand.
        policy: what empty masks are worth, where anything is measured.
        again: predict with the checkpoints although there are case tables.
        shared: leave out cases that a source lacks, instead of refusing.
        device: where checkpoints predict.
        track: wraps the cases of a source, to show progress.
        each: where cases are measured.

    Raises:
        ConfigError: if something has to be measured and there are no references.
        DataError: all problems of all sources together.
    """
    runs: list[MethodRun] = []
    problems: list[str] = []

    def measured(predict: Predict, of: References, who: MadeBy) -> list[CaseRow]:
        rows, found = measure(predict, of, policy, who, track, each)
        problems.extend(found)
        return rows

    for source in sources:
        try:
            if source.kind == "table":
                runs += _of_table(source)
            elif source.kind == "run":
                runs.append(_of_run(source, references, again, device, measured))
            else:
                runs.append(_of_predictions(source, references, shared, measured, problems))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError.from_problems(list(dict.fromkeys(problems)))
    doubts = [*warn_of_other_files(row for run in runs for row in run.rows), *_tell_of_guesses(sources)]
    runs = _told_apart(runs)
    doubts += check_seeds(runs)
    runs = _with_subsets(runs)
    return [replace(run, doubts=(*run.doubts, *doubts)) for run in runs[:1]] + runs[1:]


def _tell_of_guesses(sources: Sequence[Source]) -> list[str]:
    """Warn of folders that nobody named and that are called alike, as mine/out and theirs/out are; what was said."""
    unnamed = [source.path for source in sources if not source.method and source.kind == "predictions"]
    alike = together((_called(path), str(path)) for path in dict.fromkeys(unnamed))
    told = [
        f"{some_of(paths)} count as seeds of {name}, as they are called so; METHOD=PATH tells them apart"
        for name, paths in alike.items()
        if len(paths) > 1
    ]
    for said in told:
        log.warning(said)
    return told


def _called(path: Path) -> str:
    """What a method is called of whose predictions nobody says it."""
    return fixed_part(path).resolve().name


def _told_apart(runs: Sequence[MethodRun]) -> list[MethodRun]:
    """Runs of one name, such as a/mine/version_0 and b/mine/version_0, say where they lie as well."""
    times = Counter(run.name for run in runs)
    return [replace(run, name=f"{run.name} ({run.made['from']})") if times[run.name] > 1 else run for run in runs]


def _with_subsets(runs: Sequence[MethodRun]) -> list[MethodRun]:
    """Sources of which no subset is known belong to the only one there is.

    Raises:
        ConfigError: if there are several.
    """
    known = {run.subset for run in runs} - {""}
    unknown = [run.name for run in runs if not run.subset]
    if len(known) > 1 and unknown:
        raise ConfigError(
            f"{', '.join(unknown)}: the other runs were trained on {', '.join(sorted(known))}; say with which of "
            "them to compare: METHOD@SUBSET=PATH"
        )
    subset = next(iter(known), "")
    return [replace(run, subset=run.subset or subset) for run in runs]


def _of_table(source: Source) -> list[MethodRun]:
    """A case table of one or many runs; that of a run folder is of its present checkpoint."""
    if source.path.name == CASES and (stale := RunFolder(source.path.resolve().parent).stale_cases) is not None:
        raise DataError(stale)
    rows = together(((row.method, row.subset, row.run), row) for row in read_table(source.path))
    if not rows:
        raise DataError(f"{source.path}: the case table has no rows; measure the run anew, or leave it out")
    of_kind = ("methods", source.method, 0), ("subsets", source.subset, 1)
    for kind, given, place in of_kind:
        names = list(dict.fromkeys(key[place] for key in rows))
        if given and len(names) > 1:
            raise ConfigError(
                f"{given}, {source.path}: the table holds several {kind} ({some_of(names)}), and one name "
                "would make them seeds of one; give its path alone"
            )
    places = Counter(run for _, _, run in rows)  # two methods may call their seeds alike
    return [
        MethodRun(
            source.method or method or source.path.stem,
            source.subset or subset,
            run if run and places[run] == 1 else " ".join(filter(None, (run or source.path.stem, method, subset))),
            found,
            made=made_of(source.path, found),
        )
        for (method, subset, run), found in rows.items()
    ]


def _of_predictions(
    source: Source, references: References | None, shared: bool, measured: Measured, problems: list[str]
) -> MethodRun:
    if references is None:
        raise ConfigError(f"{source.path} holds predictions; give the folder of the reference label maps, --labels")
    files = prediction_files(source.path)
    problems += name_problems(source.path, files, references, shared)
    unmeasured = sorted(files.keys() - references.cases.keys())  # a problem, unless shared cases are enough
    references = references.take(files)
    method = source.method or _called(source.path)
    predict = from_files(files, references)
    said = recorded(fixed_part(source.path))
    settings = predicted_with_of(said)
    rows = measured(predict, references, MadeBy(str(source.path), method, predicted_with=settings))
    if why := untold(said.get("classes"), references.classes):
        log.warning(f"{source.path}: {why}; leave such classes out of the references, or join them there, too")
    if why := turned(predict, references, rows) or disjoint(rows) or copied(rows) or nothing(rows):
        log.warning(f"{source.path}: {why}")
    return MethodRun(
        method,
        source.subset,
        str(source.path),
        rows,
        made=made_of(source.path, rows),
        axis=references.axis,
        seen=tuple(map(str, said.get("trained_on", ()))),
        chosen=tuple(map(str, said.get("chosen_on", ()))),
        doubts=(f"{source.path}: not measured for want of a reference: {some_of(unmeasured)}",) * bool(unmeasured),
        predict=predict,
    )


def _of_run(source: Source, references: References | None, again: bool, device: str, measured: Measured) -> MethodRun:
    folder = RunFolder(source.path.resolve())
    record = folder.record
    measured_then = read_run(folder) if folder.cases_file.is_file() and not again else None
    flips, cleans = (bool(folder.setting("model", name)) for name in ("flip_left_right", "largest_component"))
    predicted = predicted_with("bf16-mixed" if device.startswith("cuda") else "32-true", flips, cleans)
    settings = Settings.read((measured_then[0].predicted_with if measured_then else "") or predicted)
    predict = None if references is None else predicted_by(folder, references, settings, device)
    doubts: tuple[str, ...] = ()
    if measured_then is not None:
        rows, axis = measured_then, str(folder.setting("data", "axis") or "")
        due, there = set(folder.split.test if folder.split else ()), {row.case for row in rows}
        if there < due:
            of_all = f"was measured on {len(there)} of {len(due)} test cases"
            doubts = (f"{folder.title} {of_all}",)
            log.warning(f"{folder.cases_file} {of_all}; on all: adawac test {source.path}")
    elif references is None or predict is None:
        raise ConfigError(
            f"{source.path} has no case table; run `adawac test {source.path}`, or give --labels, --images"
        )
    else:
        method = source.method or folder.method or "AdaWAC"
        rows = measured(predict, references, made_by(folder, method, folder.checkpoint, predicted))
        axis = references.axis
    return MethodRun(
        method=source.method or (rows[0].method if rows else folder.experiment),
        subset=source.subset or str(record.get("subset", "")),
        name=folder.title,
        rows=rows,
        images_seen=record.get("images_seen"),
        network_passes=record.get("network_passes"),
        pass_of=pass_of(folder),
        weights=folder.weights,
        draws=DrawSummary(**record["draws"]) if record.get("draws") else None,
        annotated=annotated_of(record),
        training=folder.split.train if folder.split else (),
        seen=tuple(record.get("data", {}).keys() - (folder.split.val if folder.split else ())),  # whatever it says now
        chosen=folder.split.val if folder.split else (),
        suspects=folder.suspects,
        made=made_of(source.path, rows, folder),
        axis=axis,
        unit=str(record.get("unit", "")),
        doubts=doubts,
        predict=predict,
    )


def recipe_of(run: RunFolder) -> Recipe:
    """The recipe of a run's checkpoint.

    Raises:
        ConfigError: if there is none.
    """
    return Recipe.from_json(read_checkpoint(run.checkpoint)[RECIPE])


def references_of_runs(sources: Sequence[Source], predict: bool = False) -> tuple[References | None, str]:
    """The test cases of the first run, from its own data; or why there are none."""
    runs = [RunFolder(source.path.resolve()) for source in sources if source.kind == "run"]
    if not runs:
        return None, ""
    try:
        return References.of_run(runs[0], recipe_of(runs[0])), ""
    except AdaWACError as error:
        if all(run.cases_file.is_file() for run in runs) and len(runs) == len(sources) and not predict:
            return None, str(error)
        raise
