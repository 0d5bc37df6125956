"""How many bytes of pixels a DICOM file holds, found by walking from element to element, none of them kept."""

import struct
from pathlib import Path
from typing import BinaryIO

from adawac.errors import DataError

_IMPLICIT, _BIG, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SYNTAX, _PIXELS = (0x0002, 0x0010), {(0x7FE0, 0x0008), (0x7FE0, 0x0009), (0x7FE0, 0x0010)}
_ENDS = {(0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)}
_UNDEFINED = 0xFFFFFFFF


def pixel_bytes(path: Path) -> int | None:
    """Bytes of the pixel element; None where it is compressed, so that its length says nothing.

    Args:
        path: of a DICOM file.

    Raises:
        DataError: if there is no such element, or the whole file is deflated, which could unpack without a bound.
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
            if tag in _ENDS:
                open_sequences -= 1
            elif length == _UNDEFINED:
                if tag in _PIXELS and not open_sequences:
                    return None
                open_sequences += 1
            elif tag in _PIXELS and not open_sequences:
                return min(length, size - file.tell())
            else:
                file.seek(length, 1)
    raise DataError(f"{path}: no pixels are found in it: it is cut short or corrupt; copy it again")


def _length(file: BinaryIO, tag: tuple[int, ...], order: str, implicit: bool) -> int | None:
    """Length of an element's value, before which the file then stands; None at the file's end."""
    kind = file.read(4)
    if not implicit and tag[0] != 0xFFFE and kind[:2].isalpha() and kind[:2].isupper():
        if kind[:2] not in _LONG:
            return int(struct.unpack(order + "H", kind[2:])[0]) if len(kind) == 4 else None
        kind = file.read(4)
    return int(struct.unpack(order + "I", kind)[0]) if len(kind) == 4 else None
