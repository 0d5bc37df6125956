"""Which files make an image, and reading them whatever their format: NIfTI, NRRD, MetaImage, or a DICOM series."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adawac.errors import DataError, did_you_mean_file, name_problems
from adawac.io.dicom import is_dicom, read_series, series_files
from adawac.io.itk import simpleitk
from adawac.io.limits import check_voxels, too_large
from adawac.io.readers import ending_of, reader_of
from adawac.io.volumes import Volume


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
    return Volume(np.concatenate([volume.array for volume in volumes]), first.geometry)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files whose content makes an image: of a folder its slices, of a header also the file with its voxels."""
    if path.is_dir():
        return series_files(path)
    return (path,) if (reader := reader_of(path)) is None else reader.files(path)


def list_files(folder: Path, endings: tuple[str, ...] | None = None) -> list[Path]:
    """Image files of a folder, hidden ones (such as macOS's `._x.nii.gz`) left out."""
    named = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in named if (reader_of(path) if endings is None else path.name.endswith(endings)))


def list_images(folder: Path) -> list[Path]:
    """Images of a folder: its files, and folders in it that hold DICOM slices; hidden ones are left out."""
    series = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and holds_dicom(p)]
    return sorted({*list_files(folder), *series})


def holds_dicom(folder: Path) -> bool:
    """Whether DICOM files lie directly in a folder."""
    return any(is_dicom(path) for path in folder.iterdir())


def stem(path: Path) -> str:
    """Name of a file without its ending, or of a folder.

    Example:
        >>> stem(Path("imagesTr/pt_4.nii.gz")), stem(Path("images/pt_4.mha"))
        ('pt_4', 'pt_4')
    """
    if ending := ending_of(path):
        return path.name.removesuffix(ending)
    return path.name if path.is_dir() else path.stem


def find_images(source: Path) -> dict[str, tuple[Path, ...]]:
    """Images to segment, by case.

    Args:
        source: an image file; the folder of a DICOM series; or a folder of such files and folders, in which
            `<case>_0000.nii.gz`, `<case>_0001.nii.gz` are channels of one case (nnU-Net's names). Without a
            `<case>_0000` four digits at the end are part of the name.

    Returns:
        Case name and its channels in order, a file or a folder each.

    Raises:
        DataError: if there is no image, two have one name, or a channel is missing.
        ConfigError: if reading them takes SimpleITK, and that is not installed.
    """
    paths = _images_at(source.absolute())  # so that `.` has a name
    if not paths:
        raise DataError(
            f"{source}: no image there{did_you_mean_file(source)} "
            "give a NIfTI, NRRD, MHA or MHD file, the folder of a DICOM series, or a folder "
            "of such files and folders"
        )
    for path in paths:
        if reader := reader_of(path):
            reader.require()
        else:  # a DICOM series
            simpleitk()
    firsts = {stem(path).removesuffix("_0000") for path in paths if stem(path).endswith("_0000")}
    cases: dict[str, dict[int, Path]] = {}
    problems = name_problems("case", map(stem, paths))
    for path in paths:
        case, channel = stem(path), 0
        if (match := re.fullmatch(r"(.+)_(\d{4})", case)) and match[1] in firsts:
            case, channel = match[1], int(match[2])
        known = cases.setdefault(case, {}).setdefault(channel, path)
        if known is not path:
            problems.append(f"case {case}: {known.name} and {path.name} are the same image; keep one of them")
    for case, channels in cases.items():
        if missing := sorted(set(range(max(channels))) - channels.keys()):
            problems.append(f"case {case}: channel {case}_{missing[0]:04d} is missing; add its file")
    if problems:
        raise DataError.from_problems(problems)
    return {case: tuple(path for _, path in sorted(channels.items())) for case, channels in cases.items()}


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
