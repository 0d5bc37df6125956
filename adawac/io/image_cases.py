"""Which cases lie in a folder, or where a pattern says, and which images are the channels of each."""

import glob
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from adawac.errors import DataError, did_you_mean_file, name_problems
from adawac.io.dicom_folder import is_dicom, series_files
from adawac.io.dicom_slice import simpleitk
from adawac.io.images import OF_SYSTEMS, holds_dicom, inner_pattern, list_files, list_images, passed_over, stem, to_do
from adawac.io.readers import reader_of

log = logging.getLogger(__name__)


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
    source = source.expanduser().absolute()  # so that `.` has a name
    found = _as_in_training(source, places)
    if found is None and "*" in str(source):
        found = {"": list(named_by(source.parent, source.as_posix()))}
    found = found or {"": [(stem(path), path) for path in _images_at(source)]}
    paths = [path for named in found.values() for _, path in named]
    tops = [source / path.relative_to(source).parts[0] for path in paths if path != source] if source.is_dir() else []
    beside = passed_over(source, tops) if source.is_dir() and paths != [source] else None
    if not paths:
        held = [path for path in source.iterdir() if path.is_file()] if source.is_dir() else [source]
        do = f": {to_do(held)}" if source.is_file() or (beside and held) else ""
        if source.is_file() and is_dicom(source):
            do = ": it is a slice of a series, whose folder is due"
        what = (beside or "").removeprefix(f"{source}: ") or ("not read" if do else "")
        such = inner_pattern(source) if source.is_dir() else "*/ct.nii.gz"
        raise DataError(
            f"{source}: no image there{did_you_mean_file(source)} give a NIfTI, NRRD, MHA, MHD or MGZ file, the folder "
            f"of a DICOM series, a folder of such files and folders, or a pattern of them such as {such}"
            + f" ({what}{do})"
            * bool(what)
        )
    for path in paths:
        if reader := reader_of(path):
            reader.require()
        else:  # a DICOM series
            simpleitk()
    cases, problems = by_channel(found)
    return Images({case: files for case, files in cases.items() if case not in problems}, [*problems.values()], beside)


def named_by(root: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """What lies where a pattern says, by the name of its case: what `*` stands for, joined by `_`.

    What another `*` says already is left out: `Patient_01/Patient_01.nii.gz` of `*/Patient_*.nii.gz` is Patient_01.

    Args:
        root: folder that the pattern begins in, if it is not absolute.
        pattern: such as `*/ct.nii.gz`, `volume-*.nii` or `sub-*/anat/sub-*_T2w.nii.gz`; `*` is a part of a name,
            `**/` any number of folders; `?*` and `?**/` are what the case is not called by, as of studies in `*/?*/?*`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "Utrecht", "19").mkdir(parents=True)
        ...     Path(folder, "Utrecht", "19", "19_wmh.nii.gz").touch()
        ...     [name for name, _ in named_by(Path(folder), "*/*/*_wmh.nii.gz")]
        ['Utrecht_19']
    """
    wild = {"**/": "((?:[^/]+/)*)", "?**/": "(?:[^/]+/)*", "*": "([^/]+)", "?*": "[^/]+"}
    parts = Path(re.sub(r"(?<=[^/*?])\*\*+|\*\*+(?!/)", "*", pattern)).parts  # two within a name are one
    first = next(place for place, part in enumerate(parts) if "*" in part)
    root = root.joinpath(*parts[:first])
    pieces = re.split(r"(\??\*\*/|\??\*)", "/".join(parts[first:]))
    form = re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces))
    plain = "".join(piece.lstrip("?") if piece in wild else glob.escape(piece) for piece in pieces)
    found = []
    for path in sorted(root.glob(plain)):
        inner = path.relative_to(root)
        match = form.fullmatch(inner.as_posix())
        if match is None or any(part.startswith(".") or part.lower() in OF_SYSTEMS for part in inner.parts):
            continue
        if reader_of(path) or (path.is_dir() and (series_files(path) or list_files(path))):
            found.append(([normalize("NFC", part.strip("/").replace("/", "_")) for part in match.groups()], path))
    names = [said for said, _ in found]
    spare = [_is_said(place, names) for place in range(form.groups)]
    if len({tuple(_kept(said, spare)) for said in names}) < len({tuple(said) for said in names}):
        spare = [False] * form.groups  # it tells cases apart after all
    for said, path in found:
        yield "_".join(dict.fromkeys(filter(None, _kept(said, spare)))), path


def named_at(place: Path, listed: Callable[[Path], Iterable[Path]] = list_images) -> list[tuple[str, Path]]:
    """What lies in a folder, where a pattern says, or at a file's own path, by names of cases; none where nothing is.

    Args:
        place: a path, perhaps with `*`, see `named_by`.
        listed: what counts in a folder.
    """
    if "*" in str(place):
        return list(named_by(place.absolute().parent, place.absolute().as_posix()))
    if place.is_file() and reader_of(place):
        return [(stem(place), place)]
    return [(stem(path), path) for path in listed(place)] if place.is_dir() else []


def _kept(said: Sequence[str], spare: Sequence[bool]) -> list[str]:
    return [part for part, left_out in zip(said, spare, strict=True) if not left_out]


def _is_said(place: int, names: Sequence[Sequence[str]]) -> bool:
    """Whether another `*` stands for all that one does, and for more, in every name: 01 of Patient_01."""
    return any(
        all(re.search(rf"(?:^|[^0-9A-Za-z]){re.escape(each[place])}(?:$|[^0-9A-Za-z])", each[other]) for each in names)
        and any(each[place] != each[other] for each in names)
        for other in range(len(names[0]) if names else 0)
        if other != place
    )


def fixed_part(place: Path) -> Path:
    """The folder that a pattern begins in; of a place without `*` itself.

    Example:
        >>> fixed_part(Path("data/sub-*/labels")).as_posix(), fixed_part(Path("data/labels")).as_posix()
        ('data', 'data/labels')
    """
    begin, star, _ = str(place).partition("*")
    return Path(f"{begin}x").parent if star else place


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
            twins, tell = f"{known.name} and {path.name}", ""
            if known.name == path.name:
                twins, tell = f"{known} and {path}", ", or let `*` stand for what tells them apart"
            problems[case] = f"case {case}: {twins} are the same image; keep one of them{tell}"
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
        found = {end: named_at(source / end) for end in ends if "*" in end or len(ends) > 1}
        if len(found) == len(ends) and any(found.values()):
            return found
    return None


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
