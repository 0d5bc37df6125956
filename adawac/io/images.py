"""Which files make an image, and reading them whatever their format: a file of `readers`, or a DICOM series."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np

from adawac.errors import DataError, some_of
from adawac.io.dicom import read_series
from adawac.io.dicom_folder import is_dicom, series_files
from adawac.io.limits import check_voxels, too_large
from adawac.io.nifti_files import VOXELS, header_of
from adawac.io.readers import PACKED, ending_of, ends_in, reader_of
from adawac.io.volumes import Volume

log = logging.getLogger(__name__)

_ELSEWHERE = ".icloud"
"""Ends the hidden file that stands for one which Apple's cloud keeps."""

OF_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "icon\r")
"""What systems leave in every folder, in small letters."""

_PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif")


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
        if slices[0].is_file() and not is_dicom(slices[0]):
            raise DataError(f"{slices[0]}: nothing reads files that end so: {to_do(slices[:1])}")
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
        and path.name.lower() not in OF_SYSTEMS
    ]
    return f"{folder}: not read: {some_of([described(path) for path in left])}" if left else None


def described(path: Path) -> str:
    """A file or folder by its name; of a folder without slices, the first image that lies in it."""
    if not path.is_dir():
        return path.name
    for inner in sorted(path.rglob("*")):
        place = inner.relative_to(path.parent)
        if is_series(inner):
            return f"{path.name}/ (no image in it, but DICOM in {place}: move it up)"
        if reader_of(inner) and not inner.name.startswith("."):
            return f"{path.name}/ (with {place})"
    packed = next((inner for inner in sorted(path.rglob("*")) if ends_in(inner, PACKED)), None)
    return f"{path.name}/" + (f" (with {packed.relative_to(path.parent)}, to be unpacked)" if packed else "")


def to_do(held: Sequence[Path]) -> str:
    """What makes images of files that are none, or not each."""
    if any(ends_in(path, PACKED) for path in held):
        return "unpack those that are packed"
    if any(map(is_dicom, held)):
        return "give each series a folder of its own (one that is a single file is converted, such as by dcm2niix)"
    if voxels := [path for path in held if ends_in(path, VOXELS)]:
        header = next(filter(None, map(header_of, voxels)), None)
        return f"give its header, {header.name}" if header else "add their headers (.hdr), or convert the files"
    if any(ends_in(path, _PICTURES) for path in held):
        return "write all slices of a scan as one NIfTI, as data_README.md shows for pictures"
    return "convert the files" if held else "put them there"


def inner_pattern(folder: Path) -> str:
    """A pattern for what lies in the folders of a folder, such as `*/?*/?*` where series lie three folders down."""
    deep = next((path.relative_to(folder) for path in sorted(folder.rglob("*")) if is_series(path)), None)
    return "/".join(["*"] + ["?*"] * (len(deep.parts) - 1)) if deep else "*/ct.nii.gz"


def is_series(path: Path) -> bool:
    """Whether a path is a folder of DICOM files."""
    return path.is_dir() and holds_dicom(path)


def list_images(folder: Path) -> list[Path]:
    """Images of a folder: its files, and folders in it that hold DICOM slices; hidden ones are left out."""
    series = [path for path in folder.iterdir() if not path.name.startswith(".") and is_series(path)]
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
