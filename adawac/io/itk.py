"""NRRD and MetaImage files (`.nrrd`, `.nhdr`, `.mha`, `.mhd`), read by SimpleITK, which is an extra."""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.errors import ConfigError, DataError
from adawac.io.canonical import Geometry
from adawac.io.limits import check_voxels
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine
from adawac.io.volumes import Volume

READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""SimpleITK's reader of each ending: what a file is called decides what it may be."""

_DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file:)[ \t]*(.*?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def simpleitk() -> Any:
    """The library, silenced: what it warns of is checked here.

    Raises:
        ConfigError: naming the extra, where it is not installed.
    """
    try:
        library = import_module("SimpleITK")
    except ImportError as error:
        raise ConfigError(
            "DICOM, NRRD, MHA and MHD are read by SimpleITK, which is not installed; pip install 'adawac[dicom]'"
        ) from error
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


def read_itk(path: Path) -> Volume:
    """Read a file into the canonical orientation; what a voxel holds several numbers of are channels.

    Args:
        path: of one of the endings of `READERS`.

    Returns:
        Volume (C, Z, Y, X): integers as stored, or float32.

    Raises:
        DataError: if the file is missing, unreadable, cut short, not three-dimensional, of complex numbers, or points
            to data outside of its folder; or if its grid makes no sense.
        ConfigError: if SimpleITK is not installed.
    """
    itk = simpleitk()
    data_files(path)  # refuse what points elsewhere before it is followed
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(READERS[path.suffix])
    try:
        reader.ReadImageInformation()
        shape = reader.GetSize()
        check_voxels(str(path), (*shape, reader.GetNumberOfComponents()))
        if len(shape) != 3:
            raise DataError(f"{path}: a volume has 3 dimensions but this has shape {shape}; export one volume a file")
        image = reader.Execute()
        array: NDArray[Any] = itk.GetArrayFromImage(image)  # (z, y, x), or (z, y, x, channel)
    except (RuntimeError, MemoryError) as error:
        raise DataError(
            f"{path}: the file is unreadable, cut short or corrupt ({last_line(error)}); copy it again"
        ) from error
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: voxels must be integers or floats but are {array.dtype}; convert the file")
    columns = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    geometry = geometry_of_lps(path, shape, columns, np.array(image.GetOrigin()))
    return Volume.of_file(np.swapaxes(array, 0, 2), geometry)


def data_files(path: Path) -> tuple[Path, ...]:
    """The files beside a header that hold its voxels; none where it holds them itself.

    Raises:
        DataError: if the header is missing, or names anything but a file in its own folder.
    """
    try:
        with path.open("rb") as file:
            header = file.read(1 << 16).decode("latin-1")
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}); correct the path or restore it"
        ) from error
    if path.suffix in (".nrrd", ".nhdr"):
        header = re.split(r"\r?\n\r?\n", header)[0]
    match = _DATA_FILE.search(header)
    if match is None or match[1].upper() == "LOCAL":
        return ()
    if match[1] in ("", ".", "..") or not (path.parent / match[1]).is_file() or Path(match[1]).name != match[1]:
        raise DataError(
            f"{path}: its voxels must lie in one file of the same folder, but the header names {match[1]!r}; restore "
            "that file, or export header and voxels as one (.mha, .nrrd)"
        )
    return (path.parent / match[1],)


def geometry_of_lps(
    name: Path, shape: tuple[int, ...], columns: NDArray[np.float64], origin: NDArray[np.float64]
) -> Geometry:
    """Geometry in the convention of ITK and DICOM, whose axes point Left, Posterior, Superior.

    Args:
        name: of the file or folder, for errors.
        shape: (x, y, z) as stored.
        columns: (3, 3) from one voxel to the next along x, y and z, in mm.
        origin: (3,) centre of the first voxel in mm.

    Raises:
        DataError: if the axes do not span a space.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = _LPS_TO_RAS @ columns, _LPS_TO_RAS @ origin
    try:
        geometry = Geometry.of_affine(shape, affine)
    except DataError as error:
        raise DataError(f"{name}: {error}; export the image again") from error
    sheared = largest_cosine(columns) > SHEAR_TOLERANCE  # a tilted gantry: NIfTI's qform cannot say so
    return replace(geometry, codes=(0, 1) if sheared else (1, 1))


def last_line(error: BaseException) -> str:
    """What an ITK error says at its end: the reason; before it stand places in ITK's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
