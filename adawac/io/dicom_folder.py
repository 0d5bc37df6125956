"""Which files of a folder are DICOM, and which of them are slices of the scan that it is of."""

import re
from collections.abc import Sequence
from pathlib import Path

from adawac.errors import some_of

_STORAGE = b"1.2.840.10008.5.1.4.1.1."
_WITHOUT_IMAGE = (
    *(b"1.2.840.10008.1.3.10", _STORAGE + b"481.", _STORAGE + b"11."),
    *(_STORAGE + b"66", _STORAGE + b"88.", _STORAGE + b"104.", _STORAGE + b"9.", _STORAGE + b"4.2"),
    b"1.3.12.2.1107.5.9.1",
)
"""DICOMDIR; structure sets, plans, doses; presentation states; registrations, segmentations; reports; documents; curves
and spectra; what Siemens adds."""

_OF_A_SCREEN = _STORAGE + b"7"
"""Secondary captures: pictures of a screen, such as of doses; also some series that were converted."""

_CLASSES = (b"\x02\x00\x02\x00UI", b"\x08\x00\x16\x00UI", b"\x08\x00\x16\x00")
"""How the class begins: in the part about the file, or where that is left out, with or without its kind of value."""

_START = re.compile(
    rb"(?:\x02\x00[\x00-\x1f]\x00|\x08\x00[\x00-\xff]\x00)(?:CS|LO|OB|SH|UI|UL)"
    rb"|\x08\x00[\x01-\x1f]\x00.{2}\x00\x00(?:ISO_IR|ORIGINAL|DERIVED|1\.2\.)|\x08\x00\x00\x00\x04\x00\x00\x00.{4}\x08\x00",
    re.DOTALL,
)
"""How a file begins that lacks the letters: with an element about the file, or one of what was scanned."""


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM: by its ending, the letters at byte 128, or an element where it begins."""
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix.lower() == ".dcm":
        return True
    try:
        with path.open("rb") as file:
            start = file.read(132)
        return start[128:] == b"DICM" or _START.match(start) is not None
    except OSError:  # whoever reads it will say so
        return False


def series_files(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that hold slices, by name; structure sets, reports and the like are left out.

    So are scouts and pictures of screens that say so, beside others: `read_series` names them.
    """
    images = _images(sorted(folder.iterdir()))
    return tuple(path for path, beside in images.items() if not beside) or tuple(images)


def _images(files: Sequence[Path]) -> dict[Path, bool]:
    """Those that hold images, and whether each says that it lies beside the scan."""
    heads = {path: _head(path) for path in files if is_dicom(path)}
    classes = {
        path: [head[at + 8 :] for sign in _CLASSES if (at := head.find(sign)) >= 0] for path, head in heads.items()
    }
    return {
        path: any(each.startswith(_OF_A_SCREEN) for each in its) or b"\\LOCALIZER" in heads[path]
        for path, its in classes.items()
        if not any(each.startswith(_WITHOUT_IMAGE) for each in its)
    }


def beside(name: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Lines that name images in a series' folder which are not read, and folders in it with further ones."""
    if not name.is_dir():
        return ()
    read = set(files)
    left = [path.name for path in _images([path for path in sorted(name.iterdir()) if path not in read])]
    folders = [path for path in sorted(name.iterdir()) if path.is_dir()]
    more = [path.name for path in folders if any(map(is_dicom, path.iterdir()))]
    return (
        *(f"{name}: not read: {some_of(left)}, which are scouts or pictures of a screen",) * bool(left),
        *(f"{name}: not read: {some_of(more)}, in which further DICOM files lie",) * bool(more),
    )


def _head(path: Path) -> bytes:
    """The first bytes, in which the file's class and the kind of image stand."""
    with path.open("rb") as file:
        return file.read(1024)
