"""A DICOM series: one slice a file, in any order; its place in space is checked slice by slice before it is read."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError, some_of, together
from adawac.io.dicom_elements import copy_upright
from adawac.io.dicom_folder import beside
from adawac.io.dicom_slice import Slice, describe_slice, last_line, simpleitk
from adawac.io.itk import geometry_of_lps
from adawac.io.limits import check_voxels
from adawac.io.volumes import Volume

UNEVEN = 0.03
"""By how much, in spacings, a step between slices may differ: positions are rounded."""

SPARSE = 1.9
"""How many thicknesses apart slices lie that are asked about: every second one may be missing."""

DRIFT = 0.25
"""How far, in pixels, a slice may lie off the line through the first and the last."""


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
    slices = [describe_slice(path) for path in files]
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
    thin = len(slices) == 1 and bool(np.isnan(first.thickness))
    step = float(np.linalg.norm(columns[:, 2]))
    sparse = bool(step > SPARSE * first.thickness)  # not where nothing is said of thickness
    below = any(each.slope < 0 for each in slices)
    lossy = any(each.lossy for each in slices)
    notes = (
        *(f"{name}: of its only slice nothing says how thick it is: 1 mm is taken",) * thin,
        *(
            f"{name}: slices lie {step:.4g} mm apart but each is {first.thickness:.4g} mm thick: were slices left out? "
            "What lies between is not known",
        )
        * sparse,
        *(f"{name}: its RescaleSlope is below 0, which turns values upside down: is it meant so?",) * below,
        *(f"{name}: it was once compressed with loss: fine detail may not be the patient's",) * lossy,
        *beside(name, files),
    )
    return Volume.of_file(np.swapaxes(array, 0, 2), geometry_of_lps(name, shape, columns, first.origin), notes)


def _upright(slice_: Slice, copy: Path) -> Path:
    """The slice's file, or a copy of it whose values GDCM leaves as they are."""
    if slice_.inverted:
        copy_upright(slice_.path, copy)
    return copy if slice_.inverted else slice_.path


def _check_one_series(slices: Sequence[Slice], name: Path) -> None:
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
    if len(frames := together((each.frame, each) for each in slices if each.frame)) > 1:
        named = [f"{len(each)} such as {each[0].path.name}" for each in frames.values()]
        raise DataError(
            f"{name}: its slices lie in {len(frames)} frames of reference ({some_of(named)}), so that their positions "
            "do not fit together; move each into a folder of its own"
        )


def _check_alike(slices: Sequence[Slice]) -> None:
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
    slices: Sequence[Slice], normal: NDArray[np.float64], columns: NDArray[np.float64], name: Path
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
