"""One slice of a DICOM series: what its header says, checked, before any pixel is read."""

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.errors import ConfigError, DataError
from adawac.io.content import check_kind
from adawac.io.dicom_elements import pixel_bytes
from adawac.io.dicom_folder import is_dicom, series_files
from adawac.io.readers import reader_of

_SERIES, _DESCRIPTION, _FRAME = "0020|000e", "0008|103e", "0020|0052"
_PATIENT, _BITS, _MODALITY, _SHADES = "0010|0020", "0028|0100", "0008|0060", "0028|0004"
_THICKNESS, _STEP, _SLOPE, _LOSS = "0018|0050", "0018|0088", "0028|1053", "0028|2110"
_SCALE = {_SLOPE: "RescaleSlope", "0028|1052": "RescaleIntercept"}
_PLACE = {
    "0020|0032": ("ImagePositionPatient", 3),
    "0020|0037": ("ImageOrientationPatient", 6),
    "0028|0030": ("PixelSpacing", 2),
}

_RIGHT = 0.02
"""By how much a rounded orientation may miss right angles (their cosine) and unit length (its square)."""


class Slice(NamedTuple):
    """Where a file's slice lies; mm, axes pointing Left, Posterior, Superior."""

    path: Path
    series: str
    frame: str  # of reference: positions in two of them have nothing to do with each other; "" where it is not said
    patient: str
    description: str
    size: tuple[int, ...]
    columns: NDArray[np.float64]  # (3, 3) along x, y and the normal, as long as a pixel and as the slice is thick
    thickness: float  # as it says, or how far the next lies where it says more; NaN where it says nothing
    slope: float
    origin: NDArray[np.float64]
    inverted: bool  # 0 is to be shown white
    scaled: bool  # says how stored values become intensities
    lossy: bool  # says that it was once compressed with loss


def simpleitk() -> Any:
    """The library, silenced: what it warns of is checked here.

    Raises:
        ConfigError: naming the extra, where it is not installed.
    """
    try:
        library = import_module("SimpleITK")
    except ImportError as error:
        raise ConfigError("DICOM is read by SimpleITK, which is not installed; pip install 'adawac[dicom]'") from error
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


def header_reader(path: Path, image_io: str) -> Any:
    """SimpleITK's reader of a file, which has read what the header says.

    Args:
        path: of the file.
        image_io: class of ITK that reads it, such as "GDCMImageIO".

    Raises:
        RuntimeError: the header cannot be read.
        ConfigError: SimpleITK is not installed.
    """
    reader = simpleitk().ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def patient_id(path: Path) -> str:
    """Who an image says it shows, to be compared and never shown itself; "" where it does not say, or is no DICOM."""
    return _told(path, _PATIENT)


def modality_tag(path: Path) -> str:
    """What an image says made it, such as "CT" or "MR"; "" where it does not say, or is no DICOM."""
    return _told(path, _MODALITY)


def _told(path: Path, tag: str) -> str:
    """What is wrong with an image is said when it is read."""
    try:
        slices = series_files(path) if path.is_dir() else [path] * (reader_of(path) is None and is_dicom(path))
        return _value(header_reader(slices[0], "GDCMImageIO"), tag)
    except (OSError, IndexError, RuntimeError):
        return ""


def _value(reader: Any, tag: str, missing: str = "") -> str:
    return str(reader.GetMetaData(tag)).strip() if reader.HasMetaDataKey(tag) else missing


def describe_slice(path: Path) -> Slice:
    """What a slice's header says.

    Raises:
        DataError: the file cannot be read, or is in colour, of several frames, cut short, or without a place in space.
        ConfigError: SimpleITK is not installed.
    """
    check_kind(path, ("DICOM",))
    try:
        reader = header_reader(path, "GDCMImageIO")
    except RuntimeError as error:
        raise DataError(
            f"{path}: not readable as a DICOM image ({last_line(error)}); copy it again, or move it out of the folder"
        ) from error
    size: tuple[int, ...] = reader.GetSize()
    if len(size) != 3 or size[2] != 1:
        what = f"{_value(reader, _MODALITY)} of several frames".strip()
        raise DataError(
            f"{path}: one slice a file is read but this is {what}, size {size}; convert the series to .nii.gz, such as "
            "by dcm2niix, or move the file away where it only lies beside the series"
        )
    if reader.GetNumberOfComponents() != 1:
        raise DataError(f"{path}: the image is in colour but intensities are due; give the series itself, no picture")
    _check_pixels(reader, path, size)
    slope = 1.0
    for tag, name in _SCALE.items():
        said = _value(reader, tag, "1")
        numbers = _floats(said)
        slope = float(numbers[0]) if tag == _SLOPE and len(numbers) == 1 else slope
        if len(numbers) != 1 or slope == 0:
            raise DataError(f"{path}: its {name} is {said}, which makes no intensities; export the series again")
    columns, origin, thickness = _place(reader, path)
    return Slice(
        path=path,
        series=_value(reader, _SERIES),
        frame=_value(reader, _FRAME),
        patient=_value(reader, _PATIENT),
        description=_value(reader, _DESCRIPTION),
        size=size,
        columns=columns,
        thickness=thickness,
        slope=slope,
        origin=origin,
        inverted=_value(reader, _SHADES) == "MONOCHROME1",
        scaled=reader.HasMetaDataKey(_SLOPE),
        lossy=_value(reader, _LOSS) == "01",
    )


def _place(reader: Any, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Columns and origin of a slice, and its thickness.

    Read here, as GDCM takes 1 mm, an axial slice, or a part of a number, where a header makes no sense.
    """
    found = []
    for tag, (name, count) in _PLACE.items():
        text = _value(reader, tag, "missing")
        numbers = _floats(text)
        axes = numbers.reshape(2, 3) if name == "ImageOrientationPatient" and len(numbers) == count else np.eye(2)
        if (
            len(numbers) != count
            or np.abs(axes @ axes.T - np.eye(2)).max() > _RIGHT
            or (name == "PixelSpacing" and numbers.min() <= 0)
        ):
            raise DataError(
                f"{path}: its {name} is {text}, so that its place or size in space is not known; export the series "
                "again, or move the file away"
            )
        found.append(numbers)
    origin, orientation, spacing = found
    row, column = (axis / np.linalg.norm(axis) for axis in orientation.reshape(2, 3))
    column = np.cross(np.cross(row, column), row)  # at right angles, but for rounding
    said = [numbers for tag in (_THICKNESS, _STEP) if len(numbers := _floats(_value(reader, tag))) == 1]
    thickness = max((float(each[0]) for each in said if each[0] > 0), default=np.nan)
    lengths = [spacing[1], spacing[0], 1.0 if np.isnan(thickness) else thickness]
    columns = np.stack([row, column / np.linalg.norm(column), np.cross(row, column)], axis=1) * lengths
    return columns, origin, thickness


def _floats(text: str) -> NDArray[np.float64]:
    """Finite numbers of a value of DICOM; none where one of them is none."""
    try:
        numbers = np.array([float(number) for number in text.split("\\")])
    except ValueError:
        return np.empty(0)
    return numbers if np.isfinite(numbers).all() else np.empty(0)


def _check_pixels(reader: Any, path: Path, size: tuple[int, ...]) -> None:
    """All pixels are there: where they are not, the reader would give memory that nobody wrote."""
    there = pixel_bytes(path)
    if there is None:  # JPEG: the decoder finds out
        return
    bits = _value(reader, _BITS)
    if not bits.isdecimal() or there < size[0] * size[1] * int(bits) // 8:
        raise DataError(
            f"{path}: {size[0]} x {size[1]} pixels of {bits or 'unknown'} bits are due but the file holds {there} "
            "bytes of them: a slice is cut short or corrupt; copy it again"
        )


def last_line(error: BaseException) -> str:
    """What an ITK error says at its end: the reason; before it stand places in ITK's source and in memory."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else type(error).__name__
