"""A DICOM series: one slice a file, in any order; its place in space is checked slice by slice before it is read."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adawac.errors import ConfigError, DataError, some_of, together
from adawac.io.content import check_kind
from adawac.io.dicom_elements import copy_upright, pixel_bytes
from adawac.io.dicom_folder import beside, is_dicom, series_files
from adawac.io.itk import geometry_of_lps
from adawac.io.limits import check_voxels
from adawac.io.readers import reader_of
from adawac.io.volumes import Volume

UNEVEN = 0.03
"""By how much, in spacings, a step between slices may differ: positions are rounded."""

DRIFT = 0.25
"""How far, in pixels, a slice may lie off the line through the first and the last."""

_SERIES, _DESCRIPTION = "0020|000e", "0008|103e"
_PATIENT, _BITS, _MODALITY, _SHADES = "0010|0020", "0028|0100", "0008|0060", "0028|0004"
_THICKNESS, _SLOPE = "0018|0050", "0028|1053"
_SCALE = {_SLOPE: "RescaleSlope", "0028|1052": "RescaleIntercept"}
_PLACE = {
    "0020|0032": ("ImagePositionPatient", 3),
    "0020|0037": ("ImageOrientationPatient", 6),
    "0028|0030": ("PixelSpacing", 2),
}

_RIGHT = 0.02
"""By how much a rounded orientation may miss right angles (their cosine) and unit length (its square)."""


class _Slice(NamedTuple):
    """Where a file's slice lies; mm, axes pointing Left, Posterior, Superior."""

    path: Path
    series: str
    patient: str
    description: str
    size: tuple[int, ...]
    columns: NDArray[np.float64]  # (3, 3) along x, y and the normal, as long as a pixel and as the slice is thick
    thick: bool  # says how thick it is; else 1 mm
    slope: float
    origin: NDArray[np.float64]
    inverted: bool  # 0 is to be shown white
    scaled: bool  # says how stored values become intensities


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


def read_series(files: Sequence[Path], name: Path) -> Volume:
    """Read the slices of one series into the canonical orientation.

    Slices are ordered by their positions; the grid follows from these and their orientation, oblique or sheared by a
    tilted gantry. Intensities are those of the modality (Hounsfield units), by each slice's own slope and intercept.

    Args:
        files: of the slices, in any order.
        name: of the series in messages, such as its folder.

    Returns:
        Volume (1, Z, Y, X) float32.

    Raises:
        DataError: if there is no slice, more than one series, a file that cannot be read or is in colour or of several
            frames, slices of different grids or without a position, two at one place, one missing, or uneven steps.
        ConfigError: if SimpleITK is not installed.
    """
    itk = simpleitk()
    slices = [_describe(path) for path in files]
    if not slices:
        raise DataError(f"{name}: no DICOM image there; give the folder of a series")
    _check_one_series(slices, name)
    _check_alike(slices)
    normal = np.cross(slices[0].columns[:, 0], slices[0].columns[:, 1])
    slices.sort(key=lambda each: float(normal @ each.origin))
    first = slices[0]
    columns = np.array(first.columns)
    if len(slices) > 1:
        columns[:, 2] = (slices[-1].origin - slices[0].origin) / (len(slices) - 1)
        _check_steps(slices, normal / np.linalg.norm(normal), columns, name)
    shape = (*first.size[:2], len(slices))
    check_voxels(str(name), shape, np.float32)
    reader = itk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(itk.sitkFloat32)  # else the first slice's slope would decide for all
    with TemporaryDirectory() as folder:
        reader.SetFileNames([str(_upright(each, Path(folder, str(place)))) for place, each in enumerate(slices)])
        try:
            array: NDArray[np.float32] = itk.GetArrayFromImage(reader.Execute())  # (slice, row, column)
        except RuntimeError as error:
            raise DataError(f"{name}: a slice is cut short or corrupt ({last_line(error)}); copy it again") from error
    thin = len(slices) == 1 and not first.thick
    below = any(each.slope < 0 for each in slices)
    notes = (
        *(f"{name}: of its only slice nothing says how thick it is: 1 mm is taken",) * thin,
        *(f"{name}: its RescaleSlope is below 0, which turns values upside down: is it meant so?",) * below,
        *beside(name, files),
    )
    return Volume.of_file(np.swapaxes(array, 0, 2), geometry_of_lps(name, shape, columns, first.origin), notes)


def _upright(slice_: _Slice, copy: Path) -> Path:
    """The slice's file, or a copy of it whose values GDCM leaves as they are."""
    if slice_.inverted:
        copy_upright(slice_.path, copy)
    return copy if slice_.inverted else slice_.path


def _describe(path: Path) -> _Slice:
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
    columns, origin, thick = _place(reader, path)
    return _Slice(
        path=path,
        series=_value(reader, _SERIES),
        patient=_value(reader, _PATIENT),
        description=_value(reader, _DESCRIPTION),
        size=size,
        columns=columns,
        thick=thick,
        slope=slope,
        origin=origin,
        inverted=_value(reader, _SHADES) == "MONOCHROME1",
        scaled=reader.HasMetaDataKey(_SLOPE),
    )


def _place(reader: Any, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Columns and origin of a slice, and whether it says how thick it is.

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
    thickness = _floats(_value(reader, _THICKNESS))
    thick = len(thickness) == 1 and thickness[0] > 0
    lengths = [spacing[1], spacing[0], thickness[0] if thick else 1.0]
    columns = np.stack([row, column / np.linalg.norm(column), np.cross(row, column)], axis=1) * lengths
    return columns, origin, thick


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


def _check_one_series(slices: Sequence[_Slice], name: Path) -> None:
    series = together((each.series, each) for each in slices)
    if len(series) == 1 < len({each.patient for each in slices}):
        raise DataError(f"{name}: its slices are of several patients by PatientID; give each a folder of its own")
    if len(series) > 1:
        named = [
            f"{uid} ({each[0].description or 'no description'}, {len(each)} slices)" for uid, each in series.items()
        ]
        raise DataError(
            f"{name}: a folder holds one series but this has {len(series)}: {some_of(named)}; move each into a folder "
            "of its own"
        )


def _check_alike(slices: Sequence[_Slice]) -> None:
    """One size, orientation and spacing in the plane."""
    first = slices[0]
    for each in slices:
        if each.size != first.size:
            raise DataError(
                f"{each.path}: slices of a series share one size but this has {each.size[:2]} and {first.path.name} "
                f"has {first.size[:2]}; move it away"
            )
        if not np.allclose(each.columns[:, :2], first.columns[:, :2], atol=1e-3 * np.abs(first.columns).max()):
            raise DataError(
                f"{each.path}: slices of a series share one orientation and pixel spacing but those of "
                f"{first.path.name} are others; move it away, if it is a scout"
            )
        if each.scaled != first.scaled:
            raise DataError(
                f"{each.path}: it has {'a' if each.scaled else 'no'} rescale slope, unlike {first.path.name}, but "
                "intensities of a series are of one kind; export it again"
            )


def _check_steps(
    slices: Sequence[_Slice], normal: NDArray[np.float64], columns: NDArray[np.float64], name: Path
) -> None:
    """Slices lie one after the other in even steps along a straight line."""
    origins = np.stack([each.origin for each in slices])
    steps = np.diff(origins @ normal)
    spacing = float(np.median(steps))
    smallest, largest = int(steps.argmin()), int(steps.argmax())
    if steps[smallest] < 1e-3:
        one, other = slices[smallest].path.name, slices[smallest + 1].path.name
        raise DataError(
            f"{name}: {one} and {other} lie at one place, but a series has one slice a place; keep one of them, or "
            "move each phase into a folder of its own"
        )
    if steps[largest] - spacing > UNEVEN * spacing:
        one, other = slices[largest].path.name, slices[largest + 1].path.name
        gap = steps[largest] / spacing
        what = f"{round(gap) - 1} missing" if abs(gap - round(gap)) < 0.1 else "uneven"
        raise DataError(
            f"{name}: slices are {what} between {one} and {other}: they lie {steps[largest]:.4g} mm apart, the others "
            f"{spacing:.4g} mm; restore what is missing, or resample the series"
        )
    if spacing - steps[smallest] > UNEVEN * spacing:
        raise DataError(
            f"{name}: slices must lie in even steps but these go from {steps[smallest]:.4g} to {steps[largest]:.4g} "
            "mm; resample the series"
        )
    line = origins[0] + np.arange(len(slices))[:, None] * columns[:, 2]
    drift = float(np.linalg.norm(origins - line, axis=1).max())
    if drift > DRIFT * min(np.linalg.norm(columns, axis=0)):
        raise DataError(
            f"{name}: slices must lie in a straight line but are up to {drift:.3g} mm off; resample the series"
        )


def last_line(error: BaseException) -> str:
    """What an ITK error says at its end: the reason; before it stand places in ITK's source and in memory."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else type(error).__name__
