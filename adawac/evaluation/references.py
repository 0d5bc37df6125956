"""The test cases that predictions are held against: their references, and their images where they are at hand."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import adawac.data.layouts as layouts
from adawac.data.case_names import AUTO
from adawac.data.classes import LAST_VALUES, Classes
from adawac.data.layouts.base import Case, Layout
from adawac.data.layouts.files import is_region, parse_labels, read_json
from adawac.data.layouts.folders import Folders
from adawac.data.layouts.masks import are_masks, label_files, labels_at
from adawac.data.patients import SuggestedPatients, patients_in
from adawac.data.preprocessing import AXES, Axis, cut_steps
from adawac.errors import ConfigError, DataError, did_you_mean_file, in_case, some_of
from adawac.evaluation.case_table import Metric
from adawac.io.hashing import short_hash
from adawac.io.image_cases import fixed_part
from adawac.io.images import passed_over
from adawac.io.volumes import Volume
from adawac.runs.checkpoint import Recipe
from adawac.runs.folder import RunFolder
from adawac.types import IGNORE_INDEX

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class References:
    """Labelled volumes, read when they are asked for.

    Attributes:
        layout: reads the cases.
        cases: id -> its files; without files of an image there is no image at hand.
        classes: how label values become class indices.
        patients: id -> whom the case shows.
        axis: direction along which volumes are cut into slices.
        metrics: by name, measured of each case beside those of `case_rows`.
    """

    layout: Layout
    cases: Mapping[str, Case]
    classes: Classes
    patients: Mapping[str, str]
    axis: Axis = "axial"
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    @classmethod
    def of_folder(
        cls,
        labels: Path,
        classes: Classes | None = None,
        images: Mapping[str, tuple[Path, ...]] | None = None,
        patient_pattern: str | None = AUTO,
        axis: Axis = "axial",
    ) -> "References":
        """Label maps in a folder, of any format, or folders with a mask an organ, each named like its case.

        Args:
            labels: the folder; or a pattern in which `*` is the case, see `named_by`.
            classes: None takes those of a dataset.json in the folder or beside it; without one the label values that
                the files hold are called class_1, class_2, ...
            images: case -> files of its channels; cases without a label are not looked at.
            patient_pattern: see `patients_in`; what names suggest is left to `adawac.report.shown_patients`.
            axis: direction along which volumes are cut.

        Raises:
            DataError: if there are no labels, two of one name, a label without an image, or no patient for a case.
        """
        found = labels_at(labels)
        if not found:
            raise DataError(
                f"--labels {labels}: no label map there (NIfTI, NRRD, MHA, MHD, MGZ), no masks"
                f"{did_you_mean_file(labels)} give the folder of the references, or a pattern "
                f"of them such as 'DATA/*/seg.nii.gz'"
            )
        files = [path for _, path in found]
        if labels.is_dir() and (beside := passed_over(labels, [*files, labels / "dataset.json"])):
            log.warning(beside)
        if classes is None:
            classes = classes_beside(labels)
        named = {} if classes is None else dict(zip(classes.values, classes.names, strict=True))
        layout, masks = Folders(label_names=named or None), are_masks(files, named.values())
        cases = _distinct(
            Case(name, (images or {}).get(name, ()), label_files(path), masks=masks and path.is_dir())
            for name, path in found
        )
        if images is not None and (bare := [case for case in cases.values() if not case.images]):
            raise DataError.from_problems(
                [
                    f"case {case.id}: {case.label[0]} has no image; add it to --images, or leave --images out"
                    for case in bare
                ]
            )
        if classes is None:
            names, problems = layout.labels_of(cases.values())
            if problems:
                raise DataError.from_problems(list(problems.values()))
            classes = Classes.from_labels(names)
            for value in {*LAST_VALUES} & {*classes.values[2:]}:
                log.warning(
                    f"--labels {labels}: value {value} beside smaller ones counts as a class; if such voxels are not "
                    f'labelled, give --classes a dataset.json that says so: {{"labels": {{..., "ignore": {value}}}}}'
                )
        return cls(layout, cases, classes, _patients(cases.values(), patient_pattern), axis)

    @classmethod
    def of_run(cls, run: RunFolder, recipe: Recipe) -> "References":
        """The test cases of a run, where its data still lie.

        Args:
            run: folder of the run, with its configuration and its split.
            recipe: of its checkpoint.

        Raises:
            ConfigError: if the run's configuration cannot be read.
            DataError: if its data are not there any more, or its split has no test cases.
        """
        try:
            if (split := run.split) is None or not run.config:
                raise ConfigError(f"no {run.config_file.name} with {run.split_file.name}")
            test = split.test
            root, pattern = Path(run.setting("data", "root")), run.setting("data", "patient_pattern")
            if not root.is_dir():
                raise DataError(f"{run.path}: its data folder {root} is not there any more; give --labels and --images")
            layout = layouts.detect(root, _named_layout(run.setting("data", "layout")))
        except (ConfigError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
            raise ConfigError(
                f"{run.path}: no readable configuration and split ({error}); give a whole run folder, or --labels and "
                "--images"
            ) from error
        collection, _ = layout.sound(root)  # a training that skips bad cases went on without the others
        cases = {case.id: case for case in collection.cases if case.label}
        if not test:
            raise DataError(f"{run.path}: its split names no test cases; give --labels and --images")
        if missing := [case for case in test if case not in cases]:
            raise DataError(f"{run.path}: {root} has no case {some_of(missing)} any more; give --labels and --images")
        tested = {case: cases[case] for case in test}
        patients = _patients(tested.values(), pattern)
        return cls(layout, tested, recipe.data.classes, patients, recipe.data.preprocessing.axis)

    def take(self, ids: Iterable[str]) -> "References":
        """These cases alone, in their own order."""
        wanted = set(ids)
        return replace(self, cases={name: case for name, case in self.cases.items() if name in wanted})

    @property
    def has_images(self) -> bool:
        """Whether the image of every case is at hand."""
        return all(case.images for case in self.cases.values())

    def image(self, case: str, target: Volume) -> Volume:
        """(C, Z, Y, X) intensities as on disk.

        Args:
            case: its name.
            target: its reference.

        Raises:
            DataError: naming the case, if its image is not at hand or not readable, or lies on another grid.
        """
        if not self.cases[case].images:
            raise DataError(f"case {case}: no image at hand; give the folder of the images, --images")
        with in_case(case):
            image = self.layout.read_image(self.cases[case])
            if difference := target.geometry.difference(image.geometry):
                raise DataError(f"label {difference}, as the image has it; re-export the label on the image's grid")
            return image

    def target(self, case: str) -> Volume:
        """(1, Z, Y, X) class indices, 255 where ignored.

        Raises:
            DataError: naming the case, if its label is not readable or holds values that no class stands for.
        """
        with in_case(case):
            label = self.layout.read_label(self.cases[case])
            self.classes.check_names(label.names)
            full = "no voxel of its reference is background (0): does another value stand for it?"
            notes = (*label.notes, full) if label.array.all() else label.notes
            return Volume(self.classes.encode(label.array, as_named), label.geometry, notes)

    def data_hash(self, case: str) -> str:
        """Of the case's files, images first, then labels."""
        return short_hash([*self.cases[case].images, *self.cases[case].label])

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Slices first: (Z, Y, X) to (S, H, W)."""
        return np.moveaxis(array, AXES.index(self.axis), 0)

    def steps(self, volume: Volume) -> NDArray[np.float64] | None:
        """(3, 3) mm from a voxel to the next along (slice, row, column), as columns; None where it is not known."""
        return cut_steps(volume.geometry.steps, self.axis)


def as_named(unknown: Sequence[int]) -> str:
    """What to do about values of references or predictions that stand for no class."""
    if list(unknown) == [255]:
        return (
            "if it is a mask of 0 and 255, write the class's value in place of 255; if such voxels of references are "
            'not labelled, give --classes a dataset.json that says so: {"labels": {..., "ignore": 255}}'
        )
    return (
        "write predictions and references with the same values, and name them all by --classes, as names of 1, 2, ... "
        "or a dataset.json"
    )


def classes_beside(folder: Path) -> Classes | None:
    """Classes of a dataset.json in a folder, or where a pattern begins, or in the one above; None if there is none."""
    folder = fixed_part(folder)
    found = [path for path in (folder / "dataset.json", folder.parent / "dataset.json") if path.is_file()]
    return read_classes(found[0]) if found else None


def read_classes(path: Path) -> Classes:
    """Classes of a dataset.json of nnU-Net or of the Decathlon, or of a file that holds its `labels` alone.

    Raises:
        DataError: if the file is not readable or names no labels.
    """
    content = read_json(path)
    labels = content.get("labels", content)
    if isinstance(labels, Mapping) and (regions := [name for name, entry in labels.items() if is_region(entry)]):
        raise DataError(
            f"{path}: {some_of(regions)} are regions of several values, but a voxel has one class here; say what the "
            "values mean by --classes, as names of 1, 2, ... or a dataset.json of single ones"
        )
    names, ignore_value = parse_labels(labels, path)
    return Classes.from_labels(names, ignore_value)


def names_told(path: Path) -> dict[int, str]:
    """What a dataset.json calls single label values, beside the ignored one and regions of several.

    Raises:
        DataError: if the file is not readable or names no labels.
    """
    content = read_json(path)
    labels = content.get("labels", content)
    single = isinstance(labels, Mapping) and {name: entry for name, entry in labels.items() if not is_region(entry)}
    return parse_labels(single or labels, path)[0]


def named_classes(names: Sequence[str]) -> Classes:
    """Classes of label values 1, 2, 3, ... by name.

    Example:
        >>> named_classes(["liver", "spleen"]).names, named_classes(["background", "liver"]).values
        (('background', 'liver', 'spleen'), (0, 1))
    """
    return Classes.from_labels(dict(enumerate(names, start=names[0].lower() != "background" if names else 1)))


def _named_layout(setting: Any) -> Layout | None:
    """The layout that a run's configuration names; None where it names none."""
    if setting is None:
        return None
    path, arguments = (setting, {}) if isinstance(setting, str) else (setting["class_path"], setting.get("init_args"))
    module, _, name = path.rpartition(".")
    try:
        layout: Layout = getattr(import_module(module) if module else layouts, name)(**(arguments or {}))
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the run's layout {path} cannot be imported ({error}); give the test cases with --labels and --images"
        ) from error
    return layout


def labelled(reference: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where a reference says a class; elsewhere it is to be ignored."""
    return np.asarray(reference != IGNORE_INDEX)


def _patients(cases: Iterable[Case], pattern: str | None) -> dict[str, str]:
    """Whom each case shows, as far as it is known; a guess by the names is none."""
    patients = patients_in(list(cases), pattern)
    return {case: case for case in patients} if isinstance(patients, SuggestedPatients) else patients


def _distinct(cases: Iterable[Case]) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for case in cases:
        if case.id in found:
            raise DataError(f"case {case.id}: {case.label[0]} and {found[case.id].label[0]} share its name; keep one")
        found[case.id] = case
    return found
