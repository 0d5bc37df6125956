"""Which files are images, by the ending of their names, and what reads each: one class a family of formats."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from adawac.io.freesurfer import read_mgh
from adawac.io.itk import META, NRRD, data_files, read_itk
from adawac.io.nifti_files import PAIRED, voxels_of
from adawac.io.volumes import Volume, read_nifti

PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".bz2", ".xz", ".zst", ".nii.z")
"""Endings of archives, and of files that others than gzip have compressed."""


class Reader(ABC):
    """Reads the files of some endings. One of your own is named by its class path: `--readers mine.Gipl`.

    Attributes:
        endings: of file names, with the dot.
    """

    endings: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path) -> Volume:
        """The volume of a file, see `Volume.of_file`.

        Raises:
            DataError: if the file is none of these, or damaged.
        """

    def files(self, path: Path) -> tuple[Path, ...]:
        """The files whose content makes the image: this one, and what lies beside it."""
        return (path,)

    def require(self) -> None:  # noqa: B027  # most need nothing
        """Refuse where a library is missing.

        Raises:
            ConfigError: naming the library.
        """


class Nifti(Reader):
    """NIfTI-1 and -2, in one file."""

    endings = (".nii.gz", ".nii")

    def read(self, path: Path) -> Volume:
        """See `read_nifti`."""
        return read_nifti(path)


class NiftiPair(Nifti):
    """NIfTI of a header and a file of voxels, `.img`, as SPM and FSL write it."""

    endings = PAIRED

    def files(self, path: Path) -> tuple[Path, ...]:
        """The header, and the voxels that belong to it."""
        return (path, voxels_of(path))


class FreeSurfer(Reader):
    """The volumes of FreeSurfer."""

    endings = (".mgz", ".mgh")

    def read(self, path: Path) -> Volume:
        """See `read_mgh`."""
        return read_mgh(path)


class Itk(Reader):
    """NRRD and MetaImage."""

    endings = (".seg.nrrd", *NRRD, *META)  # the former as 3D Slicer names a segmentation

    def read(self, path: Path) -> Volume:
        """See `read_itk`."""
        return read_itk(path)

    def files(self, path: Path) -> tuple[Path, ...]:
        """The header, and the file that it names."""
        return (path, *data_files(path))


_IN_USE: list[Reader] = [Nifti(), Itk(), NiftiPair(), FreeSurfer()]


def use(reader: Reader) -> None:
    """Let this process read further endings, from now on; asked before the others."""
    if not any(type(reader) is type(each) for each in _IN_USE):
        _IN_USE.insert(0, reader)


def in_use() -> tuple[Reader, ...]:
    """All of them, as they are asked."""
    return tuple(_IN_USE)


def reader_of(path: Path) -> Reader | None:
    """What reads a file, by its name; None if nothing does.

    Example:
        >>> type(reader_of(Path("ct.nii.gz"))).__name__, reader_of(Path("notes.txt"))
        ('Nifti', None)
    """
    return next((reader for reader in _IN_USE if ends_in(path, reader.endings)), None)


def ending_of(path: Path) -> str:
    """The ending that a reader knows a file by, as it is written; empty if none does.

    Example:
        >>> ending_of(Path("ct.NII.GZ")), ending_of(Path("notes.txt"))
        ('.NII.GZ', '')
    """
    reader = reader_of(path)
    if reader is None:
        return ""
    return path.name[-len(next(end for end in reader.endings if ends_in(path, (end,)))) :]


def ends_in(path: Path, endings: tuple[str, ...]) -> bool:
    """Whether a file has one of these endings, in small letters or capitals."""
    return path.name.lower().endswith(tuple(map(str.lower, endings)))
