"""What the numbers of an image stand for."""

from typing import Literal, get_args

Modality = Literal["ct", "mr", "unit"]
"""`ct`: Hounsfield units; `mr`: arbitrary units, normalised per volume; `unit`: already 0 to 1, left alone."""

MODALITIES: tuple[Modality, ...] = get_args(Modality)
