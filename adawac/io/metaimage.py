"""Headers of MetaImage (`.mha`, `.mhd`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adawac.errors import DataError
from adawac.io.dimensions import check_channels_last, said_of_times
from adawac.io.itk_fields import (
    agree,
    apart,
    bytes_before,
    check_sizes,
    dimensions,
    first_of,
    flag,
    integers,
    number_of,
    unit_of,
)
from adawac.io.itk_header import Header

_TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}


def metaimage_header(path: Path, fields: Mapping[str, str], data: Path, length: int) -> Header:
    """What the fields say; arguments and errors as of `adawac.io.nrrd.nrrd_header`, names of fields as they are."""
    sizes = integers(fields["DimSize"])
    shape, volumes = dimensions(path, sizes, 3 if len(sizes) == 4 else None)
    if fields["NDims"] != str(len(sizes)) or not flag(fields, "BinaryData", default=True):
        raise ValueError("it must have NDims = 3, or 4 with channels last, and BinaryData = True")
    big = flag(fields, "BinaryDataByteOrderMSB") or flag(fields, "ElementByteOrderMSB")
    dtype = number_of(path, _TYPES, fields["ElementType"].removesuffix("_ARRAY"), big)
    slope, offset = (fields.get(f"ElementToIntensityFunction{part}") for part in ("Slope", "Offset"))
    if (float(slope or 1), float(offset or 0)) != (1, 0):
        raise DataError(
            f"{path}: the header makes intensities of its values by a slope of {slope} and an offset of {offset}, "
            "which programs read or do not; write the intensities themselves"
        )
    numbers = int(fields.get("ElementNumberOfChannels", "1"))
    if numbers < 1 or min(numbers, volumes) > 1:
        raise ValueError(f"ElementNumberOfChannels is {numbers}")
    steps = fields.get("ElementSpacing", fields.get("ElementSize", "")).split()
    times: tuple[str, ...] = ()
    if len(sizes) == 4:
        check_channels_last(path, sizes)
        times = said_of_times(path, volumes, float(steps[3]) if len(steps) == 4 else 1, "units")
        steps = steps[:3]
    check_sizes(path, " ".join(steps))

    def stated(names: tuple[str, ...], default: Sequence[float]) -> NDArray[np.float64]:
        """What fields of one meaning say of the axes of space."""
        said = {name: [float(part) for part in fields[name].split()] for name in names if name in fields}
        for name, values in said.items():
            if len(sizes) == 4 and len(default) == 9:
                rows = [values[row : row + 4] for row in range(0, 16, 4)]
                apart(rows)
                values = [value for row in rows[:3] for value in row[:3]]
            said[name] = first_of(name, values, len(default))
        return np.array(agree(path, said) or default)

    spacing = stated(("ElementSpacing", "ElementSize"), (1, 1, 1))
    origin = stated(("Offset", "Position", "Origin"), (0, 0, 0))
    rows = stated(("TransformMatrix", "Rotation", "Orientation"), (1, 0, 0, 0, 1, 0, 0, 0, 1)).reshape(3, 3)
    unit = unit_of(path, [fields.get("DistanceUnits", "mm")])
    skip = bytes_before(length, int(fields.get("HeaderSize", "0")))
    encoding: Literal["zlib", "raw"] = "zlib" if flag(fields, "CompressedData") else "raw"
    channels, axis = (volumes, 3) if volumes > 1 else (numbers, 0)
    return Header(shape, channels, axis, dtype, encoding, data, skip, rows.T * spacing, origin, unit, times)
