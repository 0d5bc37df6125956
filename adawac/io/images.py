"""Which files make an image, and reading them whatever their format: NIfTI, NRRD, MetaImage, or a DICOM series."""

import glob
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from adawac.errors import DataError, did_you_mean_file, name_problems, some_of
from adawac.io.dicom import is_dicom, read_series, series_files
from adawac.io.itk import simpleitk
from adawac.io.limits import check_voxels, too_large
from adawac.io.readers import ending_of, ends_in, reader_of
from adawac.io.volumes import Volume

log = logging.getLogger(__name__)

_ELSEWHERE = ".icloud"
"""Ends the hidden file that stands for one which Apple's cloud keeps."""

_OF_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "icon\r")


def read_image(paths: Sequence[Path]) -> Volume:
    """Read an image.

    Args:
        paths: a file or a folder (DICOM) a channel; or the files that `files_of` gives for one of them.

    Returns:
        Volume (C, Z, Y, X), channels in the order of the paths.

    Raises:
        DataError: naming the file that cannot be read, or the channel that lies on another grid than the first.
        ConfigError: if it takes SimpleITK, and that is not installed.
    """
    try:
        return _read(paths)
    except MemoryError as error:
        raise too_large(paths[0], error) from error


def _read(paths: Sequence[Path]) -> Volume:
    files = [path for path in paths if reader_of(path)]
    covered = {part for path in files if path.is_file() for part in files_of(path)}
    slices = [path for path in paths if path not in covered and path not in files and not path.is_dir()]
    volumes, names = [], []
    for path in paths:
        if (reader := reader_of(path)) is not None:
            volumes.append(reader.read(path))
        elif path.is_dir():
            volumes.append(read_series(series_files(path), path))
        else:
            continue
        names.append(str(path))
        together = sum(volume.array.size for volume in volumes)
        check_voxels(f"{path} and the other channels", (together,), volumes[-1].array.dtype)
    if slices:
        volumes.append(read_series(slices, slices[0].parent))
        names.append(str(slices[0].parent))
    return stack_channels(volumes, names)


def stack_channels(volumes: list[Volume], names: list[str]) -> Volume:
    """Join volumes that lie on one grid along the channel axis.

    Args:
        volumes: (C_i, Z, Y, X) each.
        names: what to call them in messages, such as their file names.

    Raises:
        DataError: naming the volume that lies on another grid than the first.
    """
    first = volumes[0]
    for volume, name in zip(volumes[1:], names[1:], strict=True):
        if difference := volume.geometry.difference(first.geometry):
            raise DataError(
                f"{name} {difference}; all channels of a case must share the grid of {names[0]}: resample it"
            )
    if len(volumes) == 1:
        return first
    notes = tuple(note for volume in volumes for note in volume.notes)
    return Volume(np.concatenate([volume.array for volume in volumes]), first.geometry, notes)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files whose content makes an image: of a folder its slices, of a header also the file with its voxels.

    What is wrong with a header is said when the image is read, so that it ends no listing.
    """
    if path.is_dir():
        return series_files(path)
    try:
        return (path,) if (reader := reader_of(path)) is None else reader.files(path)
    except DataError:
        return (path,)


def list_files(folder: Path, endings: tuple[str, ...] | None = None) -> list[Path]:
    """Image files of a folder, hidden ones (such as macOS's `._x.nii.gz`), folders and pipes left out."""
    named = (path for path in folder.iterdir() if not path.name.startswith("."))
    found = sorted(path for path in named if (reader_of(path) if endings is None else ends_in(path, endings)))
    return [path for path in found if path.is_file() or not path.exists()]  # a link to nothing is named as it is read


def passed_over(folder: Path, read: Iterable[Path]) -> str | None:
    """What lies in a folder of images or labels and is not read, in one line; None if nothing does.

    Hidden files, and those that systems leave in every folder, are nobody's data.

    Args:
        folder: the folder.
        read: files and folders in it that are read; what a header among them names is read, too.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "pt_1.nii.gz").touch()
        ...     Path(folder, "pt_2.mnc").touch()
        ...     passed_over(Path(folder), [Path(folder, "pt_1.nii.gz")]).removeprefix(folder)
        ': not read: pt_2.mnc'
    """
    taken = {part for path in read for part in (path, *(() if path.is_dir() else files_of(path)))}
    left = [
        path
        for path in sorted(folder.iterdir())
        if path not in taken
        and (not path.name.startswith(".") or path.name.endswith(_ELSEWHERE))
        and path.name.lower() not in _OF_SYSTEMS
    ]
    return f"{folder}: not read: {some_of([described(path) for path in left])}" if left else None


def described(path: Path) -> str:
    """A file or folder by its name; of a folder without slices, the first image that lies in it."""
    if not path.is_dir():
        return path.name
    for inner in sorted(path.rglob("*")):
        place = inner.relative_to(path.parent)
        if _is_series(inner):
            return f"{path.name}/ (no image in it, but DICOM in {place}: move it up)"
        if reader_of(inner) and not inner.name.startswith("."):
            return f"{path.name}/ (with {place})"
    return f"{path.name}/"


def _is_series(path: Path) -> bool:
    return path.is_dir() and holds_dicom(path)


def list_images(folder: Path) -> list[Path]:
    """Images of a folder: its files, and folders in it that hold DICOM slices; hidden ones are left out."""
    series = [path for path in folder.iterdir() if not path.name.startswith(".") and _is_series(path)]
    return sorted({*list_files(folder), *series})


def holds_dicom(folder: Path) -> bool:
    """Whether DICOM files lie directly in a folder."""
    return any(is_dicom(path) for path in folder.iterdir())


def stem(path: Path) -> str:
    """Name of a file without its ending, or of a folder; an umlaut is one letter, whatever a system makes of it.

    Example:
        >>> stem(Path("imagesTr/pt_4.nii.gz")), stem(Path("images/pt_4.mha"))
        ('pt_4', 'pt_4')
    """
    name = path.name.removesuffix(ending_of(path))
    return normalize("NFC", name if name != path.name or path.is_dir() else path.stem)


class Images(NamedTuple):
    """Images to segment.

    Attributes:
        cases: case name and its channels in order, a file or a folder each.
        problems: a line for every case that was left out, as a channel is missing or two files have its name.
        passed_over: what lies beside them and is not read; None if nothing does.
    """

    cases: dict[str, tuple[Path, ...]]
    problems: list[str]
    passed_over: str | None


def find_images(source: Path, places: Sequence[str] = ()) -> dict[str, tuple[Path, ...]]:
    """Images to segment, by case; see `scan_images`.

    Raises:
        DataError: all problems together; or there is no image.
        ConfigError: if reading them takes SimpleITK, and that is not installed.
    """
    cases, problems, beside = scan_images(source, places)
    if problems:
        raise DataError.from_problems(problems)
    if beside:
        log.warning(beside)
    return cases


def scan_images(source: Path, places: Sequence[str] = ()) -> Images:
    """Images to segment, and what is wrong with others.

    Args:
        source: an image file; the folder of a DICOM series; or a folder of such files and folders, in which
            `<case>_0000.nii.gz`, `<case>_0001.nii.gz` are channels of one case (nnU-Net's names). Without a
            `<case>_0000` four digits at the end are part of the name. Or a pattern for them, see `named_by`.
        places: folders or patterns, one a channel, in which training found its images: in a folder where there are
            such, or such as their ends say (`*-t1.nii.gz` of `*/*-t1.nii.gz`), images are found as there.

    Raises:
        DataError: if there is no image, or it is not clear what a case is.
        ConfigError: if reading them takes SimpleITK, and that is not installed.
    """
    source = source.absolute()  # so that `.` has a name
    found = _as_in_training(source, places)
    if found is None and "*" in str(source):
        first = next(place for place, part in enumerate(source.parts) if "*" in part)
        found = {"": list(named_by(Path(*source.parts[:first]), "/".join(source.parts[first:])))}
    found = found or {"": [(stem(path), path) for path in _images_at(source)]}
    paths = [path for named in found.values() for _, path in named]
    tops = [source / path.relative_to(source).parts[0] for path in paths if path != source] if source.is_dir() else []
    beside = passed_over(source, tops) if source.is_dir() and paths != [source] else None
    if not paths:
        raise DataError(
            f"{source}: no image there{did_you_mean_file(source)} give a NIfTI, NRRD, MHA or MHD file, the folder of a "
            "DICOM series, a folder of such files and folders, or a pattern of them such as */ct.nii.gz"
            + ("" if beside is None else f" ({beside.removeprefix(f'{source}: ')})")
        )
    for path in paths:
        if reader := reader_of(path):
            reader.require()
        else:  # a DICOM series
            simpleitk()
    cases, problems = by_channel(found)
    return Images({case: files for case, files in cases.items() if case not in problems}, [*problems.values()], beside)


def named_by(root: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """What lies where a pattern says, by the name of its case: what `*` stands for, where that differs joined by `_`.

    Args:
        root: folder that the pattern begins in.
        pattern: such as `*/ct.nii.gz`, `volume-*.nii` or `sub-*/anat/sub-*_T2w.nii.gz`; `*` is a part of a name, and
            `?*` one that the case is not called by, as of studies and series in `*/?*/?*`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "Utrecht", "19").mkdir(parents=True)
        ...     Path(folder, "Utrecht", "19", "19_wmh.nii.gz").touch()
        ...     [name for name, _ in named_by(Path(folder), "*/*/*_wmh.nii.gz")]
        ['Utrecht_19']
    """
    wild = {"*": "([^/]+)", "?*": "[^/]+"}
    pieces = re.split(r"(\??\*)", pattern)
    form = re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces))
    for path in sorted(root.glob("".join(piece if piece in wild else glob.escape(piece) for piece in pieces))):
        inner = path.relative_to(root)
        match = form.fullmatch(inner.as_posix())
        if match is None or any(part.startswith(".") for part in inner.parts):
            continue
        if reader_of(path) or (path.is_dir() and (series_files(path) or list_files(path))):
            yield normalize("NFC", "_".join(dict.fromkeys(match.groups()))), path


def by_case(
    named: Collection[tuple[str, Path]], whole: Collection[str] = ()
) -> tuple[dict[str, tuple[Path, ...]], dict[str, str]]:
    """Files of every case, its channels in order; and the problem of each that has one.

    Args:
        named: images, or labels, by the names that they give their cases.
        whole: names that are of cases, even where they end as those of channels do, see `scan_images`.
    """
    firsts = {name.removesuffix("_0000") for name, _ in named if name.endswith("_0000") and name not in whole}
    cases: dict[str, dict[int, Path]] = {}
    problems: dict[str, str] = {}
    for case, path in named:
        channel = 0
        if wrong := name_problems("case", [case]):
            problems[case] = wrong[0]
        if (match := re.fullmatch(r"(.+)_(\d{4})", case)) and match[1] in firsts and case not in whole:
            case, channel = match[1], int(match[2])
        known = cases.setdefault(case, {}).setdefault(channel, path)
        if known is not path:  # a.nii and a.nii.gz: which of them is meant?
            problems[case] = f"case {case}: {known.name} and {path.name} are the same image; keep one of them"
    for case, channels in cases.items():
        if missing := sorted(set(range(max(channels))) - channels.keys()):
            problems[case] = f"case {case}: channel {case}_{missing[0]:04d} is missing; add its file"
    return {case: tuple(path for _, path in sorted(files.items())) for case, files in cases.items()}, problems


def by_channel(
    found: Mapping[str, Collection[tuple[str, Path]]], whole: Collection[str] = ()
) -> tuple[dict[str, tuple[Path, ...]], dict[str, str]]:
    """As `by_case`, of images that lie in several places, one a channel.

    Args:
        found: images of each place.
        whole: see `by_case`.
    """
    cases: dict[str, tuple[Path, ...]] = {}
    problems: dict[str, str] = {}
    for number, named in enumerate(found.values()):
        mine, odd = by_case(named, whole)
        problems |= odd
        for name in mine.keys() ^ cases.keys() if number else ():
            problems[name] = f"case {name}: it lies not in each of {', '.join(found)}; complete or remove it"
        cases = {name: cases.get(name, ()) + mine.get(name, ()) for name in {**cases, **mine}}
    return cases, problems


def _as_in_training(source: Path, places: Sequence[str]) -> dict[str, list[tuple[str, Path]]] | None:
    """What lies in a folder where training found its images, or where the ends of these places say; None if not."""
    parts = [place.split("/") for place in places]
    for start in range(min(map(len, parts), default=0)) if source.is_dir() else ():
        ends = ["/".join(each[start:]) for each in parts]
        found = {end: list(_listed(source, end)) for end in ends if "*" in end or len(ends) > 1}
        if len(found) == len(ends) and any(found.values()):
            return found
    return None


def _listed(root: Path, place: str) -> Iterable[tuple[str, Path]]:
    """Images of a folder, or of a pattern, by their cases; none where it is not there."""
    if "*" in place:
        return named_by(root, place)
    folder = root / place
    return [(stem(path), path) for path in list_images(folder)] if folder.is_dir() else []


def _images_at(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source] * (source.is_file() and reader_of(source) is not None)
    images = list_images(source)
    if not holds_dicom(source):
        return images
    if images:
        raise DataError(
            f"{source}: DICOM slices lie there beside {images[0].name}, so it is not clear what a case is; move the "
            "slices into a folder of their own"
        )
    return [source]
