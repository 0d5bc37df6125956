"""What the numbers of an image stand for."""

import logging
from functools import cache
from typing import Literal, get_args

log = logging.getLogger(__name__)

Modality = Literal["ct", "mr", "prescaled"]
"""`ct`: Hounsfield units; `mr`: arbitrary units, normalised per volume; `prescaled`: already 0 to 1, left alone."""

MODALITIES: tuple[Modality, ...] = get_args(Modality)


@cache  # so that it is said once
def current(name: Modality) -> Modality:
    """A modality by its name of today: `prescaled` was called `unit` in 0.1.0."""
    if name == "unit":  # type: ignore[comparison-overlap]
        log.warning("the modality unit is called prescaled now; it is read as that")
        return "prescaled"
    return name
