"""Predictions of any tool, held against the references: checked first, then measured."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.data.classes import Classes
from adawac.data.layouts.masks import are_masks, joined, labels_at, masks_of
from adawac.data.naming import alike_but_for_ends
from adawac.errors import DataError, of_case, some_of, together
from adawac.errors import name_problems as wrong_names
from adawac.evaluation.case_table import NOBODY, CaseRow, MadeBy, case_rows
from adawac.evaluation.references import References, as_named, names_told
from adawac.evaluation.training_record import training_rows
from adawac.inference.prediction_folder import MANIFEST, PICTURE, PROBABILITIES
from adawac.io.image_cases import fixed_part
from adawac.io.images import passed_over, read_image
from adawac.io.terminal import Track
from adawac.io.volumes import Volume, as_label
from adawac.metrics import EmptyPolicy
from adawac.processes.cluster import Each, one_by_one
from adawac.types import IGNORE_INDEX

_RECORDS = (MANIFEST, "dataset.json", "plans.json", "predict_from_raw_data_args.json", "postprocessing.pkl")
"""What our prediction and nnU-Net's leave beside the labels."""

NOWHERE = 0.02
"""Dice of classes that hardly overlap."""

MOSTLY = 0.8
"""Share of the cases in which they do not."""

log = logging.getLogger(__name__)

Predict = Callable[[str, Volume], NDArray[np.uint8]]
"""Case and its reference (1, Z, Y, X) in, class indices (Z, Y, X) on the same grid out."""


def prediction_files(folder: Path) -> dict[str, Path]:
    """What a folder or pattern holds of each case, by its name: a label map, or a folder with a mask an organ.

    The latter is how TotalSegmentator writes: `ct_7/liver.nii.gz`, `ct_7/spleen.nii.gz`, ...

    Raises:
        DataError: if there is none, or two of one name.
    """
    found: dict[str, Path] = {}
    labels = labels_at(folder)
    names = {name for name, _ in labels}
    for name, path in labels:
        if path.name.endswith(PROBABILITIES) and path.name.removesuffix(PROBABILITIES) in names:
            continue
        if name in found:
            raise DataError(f"case {name}: {path} and {found[name]} share its name; keep one")
        found[name] = path
    if problems := wrong_names("case", found):
        raise DataError.from_problems(problems)
    ours = [*(path for _, path in labels), *folder.glob(f"*{PICTURE}"), *map(folder.joinpath, _RECORDS)]
    if folder.is_dir() and (beside := passed_over(folder, ours)):
        log.warning(beside)
    if not found:
        raise DataError(
            f"{folder}: neither a run folder (config.yaml) nor predictions (NIfTI, NRRD, MHA, MHD, MGZ files); correct "
            "the path"
        )
    return found


def name_problems(folder: Path, files: Iterable[str], references: References, shared: bool = False) -> list[str]:
    """What is wrong with names: of classes; and, unless shared cases are enough, of cases and of predictions."""
    files, cases = set(files), references.cases.keys()
    wrong = []
    if (said := fixed_part(folder) / "dataset.json").is_file():
        try:
            references.classes.check_names(names_told(said), str(said))
        except DataError as error:
            wrong = [str(error)]
    if shared:
        return wrong
    if forms := files != cases and alike_but_for_ends(cases, files):
        return [f"{folder}: predictions are called {forms[1]} but their references {forms[0]}; rename the predictions"]
    missing = [
        f"case {case}: {folder} holds no prediction of this name; predict it, or give --shared-cases to leave it out"
        for case in cases
        if case not in files
    ]
    extra = [
        f"case {case}: {folder} holds its prediction but there is no reference; add its label, move the prediction "
        "away, or give --shared-cases to leave it out"
        for case in sorted(files - cases)
    ]
    return wrong + missing + extra


def from_files(files: dict[str, Path], references: References) -> Predict:
    """Predictions that lie in files, on the grid of the reference."""
    classes = references.classes
    masks = are_masks(files.values(), classes.names)

    def predict(case: str, target: Volume) -> NDArray[np.uint8]:
        path = files[case]
        if masks and path.is_dir():
            volume = joined(masks_of(path), dict(zip(classes.values, classes.names, strict=True)))
        else:
            volume = as_label(read_image(masks_of(path) or [path]), str(path))
        if difference := volume.geometry.difference(target.geometry):
            lost = "copy the reference's header into it if its voxels are the reference's, else "
            remedy = lost * (volume.geometry.shape == target.geometry.shape) + "resample it to the reference's grid"
            raise DataError(f"prediction {path} {difference}, as the reference has it; {remedy}")
        for note in volume.notes:
            log.warning(f"case {case}: prediction {note}")
        return encoded(volume.array[0], references, str(path), volume.names)

    return predict


def encoded(
    labels: NDArray[np.integer], references: References, name: str, told: Mapping[int, str] | None = None
) -> NDArray[np.uint8]:
    """Class indices of predicted label values, and of the names that their file gives them.

    Raises:
        DataError: naming the values that no class stands for, or that the file calls otherwise.
    """
    try:
        references.classes.check_names(told or {}, "what made it")
        preds = references.classes.encode(labels, as_named)
    except DataError as error:
        raise DataError(f"prediction {name}: {error}") from None
    if (preds == IGNORE_INDEX).any():
        raise DataError(f"prediction {name}: holds the ignored label, which is no class; predict a class everywhere")
    return preds


def untold(meant: object, classes: Classes) -> str | None:
    """Classes of references that the model of predictions does not tell apart, or does not know; None where it does.

    Args:
        meant: label value -> class, as `adawac predict` records what the model was trained on; else nothing is known.
        classes: of the references.

    Example:
        >>> classes = Classes.from_labels({1: "left_kidney", 2: "right_kidney", 3: "spleen"})
        >>> untold({"0": "background", "1": "kidney", "2": "kidney", "3": "spleen"}, classes)
        'its model was trained on left_kidney, right_kidney as one class (kidney), so that their Dice is not its own'
    """
    if not isinstance(meant, Mapping):
        return None
    none = str(meant.get("0", ""))
    pairs = zip(classes.values[1:], classes.names[1:], strict=True)
    lines = [
        f"its model was trained without {some_of(names)}, and 0 counts for it in the means"
        if its == none
        else f"its model was trained on {some_of(names)} as one class ({its}), so that their Dice is not its own"
        for its, names in together((str(meant.get(str(value), none)), name) for value, name in pairs).items()
        if its == none or len(names) > 1
    ]
    return "; ".join(lines) or None


def disjoint(rows: Iterable[CaseRow]) -> str | None:
    """Classes that predictions and references hold, in nearly all cases at other places; None without several.

    Args:
        rows: of one source.
    """
    facts: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        if row.group == "all" and row.metric in ("dice", "predicted_voxels", "reference_voxels"):
            facts.setdefault(row.class_name, {}).setdefault(row.case, {})[row.metric] = row.value
    apart = []
    for name, cases in facts.items():
        held = [its for its in cases.values() if min(its.values()) >= 0 and len(its) == 3]
        held = [its for its in held if its["predicted_voxels"] > 0 and its["reference_voxels"] > 0]
        if len(held) > 1 and sum(its["dice"] < NOWHERE for its in held) >= MOSTLY * len(held):
            apart.append(name)
    if len(apart) < 2:
        return None
    return (
        f"{some_of(apart)} lie in most cases elsewhere than in the references: do values mean the same there? A "
        "dataset.json beside predictions says what they mean"
    )


def copied(rows: Iterable[CaseRow]) -> str | None:
    """That every prediction is its reference, which no network's is; None where one differs.

    Args:
        rows: of one source.
    """
    overlaps = [row.value for row in rows if (row.metric, row.group) == ("dice", "all") and row.value == row.value]
    if not overlaps or min(overlaps) < 1:
        return None
    return "every prediction is its reference, voxel for voxel: is this the folder of the predictions?"


def nothing(rows: Iterable[CaseRow]) -> str | None:
    """That no prediction holds any class though references do; None where one does.

    Args:
        rows: of one source.
    """
    voxels = {"predicted_voxels": 0.0, "reference_voxels": 0.0}
    for row in rows:
        if row.group == "all" and row.metric in voxels:
            voxels[row.metric] += row.value if row.value > 0 else 0
    if voxels["predicted_voxels"] or not voxels["reference_voxels"]:
        return None
    return "no prediction holds any class: every voxel is background (a network that found nothing, or empty files?)"


def measure(
    predict: Predict,
    references: References,
    policy: EmptyPolicy = "penalise",
    made_by: MadeBy = NOBODY,
    track: Track[Any] | None = None,
    each: Each = one_by_one,
) -> tuple[list[CaseRow], list[str]]:
    """Every metric of every case, and what is wrong with those that could not be measured.

    Args:
        predict: gives the prediction of a case.
        references: all that are to be measured.
        policy: what empty masks are worth.
        made_by: who predicts.
        track: wraps the cases, to show progress.
        each: where cases are measured.

    Returns:
        The case table, in the order of the cases; and a line for each case with a problem.
    """

    def of(case: str) -> list[CaseRow]:
        target = references.target(case)
        for note in target.notes:
            log.warning(f"case {case}: {note}")
        preds = references.cut(predict(case, target))
        return case_rows(
            case,
            references.patients[case],
            preds,
            references.cut(target.array[0]),
            references.steps(target),
            references.classes.names,
            policy,
            made_by=made_by,
            data_hash=references.data_hash(case),
            metrics=references.metrics,
        )

    rows: dict[str, list[CaseRow]] = {}
    problems: dict[str, str] = {}
    cases = list(references.cases)
    with closing(each(of, cases)) as done:
        for case, outcome in track(done, len(cases)) if track else done:
            try:
                rows[case] = outcome.result()
            except DataError as error:
                problems[case] = of_case(case, error)
    table = [row for case in cases for row in rows.get(case, ())]
    return [*table, *training_rows(table, made_by.units)], [problems[case] for case in cases if case in problems]
