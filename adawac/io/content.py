"""What a file is by its first bytes, whatever its name says."""

import os
import re
import zlib
from pathlib import Path

from adawac.errors import DataError, readable

_STARTS = {
    b"NRRD000": "NRRD",
    b"ObjectType": "MetaImage",
    b"NDims": "MetaImage",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*\0": "a TIFF picture",
    b"PK\x03\x04": "a zip archive",
    b"version https://git-lfs": "a pointer of git-lfs",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
}
_ENDINGS = {"NIfTI": ".nii", "gzipped NIfTI": ".nii.gz", "NRRD": ".nrrd", "MetaImage": ".mha", "DICOM": ".dcm"}
_KNOWN = re.compile(r"\.(nii\.gz|nii|hdr\.gz|hdr|mgz|mgh|(seg\.)?nrrd|nhdr|mha|mhd)$", re.IGNORECASE)
_REMEDIES = {
    "empty": "copy it again",
    "a pointer of git-lfs": "fetch the file with `git lfs pull`",
    "a web page": "download the file again, whose server seems to have answered with an error",
    "DICOM": "give its series a folder of its own",
    "gzip twice over": "unpack it once",
}


def kind_of(path: Path) -> str:
    """Format of a file, such as "NIfTI"; empty where its first bytes give nothing away.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        return "empty"
    if not start.startswith(b"\x1f\x8b"):
        return _kind(start)
    try:
        inner = zlib.decompressobj(wbits=47).decompress(start, 1024)
    except zlib.error:
        return "gzip"
    return "gzip twice over" if inner.startswith(b"\x1f\x8b") else f"gzipped {_kind(inner) or 'data'}"


def _kind(start: bytes) -> str:
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return "NIfTI"
    if start[128:132] == b"DICM":
        return "DICOM"
    return next((kind for sign, kind in _STARTS.items() if start.startswith(sign)), "")


def check_kind(path: Path, due: tuple[str, ...]) -> None:
    """Refuse a file that is plainly something else than its name says; what cannot be told is left to its reader.

    Args:
        path: of the file.
        due: kinds that its name allows.

    Raises:
        DataError: saying what it is, and how it should be called; or that it is a link to nothing, or not to be read.
    """
    if path.is_symlink() and not os.path.exists(path):
        raise DataError(
            f"{path}: it is a link to {os.readlink(path)}, which leads to no file; restore that, or put a copy here"
        )
    try:
        with readable(path):
            kind = kind_of(path)
    except OSError:  # said by whoever reads it
        return
    if kind and kind not in due and kind not in ("gzip", "gzipped data"):
        name = _KNOWN.sub("", path.name) + _ENDINGS.get(kind, "")
        remedy = f"rename it to {name}" if kind in _ENDINGS else "export it as .nii.gz"
        remedy = _REMEDIES.get(kind.replace("gzipped a ", "a "), remedy)
        raise DataError(f"{path}: the file is {kind}, which is not what its name says; {remedy}")
