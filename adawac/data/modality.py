"""What the numbers of an image stand for."""

import logging
from functools import cache
from typing import Literal, get_args

from adawac.errors import ConfigError, did_you_mean

log = logging.getLogger(__name__)

Modality = Literal["ct", "mr", "prescaled"]
"""`ct`: Hounsfield units; `mr`: arbitrary units, normalised per volume; `prescaled`: already 0 to 1, left alone."""

MODALITIES: tuple[Modality, ...] = get_args(Modality)


Modalities = Modality | tuple[Modality, ...]
"""One kind for all channels, or one for each."""


def kinds_of(modality: Modalities, channels: int) -> tuple[Modality, ...]:
    """The kind of each of the first channels.

    Example:
        >>> kinds_of("mr", 2), kinds_of(("ct", "prescaled"), 2)
        (('mr', 'mr'), ('ct', 'prescaled'))

    Raises:
        ConfigError: if there are more channels than kinds.
    """
    if isinstance(modality, str):
        return (modality,) * channels
    if len(modality) < channels:
        raise ConfigError(
            f"data.modality names {len(modality)} kinds but an image has {channels} channels; name one for each"
        )
    return modality[:channels]


def distinct(modality: Modalities) -> tuple[Modality, ...]:
    """The kinds that occur, each once."""
    return (modality,) if isinstance(modality, str) else tuple(dict.fromkeys(modality))


def current(modality: Modalities | list[Modality]) -> Modalities:
    """A modality by its name of today, a single one where all channels have the same.

    Example:
        >>> current(["ct", "mr"]), current(["ct", "ct"])
        (('ct', 'mr'), 'ct')
    """
    if isinstance(modality, str):
        return _current(modality)
    kinds = tuple(map(_current, modality))
    return kinds[0] if len(set(kinds)) == 1 else kinds


@cache  # so that it is said once
def _current(name: Modality) -> Modality:
    """`prescaled` was called `unit` in 0.1.0."""
    if name == "unit":  # type: ignore[comparison-overlap]
        log.warning("the modality unit is called prescaled now; it is read as that")
        return "prescaled"
    if name not in MODALITIES:
        known = ", ".join(MODALITIES)
        raise ConfigError(f"data.modality is {name!r}{did_you_mean(str(name), MODALITIES)} choose one of {known}")
    return name
