"""Bytes of DICOM files: how many are pixels, found by walking from element to element; and a change of a single one."""

import mmap
import re
import shutil
import struct
from pathlib import Path
from typing import BinaryIO

from adawac.errors import DataError
from adawac.io.limits import MOST_BESIDES

_IMPLICIT, _BIG, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SYNTAX, _PIXELS = (0x0002, 0x0010), {(0x7FE0, 0x0008), (0x7FE0, 0x0009), (0x7FE0, 0x0010)}
_LUT = (0x0028, 0x3000)
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_ENDS = {(0xFFFE, 0xE00D), _END}
_UNDEFINED = 0xFFFFFFFF
_RLE, _JPEG, _END_OF_JPEG = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.", b"\xff\xd9"
_SHADES = re.compile(rb"(?:\x28\x00\x04\x00|\x00\x28\x00\x04)(?:CS)?[\x00\x0c]{2,4}MONOCHROME1")


def pixel_bytes(path: Path) -> int | None:
    """Bytes of the pixel element, unpacked where it is run-length encoded; None where only a decoder can tell.

    Args:
        path: of a DICOM file.

    Raises:
        DataError: if there is no such element, compressed pixels have no end, a table makes intensities of them, or the
            whole file is deflated, which could unpack without a bound.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if file.read(132)[128:] != b"DICM":
            file.seek(0)
        syntax = ""
        open_sequences = 0
        while len(head := file.read(4)) == 4:
            meta = head.startswith(b"\2\0")  # about the file, always explicit and little endian
            order = ">" if syntax == _BIG and not meta else "<"
            tag = struct.unpack(order + "HH", head)
            length = _length(file, tag, order, implicit=syntax in (_IMPLICIT, "") and not meta)
            if length is None:
                break
            if tag == _SYNTAX and meta:
                syntax = file.read(min(length, 64)).rstrip(b"\0 ").decode("ascii", "replace")
                if syntax == _DEFLATED:
                    raise DataError(f"{path}: the file is deflated as a whole, which is not read; convert the series")
                continue
            if tag == _LUT and length and not open_sequences:
                raise DataError(
                    f"{path}: a Modality LUT Sequence makes intensities of its values, which is not read; export the "
                    "series with rescale slope and intercept"
                )
            if tag in _ENDS:
                open_sequences -= 1
            elif length == _UNDEFINED:
                if tag in _PIXELS and not open_sequences:
                    return _compressed(file, path, syntax)
                open_sequences += 1
            elif tag in _PIXELS and not open_sequences:
                return min(length, size - file.tell())
            else:
                file.seek(length, 1)
    raise DataError(f"{path}: no pixels are found in it: it is cut short or corrupt; copy it again")


def copy_upright(path: Path, copy: Path) -> None:
    """Copy a file of MONOCHROME1 as MONOCHROME2: how to show values, which GDCM takes for a change of the values."""
    shutil.copyfile(path, copy)
    with copy.open("r+b") as file:
        for match in _SHADES.finditer(file.read(MOST_BESIDES)):
            file.seek(match.end() - 1)
            file.write(b"2")


def _length(file: BinaryIO, tag: tuple[int, ...], order: str, implicit: bool) -> int | None:
    """Length of an element's value, before which the file then stands; None at the file's end."""
    kind = file.read(4)
    if not implicit and tag[0] != 0xFFFE and kind[:2].isalpha() and kind[:2].isupper():
        if kind[:2] not in _LONG:
            return int(struct.unpack(order + "H", kind[2:])[0]) if len(kind) == 4 else None
        kind = file.read(4)
    return int(struct.unpack(order + "I", kind)[0]) if len(kind) == 4 else None


def _compressed(file: BinaryIO, path: Path, syntax: str) -> int | None:
    """The same of pixels in items, the first of which lists places and holds no pixels."""
    items: list[tuple[int, int]] = []
    while len(head := file.read(8)) == 8:
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) == _END:
            break
        if (group, element) != _ITEM or file.tell() + length > path.stat().st_size:
            head = b""
            break
        items.append((file.tell(), length))
        file.seek(length, 1)
    if len(head) == 8 and len(items) > 1:
        start, length = items[-1]
        if syntax == _RLE and len(items) == 2:  # an item a frame
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _unpacked(content, start, start + length)
        file.seek(start + max(0, length - 3))
        if not syntax.startswith(_JPEG) or _END_OF_JPEG in file.read(min(3, length)):  # an even length may be padded
            return None
    raise DataError(f"{path}: its compressed pixels have no end: it is cut short or corrupt; copy it again")


def _unpacked(content: mmap.mmap, start: int, end: int) -> int:
    """Bytes that run-length encoded pixels unpack to: a segment for each byte of a pixel, as long as the shortest."""
    if end - start < 64:
        return 0
    count, *offsets = struct.unpack("<16I", content[start : start + 64])
    if not 1 <= count <= 15:
        return 0
    ends = [*(start + offset for offset in offsets[1:count]), end]
    shortest: int | None = None
    for place, stop in zip((start + offset for offset in offsets[:count]), ends, strict=True):
        size = 0
        while place + 1 < min(stop, end):
            run = content[place]
            if run < 128:  # so many bytes and one follow
                size += min(run + 1, stop - place - 1)
                place += run + 2
            else:  # one byte, so many times; 128: nothing
                size += (257 - run) if run > 128 else 0
                place += 2 if run > 128 else 1
        shortest = size if shortest is None else min(shortest, size)
    return int(count) * (shortest or 0)
