"""Addresses in the place of folders: what lies behind them can neither be locked, grow, nor be mapped into memory."""

import re
from collections.abc import Iterable

from adawac.errors import ConfigError

ADDRESS = re.compile(r"(s3[an]?|gc?s|az|abfss?|adl|wasbs?|hdfs|oss|https?|s?ftp|file|memory)://", re.IGNORECASE)


def refuse_addresses(given: Iterable[tuple[str, object]]) -> None:
    """Refuse an address that would be taken for a folder's name.

    Args:
        given: name, if any, and value of each setting that may name a file or folder.

    Raises:
        ConfigError: one is an address.

    Example:
        >>> refuse_addresses([("--runs", "s3://bucket/runs")])
        Traceback (most recent call last):
        adawac.errors.ConfigError: --runs s3://bucket/runs is an address; files lie in folders that can be locked ...
    """
    for name, value in given:
        if isinstance(value, str) and ADDRESS.match(value):
            what = f"{name} {value}".strip()
            remedy = "mount it as one (EFS, FSx, Filestore, JuiceFS) or copy it, and name that"
            raise ConfigError(f"{what} is an address; files lie in folders that can be locked and mapped: {remedy}")
