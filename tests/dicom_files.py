"""DICOM series written slice by slice with pydicom, which the package itself does not use."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SERIES = "1.2.826.0.1.3680043.8.498.1"


def write_series(
    folder: Path,
    array: np.ndarray,
    affine: np.ndarray,
    *,
    slope: float = 1.0,
    intercept: float = -1024.0,
    series: str = SERIES,
    description: str = "abdomen",
    seed: int = 0,
) -> list[Path]:
    """Write a volume.

    Args:
        folder: of the files; their names and numbers say nothing of their order.
        array: (X, Y, Z) intensities.
        affine: (4, 4) voxel to mm, axes pointing Right, Anterior, Superior, as in NIfTI.
        slope: a stored unit, in intensities; grows by a tenth from slice to slice unless it is 1.
        intercept: the intensity of a stored zero.
        series: its UID.
        description: of the series.
        seed: of the order.

    Returns:
        The files, in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(seed).permutation(array.shape[2])
    files = []
    for k in range(array.shape[2]):
        own = slope if slope == 1 else slope * (1 + k / 10)
        stored = np.rint((array[:, :, k].T - intercept) / own)  # rows first
        data = slice_of(stored.astype(np.int16), LPS @ affine, k, series, f"{series}.{names[k] + 1}")
        data.SeriesDescription = description
        data.RescaleSlope, data.RescaleIntercept = f"{own:.10g}", f"{intercept:.10g}"
        files.append(folder / f"IM{names[k]:04d}{'.dcm' if k % 2 else ''}")
        data.save_as(files[-1], enforce_file_format=True)
    return files


def slice_of(stored: np.ndarray, affine: np.ndarray, k: int, series: str, uid: str) -> Dataset:
    """A slice (rows, columns) of int16; the affine's axes point Left, Posterior, Superior."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, UID(uid)
    data.StudyInstanceUID, data.SeriesInstanceUID = UID("1.2.826.0.1.3680043.8.498.9"), UID(series)
    data.Modality, data.PatientID = "CT", "nobody"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    data.ImageOrientationPatient = [f"{value:.9g}" for value in (*axes[:, 0], *axes[:, 1])]
    data.ImagePositionPatient = [f"{value:.9g}" for value in (affine @ [0, 0, k, 1])[:3]]
    data.PixelSpacing = [f"{spacing[1]:.9g}", f"{spacing[0]:.9g}"]  # between rows, between columns
    data.SliceThickness = f"{0.75 * spacing[2]:.9g}"  # not what lies between slices
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelData = stored.astype("<i2").tobytes()
    return data


def change(path: Path, **values) -> None:
    """Set, or with None delete, elements of a file."""
    from pydicom import dcmread

    data = dcmread(path)
    for name, value in values.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)
