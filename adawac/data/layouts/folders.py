"""Image files and label files of the same names: in two plain folders, or wherever two patterns find them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from adawac.data.layouts.base import Case, Collection, ListingError
from adawac.data.layouts.files import OR_NOBODY, parse_labels, sorted_cases
from adawac.data.layouts.masks import are_masks, joined, label_files, labels_in, masks_of
from adawac.data.layouts.nifti import NiftiLayout, recognised
from adawac.data.layouts.proposal import proposed
from adawac.data.modality import Modality, current
from adawac.data.naming import alike_but_for_ends
from adawac.errors import DataError, did_you_mean_file, some_of
from adawac.io.dicom_folder import is_dicom
from adawac.io.image_cases import by_case, by_channel, fixed_part, named_by
from adawac.io.images import described, files_of, inner_pattern, list_images, passed_over, stem, to_do
from adawac.io.readers import ending_of, reader_of
from adawac.io.volumes import Volume


class Folders(NiftiLayout):
    """A folder of images and a folder of labels.

        root/images/<case>.nii.gz       channels last if there are several; or <case>_0000, <case>_0001, one file each
        root/labels/<case>.nii.gz

    NRRD, MetaImage and FreeSurfer files will do for both, and folders `images/<case>/` with the slices of a DICOM
    series. A label may also be a folder with a mask an organ, `liver.nii.gz`, `spleen.nii.gz`; `label_names` chooses
    among them.

    Args:
        images: folder of the images, relative to the root; or a pattern in which `*` is the case, as `*/ct.nii.gz`; or
            a list with one of these for each channel.
        labels: folder or pattern of the labels.
        label_names: class name of every label value, 0 for the background; voxels of the one named `ignore` are left
            out of losses and metrics. None reads all label files once and names the values they hold class_1, ...
        modality: of the intensities: `ct` (Hounsfield units), `mr` (normalised per volume), `prescaled` (0 to 1), or a
            list with that of each channel; None recognises it by the values, or by the headers of DICOM.
    """

    def __init__(
        self,
        images: str | list[str] = "images",
        labels: str = "labels",
        label_names: dict[int, str] | None = None,
        modality: Modality | list[Modality] | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.label_names = label_names
        self.modality = modality

    def matches(self, root: Path) -> bool:
        """Whether both folders are there."""
        return all((root / folder).is_dir() for folder in (*self._channels, self.labels))

    @property
    def _channels(self) -> list[str]:
        return [self.images] if isinstance(self.images, str) else self.images

    @property
    def _named(self) -> Mapping[int, str]:
        """Class name of every label value; none where the label files tell."""
        return parse_labels(self.label_names, Path("label_names"))[0] if self.label_names else {}

    def _list(self, folder: Path) -> list[Path]:
        """Images of a folder; of that of the labels also DICOM files, to say what to do with them; else its masks."""
        found = list_images(folder)
        if folder.name == Path(self.labels).name:
            found = sorted({*found, *filter(is_dicom, folder.iterdir())}) or labels_in(folder)
        return found

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`; reads an image, and label files only where `label_names` is None."""
        return self.scan_reading(root, lambda cases: cases)

    def scan_reading(self, root: Path, chosen: Callable[[Sequence[Case]], Sequence[Case]]) -> Collection:
        """List the cases, see `Layout.scan_reading`."""
        found = {place: self._found(root, place) for place in (*self._channels, self.labels)}
        labels, twins = by_case(found[self.labels], dict(found[self.labels]))
        images, more = by_channel(
            {place: [each for each in found[place] if each[1:] not in labels.values()] for place in self._channels},
            labels,
        )
        if not images:
            raise DataError(f"{root}: images and labels are the same files; correct `images` or `labels` of the layout")
        problems = [*twins.values(), *more.values()] + [
            f"case {case_id}: {paths[0]} has no partner of this name in {root / where}{_near(case_id, root / where)}; "
            f"add it or remove the file{OR_NOBODY * (mine is images)}"
            for mine, theirs, where in ((images, labels, self.labels), (labels, images, self._channels[0]))
            for case_id, paths in mine.items()
            if case_id not in theirs
        ]
        unread = {name: files[0] for name, files in labels.items() if not (reader_of(files[0]) or masks_of(files[0]))}
        problems += [
            f"case {name}: {path} is DICOM, which labels are not read from; convert it to NIfTI as data_README.md shows"
            for name, path in unread.items()
        ]
        masks = are_masks([files[0] for files in labels.values()], self._named.values())
        without = {name: path for name, paths in images.items() for path in paths if not files_of(path)}
        problems += [
            f"case {name}: {path} holds DICOM files but no slice; copy the series there"
            for name, path in without.items()
        ]
        paired = [
            Case(
                name,
                tuple(part for path in paths for part in files_of(path)),
                label_files(labels[name][0]),
                masks=masks and labels[name][0].is_dir(),
            )
            for name, paths in images.items()
            if name in labels.keys() - twins - more.keys() - unread.keys() - without.keys()
        ]
        if problems and not paired:
            raise DataError.from_problems(self._renamed(found) or problems)
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
            passed_over=_beside(root, found),
            unannotated=tuple(paths[0] for name, paths in images.items() if name not in labels),
            places=tuple(self._channels) if len(self._channels) > 1 or "*" in self._channels[0] else (),
        )
        if problems:
            raise ListingError(problems, collection)
        return collection

    def _renamed(self, found: Mapping[str, Sequence[tuple[str, Path]]]) -> list[str]:
        """What to say where images and labels are called the same but for what their names begin and end with."""
        places = (self._channels[0], self.labels)
        if any("*" in place for place in places):
            return []
        if (forms := alike_but_for_ends(*([name for name, _ in found[place]] for place in places))) is None:
            return []
        said = [f"{place}/{form}{ending_of(found[place][0][1])}" for place, form in zip(places, forms, strict=True)]
        return [
            f"images are called {forms[0]} but their labels {forms[1]}; say so with --layout Folders --layout.images "
            f"'{said[0]}' --layout.labels '{said[1]}', or rename them"
        ]

    def _found(self, root: Path, place: str) -> list[tuple[str, Path]]:
        """Images or labels of a folder or pattern, at least one, by their cases."""
        folder = root / place
        if "*" in place:
            if named := list(named_by(root, place)):
                return named
            base = fixed_part(folder)
            there = sorted(base.glob(folder.relative_to(base).as_posix().replace("?*", "*"))) if base.is_dir() else []
            held = [inner for path in there for inner in (path.iterdir() if path.is_dir() else [path])]
            do = f"; to read what does, {to_do(held)}" * bool(held)
            meant = did_you_mean_file(folder)
            raise DataError(f"{folder}: no image lies there{meant} correct `images` or `labels` of the layout{do}")
        if not folder.is_dir():
            meant = did_you_mean_file(folder)
            raise DataError(f"{folder}: the folder does not exist{meant} correct `images` or `labels` of the layout")
        if paths := self._list(folder):
            return [(stem(path), path) for path in paths]
        left = passed_over(folder, [])
        such = f"--layout Folders {given}" if (given := proposed(root)) else f"{place}/{inner_pattern(folder)}"
        there = list(folder.iterdir())
        ways = [to_do(there)] if not left or any(path.is_file() for path in there) else []
        if given or any(path.is_dir() for path in there):
            ways.append(f"name those within folders by a pattern, such as {such}")
        raise DataError(
            f"{left or f'{folder}: it is empty'}; NIfTI, NRRD, MHA, MHD, MGZ and folders of DICOM slices are read: "
            f"{', or '.join(ways)}"
        )

    def read_label(self, case: Case) -> Volume:
        """Read the label map of a case, or join its masks; see `Layout.read_label`."""
        if not case.masks:
            return super().read_label(case)
        return joined(case.label, self._named)

    def labels_of(self, cases: Iterable[Case]) -> tuple[Mapping[int, str], dict[str, str]]:
        """Names of the values that the label files hold, and the problem of each that cannot be read.

        They are those that headers say, as of 3D Slicer's segments, else made of the values. A value below 0 is no
        class: its files are refused when they are read as labels, and here where there is no other.
        """
        values: set[int] = set()
        below: dict[str, str] = {}
        told: dict[int, str] = {}
        problems: dict[str, str] = {}
        for case in cases:
            try:
                read = self.read_label(case)
            except DataError as error:
                problems[case.id] = f"case {case.id}: {error}"
                continue
            held = np.unique(read.array).tolist()
            if held[0] < 0:
                what = f"label values {[value for value in held if value < 0][:8]} lie below 0, and no class does"
                said = "".join(f" ({note})" for note in read.notes)
                below[case.id] = f"case {case.id}: {what}{said}; write a value above 0 for each class"
            for value, name in read.names.items():
                if value not in held:
                    continue
                if told.get(value, name) != name or name in {told[other] for other in told.keys() - {value}}:
                    problems[case.id] = (
                        f"case {case.id}: label value {value} is {name!r} by the header of {case.label[0].name}, but "
                        f"{told} are those of other cases; export all segmentations with one value for a structure"
                    )
                told.setdefault(value, name)
            values.update(held)
        found = {k: told.get(k, f"class_{k}") for k in sorted(values) if k > 0}
        return {0: "background"} | found, problems if found else {**below, **problems}


def _beside(root: Path, found: Mapping[str, Iterable[tuple[str, Path]]]) -> tuple[str, ...]:
    """What lies in the folders that are looked through, up to the first `*` of a pattern, and is not read."""
    places = (fixed_part(Path(place)) for place in found)
    paths = [path for named in found.values() for _, path in named]
    tops = {
        base: [base / path.relative_to(base).parts[0] for path in paths if path.is_relative_to(base)]
        for base in (root / place for place in places)
    }
    return tuple(filter(None, (passed_over(base, read) for base, read in tops.items())))


def _near(case: str, folder: Path) -> str:
    """What lies in a folder under nearly the name of a case, and is no partner."""
    if not folder.is_dir():  # a pattern
        return ""
    begins = re.compile(rf"{re.escape(case)}(?![0-9])", re.IGNORECASE)
    named = [described(path) for path in sorted(folder.iterdir()) if begins.match(path.name)]
    return f" (there is {some_of(named)})" if named else ""
