"""What layouts of NIfTI files share: how a case is read, and what channel names say of intensities."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from adawac.data.layouts.base import Case, Layout
from adawac.data.modality import Modality
from adawac.data.volumes import Volume, as_label, read_nifti
from adawac.errors import DataError

NIFTI = (".nii.gz", ".nii")
"""Endings of NIfTI files."""


class NiftiLayout(Layout):
    """A layout whose images and labels are NIfTI files, one or several channels a file."""

    def read_image(self, case: Case) -> Volume:
        """Read the channels of a case, see `Layout.read_image`."""
        volumes = [read_nifti(path) for path in case.images]
        return stack_channels(volumes, [str(path) for path in case.images])

    def read_label(self, case: Case) -> Volume:
        """Read the label of a case, see `Layout.read_label`."""
        (path,) = case.label
        return as_label(read_nifti(path), str(path))


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


def stem(path: Path) -> str:
    """File name without its NIfTI ending.

    Example:
        >>> stem(Path("imagesTr/pt_4.nii.gz"))
        'pt_4'
    """
    return next((path.name[: -len(end)] for end in NIFTI if path.name.endswith(end)), path.stem)


def list_nifti(folder: Path, endings: tuple[str, ...] = NIFTI) -> list[Path]:
    """NIfTI files of a folder, hidden ones (such as macOS's `._x.nii.gz`) left out."""
    return sorted(p for p in folder.iterdir() if p.name.endswith(endings) and not p.name.startswith("."))


def modality_of(channels: Iterable[str]) -> Modality:
    """Kind of intensities that channel names stand for, as nnU-Net reads them.

    All `CT`: Hounsfield units. All `noNorm`: left alone. Anything else is normalised per volume.

    Example:
        >>> modality_of(["CT"]), modality_of(["T1", "FLAIR"])
        ('ct', 'mr')
    """
    kinds = {name.lower() for name in channels}
    if kinds == {"ct"}:
        return "ct"
    return "unit" if kinds == {"nonorm"} else "mr"
