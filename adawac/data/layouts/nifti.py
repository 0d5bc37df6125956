"""What layouts of NIfTI files share: how a case is read, and what channel names say of intensities."""

from collections.abc import Iterable
from pathlib import Path

from adawac.data.layouts.base import Case, Layout, Modality
from adawac.data.volumes import Volume, as_label, read_nifti, stack_channels

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
