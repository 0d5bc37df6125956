"""How large a volume may claim to be: asked of a file's header before any voxel is read, so that no bomb goes off."""

import math
import os
from collections.abc import Sequence

from adawac.errors import ConfigError, DataError

MOST_VOXELS = 1 << 30
"""Voxels of one file, all channels together: a CT of 2000 slices of 512 x 512 has half as many."""

SETTING = "ADAWAC_MAX_VOXELS"
"""Environment variable with another ceiling, for those who trust their files and have the memory."""


def check_voxels(name: str, shape: Sequence[int]) -> None:
    """Refuse a shape with more voxels than anyone scans.

    Args:
        name: what to call the file in the message.
        shape: what its header says.

    Raises:
        DataError: if there are more than `MOST_VOXELS`.
        ConfigError: if the environment variable `SETTING` is no number.

    Example:
        >>> check_voxels("scan.nii.gz", (512, 512, 2000))
        >>> check_voxels("scan.nii.gz", (30000, 30000, 30000))
        Traceback (most recent call last):
        adawac.errors.DataError: scan.nii.gz: the header claims 2.7e+13 voxels, shape (30000, 30000, 30000), but at \
most 1.1e+09 are read; crop or resample the volume, or set ADAWAC_MAX_VOXELS if you trust the file
    """
    setting = os.environ.get(SETTING, str(MOST_VOXELS))
    if not setting.isdecimal():
        raise ConfigError(f"{SETTING} is {setting!r}; give a number of voxels, such as {MOST_VOXELS}")
    if (voxels := math.prod(shape)) > int(setting):
        raise DataError(
            f"{name}: the header claims {voxels:.2g} voxels, shape {tuple(shape)}, but at most {int(setting):.2g} are "
            f"read; crop or resample the volume, or set {SETTING} if you trust the file"
        )
