"""Bytes of NIfTI files: of one that holds header and voxels, and of a header with its voxels in a file beside it."""

import logging
import math
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from zlib_ng import gzip_ng, zlib_ng

from adawac.errors import DataError, one_line
from adawac.io.content import check_kind
from adawac.io.limits import MOST_BESIDES, check_voxels, read_exactly, read_rest, read_voxels

PAIRED = (".hdr", ".hdr.gz")
"""Ends of a header whose voxels lie beside it."""

VOXELS = (".img", ".img.gz")
"""Ends of these."""

_SIGNS = {False: (b"n+1", b"n+2"), True: (b"ni1", b"ni2")}
"""What a header calls itself: of one file, of a pair."""

_ANALYZE = 348
"""Bytes of its header, as of NIfTI-1."""

_UNHEARD = logging.getLogger(f"{__name__}.repairs")  # what matters of these is said here
_UNHEARD.disabled = True


def load_nifti(path: Path) -> tuple[nib.Nifti1Header, NDArray[Any]]:
    """Header and voxels of a NIfTI-1 or -2 file, or of the header of a pair.

    Returns:
        The header as nibabel repairs it, and voxels in the order that it gives them: integers as stored, or float32.

    Raises:
        DataError: whatever goes wrong.
    """
    paired = is_paired(path)
    check_kind(path, ("gzipped NIfTI",) if _is_packed(path) else ("NIfTI",))
    try:
        with _opened(path) as stream:
            header = _header(stream, path, paired)
            shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
            check_voxels(str(path), shape, dtype)
            first = 0 if paired else type(header).single_vox_offset
            if not first <= offset <= MOST_BESIDES:
                raise DataError(
                    f"{path}: the header says that voxels begin at byte {offset:.3g}, but headers end between "
                    f"{first} and {MOST_BESIDES:.2g}; export it again"
                )
            count, scaling = math.prod(shape), scaling_of(header, path)
            if paired:
                with _opened(voxels_of(path)) as beside:
                    voxels = _voxels(beside, offset, count, dtype, scaling, path)
            else:
                start = offset - type(header).template_dtype.itemsize  # header extensions
                voxels = _voxels(stream, start, count, dtype, scaling, path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file does not exist; correct the path or restore the file") from error
    except (HeaderDataError, WrapStructError) as error:
        raise DataError(f"{path}: this is not a NIfTI file ({one_line(error)}); convert it to .nii.gz") from error
    except (OSError, EOFError, ValueError, zlib_ng.error, OverflowError) as error:  # type: ignore[misc]  # its stubs call it a value
        raise DataError(
            f"{path}: the file is unreadable, cut short or corrupt ({one_line(error)}); copy it again"
        ) from error
    return header, voxels.reshape(shape, order="F")


def is_paired(path: Path) -> bool:
    """Whether a file is called as the header of a pair is."""
    return path.name.lower().endswith(PAIRED)


def voxels_of(path: Path) -> Path:
    """The file of voxels beside the header of a pair.

    Raises:
        DataError: if there is none, or a packed one beside it.
    """
    begin = path.name[: path.name.lower().rindex(PAIRED[0])]
    found = [other for end in VOXELS if (other := path.with_name(begin + end)).exists()]
    found = found or [other for end in VOXELS if (other := path.with_name(begin + end.upper())).exists()]
    if not found:
        raise DataError(f"{path}: a header without its voxels, {begin}.img; put that file beside it")
    if len(found) > 1:
        raise DataError(f"{path}: {found[0].name} and {found[1].name} may be its voxels; keep one of them")
    return found[0]


def header_of(voxels: Path) -> Path | None:
    """The header beside a file of voxels; None where there is none."""
    begin = voxels.name[: voxels.name.lower().rindex(VOXELS[0])]
    ends = [each for end in PAIRED for each in (end, end.upper())]
    return next((path for end in ends if (path := voxels.with_name(begin + end)).exists()), None)


def scaling_of(header: Any, path: Path) -> tuple[float, float] | None:
    """Slope and intercept of intensities; None where stored values are meant, as they are if the slope is 0 or NaN."""
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        said = f"scl_slope is {header['scl_slope']:.4g} but scl_inter {header['scl_inter']:.4g}"
        raise DataError(f"{path}: its {said}, which makes no intensities; correct the header") from error
    return None if slope is None or (slope, intercept) == (1, 0) else (slope, intercept)


def _header(stream: Any, path: Path, paired: bool) -> Any:
    """As nibabel repairs it, but for sizes of voxels: an unknown one is not 1 mm."""
    size = stream.read(4)  # of the header: tells NIfTI-2 from NIfTI-1, in either byte order
    sizes = (int.from_bytes(size, "little"), int.from_bytes(size, "big"))
    kind: Any = nib.Nifti2Header if 540 in sizes else nib.Nifti1Header
    header = kind(size + read_exactly(stream, kind.template_dtype.itemsize - 4), check=False)
    sign = header["magic"].item()[:3]
    if sign in _SIGNS[not paired] and (paired or not header["vox_offset"]):  # else a converter's slip, read by all
        one, beside = (
            re.sub(r"\.hdr(?=(\.gz)?$)", ".nii", path.name, flags=re.IGNORECASE),
            "its voxels lie in a file beside it (.img)",
        )
        remedy = f"it holds its voxels itself: rename it to {one}" if paired else f"{beside}: rename both to .hdr, .img"
        raise DataError(f"{path}: the header says that {remedy}")
    if paired and sign not in _SIGNS[True]:
        if _ANALYZE in sizes:
            raise DataError(
                f"{path}: this is Analyze 7.5, which does not say which side is left; convert it to NIfTI (.nii.gz) "
                "with the program that wrote it, and look at a side that you know"
            )
        raise DataError(f"{path}: this is no header of NIfTI; convert the image to .nii.gz")
    stated = header["pixdim"][1:4].copy()
    header.check_fix(_UNHEARD)
    header["pixdim"][1:4] = np.abs(stated)
    return header


def _voxels(
    stream: Any, start: int, count: int, dtype: np.dtype[Any], scaling: tuple[float, float] | None, path: Path
) -> NDArray[Any]:
    """Voxels that begin so many bytes further on, and little behind them."""
    read_exactly(stream, start)
    voxels = read_voxels(stream, count, dtype, scaling)
    if not read_rest(stream):
        raise DataError(
            f"{path}: over {MOST_BESIDES >> 20} MiB follow the voxels that the header names; export it again"
        )
    return voxels


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _opened(path: Path) -> Any:
    return gzip_ng.open(path, "rb") if _is_packed(path) else path.open("rb")
