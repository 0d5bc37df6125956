"""Two plain folders of image files: images in one, labels of the same names in the other."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from adawac.data.layouts.base import Case, Collection, ListingError
from adawac.data.layouts.files import OR_NOBODY, parse_labels, sorted_cases
from adawac.data.layouts.nifti import NiftiLayout, recognised
from adawac.data.modality import Modality, current
from adawac.errors import DataError, some_of
from adawac.io.dicom import is_dicom
from adawac.io.images import described, files_of, list_images, passed_over, stem
from adawac.io.readers import reader_of


class Folders(NiftiLayout):
    """A folder of images and a folder of labels.

        root/images/<case>.nii.gz       channels last where there are several
        root/labels/<case>.nii.gz

    NRRD and MetaImage files will do for both, and folders `images/<case>/` with the slices of a DICOM series.

    Args:
        images: folder of the images, relative to the root.
        labels: folder of the labels, relative to the root.
        label_names: class name of every label value, 0 for the background; voxels of the one named `ignore` are left
            out of losses and metrics. None reads all label files once and names the values they hold class_1, ...
        modality: of the intensities: `ct` (Hounsfield units), `mr` (normalised per volume), `prescaled` (0 to 1), or a
            list with that of each channel; None recognises it by the values, or by the headers of DICOM.
    """

    def __init__(
        self,
        images: str = "images",
        labels: str = "labels",
        label_names: dict[int, str] | None = None,
        modality: Modality | list[Modality] | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.label_names = label_names
        self.modality = modality

    def matches(self, root: Path) -> bool:
        """Whether both folders are there and hold images."""
        folders = (root / self.images, root / self.labels)
        return all(folder.is_dir() for folder in folders) and all(map(self._list, folders))

    def _list(self, folder: Path) -> list[Path]:
        """Images of a folder; of that of the labels also DICOM files, to say what to do with them."""
        dicom = [path for path in folder.iterdir() if is_dicom(path)] if folder.name == Path(self.labels).name else []
        return sorted({*list_images(folder), *dicom})

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`; reads an image, and label files only where `label_names` is None."""
        return self.scan_reading(root, lambda cases: cases)

    def scan_reading(self, root: Path, chosen: Callable[[Sequence[Case]], Sequence[Case]]) -> Collection:
        """List the cases, see `Layout.scan_reading`."""
        files: list[dict[str, Path]] = []
        twins: dict[str, str] = {}
        for folder in (root / self.images, root / self.labels):
            if not folder.is_dir():
                raise DataError(f"{folder}: the folder does not exist; correct `images` or `labels` of the layout")
            named: dict[str, Path] = {}
            for path in self._list(folder):  # a.nii and a.nii.gz: which of them is meant?
                if (other := named.setdefault(stem(path), path)) != path:
                    twins[stem(path)] = f"case {stem(path)}: {other} and {path} are of one name; remove one of them"
            files.append(named)
        images, labels = files
        beside = [passed_over(root / self.images, images.values()), passed_over(root / self.labels, labels.values())]
        problems = [*twins.values()] + [
            f"case {case_id}: {path} has no partner of this name in {root / where}{_near(case_id, root / where)}; "
            f"add it or remove the file{OR_NOBODY * (mine is images)}"
            for mine, theirs, where in ((images, labels, self.labels), (labels, images, self.images))
            for case_id, path in mine.items()
            if case_id not in theirs
        ]
        unread = {name: path for name, path in labels.items() if reader_of(path) is None}
        problems += [
            f"case {name}: {path} is DICOM, which labels are not read from; convert it to NIfTI as data_README.md shows"
            for name, path in unread.items()
        ]
        without = {name: path for name, path in images.items() if not files_of(path)}
        problems += [
            f"case {name}: {path} holds DICOM files but no slice; copy the series there"
            for name, path in without.items()
        ]
        paired = [
            Case(name, files_of(path), files_of(labels[name]))
            for name, path in images.items()
            if name in labels.keys() - twins - unread.keys() - without.keys()
        ]
        if problems and not paired:
            raise DataError.from_problems(problems)
        cases = sorted_cases(paired, root)
        read = chosen(cases)
        ignore_value = None
        names: Mapping[int, str]
        if self.label_names:
            names, ignore_value = parse_labels(self.label_names, Path("label_names"))
        else:
            names, unreadable = self.labels_of(read)
            problems += unreadable.values()
            cases = tuple(case for case in cases if case.id not in unreadable)
            if not names.keys() - {0} and problems:  # else said of the data set, in which case nothing else is
                raise DataError.from_problems(problems)
        channels, kinds, by = recognised(self, read)
        collection = Collection(
            name=root.name,
            cases=cases,
            labels=names,
            channels=tuple(f"channel_{i}" for i in range(channels)) if channels > 1 else ("image",),
            modality=kinds if self.modality is None else current(self.modality),
            ignore_value=ignore_value,
            known_by=by if self.modality is None else "the layout's setting",
            passed_over=tuple(filter(None, beside)),
            unannotated=tuple(path for name, path in images.items() if name not in labels),
        )
        if problems:
            raise ListingError(problems, collection)
        return collection

    def labels_of(self, cases: Iterable[Case]) -> tuple[Mapping[int, str], dict[str, str]]:
        """Names made of the values that the label files hold, and the problem of each that cannot be read.

        A value below 0 is no class: its files are refused when they are read as labels.
        """
        values: set[int] = set()
        problems: dict[str, str] = {}
        for case in cases:
            try:
                values.update(np.unique(self.read_label(case).array).tolist())
            except DataError as error:
                problems[case.id] = f"case {case.id}: {error}"
        return {0: "background"} | {value: f"class_{value}" for value in sorted(values) if value > 0}, problems


def _near(case: str, folder: Path) -> str:
    """What lies in a folder under nearly the name of a case, and is no partner."""
    begins = re.compile(rf"{re.escape(case)}(?![0-9])", re.IGNORECASE)
    named = [described(path) for path in sorted(folder.iterdir()) if begins.match(path.name)]
    return f" (there is {some_of(named)})" if named else ""
